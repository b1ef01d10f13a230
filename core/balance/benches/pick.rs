//! What a pick and a report cost: nanoseconds, median of runs, one thread, 1,000 endpoints.
//! `cargo bench -p quorate-balance [-- ENDPOINTS]`

use fastrand::Rng;
use quorate_balance::{
    Algorithm, Balancer, BalancerConfig, EndpointSpec, Moment, Outcome, PickContext, PickHandle,
};
use std::hint::black_box;
use std::sync::Barrier;
use std::time::{Duration, Instant};

const RUNS: usize = 21;
/// Picks in a run; all are reported in the same order, as if so many were under way.
const BATCH: usize = 2000;

fn main() {
    // Cargo passes `--bench`.
    let endpoints = std::env::args()
        .skip(1)
        .find_map(|argument| argument.parse().ok())
        .unwrap_or(1000);
    println!("{endpoints} endpoints, ns per operation, median of {RUNS} runs of {BATCH}");
    println!(
        "{:<16} {:>7} {:>7} {:>14} {:>14}",
        "algorithm", "pick", "report", "update (us)", "2 threads pick"
    );
    for algorithm in Algorithm::ALL {
        let balancer = balancer(algorithm, endpoints);
        let (pick, report) = pick_and_report(&balancer);
        println!(
            "{:<16} {pick:>7.1} {report:>7.1} {:>14.1} {:>14.1}",
            algorithm.name(),
            update(algorithm, endpoints),
            contended(&balancer)
        );
    }
}

fn specs(endpoints: usize) -> Vec<EndpointSpec<()>> {
    let weight = |i: usize| 50 + (i * 37 % 101) as u16;
    let spec = |i| {
        EndpointSpec::new(
            format!("endpoint-{i}"),
            format!("10.0.{}.{}:80", i / 256, i % 256),
            weight(i),
            (),
        )
    };
    (0..endpoints)
        .map(|i| spec(i).age(Duration::from_secs(3600)))
        .collect()
}

fn balancer(algorithm: Algorithm, endpoints: usize) -> Balancer<()> {
    let balancer = Balancer::new(BalancerConfig {
        algorithm,
        ..BalancerConfig::default()
    });
    balancer.update(specs(endpoints), Moment::from_millis(1));
    balancer
}

fn pick_and_report(balancer: &Balancer<()>) -> (f64, f64) {
    let (mut rng, mut handles) = (Rng::with_seed(1), Vec::with_capacity(BATCH));
    let (mut picks, mut reports) = (Vec::new(), Vec::new());
    for run in 0..RUNS + 5 {
        let now = Moment::from_millis(100 + run as u64);
        let start = Instant::now();
        for i in 0..BATCH {
            let ctx = PickContext {
                hash: Some(i as u64),
                ..PickContext::at(now)
            };
            let picked = balancer
                .pick(black_box(&ctx), &mut rng)
                .expect("there are endpoints");
            handles.push(black_box(picked).handle);
        }
        picks.push(per_operation(start));
        let start = Instant::now();
        for handle in handles.drain(..) {
            balancer.report(
                handle,
                Outcome::Ok,
                Duration::from_micros(rng.u64(3000..4000)),
                now,
            );
        }
        reports.push(per_operation(start));
    }
    (median(picks), median(reports))
}

/// Picks and reports at once on two threads, long enough that they overlap; nanoseconds per pick on each.
fn contended(balancer: &Balancer<()>) -> f64 {
    let together = Barrier::new(2);
    let run = |seed| {
        together.wait();
        let (mut rng, mut times) = (Rng::with_seed(seed), Vec::new());
        let mut handles: Vec<PickHandle> = Vec::with_capacity(BATCH);
        for run in 0..RUNS * 20 {
            let now = Moment::from_millis(200 + run as u64);
            let start = Instant::now();
            for i in 0..BATCH {
                let ctx = PickContext {
                    hash: Some(i as u64),
                    ..PickContext::at(now)
                };
                handles.push(
                    balancer
                        .pick(&ctx, &mut rng)
                        .expect("there are endpoints")
                        .handle,
                );
            }
            times.push(per_operation(start));
            for handle in handles.drain(..) {
                balancer.report(handle, Outcome::Ok, Duration::from_millis(3), now);
            }
        }
        median(times)
    };
    std::thread::scope(|scope| {
        let other = scope.spawn(|| run(2));
        let own = run(3);
        own.max(other.join().expect("the thread does not panic"))
    })
}

/// Microseconds to take in a changed set.
fn update(algorithm: Algorithm, endpoints: usize) -> f64 {
    let balancer = balancer(algorithm, endpoints);
    let times = (0..RUNS).map(|run| {
        let specs = specs(endpoints - run % 2);
        let start = Instant::now();
        balancer.update(specs, Moment::from_millis(100));
        start.elapsed().as_nanos() as f64 / 1000.0
    });
    median(times.collect())
}

fn per_operation(start: Instant) -> f64 {
    start.elapsed().as_nanos() as f64 / BATCH as f64
}

fn median(mut times: Vec<f64>) -> f64 {
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}
