//! Plays the scenarios of `tests/conformance` in every language, and prints the table.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use clap::Parser;
use quorate_tests::conformance::language::{Language, Places};
use quorate_tests::conformance::performer::Performer;
use quorate_tests::conformance::play::{Transcript, play};
use quorate_tests::conformance::report::{Report, Verdict};
use quorate_tests::conformance::scenario::{Scenario, read_all};
use quorate_tests::conformance::world::World;
use quorate_tests::server::Server;
use tokio::sync::{RwLock, Semaphore};
use tokio::task::JoinSet;

/// The longest a scenario may take, whatever its steps say.
const SCENARIO: Duration = Duration::from_secs(180);

/// Plays language-neutral scenarios against real servers, in each language's binding.
#[derive(Debug, Parser)]
#[command(after_help = "Examples:
  quorate-conformance --list
  quorate-conformance --scenario locks/ --languages rust,python
      Every scenario of locks.json in two languages
  quorate-conformance --scenario locks/hand-over --jobs 1 --verbose
      One, with everything that was said

Exit code 0: all is as expected; 1: something failed, or a language asked for is not there.")]
struct Arguments {
    /// Languages to play, separated by commas; each must be built. Default: all that are
    #[arg(long, value_name = "LIST", value_delimiter = ',')]
    languages: Vec<String>,
    /// Only scenarios whose name contains this; may be given several times
    #[arg(long, value_name = "TEXT")]
    scenario: Vec<String>,
    /// List the scenarios and what each shows, and play none
    #[arg(long)]
    list: bool,
    /// Play on after a failure
    #[arg(long)]
    keep_going: bool,
    /// Scenarios played at a time
    #[arg(long, value_name = "N", default_value_t = 6, value_parser = clap::value_parser!(u32).range(1..=64))]
    jobs: u32,
    /// Play each so many times, to find what fails now and then
    #[arg(long, value_name = "N", default_value_t = 1)]
    times: u32,
    /// Print what was said, also of what passed
    #[arg(long)]
    verbose: bool,
    /// The repository
    #[arg(long, value_name = "DIR", default_value = concat!(env!("CARGO_MANIFEST_DIR"), "/.."))]
    root: PathBuf,
    /// Python interpreter with the binding [default: .venv/bin/python of the repository]
    #[arg(long, value_name = "FILE", env = "QUORATE_PYTHON")]
    python: Option<PathBuf>,
}

fn main() -> Result<ExitCode> {
    let arguments = Arguments::parse();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    let failed = runtime.block_on(run(arguments))?;
    Ok(ExitCode::from(u8::from(failed)))
}

/// What all scenarios of a run share.
struct Run {
    /// All that are built: also those that only take part in scenarios of another.
    languages: BTreeMap<String, Language>,
    server: Arc<Server>,
    places: Semaphore,
    /// Written by who must be alone.
    machine: RwLock<()>,
}

/// Whether anything failed.
async fn run(arguments: Arguments) -> Result<bool> {
    let root = arguments.root.canonicalize()?;
    let mut scenarios = read_all(&root.join("tests/conformance"))?;
    let wanted = &arguments.scenario;
    scenarios.retain(|one| wanted.is_empty() || wanted.iter().any(|w| one.name.contains(w)));
    if scenarios.is_empty() {
        bail!("no scenario is named like {}", wanted.join(" or "));
    }
    if arguments.list {
        for scenario in &scenarios {
            println!("{}\n    {}", scenario.name, scenario.says);
        }
        return Ok(false);
    }
    let all = places(&arguments, &root)?.languages()?;
    let languages = asked(&all, &arguments.languages)?;
    let names = languages.iter().map(|language| language.name.clone());
    let stories = scenarios.iter().map(|scenario| scenario.name.clone());
    let mut report = Report::new(names.collect(), stories.collect());
    let lacks = greet(&languages, &mut report).await?;
    if report.absent.len() == languages.len() {
        bail!("no language is built: {:?}", report.absent);
    }

    let began = Instant::now();
    let run = Arc::new(Run {
        languages: all
            .into_iter()
            .filter(|language| language.not_built.is_none())
            .map(|language| (language.name.clone(), language))
            .collect(),
        server: Arc::new(tokio::task::block_in_place(Server::start)?),
        places: Semaphore::new(arguments.jobs as usize),
        machine: RwLock::new(()),
    });
    let mut games = JoinSet::new();
    // Those that wait for nobody first: the others would hold them up in the end.
    let (alone, together): (Vec<_>, Vec<_>) = scenarios.into_iter().partition(|one| one.alone);
    for scenario in together.into_iter().chain(alone).map(Arc::new) {
        for language in &languages {
            if report.absent.contains_key(&language.name) {
                continue;
            }
            let name = language.name.clone();
            let lacking = why_not(&scenario, language, &lacks[&name], &run.languages);
            if let Some(why) = lacking {
                report.set(&scenario.name, &name, Verdict::Lacking(why));
                continue;
            }
            for round in 0..arguments.times {
                let game = game(run.clone(), scenario.clone(), name.clone(), round);
                games.spawn(game);
                report.set(&scenario.name, &name, Verdict::NotPlayed);
            }
        }
    }
    let mut failed = false;
    while let Some(game) = games.join_next().await {
        let Ok((scenario, language, verdict, said)) = game else {
            continue;
        };
        let bad = matches!(verdict, Verdict::Failed(_));
        if bad {
            println!("FAILED {} in {language}; more below", scenario.name);
        } else if arguments.verbose {
            println!("ok {} in {language}\n{said}", scenario.name);
        }
        report.set(&scenario.name, &language, verdict);
        failed |= bad;
        if bad && !arguments.keep_going {
            games.abort_all();
        }
    }
    println!("\n{}", report.text());
    println!("the slowest:\n{}", report.slowest(5));
    println!(
        "{} ok, {} failed, {} not applicable, in {:.0} s",
        report.count(|verdict| matches!(verdict, Verdict::Ok(_))),
        report.failed(),
        report.count(|verdict| matches!(verdict, Verdict::Lacking(_))),
        began.elapsed().as_secs_f64()
    );
    Ok(failed)
}

