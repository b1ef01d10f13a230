//! Who is left out, and who is tried again: breakers, probation, outliers, panic, exclusion.

use super::*;
use std::sync::Barrier;

#[test]
fn a_dead_endpoint_is_skipped_at_once() {
    for algorithm in Algorithm::ALL {
        let mut f = Fixture::new(config(algorithm), &[1, 1, 1]);
        f.trip("1");
        // No tick, so still the same tables.
        for _ in 0..500 {
            let picked = f.pick();
            assert_eq!(
                (picked.why, picked.endpoint.payload == 1),
                (Why::Normal, false),
                "{algorithm}"
            );
            f.ok(&picked);
        }
    }
}

#[test]
fn a_killed_endpoint_costs_two_calls() {
    let mut f = Fixture::new(config(Algorithm::P2c), &[3, 1, 1]);
    let mut failed = 0;
    for _ in 0..2000 {
        let picked = f.pick();
        let dead = picked.endpoint.payload == 0;
        failed += u32::from(dead);
        f.advance(1);
        let outcome = if dead {
            Outcome::ConnectFail
        } else {
            Outcome::Ok
        };
        f.balancer
            .report(picked.handle, outcome, Duration::from_millis(1), f.now);
    }
    // Two to trip it, and a probe after one second.
    assert!(failed <= 3, "{failed} calls failed");
}

#[test]
fn probation_lets_one_through_and_its_success_closes() {
    for algorithm in Algorithm::ALL {
        let mut f = Fixture::new(config(algorithm), &[1, 1, 1]);
        f.trip("1");
        f.advance(1600);
        f.balancer.tick(f.now);
        let picks: Vec<_> = (0..200).map(|_| f.pick()).collect();
        let probes: Vec<_> = picks.iter().filter(|p| p.endpoint.payload == 1).collect();
        assert_eq!(
            probes.iter().map(|p| p.why).collect::<Vec<_>>(),
            [Why::Probe],
            "{algorithm}"
        );
        assert_eq!(f.state("1"), EndpointState::Probation);
        f.ok(probes[0]);
        assert_eq!(f.state("1"), EndpointState::Serving);
        assert!(
            (0..200)
                .map(|_| f.pick())
                .any(|p| p.endpoint.payload == 1 && p.why == Why::Normal),
            "{algorithm}"
        );
    }
}

#[test]
fn a_failed_probe_waits_longer() {
    let mut f = Fixture::new(config(Algorithm::WeightedRandom), &[1, 1, 1]);
    f.trip("1");
    let mut waits = Vec::new();
    for _ in 0..9 {
        let EndpointState::Tripped { until } = f.state("1") else {
            panic!("{:?}", f.state("1"))
        };
        waits.push(until.since(f.now).as_millis());
        f.now = until;
        f.balancer.tick(f.now);
        let probe = f.pick_until(Why::Probe);
        f.balancer.report(
            probe.handle,
            Outcome::Timeout,
            Duration::from_secs(1),
            f.now,
        );
    }
    for (trips, wait) in (0..).zip(&waits) {
        let least = (1000_u128 << trips).min(60_000);
        assert!(
            (least - 1..=(least * 3 / 2).min(60_000)).contains(wait),
            "{waits:?}"
        );
    }
}

#[test]
fn a_probe_given_up_or_lost_makes_room_for_another() {
    let mut f = Fixture::new(config(Algorithm::WeightedRandom), &[1, 1, 1]);
    f.trip("1");
    f.advance(1600);
    let given_up = f.pick_until(Why::Probe);
    f.balancer
        .report(given_up.handle, Outcome::Cancelled, Duration::ZERO, f.now);
    let lost = f.pick_until(Why::Probe);
    f.advance(9_999);
    assert!((0..200).all(|_| f.pick().why == Why::Normal));
    f.advance(1);
    let third = f.pick_until(Why::Probe);
    f.ok(&third);
    assert_eq!(f.state("1"), EndpointState::Serving);
    // The lost one comes back late, and changes nothing.
    assert!(
        f.balancer
            .report(lost.handle, Outcome::Fail, Duration::ZERO, f.now)
    );
    assert_eq!(f.state("1"), EndpointState::Serving);
}

