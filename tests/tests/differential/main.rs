//! The same requests to Quorate and to a real etcd, in lockstep, must get the same answers.
//!
//! Sequences are random; a seed names one. Each starts with two fresh servers. After every
//! request its answers are compared, errors by code and text, and so is what the open watch
//! streams were told. [`rules`] lists what may differ, and why.
//!
//! `QUORATE_ETCD` is etcd's binary; without it the test says so and passes. `DIFFERENTIAL_SEED`
//! (1) is the first seed, `DIFFERENTIAL_SECONDS` (30) how long new sequences are begun, and
//! `DIFFERENTIAL_STEPS` (150) how many requests a sequence has.
//!
//! - [`step`]: one request; [`generate`]: random ones;
//! - [`side`]: a server, and asking it; [`etcd`]: the other server's process;
//! - [`normal`]: answers without what two servers can't agree on;
//! - [`watches`]: what a server's watch streams were told;
//! - [`lockstep`]: both servers side by side; [`shrink`]: a shorter sequence that fails too.

mod etcd;
mod generate;
mod lockstep;
mod normal;
mod rules;
mod shrink;
mod side;
mod step;
mod watches;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use lockstep::{Difference, Pair};

/// How long a failing sequence may be shrunk.
const SHRINKING: Duration = Duration::from_secs(60);

fn number(name: &str, default: u64) -> Result<u64> {
    match std::env::var(name) {
        Ok(text) => text.parse().with_context(|| format!("{name}={text}")),
        Err(_) => Ok(default),
    }
}

#[tokio::test]
async fn quorate_answers_as_etcd_does() -> Result<()> {
    let Some(etcd) = std::env::var_os("QUORATE_ETCD").map(PathBuf::from) else {
        eprintln!("skipped: QUORATE_ETCD does not name an etcd binary");
        return Ok(());
    };
    let first = number("DIFFERENTIAL_SEED", 1)?;
    let steps = number("DIFFERENTIAL_STEPS", 150)?;
    let begun = Instant::now();
    let until = Duration::from_secs(number("DIFFERENTIAL_SECONDS", 30)?);
    let mut compared = 0;
    let mut seed = first;
    while seed == first || begun.elapsed() < until {
        let mut pair = Pair::start(&etcd).await?;
        if let Some(difference) = pair.run_random(seed, steps).await? {
            report(seed, &difference);
            let done = std::mem::take(&mut pair.done);
            drop(pair);
            shrink::report(&etcd, done, SHRINKING).await?;
            bail!("Quorate and etcd differ: DIFFERENTIAL_SEED={seed} runs this again");
        }
        compared += pair.done.len();
        seed += 1;
    }
    eprintln!(
        "{compared} requests compared, seeds {first} to {}",
        seed - 1
    );
    Ok(())
}

fn report(seed: u64, difference: &Difference) {
    eprintln!("seed {seed}, {difference}");
}
