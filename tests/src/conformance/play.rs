//! Plays a scenario: one step after the other, each with its deadline, written down as it goes.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use super::expect;
use super::line::{Answer, Fields};
use super::performer::Pending;
use super::scenario::{Action, Call, Expected, Scenario, Step};
use super::world::World;

/// Between two tries of a call that is not yet answered as expected.
const PAUSE: Duration = Duration::from_millis(20);
/// How long the last try may take beyond the deadline.
const LAST_ANSWER: Duration = Duration::from_secs(2);
/// Longest line shown of what was sent or answered.
const SHOWN: usize = 600;
/// Tries of one repeated call written down, from its end.
const TRIES: usize = 3;

/// What happened so far, to be read when it fails.
#[derive(Debug)]
pub struct Transcript {
    began: Instant,
    lines: Vec<String>,
}

/// A call in the background.
#[derive(Debug)]
struct Background {
    program: String,
    pending: Pending,
    told: Instant,
}

struct Player<'a> {
    world: &'a mut World,
    transcript: &'a mut Transcript,
    background: BTreeMap<String, Background>,
}

/// Plays all steps.
///
/// # Errors
/// At the first step that is not as expected; the transcript says how it came there.
pub async fn play(
    scenario: &Scenario,
    world: &mut World,
    transcript: &mut Transcript,
) -> Result<()> {
    let mut player = Player {
        world,
        transcript,
        background: BTreeMap::new(),
    };
    player.steps(&scenario.steps).await
}