fn places(arguments: &Arguments, root: &Path) -> Result<Places> {
    let target = std::env::current_exe()?;
    let target = target.parent().context("a folder of this program")?;
    let python = arguments.python.clone();
    Ok(Places {
        root: root.to_owned(),
        target: target.to_owned(),
        python: python.unwrap_or_else(|| root.join(".venv/bin/python")),
    })
}

/// Those asked for, which must be there, or all.
fn asked(all: &[Language], asked: &[String]) -> Result<Vec<Language>> {
    for name in asked {
        let known = all.iter().find(|language| language.name == *name);
        let language = known.with_context(|| format!("no language {name:?} has a performer"))?;
        if let Some((file, build)) = &language.not_built {
            bail!(
                "{name} is not built, {} is missing: run `{build}`",
                file.display()
            );
        }
    }
    let wanted = |language: &&Language| asked.is_empty() || asked.contains(&language.name);
    Ok(all.iter().filter(wanted).cloned().collect())
}

/// Starts each performer once, to hear what it lacks.
async fn greet(
    languages: &[Language],
    report: &mut Report,
) -> Result<BTreeMap<String, Vec<String>>> {
    let directory = tempfile::tempdir()?;
    let mut lacks = BTreeMap::new();
    for language in languages {
        if let Some((file, build)) = &language.not_built {
            let why = format!("not built, {} is missing: run `{build}`", file.display());
            report.absent.insert(language.name.clone(), why);
            continue;
        }
        let stderr = directory.path().join("stderr");
        let mut performer = Performer::start(language, &stderr).await?;
        lacks.insert(
            language.name.clone(),
            performer.lacks().iter().cloned().collect(),
        );
        let status = performer.exit(Duration::from_secs(20)).await?;
        if !status.success() {
            bail!(
                "{} ends with {status}: {}",
                language.name,
                performer.stderr()
            );
        }
    }
    Ok(lacks)
}

/// Why a language cannot play a scenario.
fn why_not(
    scenario: &Scenario,
    language: &Language,
    lacks: &[String],
    all: &BTreeMap<String, Language>,
) -> Option<String> {
    if let Some(why) = scenario.except.get(&language.name) {
        return Some(why.clone());
    }
    let needs = scenario.needs();
    if let Some(lack) = lacks.iter().find(|lack| needs.contains(*lack)) {
        let reason = language.reasons.get(lack);
        let reason = reason.map(|reason| format!(": {reason}"));
        return Some(format!("no {lack}{}", reason.unwrap_or_default()));
    }
    let others = scenario.programs.values().flatten();
    let mut others = others.filter(|other| !all.contains_key(*other));
    others
        .next()
        .map(|other| format!("it needs a program in {other}"))
}

type Game = (Arc<Scenario>, String, Verdict, String);

async fn game(run: Arc<Run>, scenario: Arc<Scenario>, language: String, round: u32) -> Game {
    let _place = run.places.acquire().await.expect("never closed");
    let (shared, alone);
    if scenario.alone {
        alone = run.machine.write().await;
        let _ = &alone;
    } else {
        shared = run.machine.read().await;
        let _ = &shared;
    }
    let mut transcript = Transcript::begin();
    let name = scenario.name.replace('/', "-");
    let name = format!("{name}-{language}-{round}");
    let mut logs = String::new();
    let played = async {
        let built = World::build(&scenario, &name, &run.languages, &language, &run.server);
        let mut world = built.await.context("the world could not be built")?;
        let outcome = play(&scenario, &mut world, &mut transcript).await;
        if outcome.is_err() {
            logs = world.logs();
        }
        outcome
    };
    let outcome = match tokio::time::timeout(SCENARIO, played).await {
        Ok(outcome) => outcome,
        Err(_) => Err(anyhow::anyhow!("it takes more than {SCENARIO:?}")),
    };
    let said = transcript.text();
    let verdict = match outcome {
        Ok(()) => Verdict::Ok(transcript.elapsed()),
        Err(error) => Verdict::Failed(format!(
            "{}\n{said}\n{error:#}\n{logs}-- to play it again:\n\
             cargo run -q -p quorate-tests --bin quorate-conformance -- --verbose --languages {language} --scenario {}",
            scenario.says, scenario.name
        )),
    };
    (scenario, language, verdict, said)
}
