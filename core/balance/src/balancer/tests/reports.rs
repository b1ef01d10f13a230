//! Picks and their reports: counted once, released always, also across updates and threads.

use super::*;
use fastrand::Rng;
use proptest::prelude::*;

#[test]
fn a_report_counts_once() {
    let mut f = Fixture::new(config(Algorithm::P2c), &[1]);
    let picked = f.pick();
    let took = Duration::from_millis(3);
    assert!(f.balancer.report(picked.handle, Outcome::Ok, took, f.now));
    assert!(!f.balancer.report(picked.handle, Outcome::Fail, took, f.now));
    let view = &f.balancer.endpoints(f.now)[0];
    assert_eq!((view.successes, view.failures, view.outstanding), (1, 0, 0));
    assert_eq!(view.latency, Some(took));
}

#[test]
fn the_cancelled_leaves_no_trace() {
    let mut f = Fixture::new(config(Algorithm::P2c), &[1]);
    let picked = f.pick();
    assert_eq!(f.balancer.endpoints(f.now)[0].outstanding, 1);
    assert!(f.balancer.report(
        picked.handle,
        Outcome::Cancelled,
        Duration::from_secs(9),
        f.now
    ));
    let view = &f.balancer.endpoints(f.now)[0];
    assert_eq!(
        (
            view.successes,
            view.failures,
            view.outstanding,
            view.latency
        ),
        (0, 0, 0, None)
    );
}

#[test]
fn callers_that_never_report_leak_nothing() {
    let mut f = Fixture::new(
        BalancerConfig {
            max_outstanding: 64,
            ..config(Algorithm::P2c)
        },
        &[1, 1],
    );
    let first = f.pick();
    for _ in 0..1000 {
        let _ = f.pick();
    }
    let outstanding: u32 = f
        .balancer
        .endpoints(f.now)
        .iter()
        .map(|e| e.outstanding)
        .sum();
    assert_eq!(outstanding, 64);
    assert!(
        !f.balancer
            .report(first.handle, Outcome::Ok, Duration::ZERO, f.now)
    );
}

#[test]
fn a_pushed_out_probe_makes_room_for_another() {
    let mut f = Fixture::new(
        BalancerConfig {
            max_outstanding: 16,
            ..config(Algorithm::WeightedRandom)
        },
        &[1, 1, 1],
    );
    f.trip("1");
    f.advance(1600);
    let _ = f.pick_until(Why::Probe);
    for _ in 0..16 {
        let _ = f.pick();
    }
    // Within the time a probe has.
    let _ = f.pick_until(Why::Probe);
}

#[test]
fn reports_find_endpoints_that_left() {
    let mut f = Fixture::new(config(Algorithm::P2c), &[1, 1]);
    let picks: Vec<_> = (0..20).map(|_| f.pick()).collect();
    f.balancer
        .update(endpoints(&[1, 1, 1, 1]).split_off(2), f.now);
    f.advance(120_000);
    f.balancer
        .update(endpoints(&[1, 1, 1, 1]).split_off(3), f.now);
    for picked in &picks {
        assert!(f.ok(picked));
    }
    f.balancer.update(endpoints(&[1, 1, 1, 1]), f.now);
    assert!(
        f.balancer
            .endpoints(f.now)
            .iter()
            .all(|e| e.outstanding == 0)
    );
}

#[test]
fn nothing_to_pick() {
    for algorithm in Algorithm::ALL {
        let mut f = Fixture::new(config(algorithm), &[]);
        let pick = |f: &Fixture| {
            f.balancer
                .pick(&PickContext::at(f.now), &mut Rng::with_seed(1))
                .map(|p| p.why)
        };
        assert_eq!(pick(&f), Err(PickError::NoEndpoints { known: 0 }));
        f.balancer.update(endpoints(&[0, 0]), f.now);
        assert_eq!(pick(&f), Err(PickError::NoEndpoints { known: 2 }));
        f.balancer.tick(f.now);
        f.balancer.update(endpoints(&[0, 1]), f.now);
        assert_eq!(f.pick().endpoint.payload, 1);
    }
}

#[test]
fn re_picks_earn_no_budget() {
    let budget = RetryBudgetConfig {
        per_second: 0,
        ratio: 0.2,
    };
    let mut f = Fixture::new(
        BalancerConfig {
            retry_budget: budget,
            ..config(Algorithm::P2c)
        },
        &[1, 1],
    );
    for _ in 0..100 {
        let picked = f.pick();
        f.ok(&picked);
        let again = f.pick_without(&["0"]);
        f.ok(&again);
    }
    assert_eq!(
        (0..1000)
            .take_while(|_| f.balancer.may_retry(f.now))
            .count(),
        20
    );
    f.advance(10_000);
    assert!(!f.balancer.may_retry(f.now));
}

