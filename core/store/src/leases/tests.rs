use std::time::Duration;

use quorate_proto::log::command::Op;

use crate::error::EtcdError;
use crate::testing::*;

const fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

#[test]
fn only_the_leader_renews() {
    let fixture = Fixture::new();
    fixture.grant(1, 10).unwrap();
    let leases = fixture.store.leases();
    assert_eq!(leases.renew(1), Err(EtcdError::NotLeader));
    assert_eq!(leases.remaining(1).unwrap().remaining, 10);
    leases.become_primary();
    assert_eq!(leases.renew(1), Ok(Some(10)));
    assert_eq!(leases.renew(2), Ok(None));
    leases.step_down();
    assert_eq!(leases.renew(1), Err(EtcdError::NotLeader));
}

#[test]
fn a_lease_granted_under_this_leader_runs_out_and_is_revoked_through_the_log() {
    let fixture = Fixture::new();
    let leases = fixture.store.leases();
    leases.become_primary();
    assert_eq!(leases.until_next_deadline(), None);
    fixture.grant(1, 10).unwrap();
    fixture.clock.advance(seconds(4));
    let info = leases.remaining(1).unwrap();
    assert_eq!((info.granted, info.remaining), (10, 6));
    assert_eq!(leases.until_next_deadline(), Some(seconds(6)));
    fixture.clock.advance(seconds(6));
    assert_eq!(leases.remaining(1), None);
    assert_eq!(leases.renew(1), Ok(None));
    assert_eq!(leases.take_expired(10), [1]);
    // Until the revoke is applied it still exists in the state.
    assert_eq!(leases.ids(), [1]);
    fixture.revoke(1).unwrap();
    assert!(leases.ids().is_empty());
    assert_eq!(leases.until_next_deadline(), None);
}

#[test]
fn a_new_leader_starts_from_the_checkpoint_with_its_extension() {
    let fixture = Fixture::new();
    let leases = fixture.store.leases();
    leases.become_primary();
    fixture.grant(1, 1000).unwrap();
    fixture.clock.advance(seconds(900));
    let checkpoint = leases.take_checkpoint(10).unwrap();
    assert_eq!(checkpoint.leases[0].remaining_seconds, 101, "rounded up");
    fixture.propose(Op::LeaseCheckpoint(checkpoint)).unwrap();
    leases.step_down();
    assert_eq!(leases.remaining(1).unwrap().remaining, 101);
    fixture.clock.advance(seconds(50));
    leases.become_primary();
    assert_eq!(leases.remaining(1).unwrap().remaining, 103);
    // A renewal clears it for the next leader.
    assert_eq!(leases.renew(1), Ok(Some(1000)));
    let checkpoint = leases.take_checkpoint(10).unwrap();
    fixture.propose(Op::LeaseCheckpoint(checkpoint)).unwrap();
    leases.step_down();
    assert_eq!(leases.remaining(1).unwrap().remaining, 1000);
}

#[test]
fn leases_checkpoints_and_attachments_survive_a_reopen() {
    let fixture = Fixture::new();
    fixture.grant(1, 1000).unwrap();
    fixture
        .put_with(quorate_proto::etcdserverpb::PutRequest {
            lease: 1,
            ..put_request("a", "v")
        })
        .unwrap();
    let checkpoint = quorate_proto::log::LeaseCheckpoint {
        leases: vec![quorate_proto::log::LeaseRemaining {
            id: 1,
            remaining_seconds: 7,
        }],
    };
    fixture.propose(Op::LeaseCheckpoint(checkpoint)).unwrap();
    let before = fixture.store.leases().remaining(1);
    assert_eq!(before.as_ref().unwrap().remaining, 7);
    let fixture = fixture.reopened();
    assert_eq!(fixture.store.leases().remaining(1), before);
    fixture.revoke(1).unwrap();
    assert_eq!(fixture.get("a"), None);
}

#[test]
fn stalls_are_credited() {
    let fixture = Fixture::new();
    let leases = fixture.store.leases();
    leases.become_primary();
    fixture.grant(1, 10).unwrap();
    fixture.clock.advance(seconds(30));
    leases.credit(seconds(30));
    assert!(leases.take_expired(10).is_empty());
    assert_eq!(leases.remaining(1).unwrap().remaining, 10);
}
