//! `make bench`: Quorate beside etcd, in one run on one machine.
//!
//! The two servers run at the same time but are loaded in turns, and each row is the median of
//! several turns. Absolute figures depend on the machine and on its other load; the ratios, and
//! above all those of CPU, carry over.

mod etcd;
mod kv;
mod load;
mod lock;
mod memory;
mod pick;
mod programs;
mod registry;

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result};
use clap::{Parser, Subcommand, ValueEnum};
use quorate_tests::server::Server;

use crate::etcd::Etcd;
use crate::kv::Operation;
use crate::load::Measure;
use crate::programs::Programs;

/// Measures Quorate beside etcd.
#[derive(Debug, Parser)]
#[command(subcommand_negates_reqs = true)]
struct Arguments {
    /// The quorate binary, built with --release.
    #[arg(long, required = true)]
    quorate: Option<PathBuf>,
    /// The etcd binary.
    #[arg(long, required = true)]
    etcd: Option<PathBuf>,
    /// A Python interpreter that has the quorate package; without it, no row for Python.
    #[arg(long)]
    python: Option<PathBuf>,
    /// Node.js; without it, no row for Node.js. The package in bindings/node must be built.
    #[arg(long)]
    node: Option<PathBuf>,
    /// Where the programs of tests/bench/*.c are, built; without it, no row for C.
    #[arg(long)]
    c: Option<PathBuf>,
    /// Seconds of each turn.
    #[arg(long, default_value_t = 5.0)]
    seconds: f64,
    /// Turns of each row.
    #[arg(long, default_value_t = 3)]
    turns: usize,
    /// How many stand in line for a lock.
    #[arg(long, default_value_t = 500)]
    in_line: usize,
    /// Only these parts, by comma: servers, picks, locks, memory.
    #[arg(long, value_delimiter = ',')]
    only: Vec<Part>,
    #[command(subcommand)]
    probe: Option<Probe>,
}

/// What the bench starts itself as.
#[derive(Debug, Subcommand)]
enum Probe {
    /// Prints what a client holds in memory.
    #[command(hide = true)]
    MemoryProbe {
        /// The server.
        address: String,
    },
}

/// A part of the bench.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Part {
    Servers,
    Picks,
    Locks,
    Memory,
}

#[tokio::main]
async fn main() -> Result<()> {
    let arguments = Arguments::parse();
    if let Some(Probe::MemoryProbe { address }) = &arguments.probe {
        return memory::probe(address).await;
    }
    let (quorate, etcd) = (&arguments.quorate, &arguments.etcd);
    let quorate = Server::start_binary(quorate.as_deref().context("--quorate")?, &[])?;
    let etcd = Etcd::start(etcd.as_deref().context("--etcd")?).await?;
    let programs = Programs::of(
        arguments.python.as_deref(),
        arguments.node.as_deref(),
        arguments.c.as_deref(),
    );
    let wanted = |part| arguments.only.is_empty() || arguments.only.contains(&part);
    if wanted(Part::Servers) {
        servers(&arguments, &quorate, &etcd).await?;
    }
    if wanted(Part::Picks) {
        picks(&programs).await?;
    }
    if wanted(Part::Locks) {
        locks(&programs, &quorate, &etcd, arguments.in_line).await?;
    }
    if wanted(Part::Memory) {
        memory_of_clients(&programs, &quorate).await?;
    }
    Ok(())
}

/// Both servers under load, in turns.
async fn servers(arguments: &Arguments, quorate: &Server, etcd: &Etcd) -> Result<()> {
    let duration = Duration::try_from_secs_f64(arguments.seconds)?;
    let turns = arguments.turns.max(1);
    let ours = || Ok(quorate.usage()?.cpu);
    let theirs = || etcd.cpu();

    heading(turns, duration);
    for (name, operation, callers) in [
        ("put, 1 caller", Operation::Put, 1),
        ("put, 64 callers", Operation::Put, 64),
        ("put, 256 callers", Operation::Put, 256),
        ("linearizable get, 1 caller", Operation::Get, 1),
        ("linearizable get, 64 callers", Operation::Get, 64),
        ("linearizable get, 256 callers", Operation::Get, 256),
    ] {
        let (mut first, mut second) = (Vec::new(), Vec::new());
        for _ in 0..turns {
            second.push(kv::run(&etcd.url(), operation, callers, duration, theirs).await?);
            first.push(kv::run(&quorate.url(), operation, callers, duration, ours).await?);
        }
        row(name, &median(first), Some(&median(second)));
    }

    let (mut sdk, mut unary, mut leased) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..turns {
        leased.push(registry::etcd(&etcd.url(), 64, duration, theirs).await?);
        sdk.push(registry::sdk(quorate.address(), 64, duration, ours).await?);
        unary.push(registry::unary(&quorate.url(), 64, duration, ours).await?);
    }
    let leased = median(leased);
    row(
        "register, SDK session, 64 callers",
        &median(sdk),
        Some(&leased),
    );
    row(
        "register, unary call, 64 callers",
        &median(unary),
        Some(&leased),
    );

    let (mut first, mut second) = (Vec::new(), Vec::new());
    for _ in 0..turns {
        second.push(registry::etcd_propagation(&etcd.url(), 300, theirs).await?);
        first.push(registry::propagation(quorate.address(), 300, ours).await?);
    }
    row(
        "register until seen elsewhere",
        &median(first),
        Some(&median(second)),
    );

    Ok(())
}

