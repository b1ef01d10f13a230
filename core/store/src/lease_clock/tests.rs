use std::time::Duration;

use super::LeaseClock;

const fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn primary() -> LeaseClock {
    let mut clock = LeaseClock::new(seconds(300));
    clock.become_primary(seconds(0), seconds(0), std::iter::empty());
    clock
}

#[test]
fn a_lease_runs_out_at_its_ttl_and_is_named_in_order() {
    let mut clock = primary();
    clock.granted(1, seconds(20), seconds(0));
    clock.granted(2, seconds(10), seconds(0));
    assert_eq!(clock.until_next_deadline(seconds(4)), Some(seconds(6)));
    assert_eq!(clock.take_expired(seconds(9), 10), []);
    assert_eq!(clock.remaining(2, seconds(9)), Some(seconds(1)));
    assert_eq!(clock.take_expired(seconds(30), 10), [2, 1]);
    assert_eq!(clock.remaining(2, seconds(30)), None);
}

#[test]
fn a_renewal_gives_the_full_ttl_again() {
    let mut clock = primary();
    clock.granted(1, seconds(10), seconds(0));
    assert_eq!(clock.renew(1, seconds(9)), Some(seconds(10)));
    assert_eq!(clock.take_expired(seconds(18), 10), []);
    assert_eq!(clock.take_expired(seconds(19), 10), [1]);
    assert_eq!(clock.renew(9, seconds(1)), None);
}

#[test]
fn an_expired_lease_is_not_renewed_even_before_the_sweep() {
    let mut clock = primary();
    clock.granted(1, seconds(10), seconds(0));
    assert_eq!(clock.renew(1, seconds(10)), None);
    assert_eq!(clock.take_expired(seconds(10), 10), [1]);
    assert_eq!(clock.renew(1, seconds(11)), None);
}

#[test]
fn an_expired_lease_is_named_again_until_it_is_gone() {
    let mut clock = primary();
    clock.granted(1, seconds(10), seconds(0));
    assert_eq!(clock.take_expired(seconds(10), 10), [1]);
    assert_eq!(clock.take_expired(seconds(11), 10), []);
    assert_eq!(clock.take_expired(seconds(13), 10), [1]);
    clock.revoked(1);
    assert_eq!(clock.take_expired(seconds(100), 10), []);
    assert_eq!(clock.until_next_deadline(seconds(100)), None);
}

#[test]
fn expiry_is_bounded_per_call() {
    let mut clock = primary();
    for id in 0..10 {
        clock.granted(id, seconds(5), seconds(0));
    }
    assert_eq!(clock.take_expired(seconds(6), 4).len(), 4);
    assert_eq!(clock.take_expired(seconds(6), 100).len(), 6);
}

#[test]
fn a_new_leader_extends_every_lease_and_honours_checkpoints() {
    let mut clock = LeaseClock::new(seconds(300));
    clock.granted(7, seconds(5), seconds(0));
    assert_eq!(
        clock.until_next_deadline(seconds(0)),
        None,
        "not the leader"
    );
    let leases = [
        (1, seconds(10), None),
        (2, seconds(1000), Some(seconds(40))),
    ];
    clock.become_primary(seconds(100), seconds(2), leases.into_iter());
    assert_eq!(clock.remaining(1, seconds(100)), Some(seconds(12)));
    assert_eq!(clock.remaining(2, seconds(100)), Some(seconds(42)));
    clock.step_down();
    assert_eq!(clock.remaining(1, seconds(100)), None);
    assert_eq!(clock.take_expired(seconds(10_000), 10), []);
}

#[test]
fn a_stall_is_credited_to_every_lease() {
    let mut clock = primary();
    clock.granted(1, seconds(10), seconds(0));
    // Frozen from 5 to 35.
    clock.credit(seconds(30));
    assert_eq!(clock.take_expired(seconds(35), 10), []);
    assert_eq!(clock.remaining(1, seconds(35)), Some(seconds(5)));
    clock.granted(2, seconds(10), seconds(35));
    assert_eq!(clock.take_expired(seconds(40), 10), [1]);
    assert_eq!(clock.take_expired(seconds(44), 1), [1]);
    assert_eq!(clock.take_expired(seconds(45), 10), [2]);
}

#[test]
fn long_leases_are_checkpointed_at_intervals_and_short_ones_never() {
    let mut clock = primary();
    clock.granted(1, seconds(1000), seconds(0));
    clock.granted(2, seconds(60), seconds(0));
    assert_eq!(clock.take_checkpoints(seconds(299), 10), []);
    assert_eq!(
        clock.take_checkpoints(seconds(300), 10),
        [(1, seconds(700))]
    );
    assert_eq!(clock.take_checkpoints(seconds(301), 10), []);
    // A renewal corrects the log at once.
    assert_eq!(clock.renew(1, seconds(400)), Some(seconds(1000)));
    assert_eq!(
        clock.take_checkpoints(seconds(400), 10),
        [(1, seconds(1000))]
    );
    assert_eq!(clock.renew(1, seconds(401)), Some(seconds(1000)));
    assert_eq!(clock.take_checkpoints(seconds(402), 10), []);
    assert_eq!(
        clock.take_checkpoints(seconds(700), 10),
        [(1, seconds(701))]
    );
    clock.revoked(1);
    assert_eq!(clock.take_checkpoints(seconds(5000), 10), []);
}

#[test]
fn a_lease_granted_again_starts_anew() {
    let mut clock = primary();
    clock.granted(1, seconds(400), seconds(0));
    clock.revoked(1);
    clock.granted(1, seconds(5), seconds(1));
    assert_eq!(clock.until_next_deadline(seconds(1)), Some(seconds(5)));
    assert_eq!(clock.take_checkpoints(seconds(1000), 10), []);
}
