//! Looks for a shorter sequence with the same last step that fails there too.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::Result;

use crate::lockstep::{Difference, Pair, shown};
use crate::step::Step;

/// Prints the shortest that is found in time. Every try costs two fresh servers.
///
/// # Errors
/// A server does not start.
pub(crate) async fn report(etcd: &Path, mut steps: Vec<Step>, at_most: Duration) -> Result<()> {
    let deadline = Instant::now() + at_most;
    let mut found = None;
    let mut piece = steps.len().div_ceil(2);
    while piece > 0 && steps.len() > 1 {
        let mut at = 0;
        // The last step stays.
        while at < steps.len() - 1 {
            if Instant::now() > deadline {
                piece = 0;
                break;
            }
            let mut shorter = steps.clone();
            shorter.drain(at..(at + piece).min(steps.len() - 1));
            match fails_last(etcd, &shorter).await? {
                Some(difference) => {
                    steps = shorter;
                    found = Some(difference);
                }
                None => at += piece,
            }
        }
        piece = if piece > 1 { piece / 2 } else { 0 };
    }
    eprintln!("the shortest sequence found:");
    for step in &steps {
        eprintln!("  {}", shown(step));
    }
    if let Some(difference) = found {
        eprintln!("{difference}");
    }
    Ok(())
}

async fn fails_last(etcd: &Path, steps: &[Step]) -> Result<Option<Difference>> {
    let mut pair = Pair::start(etcd).await?;
    for (index, step) in steps.iter().enumerate() {
        // A server that stops answering is no shorter form of a difference.
        let Ok(run) = pair.run(step.clone()).await else {
            return Ok(None);
        };
        if let Some(difference) = run {
            return Ok((index + 1 == steps.len()).then_some(difference));
        }
    }
    Ok(None)
}