#[test]
fn threads_pick_report_update_and_tick() {
    for algorithm in Algorithm::ALL {
        let f = Fixture::new(config(algorithm), &[1; 8]);
        let balancer = &f.balancer;
        std::thread::scope(|scope| {
            for seed in 0..3 {
                scope.spawn(move || {
                    let mut rng = Rng::with_seed(seed);
                    for step in 0..3000 {
                        let now = Moment::from_millis(1000 + step);
                        let picked = balancer.pick(&PickContext::at(now), &mut rng).unwrap();
                        let outcome = if rng.u8(..) < 60 {
                            Outcome::Fail
                        } else {
                            Outcome::Ok
                        };
                        assert!(balancer.report(
                            picked.handle,
                            outcome,
                            Duration::from_millis(1),
                            now
                        ));
                    }
                });
            }
            scope.spawn(move || {
                for step in 0..100 {
                    let now = Moment::from_millis(1000 + step * 30);
                    balancer.update(endpoints(&[1; 8][..4 + step as usize % 4]), now);
                    balancer.tick(now);
                }
            });
        });
        assert!(
            balancer.endpoints(f.now).iter().all(|e| e.outstanding == 0),
            "{algorithm}"
        );
    }
}

fn any_algorithm() -> impl Strategy<Value = Algorithm> {
    prop::sample::select(Algorithm::ALL.to_vec())
}

fn any_outcome() -> impl Strategy<Value = Outcome> {
    prop_oneof![
        Just(Outcome::Ok),
        Just(Outcome::Fail),
        Just(Outcome::Timeout),
        Just(Outcome::ConnectFail),
        Just(Outcome::Cancelled),
        prop::option::of(0u64..1000).prop_map(|s| Outcome::Overloaded {
            retry_after: s.map(Duration::from_secs)
        }),
    ]
}

#[derive(Clone, Debug)]
enum Step {
    Update(Vec<u16>),
    Call {
        exclude: Vec<u32>,
        hash: Option<u64>,
        outcome: Outcome,
    },
    Wait(u64),
}

fn any_step() -> impl Strategy<Value = Step> {
    let weight = prop_oneof![Just(0), Just(1), Just(u16::MAX), any::<u16>()];
    prop_oneof![
        1 => prop::collection::vec(weight, 0..7).prop_map(Step::Update),
        20 => (prop::collection::vec(0u32..7, 0..4), any::<Option<u64>>(), any_outcome())
            .prop_map(|(exclude, hash, outcome)| Step::Call { exclude, hash, outcome }),
        3 => (0u64..20_000).prop_map(Step::Wait),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(if cfg!(debug_assertions) { 48 } else { 1000 }))]
    /// Whatever happens: members only, nobody excluded or of weight 0 without need, nothing left over.
    #[test]
    fn a_pick_is_always_allowed(algorithm in any_algorithm(), steps in prop::collection::vec(any_step(), 0..120), seed: u64) {
        let mut f = Fixture::new(config(algorithm), &[]);
        f.rng = Rng::with_seed(seed);
        let mut weights: Vec<u16> = Vec::new();
        for step in steps {
            match step {
                Step::Update(new) => {
                    f.balancer.update(endpoints(&new), f.now);
                    weights = new;
                }
                Step::Wait(millis) => {
                    f.advance(millis);
                    f.balancer.tick(f.now);
                }
                Step::Call { exclude, hash, outcome } => {
                    let ids: Vec<String> = exclude.iter().map(u32::to_string).collect();
                    let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
                    let healthy = |e: &EndpointView| e.weight > 0 && e.state == EndpointState::Serving;
                    let other = f.balancer.endpoints(f.now).iter().any(|e| healthy(e) && !ids.contains(&&*e.id));
                    let ctx = PickContext { now: f.now, hash, exclude: &ids };
                    match f.balancer.pick(&ctx, &mut f.rng) {
                        Ok(picked) => {
                            let weight = weights.get(picked.endpoint.payload as usize);
                            prop_assert_eq!(weight, Some(&picked.endpoint.weight), "not a member");
                            prop_assert!(picked.endpoint.weight > 0);
                            prop_assert!(!other || !ids.contains(&&*picked.endpoint.id), "{:?}", picked.why);
                            f.balancer.report(picked.handle, outcome, Duration::from_millis(7), f.now);
                        }
                        Err(PickError::NoEndpoints { known }) => {
                            prop_assert_eq!(known, weights.len());
                            prop_assert!(weights.iter().all(|&w| w == 0));
                        }
                    }
                }
            }
        }
        prop_assert!(f.balancer.endpoints(f.now).iter().all(|e| e.outstanding == 0));
    }
}