impl Player<'_> {
    async fn steps(&mut self, steps: &[Step]) -> Result<()> {
        for step in steps {
            self.step(step).await?;
        }
        Ok(())
    }

    async fn step(&mut self, step: &Step) -> Result<()> {
        let within = step.within;
        match &step.action {
            Action::Call(call) => match &call.background {
                Some(name) => self.start(call, name).await,
                None if call.until => self.until(call, within).await,
                None => {
                    let (answer, took) = self.call(call, within).await?;
                    self.compare(&call.expected, &answer, took)
                }
            },
            Action::Await(name, expected) => {
                let mut background = self
                    .background
                    .remove(name)
                    .with_context(|| format!("nothing goes on under {name:?}"))?;
                let answer = background.pending.answer(within).await;
                let took = background.told.elapsed();
                self.transcript
                    .heard(&background.program, background.pending.id, &answer, took);
                self.compare(expected, &answer?, took)
            }
            Action::Cancel(name) => {
                let background = self.background.get(name);
                let background =
                    background.with_context(|| format!("nothing goes on under {name:?}"))?;
                let mut fields = Fields::new();
                fields.show("id", background.pending.id);
                let program = background.program.clone();
                let (answer, took) = self.tell(&program, "cancel", &fields, within).await?;
                self.compare(&Expected::default(), &answer, took)
            }
            Action::Check(value, wanted) => {
                self.transcript.note(&format!("check {value} is {wanted}"));
                expect::check(value, wanted, &mut self.world.variables)
            }
            Action::Repeat(times, steps) => {
                for round in 0..*times {
                    self.world.variables.set("round", round.to_string());
                    Box::pin(self.steps(steps)).await?;
                }
                Ok(())
            }
            Action::Simple(call) => {
                self.transcript.note(&format!("{call:?}"));
                let done = call.perform(&self.world.variables);
                let done = tokio::time::timeout(within, done).await;
                done.context("it takes too long")?
            }
            Action::Control(control, name) => {
                self.transcript.note(&format!("{control:?} {name}"));
                let done = self.world.control(*control, name, within);
                let done = tokio::time::timeout(within.max(Duration::from_secs(60)), done).await;
                done.with_context(|| format!("{control:?} {name} takes too long"))?
            }
        }
    }

    async fn start(&mut self, call: &Call, name: &str) -> Result<()> {
        let fields = self.world.variables.fields(&call.arguments)?;
        let told = Instant::now();
        let pending = self.send(&call.program, &call.op, &fields).await?;
        let program = call.program.clone();
        let background = Background {
            program,
            pending,
            told,
        };
        if self
            .background
            .insert(name.to_owned(), background)
            .is_some()
        {
            bail!("two calls in the background are named {name:?}");
        }
        Ok(())
    }

    async fn call(&mut self, call: &Call, within: Duration) -> Result<(Answer, Duration)> {
        let fields = self.world.variables.fields(&call.arguments)?;
        self.tell(&call.program, &call.op, &fields, within).await
    }

    async fn until(&mut self, call: &Call, within: Duration) -> Result<()> {
        let deadline = Instant::now() + within;
        let mut tries = 0;
        let from = self.transcript.lines.len();
        loop {
            // What was asked just before the deadline may still be answered.
            let left = deadline.saturating_duration_since(Instant::now()) + LAST_ANSWER;
            let (answer, took) = self.call(call, left).await.context("until it is so")?;
            tries += 1;
            let Err(error) = self.compare(&call.expected, &answer, took) else {
                return Ok(());
            };
            let next = call.op == "next";
            let over = match &answer {
                Answer::Ok(fields) => next && fields.get("end").is_some(),
                Answer::Error { code, .. } => {
                    code.starts_with("performer:") || (next && code != "timeout")
                }
            };
            if over || Instant::now() >= deadline {
                return Err(error).with_context(|| format!("still so after {tries} tries"));
            }
            // Two lines a try; what is long ago is not of interest.
            let shown = self.transcript.lines.len() - from;
            if shown > 2 * TRIES {
                self.transcript.lines.drain(from..from + 2);
            }
            // A stream waits by itself.
            if !next {
                tokio::time::sleep(PAUSE).await;
            }
        }
    }

    async fn tell(
        &mut self,
        program: &str,
        op: &str,
        fields: &Fields,
        within: Duration,
    ) -> Result<(Answer, Duration)> {
        let told = Instant::now();
        let mut pending = self.send(program, op, fields).await?;
        let answer = pending.answer(within).await;
        let took = told.elapsed();
        self.transcript.heard(program, pending.id, &answer, took);
        Ok((answer?, took))
    }

    async fn send(&mut self, program: &str, op: &str, fields: &Fields) -> Result<Pending> {
        let sent = self.world.program(program)?.tell(op, fields).await;
        let (pending, line) = sent.with_context(|| format!("{program}: {op}"))?;
        self.transcript.add(&format!("{program} < {line}"));
        Ok(pending)
    }

    fn compare(&mut self, expected: &Expected, answer: &Answer, took: Duration) -> Result<()> {
        expect::compare(expected, answer, took, &mut self.world.variables)
    }
}

impl Transcript {
    /// An empty one.
    #[must_use]
    pub fn begin() -> Self {
        Self {
            began: Instant::now(),
            lines: Vec::new(),
        }
    }

    /// How long ago it began.
    #[must_use]
    pub fn elapsed(&self) -> Duration {
        self.began.elapsed()
    }

    /// All lines.
    #[must_use]
    pub fn text(&self) -> String {
        self.lines.join("\n")
    }

    fn heard(&mut self, program: &str, id: u64, answer: &Result<Answer>, took: Duration) {
        let line = match answer {
            Ok(answer) => answer.line(id),
            Err(error) => format!("{id}: {error:#}"),
        };
        self.add(&format!("{program} > {line} ({} ms)", took.as_millis()));
    }

    fn note(&mut self, text: &str) {
        self.add(&format!("* {text}"));
    }

    fn add(&mut self, text: &str) {
        let mut line = format!("{:8.3} ", self.began.elapsed().as_secs_f64());
        match text.char_indices().nth(SHOWN) {
            None => line.push_str(text),
            // Writing to a text cannot fail.
            Some((end, _)) => {
                let _ = write!(line, "{}… ({} bytes)", &text[..end], text.len());
            }
        }
        self.lines.push(line);
    }
}
