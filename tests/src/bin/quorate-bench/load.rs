//! A closed loop: so many callers, each with one request under way, for so long.

use std::future::Future;
use std::time::{Duration, Instant};

use anyhow::Result;
use hdrhistogram::Histogram;

/// What a workload did.
#[derive(Clone, Debug)]
pub(crate) struct Measure {
    /// Operations that succeeded.
    pub(crate) operations: u64,
    /// How long it ran.
    pub(crate) elapsed: Duration,
    /// Median latency.
    pub(crate) p50: Duration,
    /// 99th percentile of the latencies.
    pub(crate) p99: Duration,
    /// CPU time the server spent meanwhile, all threads.
    pub(crate) server_cpu: Duration,
}

impl Measure {
    /// Operations per second.
    pub(crate) fn rate(&self) -> f64 {
        self.operations as f64 / self.elapsed.as_secs_f64()
    }

    /// Server CPU-seconds per 10,000 operations.
    pub(crate) fn cpu_per_10k(&self) -> f64 {
        self.server_cpu.as_secs_f64() * 10_000.0 / self.operations.max(1) as f64
    }
}

/// Runs `callers` loops until `duration` is over; `call` is given the caller's number and a
/// count, and is one operation. The first tenth of the time warms up and is not counted.
pub(crate) async fn closed_loop<C, F>(
    callers: usize,
    duration: Duration,
    cpu: impl Fn() -> Result<Duration>,
    call: C,
) -> Result<Measure>
where
    C: Fn(usize, u64) -> F + Clone + Send + 'static,
    F: Future<Output = Result<()>> + Send,
{
    let begin = Instant::now();
    let counted_from = begin + duration / 10;
    let end = counted_from + duration;
    let mut tasks = Vec::with_capacity(callers);
    for caller in 0..callers {
        let call = call.clone();
        tasks.push(tokio::spawn(async move {
            let mut latencies = histogram();
            for count in 0.. {
                let start = Instant::now();
                if start >= end {
                    break;
                }
                call(caller, count).await?;
                if start >= counted_from {
                    record(&mut latencies, start.elapsed());
                }
            }
            Ok::<_, anyhow::Error>(latencies)
        }));
    }
    tokio::time::sleep_until(counted_from.into()).await;
    let cpu_before = cpu()?;
    tokio::time::sleep_until(end.into()).await;
    let cpu_after = cpu()?;
    let mut latencies = histogram();
    for task in tasks {
        latencies.add(task.await??)?;
    }
    Ok(measure(&latencies, duration, cpu_after - cpu_before))
}

/// Latencies taken one after the other.
pub(crate) fn sequence(latencies: &[Duration], server_cpu: Duration) -> Measure {
    let mut recorded = histogram();
    for latency in latencies {
        record(&mut recorded, *latency);
    }
    measure(&recorded, latencies.iter().sum(), server_cpu)
}

fn measure(latencies: &Histogram<u64>, elapsed: Duration, server_cpu: Duration) -> Measure {
    let at = |quantile| Duration::from_nanos(latencies.value_at_quantile(quantile));
    Measure {
        operations: latencies.len(),
        elapsed,
        p50: at(0.5),
        p99: at(0.99),
        server_cpu,
    }
}

/// Nanoseconds up to a minute, three digits.
fn histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(1, 60_000_000_000, 3).expect("the bounds are valid")
}

fn record(latencies: &mut Histogram<u64>, latency: Duration) {
    latencies.saturating_record(latency.as_nanos().try_into().unwrap_or(u64::MAX));
}
