//! What a pick costs a program, with 1,000 instances: `cargo bench -p quorate`.
//!
//! Needs no server: the instances are configured.

use std::hint::black_box;
use std::time::{Duration, Instant};

use quorate::{Algorithm, Client, Instance, Outcome, PickOptions};

const INSTANCES: u16 = 1000;
/// Calls timed together: few enough to be over before the scheduler takes the core away.
const BATCH: usize = 2000;
/// The best of so many counts.
const ROUNDS: usize = 200;

fn main() {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let _inside = runtime.enter();
    for algorithm in Algorithm::ALL {
        let instances = (1..=INSTANCES)
            .map(|n| Instance::new(format!("10.0.{}.{}:80", n / 250, n % 250)))
            .collect();
        let client = Client::builder()
            .endpoints(["127.0.0.1:1"])
            .static_instances("web", instances)
            .algorithm(algorithm)
            .build()
            .expect("valid options");
        let web = client.service("web").expect("a valid name");
        while web.view().is_none() {
            std::thread::sleep(Duration::from_millis(1));
        }
        let options = PickOptions::sticky("somebody");
        let mut picks = Vec::with_capacity(BATCH);
        let mut pick = f64::MAX;
        let mut report = f64::MAX;
        for _ in 0..ROUNDS {
            pick = pick.min(measure(|| picks.push(web.pick(&options).expect("one"))));
            let mut picked = picks.drain(..);
            report = report.min(measure(|| {
                let pick = picked.next().expect("as many as were picked");
                pick.report(Outcome::Ok, Some(Duration::from_millis(3)));
            }));
        }
        let mut by_name = f64::MAX;
        for _ in 0..ROUNDS {
            let named = measure(|| picks.push(client.pick("web", &options).expect("one")));
            by_name = by_name.min(named);
            picks.clear();
        }
        println!(
            "{algorithm:16} pick {pick:4.0} ns, report {report:4.0} ns, pick by name {by_name:4.0} ns"
        );
    }
    println!(
        "for comparison: Instant::now {:.0} ns",
        best(|| {
            black_box(Instant::now());
        })
    );
}

fn best(mut call: impl FnMut()) -> f64 {
    (0..ROUNDS)
        .map(|_| measure(&mut call))
        .fold(f64::MAX, f64::min)
}

/// Nanoseconds of one call.
fn measure(mut call: impl FnMut()) -> f64 {
    let start = Instant::now();
    for _ in 0..BATCH {
        call();
    }
    start.elapsed().as_nanos() as f64 / BATCH as f64
}
