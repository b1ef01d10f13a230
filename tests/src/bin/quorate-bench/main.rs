//! `make bench`: Quorate beside etcd, in one run on one machine.
//!
//! The two servers run at the same time but are loaded in turns, and each row is the median of
//! several turns. Absolute figures depend on the machine and on its other load; the ratios, and
//! above all those of CPU, carry over.

mod etcd;
mod kv;
mod load;
mod pick;
mod registry;

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Result;
use clap::Parser;
use quorate_tests::server::Server;

use crate::etcd::Etcd;
use crate::kv::Operation;
use crate::load::Measure;

/// Measures Quorate beside etcd.
#[derive(Debug, Parser)]
struct Arguments {
    /// The quorate binary, built with --release.
    #[arg(long)]
    quorate: PathBuf,
    /// The etcd binary.
    #[arg(long)]
    etcd: PathBuf,
    /// A Python interpreter that has the quorate package; without it, no row for Python.
    #[arg(long)]
    python: Option<PathBuf>,
    /// Seconds of each turn.
    #[arg(long, default_value_t = 5.0)]
    seconds: f64,
    /// Turns of each row.
    #[arg(long, default_value_t = 3)]
    turns: usize,
}

#[tokio::main]
async fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let duration = Duration::try_from_secs_f64(arguments.seconds)?;
    let turns = arguments.turns.max(1);
    let quorate = Server::start_binary(&arguments.quorate, &[])?;
    let etcd = Etcd::start(&arguments.etcd).await?;
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

    println!("\nA pick and its report, 1,000 endpoints, one thread:");
    for (name, nanoseconds) in pick::rust().await? {
        println!("  Rust, {name:<32} {nanoseconds:>8.0} ns");
    }
    if let Some(interpreter) = &arguments.python {
        println!(
            "  {:<38} {:>8.0} ns",
            "Python, default",
            pick::python(interpreter)?
        );
    }
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
