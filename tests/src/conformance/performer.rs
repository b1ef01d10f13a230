//! A performer, running: commands go in, answers come out in any order.

use std::collections::{BTreeSet, HashMap};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::sync::oneshot;
use tokio::time::timeout;

use super::language::Language;
use super::line::{Answer, Fields};

/// How long a performer may take to say hello on a busy machine.
const HELLO: Duration = Duration::from_secs(60);

/// A running performer; dropping it kills it.
#[derive(Debug)]
pub struct Performer {
    child: Child,
    stdin: Option<ChildStdin>,
    /// What it cannot do.
    lacks: BTreeSet<String>,
    next: AtomicU64,
    waiting: Arc<Mutex<Waiting>>,
    /// Where its stderr goes.
    stderr: PathBuf,
}

/// Who waits for which answer.
#[derive(Debug, Default)]
struct Waiting {
    answers: HashMap<u64, oneshot::Sender<Answer>>,
    /// Why there will be no more answers.
    ended: Option<String>,
}

/// The answer to come of one command.
#[derive(Debug)]
pub struct Pending {
    /// The command's number.
    pub id: u64,
    answer: oneshot::Receiver<Answer>,
}

impl Performer {
    /// Starts it and waits for its hello.
    ///
    /// # Errors
    /// When it does not say hello; with what it printed.
    pub async fn start(language: &Language, stderr: &Path) -> Result<Self> {
        let (program, arguments) = language.command.split_first().context("no command")?;
        let mut child = Command::new(program)
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(File::create(stderr)?)
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("cannot start {}", language.command.join(" ")))?;
        let stdin = child.stdin.take();
        let stdout = child.stdout.take().context("no stdout")?;
        let mut lines = BufReader::new(stdout).lines();
        let lacks = match timeout(HELLO, hello(&mut lines, &language.name)).await {
            Ok(Ok(lacks)) => lacks,
            Ok(Err(error)) => bail!("{}: {error:#}\n{}", language.name, tail(stderr)),
            Err(_) => bail!("{} does not say hello\n{}", language.name, tail(stderr)),
        };
        let waiting = Arc::new(Mutex::new(Waiting::default()));
        tokio::spawn(read(lines, waiting.clone()));
        Ok(Self {
            child,
            stdin,
            lacks,
            next: AtomicU64::new(1),
            waiting,
            stderr: stderr.to_owned(),
        })
    }

    /// What it cannot do: `OP` or `OP.KEY`.
    #[must_use]
    pub fn lacks(&self) -> &BTreeSet<String> {
        &self.lacks
    }

    /// Tells it to do something; answers with the line sent, too.
    ///
    /// # Errors
    /// When it has ended.
    pub async fn tell(&mut self, op: &str, fields: &Fields) -> Result<(Pending, String)> {
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        let (sender, answer) = oneshot::channel();
        {
            let mut waiting = self.waiting.lock().expect("nobody panics with it");
            if let Some(why) = &waiting.ended {
                bail!("the program has ended: {why}");
            }
            waiting.answers.insert(id, sender);
        }
        let mut line = format!("{id} {op}");
        fields.write(&mut line);
        let stdin = self.stdin.as_mut().context("its stdin is closed")?;
        let sent = line.clone();
        line.push('\n');
        stdin
            .write_all(line.as_bytes())
            .await
            .context("its stdin")?;
        stdin.flush().await?;
        Ok((Pending { id, answer }, sent))
    }

    /// Closes its stdin and waits until it has ended.
    ///
    /// # Errors
    /// When it does not end in time.
    pub async fn exit(&mut self, within: Duration) -> Result<ExitStatus> {
        self.stdin = None;
        let ended = timeout(within, self.child.wait()).await;
        ended
            .with_context(|| format!("it still runs {within:?} after its stdin was closed"))?
            .context("waiting for it")
    }

    /// Ends it with SIGKILL.
    ///
    /// # Errors
    /// When it cannot be reaped.
    pub async fn kill(&mut self) -> Result<()> {
        Ok(self.child.kill().await?)
    }

    /// The end of what it wrote to stderr.
    #[must_use]
    pub fn stderr(&self) -> String {
        tail(&self.stderr)
    }
}

impl Pending {
    /// Waits for the answer.
    ///
    /// # Errors
    /// When none comes in time, or none can come any more.
    pub async fn answer(&mut self, within: Duration) -> Result<Answer> {
        match timeout(within, &mut self.answer).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(_)) => bail!("the program ended without an answer to {}", self.id),
            Err(_) => bail!("no answer to {} within {within:?}", self.id),
        }
    }
}

async fn hello(lines: &mut Lines<BufReader<ChildStdout>>, name: &str) -> Result<BTreeSet<String>> {
    let line = lines.next_line().await?.context("it ended")?;
    let fields = line.strip_prefix("hello ").context(line.clone())?;
    let fields = Fields::read(fields)?;
    let language = fields.get("language").unwrap_or_default();
    if language != name.as_bytes() {
        bail!("it calls itself {}", language.escape_ascii());
    }
    let lacks = fields.get_list("lacks").context("no lacks")?;
    let lacks = lacks.into_iter().map(String::from_utf8);
    Ok(lacks.collect::<Result<_, _>>()?)
}

async fn read(mut lines: Lines<BufReader<ChildStdout>>, waiting: Arc<Mutex<Waiting>>) {
    let why = loop {
        let line = match lines.next_line().await {
            Ok(Some(line)) => line,
            Ok(None) => break "its stdout was closed".to_owned(),
            Err(error) => break format!("its stdout: {error}"),
        };
        match Answer::read(&line) {
            Ok((id, answer)) => {
                let mut waiting = waiting.lock().expect("nobody panics with it");
                let Some(sender) = waiting.answers.remove(&id) else {
                    break format!("it answered {id}, which nobody asked or it had answered");
                };
                // Whoever waited may have given up.
                drop(sender.send(answer));
            }
            Err(error) => break format!("it said {line:?}: {error:#}"),
        }
    };
    let mut waiting = waiting.lock().expect("nobody panics with it");
    for (_, sender) in waiting.answers.drain() {
        drop(sender.send(Answer::refused("performer:ended", why.clone())));
    }
    waiting.ended = Some(why);
}

fn tail(path: &Path) -> String {
    let bytes = std::fs::read(path).unwrap_or_default();
    let from = bytes.len().saturating_sub(4096);
    String::from_utf8_lossy(&bytes[from..]).into_owned()
}
