//! Who gets how much: weights, latencies, queues, stickiness, slow start.

use super::simulation::{Latency, MS, Run, closed_loops, queues};
use super::*;
use std::collections::HashMap;

fn run(algorithm: Algorithm, weights: &[u16], latency: Latency, callers: u64, pause: u64) -> Run {
    let mut f = Fixture::new(config(algorithm), weights);
    closed_loops(
        &mut f,
        &vec![latency; weights.len()],
        callers,
        pause,
        20_000,
    )
}

#[test]
fn every_algorithm_gives_three_to_one_to_one() {
    for algorithm in Algorithm::ALL {
        for callers in [1, 2, 5, 50] {
            let off = run(
                algorithm,
                &[3, 1, 1],
                Latency::Constant(20 * MS),
                callers,
                0,
            )
            .distance(&[3, 1, 1]);
            assert!(
                off < 0.02,
                "{algorithm} with {callers} callers is off by {off}"
            );
        }
    }
}

#[test]
fn p2c_follows_the_weights_under_any_load() {
    let latencies = [
        Latency::Constant(MS / 10),
        Latency::Constant(20 * MS),
        Latency::Uniform(10 * MS, 40 * MS),
        Latency::Exponential(20 * MS),
    ];
    let all_weights: [&[u16]; 6] = [
        &[3, 1, 1],
        &[10, 1],
        &[9, 10, 10, 11],
        &[4, 5, 6],
        &[100, 50, 10, 10, 5, 1],
        &[10, 9, 8, 7, 6, 5, 4, 3, 2, 1],
    ];
    for weights in all_weights {
        for latency in latencies {
            for (callers, pause) in [(1, 0), (3, 0), (4, 20 * MS), (16, 0), (256, 0)] {
                let off = run(Algorithm::P2c, weights, latency, callers, pause).distance(weights);
                assert!(
                    off < 0.02,
                    "{weights:?} {latency:?} {callers} callers: off by {off}"
                );
            }
        }
    }
}

#[test]
fn p2c_follows_the_weights_of_a_quiet_service() {
    // A call a second: each endpoint's estimate is old when it is looked at.
    let off = run(
        Algorithm::P2c,
        &[3, 1, 1],
        Latency::Exponential(20 * MS),
        2,
        2000 * MS,
    )
    .distance(&[3, 1, 1]);
    assert!(off < 0.02, "off by {off}");
}

#[test]
fn p2c_gives_the_slow_one_less() {
    let mut previous = 0.1;
    for slowdown in [2, 4, 10] {
        let mut latencies = [Latency::Exponential(20 * MS); 10];
        latencies[3] = Latency::Exponential(slowdown * 20 * MS);
        let mut f = Fixture::new(config(Algorithm::P2c), &[1; 10]);
        let share = closed_loops(&mut f, &latencies, 30, 0, 20_000).share(3);
        assert!(
            share < previous * 0.8,
            "{slowdown} times slower still gets {share}"
        );
        previous = share;
    }
    assert!(previous < 0.03, "ten times slower still gets {previous}");
}

#[test]
fn p2c_keeps_queues_short() {
    let mean = |algorithm| {
        let mut f = Fixture::new(config(algorithm), &[1; 20]);
        // Each endpoint is busy for 90 % of the time.
        queues(
            &mut f,
            20,
            Latency::Exponential(20 * MS),
            20 * MS / 18,
            20_000,
        )
        .mean_millis()
    };
    let (p2c, random) = (mean(Algorithm::P2c), mean(Algorithm::WeightedRandom));
    assert!(p2c * 2.0 < random, "{p2c} ms against {random} ms");
}

#[test]
fn a_fast_failure_draws_no_traffic() {
    // Endpoint 0 fails at once, every third time, so that its breaker stays closed; the others take 50 ms.
    let breaker = BreakerConfig {
        failure_rate: 2.0,
        ..BreakerConfig::default()
    };
    let mut f = Fixture::new(
        BalancerConfig {
            breaker,
            ..config(Algorithm::P2c)
        },
        &[1, 1, 1],
    );
    let mut failing = 0;
    for call in 0..3000 {
        let picked = f.pick();
        let index = picked.endpoint.payload;
        failing += u32::from(index == 0);
        let (outcome, took) = if index == 0 && call % 3 == 0 {
            (Outcome::Fail, 0)
        } else {
            (Outcome::Ok, 50)
        };
        f.advance(10);
        f.balancer
            .report(picked.handle, outcome, Duration::from_millis(took), f.now);
    }
    assert!(failing < 600, "the failing one got {failing} of 3000 calls");
}

#[test]
fn weight_zero_gets_nothing() {
    for algorithm in Algorithm::ALL {
        let mut f = Fixture::new(config(algorithm), &[0, 1, 0, 5]);
        for _ in 0..2000 {
            let picked = f.pick();
            assert!(
                picked.endpoint.weight > 0,
                "{algorithm} picked {}",
                picked.endpoint.id
            );
            f.ok(&picked);
        }
    }
}