#[test]
fn threads_probe_once() {
    for algorithm in Algorithm::ALL {
        let mut f = Fixture::new(config(algorithm), &[1, 1, 1]);
        f.trip("1");
        f.advance(1600);
        f.balancer.tick(f.now);
        let barrier = Barrier::new(4);
        let probes = |seed| {
            let mut rng = Rng::with_seed(seed);
            barrier.wait();
            let picks =
                (0..500).map(|_| f.balancer.pick(&PickContext::at(f.now), &mut rng).unwrap());
            picks
                .filter(|p| p.endpoint.payload == 1)
                .map(|p| assert_eq!(p.why, Why::Probe))
                .count()
        };
        let total: usize = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..4)
                .map(|seed| scope.spawn(move || probes(seed)))
                .collect();
            threads.into_iter().map(|t| t.join().unwrap()).sum()
        });
        assert_eq!(total, 1, "{algorithm}");
    }
}

#[test]
fn half_dead_is_still_choosy() {
    let mut f = Fixture::new(config(Algorithm::P2c), &[1, 1, 1, 1]);
    f.trip("0");
    f.trip("1");
    assert!(
        (0..300)
            .map(|_| f.pick())
            .all(|p| p.why == Why::Normal && p.endpoint.payload >= 2)
    );
}

#[test]
fn more_than_half_dead_is_panic() {
    for algorithm in Algorithm::ALL {
        for ticked in [false, true] {
            let mut f = Fixture::new(config(algorithm), &[1, 1, 1, 1]);
            for id in ["0", "1", "2"] {
                f.trip(id);
            }
            if ticked {
                f.balancer.tick(f.now);
            }
            let mut seen = [false; 4];
            for _ in 0..300 {
                let picked = f.pick();
                assert_eq!(picked.why, Why::Panic, "{algorithm}");
                seen[picked.endpoint.payload as usize] = true;
                f.ok(&picked);
            }
            assert_eq!(seen, [true; 4], "{algorithm}");
        }
    }
}

#[test]
fn everything_dead_means_everything_alive() {
    for algorithm in Algorithm::ALL {
        let config = BalancerConfig {
            panic_threshold: 0.0,
            ..config(algorithm)
        };
        let mut f = Fixture::new(config, &[1, 1, 1]);
        for id in ["0", "1", "2"] {
            f.trip(id);
            f.balancer.tick(f.now);
        }
        assert_eq!(f.pick().why, Why::Panic, "{algorithm}");
    }
}

#[test]
fn a_service_comes_back_from_the_dead() {
    let mut f = Fixture::new(config(Algorithm::P2c), &[1; 6]);
    for id in ["0", "1", "2", "3", "4", "5"] {
        f.trip(id);
    }
    for second in 0..120 {
        f.advance(1000);
        f.balancer.tick(f.now);
        for _ in 0..50 {
            let picked = f.pick();
            // Everything fails for another 30 s, then all is well.
            let outcome = if second < 30 {
                Outcome::Fail
            } else {
                Outcome::Ok
            };
            f.balancer
                .report(picked.handle, outcome, Duration::from_millis(5), f.now);
        }
    }
    assert!(
        f.balancer
            .endpoints(f.now)
            .iter()
            .all(|e| e.state == EndpointState::Serving)
    );
    assert_eq!(f.pick().why, Why::Normal);
}

#[test]
fn the_excluded_is_avoided_while_there_is_another() {
    for algorithm in Algorithm::ALL {
        let mut f = Fixture::new(config(algorithm), &[1000, 1, 1]);
        for _ in 0..300 {
            let picked = f.pick_without(&["0"]);
            assert_eq!(
                (picked.why, picked.endpoint.payload == 0),
                (Why::Normal, false),
                "{algorithm}"
            );
            f.ok(&picked);
        }
        f.trip("1");
        assert!(
            (0..100).all(|_| f.pick_without(&["0"]).endpoint.payload == 2),
            "{algorithm}"
        );
        let picked = f.pick_without(&["0", "2"]);
        assert_eq!(picked.why, Why::ExcludedFallback, "{algorithm}");
        assert_ne!(picked.endpoint.payload, 1);
        assert_eq!(f.pick_without(&["0", "1", "2"]).why, Why::ExcludedFallback);
    }
}

