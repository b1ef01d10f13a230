//! What a pick costs: 1,000 endpoints, one thread, no server.

use std::time::Instant;

use anyhow::Result;
use quorate::{Algorithm, Client, Instance, Outcome, PickOptions};

const ENDPOINTS: u16 = 1_000;
const PICKS: u32 = 1_000_000;
const RUNS: usize = 5;

fn client(algorithm: Algorithm) -> Result<Client> {
    let instances = (0..ENDPOINTS)
        .map(|number| {
            let mut instance = Instance::new(format!("127.0.0.1:{}", 1_000 + number));
            instance.weight = 1 + number % 5;
            instance
        })
        .collect();
    // Port 1: nobody is there, the static instances serve.
    Ok(Client::builder()
        .endpoints(["127.0.0.1:1"])
        .algorithm(algorithm)
        .static_instances("bench", instances)
        .build()?)
}

/// Nanoseconds of a pick that is reported at once, per algorithm; the median of the runs.
pub(crate) async fn rust() -> Result<Vec<(&'static str, f64)>> {
    let mut figures = Vec::new();
    for (name, algorithm) in [
        ("weighted random", Algorithm::WeightedRandom),
        ("weighted round robin", Algorithm::WeightedRoundRobin),
        ("weighted P2C, peak EWMA", Algorithm::P2c),
        ("maglev", Algorithm::Maglev),
    ] {
        let client = client(algorithm)?;
        client.discover("bench").await?;
        let service = client.service("bench")?;
        let mut runs = Vec::new();
        for _ in 0..RUNS {
            let begin = Instant::now();
            for count in 0..PICKS {
                let options = PickOptions {
                    hash: Some(u64::from(count).wrapping_mul(0x9E37_79B9_7F4A_7C15)),
                    ..PickOptions::default()
                };
                let pick = service.pick(&options)?;
                std::hint::black_box(pick.address());
                pick.report(Outcome::Ok, None);
            }
            runs.push(begin.elapsed().as_nanos() as f64 / f64::from(PICKS));
        }
        runs.sort_by(f64::total_cmp);
        figures.push((name, runs[RUNS / 2]));
        client.close().await;
    }
    Ok(figures)
}