#[test]
fn round_robin_is_exact() {
    let mut f = Fixture::new(config(Algorithm::WeightedRoundRobin), &[3, 1, 1]);
    let mut counts = [0; 3];
    for _ in 0..65535 + 2 * 21845 {
        counts[f.pick().endpoint.payload as usize] += 1;
    }
    // Anywhere in the cycle, a cycle's worth of picks is a cycle.
    assert_eq!(counts, [65535, 21845, 21845]);
}

fn sticky(f: &mut Fixture, hash: u64) -> u32 {
    let picked = f
        .balancer
        .pick(
            &PickContext {
                hash: Some(hash),
                ..PickContext::at(f.now)
            },
            &mut f.rng,
        )
        .unwrap();
    f.ok(&picked);
    picked.endpoint.payload
}

#[test]
fn maglev_sticks_on_every_client() {
    let mut one = Fixture::new(config(Algorithm::Maglev), &[1; 20]);
    let mut other = Fixture::new(
        BalancerConfig {
            seed: 99,
            ..config(Algorithm::Maglev)
        },
        &[],
    );
    let mut shuffled = endpoints(&[1; 20]);
    Rng::with_seed(3).shuffle(&mut shuffled);
    other.balancer.update(shuffled, other.now);
    other.rng = Rng::with_seed(1234);
    for hash in 0..1000 {
        assert_eq!(sticky(&mut one, hash), sticky(&mut other, hash));
    }
}

#[test]
fn maglev_moves_only_the_keys_of_the_one_that_left() {
    let mut f = Fixture::new(config(Algorithm::Maglev), &[1; 20]);
    let before: HashMap<u64, u32> = (0..2000).map(|hash| (hash, sticky(&mut f, hash))).collect();
    f.balancer.update(
        endpoints(&[1; 20])
            .into_iter()
            .filter(|e| e.payload != 7)
            .collect(),
        f.now,
    );
    let moved = before
        .iter()
        .filter(|&(&hash, &owner)| owner != 7 && sticky(&mut f, hash) != owner)
        .count();
    assert!(moved < 150, "{moved} of 1900 keys moved without need");
}

#[test]
fn maglev_brings_keys_back_with_their_endpoint() {
    let mut f = Fixture::new(config(Algorithm::Maglev), &[1; 5]);
    let before: Vec<u32> = (0..500).map(|hash| sticky(&mut f, hash)).collect();
    f.trip("2");
    f.balancer.tick(f.now);
    let without: Vec<u32> = (0..500).map(|hash| sticky(&mut f, hash)).collect();
    assert!(!without.contains(&2));
    assert!(
        before.iter().zip(&without).all(|(&b, &w)| b == w || b == 2),
        "keys of healthy endpoints moved"
    );
    f.advance(3000);
    f.balancer.tick(f.now);
    assert_eq!(
        (0..500)
            .map(|hash| sticky(&mut f, hash))
            .collect::<Vec<_>>(),
        before
    );
}

#[test]
fn the_new_one_starts_slowly() {
    for algorithm in [
        Algorithm::WeightedRandom,
        Algorithm::WeightedRoundRobin,
        Algorithm::P2c,
    ] {
        let mut f = Fixture::new(config(algorithm), &[1; 4]);
        let mut grown = endpoints(&[1; 5]);
        grown[4].age = None;
        f.balancer.update(grown, f.now);
        let share = |f: &mut Fixture| {
            let mut picked = 0;
            for _ in 0..4000 {
                let pick = f.pick();
                picked += u32::from(pick.endpoint.payload == 4);
                assert!(
                    pick.why
                        == if pick.endpoint.payload == 4 && f.warmth(4) < 1.0 {
                            Why::SlowStart
                        } else {
                            Why::Normal
                        }
                );
                f.ok(&pick);
            }
            f64::from(picked) / 4000.0
        };
        let (cold, expected) = (share(&mut f), 0.1 / 4.1);
        assert!((cold - expected).abs() < 0.01, "{algorithm} cold: {cold}");
        f.advance(15_000);
        f.balancer.tick(f.now);
        let (half, expected) = (share(&mut f), 0.5 / 4.5);
        assert!(
            (half - expected).abs() < 0.02,
            "{algorithm} half warm: {half}"
        );
        f.advance(15_000);
        f.balancer.tick(f.now);
        let warm = share(&mut f);
        assert!((warm - 0.2).abs() < 0.02, "{algorithm} warm: {warm}");
    }
}

#[test]
fn a_service_that_starts_as_a_whole_starts_at_once() {
    let f = Fixture::new(config(Algorithm::P2c), &[]);
    let mut all = endpoints(&[1; 5]);
    all.iter_mut().skip(1).for_each(|e| e.age = None);
    f.balancer.update(all, f.now);
    assert!(f.balancer.endpoints(f.now).iter().all(|e| e.warmth == 1.0));
    assert!(f.balancer.needs_tick());
}