#[test]
fn a_search_keeps_to_the_weights() {
    // The heavy one is excluded, so that most picks have to search.
    let mut f = Fixture::new(config(Algorithm::WeightedRandom), &[60_000, 30, 10]);
    let light = (0..5000)
        .filter(|_| f.pick_without(&["0"]).endpoint.payload == 2)
        .count();
    assert!(
        (1100..1400).contains(&light),
        "{light} of 5000 instead of 1250"
    );
}

/// A second of calls and a tick: 12 calls each, of which `failing` fails two of five.
fn one_second(f: &mut Fixture, failing: u32) {
    for call in 0..12 * 10 {
        if call % 12 == 0 {
            f.advance(100);
        }
        let picked = f.pick();
        let fails = picked.endpoint.payload == failing && f.rng.u8(0..5) < 2;
        let outcome = if fails { Outcome::Fail } else { Outcome::Ok };
        f.balancer
            .report(picked.handle, outcome, Duration::from_millis(5), f.now);
    }
    f.balancer.tick(f.now);
}

/// Calls until a sweep ejects endpoint 4: how many seconds for. Leaves it back among the others.
fn ejection_of_four(f: &mut Fixture) -> u64 {
    let until = loop {
        one_second(f, 4);
        if let EndpointState::Ejected { until } = f.state("4") {
            break until;
        }
    };
    assert!((0..100).all(|_| f.pick().endpoint.payload != 4));
    let lasts = until.since(f.now).as_secs();
    f.now = until;
    f.balancer.tick(f.now);
    assert_eq!(f.state("4"), EndpointState::Serving);
    lasts
}

#[test]
fn an_outlier_is_ejected_longer_each_time_until_it_does_better() {
    let mut f = Fixture::new(config(Algorithm::WeightedRoundRobin), &[1; 10]);
    assert!(f.balancer.needs_tick());
    let mut times = || ejection_of_four(&mut f);
    let (first, second, third) = (times(), times(), times());
    assert!(
        (30..=33).contains(&first) && (60..=66).contains(&second) && (90..=99).contains(&third),
        "{first} {second} {third}"
    );
    for _ in 0..60 {
        one_second(&mut f, u32::MAX);
    }
    let after = ejection_of_four(&mut f);
    assert!((30..=33).contains(&after), "{after}");
}

#[test]
fn no_outlier_among_equals() {
    let mut f = Fixture::new(config(Algorithm::WeightedRoundRobin), &[1; 10]);
    for _ in 0..25 {
        one_second(&mut f, u32::MAX);
    }
    assert!(
        f.balancer
            .endpoints(f.now)
            .iter()
            .all(|e| e.state == EndpointState::Serving)
    );
}

#[test]
fn ticks_are_asked_for_only_while_they_matter() {
    let mut f = Fixture::new(config(Algorithm::P2c), &[1, 1, 1]);
    assert!(!f.balancer.needs_tick());
    f.trip("1");
    assert!(f.balancer.needs_tick());
    f.balancer.tick(f.now);
    assert!(f.balancer.needs_tick());
    f.advance(2000);
    f.balancer.tick(f.now);
    let probe = f.pick_until(Why::Probe);
    f.ok(&probe);
    assert!(f.balancer.needs_tick());
    f.balancer.tick(f.now);
    assert!(!f.balancer.needs_tick());
}

#[test]
fn a_breaker_survives_updates() {
    let mut f = Fixture::new(config(Algorithm::P2c), &[1, 1, 1]);
    f.trip("1");
    f.balancer.update(endpoints(&[1, 2, 3, 4]), f.now);
    assert!(matches!(f.state("1"), EndpointState::Tripped { .. }));
    assert!((0..200).all(|_| f.pick().endpoint.payload != 1));
}