async fn picks(programs: &[Programs]) -> Result<()> {
    println!("\nA pick and its report, 1,000 endpoints, one thread:");
    for (name, nanoseconds) in pick::rust().await? {
        println!("  Rust, {name:<32} {nanoseconds:>8.0} ns");
    }
    for program in programs {
        let [nanoseconds] = program.numbers("pick", &[])?;
        let name = format!("{}, default", program.language);
        println!("  {name:<38} {nanoseconds:>8.0} ns");
    }
    Ok(())
}

async fn locks(programs: &[Programs], quorate: &Server, etcd: &Etcd, in_line: usize) -> Result<()> {
    let theirs = etcd.url();
    println!("\nA lock that nobody else wants, p50, acquire and release:");
    let row = |name: &str, [acquire, release]: [f64; 2]| {
        println!("  {name:<38} {acquire:>8.2} ms {release:>8.2} ms");
    };
    row("Rust", lock::alone(quorate.address()).await?);
    row("Rust, etcd as the server", lock::alone(&theirs).await?);
    for program in programs {
        let figures = program.numbers("lock", &[quorate.address()])?;
        row(program.language, figures);
    }
    println!(
        "\nA lock that {in_line} stand in line for: handing it over, p50; server CPU for each:"
    );
    let (ours, of_etcd) = (|| Ok(quorate.usage()?.cpu), || etcd.cpu());
    row(
        "Rust",
        lock::in_line(quorate.address(), in_line, ours).await?,
    );
    row(
        "Rust, etcd as the server",
        lock::in_line(&theirs, in_line, of_etcd).await?,
    );
    Ok(())
}

async fn memory_of_clients(programs: &[Programs], quorate: &Server) -> Result<()> {
    let provided = memory::provide(quorate.address()).await?;
    println!(
        "\nMemory: one more client, one more followed service of {} instances:",
        memory::INSTANCES
    );
    let row = |name: &str, figures: [f64; 2]| {
        let [client, service] = figures.map(|bytes| bytes / 1024.0);
        println!("  {name:<38} {client:>8.1} KiB {service:>8.1} KiB");
    };
    row("Rust", memory::rust(quorate.address())?);
    for program in programs {
        let figures = program.numbers("memory", &[quorate.address()])?;
        row(program.language, figures);
    }
    drop(provided);
    Ok(())
}

fn heading(turns: usize, duration: Duration) {
    println!(
        "Quorate beside etcd: {} connections, 256-byte values, medians of {turns} turns of {:.1} s.",
        kv::CONNECTIONS,
        duration.as_secs_f64()
    );
    println!("CPU is server CPU-seconds per 10,000 operations. etcd registers by lease and put.\n");
    println!(
        "{:<34} {:>10} {:>15} {:>7}   {:>10} {:>15} {:>7}   {:>6} {:>6}",
        "", "ops/s", "p50/p99 ms", "CPU", "etcd ops/s", "p50/p99 ms", "CPU", "ops", "CPU"
    );
}

fn row(name: &str, ours: &Measure, theirs: Option<&Measure>) {
    let side = |measure: &Measure| {
        format!(
            "{:>10.0} {:>7.2}/{:>7.2} {:>7.3}",
            measure.rate(),
            measure.p50.as_secs_f64() * 1e3,
            measure.p99.as_secs_f64() * 1e3,
            measure.cpu_per_10k()
        )
    };
    let mut line = format!("{name:<34} {}", side(ours));
    if let Some(theirs) = theirs {
        line += &format!(
            "   {}   {:>5.2}x {:>5.2}x",
            side(theirs),
            ours.rate() / theirs.rate(),
            ours.cpu_per_10k() / theirs.cpu_per_10k()
        );
    }
    println!("{line}");
}

/// The turn with the median rate.
fn median(mut turns: Vec<Measure>) -> Measure {
    turns.sort_by(|a, b| a.rate().total_cmp(&b.rate()));
    turns.swap_remove(turns.len() / 2)
}
