//! What is written is read back; what can't be read is refused, not guessed.

use proptest::prelude::*;

use super::*;

fn log_ids() -> impl Strategy<Value = LogId> {
    any::<(u64, u64, u64)>()
        .prop_map(|(term, node_id, index)| LogId::new(LeaderId { term, node_id }, index))
}

fn members() -> impl Strategy<Value = Member> {
    let urls = || prop::collection::vec(".{0,12}", 0..3);
    (".{0,12}", urls(), urls()).prop_map(|(name, peer_urls, client_urls)| Member {
        name,
        peer_urls,
        client_urls,
    })
}

fn memberships() -> impl Strategy<Value = Membership> {
    let nodes = prop::collection::btree_map(any::<u64>(), members(), 1..6);
    (nodes, any::<u8>(), any::<bool>()).prop_map(|(nodes, mask, joint)| {
        let some = |mask: u8| -> BTreeSet<u64> {
            let ids = nodes.keys().enumerate();
            let chosen = ids.filter(|(place, _)| *place == 0 || mask & (1 << place) != 0);
            chosen.map(|(_, id)| *id).collect()
        };
        let configs = if joint {
            vec![some(mask), some(!mask)]
        } else {
            vec![some(mask)]
        };
        Membership::new(configs, nodes.clone()).unwrap()
    })
}

fn entries() -> impl Strategy<Value = Entry> {
    let batch = prop::collection::vec(any::<u8>(), 0..64);
    let payload = prop_oneof![
        Just(EntryPayload::Blank),
        batch.prop_map(|bytes| EntryPayload::Normal(Payload::received(bytes.into()))),
        memberships().prop_map(EntryPayload::Membership),
    ];
    (log_ids(), payload).prop_map(|(log_id, payload)| Entry { log_id, payload })
}

proptest! {
    #[test]
    fn entries_are_read_back(entry in entries()) {
        prop_assert_eq!(decode_entry(encode_entry(&entry).into()).unwrap(), entry);
    }

    #[test]
    fn positions_and_votes_are_read_back(id in log_ids(), committed: bool) {
        prop_assert_eq!(decode_log_id(&encode_log_id(&id)).unwrap(), id);
        prop_assert_eq!(decode_truncation(&encode_truncation(Some(&id))).unwrap(), Some(id));
        let vote = Vote { leader_id: id.leader_id, committed };
        prop_assert_eq!(decode_vote(&encode_vote(&vote)).unwrap(), vote);
        let identity = Identity { cluster_id: id.index, member_id: id.leader_id.term };
        prop_assert_eq!(decode_identity(&encode_identity(identity)).unwrap(), identity);
    }

    #[test]
    fn the_applied_state_is_read_back(
        cluster_id: u64,
        last_applied in log_ids(),
        membership_id in log_ids(),
        membership in memberships(),
    ) {
        let state = AppliedState {
            last_applied: Some(last_applied),
            membership: StoredMembership::new(Some(membership_id), membership),
        };
        let read = decode_applied(&encode_applied(cluster_id, &state)).unwrap();
        prop_assert_eq!(read, (Some(cluster_id), state));
    }

    #[test]
    fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..128)) {
        let _ = decode_entry(bytes.clone().into());
        let _ = decode_vote(&bytes);
        let _ = decode_log_id(&bytes);
        let _ = decode_truncation(&bytes);
        let _ = decode_identity(&bytes);
        let _ = decode_applied(&bytes);
    }
}

#[test]
fn nothing_is_the_empty_state() {
    assert_eq!(
        decode_applied(&[]).unwrap(),
        (None, AppliedState::default())
    );
    let empty = encode_applied(3, &AppliedState::default());
    assert_eq!(
        decode_applied(&empty).unwrap(),
        (Some(3), AppliedState::default())
    );
    assert_eq!(decode_truncation(&encode_truncation(None)).unwrap(), None);
}

#[test]
fn an_entry_without_an_id_is_refused() {
    let refused = decode_entry(Bytes::new()).unwrap_err();
    assert!(refused.to_string().contains("no id"), "{refused}");
    assert!(decode_entry(Bytes::from_static(b"\xff\xff")).is_err());
}

/// The bytes of one release are read by all later ones. If this test fails, the disk format has changed.
#[test]
fn the_format_on_disk_is_this() {
    let leader_id = LeaderId {
        term: 2,
        node_id: 3,
    };
    let id = LogId::new(leader_id, 300);
    let entry = |payload| {
        encode_entry(&Entry {
            log_id: id,
            payload,
        })
    };
    let id_bytes = [0x08, 2, 0x10, 3, 0x18, 0xac, 0x02];
    assert_eq!(encode_log_id(&id), id_bytes);
    let blank = [&[0x0a, 7][..], &id_bytes].concat();
    assert_eq!(entry(EntryPayload::Blank), blank);
    let normal = EntryPayload::Normal(Payload::received(Bytes::from_static(b"xy")));
    assert_eq!(entry(normal), [&blank[..], &[0x12, 2, b'x', b'y']].concat());
    let member = Member {
        name: "m".to_owned(),
        ..Member::default()
    };
    let nodes = BTreeMap::from([(5, member)]);
    let membership = Membership::new(vec![BTreeSet::from([5])], nodes).unwrap();
    let tail = [
        0x1a, 12, 0x0a, 3, 0x0a, 1, 5, 0x12, 5, 0x08, 5, 0x12, 1, b'm',
    ];
    assert_eq!(
        entry(EntryPayload::Membership(membership)),
        [&blank[..], &tail].concat()
    );
    let vote = Vote {
        leader_id,
        committed: true,
    };
    assert_eq!(encode_vote(&vote), [0x08, 2, 0x10, 3, 0x18, 1]);
    let identity = Identity {
        cluster_id: 1,
        member_id: 2,
    };
    assert_eq!(encode_identity(identity), [0x08, 1, 0x10, 2]);
}
