use std::fs;
use std::path::PathBuf;

use proptest::prelude::*;
use quorate_proto::etcdserverpb::RangeRequest;

use super::*;
use crate::store::{Store, StoreOptions};
use crate::testing::*;

/// All of a snapshot; `between` is called between its pieces.
fn all(store: &Store, mut between: impl FnMut(usize)) -> Vec<u8> {
    let mut source = store.snapshot().unwrap();
    let mut saved = Vec::new();
    let mut pieces = 0;
    while let Some(piece) = source.next_piece().unwrap() {
        saved.extend_from_slice(&piece);
        pieces += 1;
        between(pieces);
    }
    assert_eq!(source.remaining(), 0);
    saved
}

struct Saved {
    directory: tempfile::TempDir,
    path: PathBuf,
}

fn save(bytes: &[u8]) -> Saved {
    let directory = temporary();
    let path = directory.path().join("snapshot");
    fs::write(&path, bytes).unwrap();
    Saved { directory, path }
}

impl Saved {
    fn inspect(&self) -> Result<SnapshotSummary, SnapshotError> {
        inspect_snapshot(&self.path, &mut |_| {})
    }

    fn restore(&self) -> (Store, SnapshotSummary) {
        let directory = self.directory.path().join("store");
        fs::create_dir(&directory).unwrap();
        let summary = restore_snapshot(&self.path, &directory, &mut |_| {}).unwrap();
        let store = Store::open(&directory, StoreOptions::default()).unwrap();
        (store, summary)
    }
}

fn everything(revision: i64) -> RangeRequest {
    RangeRequest {
        revision,
        ..range("\0", "\0")
    }
}

fn assert_same(one: &Store, other: &Store) {
    assert_eq!(one.revision(), other.revision());
    assert_eq!(one.compacted_revision(), other.compacted_revision());
    for revision in 0..one.revision() + 2 {
        let request = everything(revision);
        assert_eq!(one.range(&request), other.range(&request), "{revision}");
    }
    assert_eq!(one.leases().ids(), other.leases().ids());
    for id in one.leases().ids() {
        let (one, other) = (one.leases().remaining(id), other.leases().remaining(id));
        let (one, other) = (one.unwrap(), other.unwrap());
        assert_eq!((one.granted, one.keys), (other.granted, other.keys));
        assert_eq!(other.remaining, other.granted);
    }
    assert_eq!(one.hash_kv(0), other.hash_kv(0));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 32, ..ProptestConfig::default() })]

    #[test]
    fn everything_comes_back(
        ops in prop::collection::vec(random::op(), 0..60), steps in 0_usize..3,
    ) {
        let fixture = Fixture::new();
        for op in ops {
            let _ = fixture.propose(op);
        }
        for _ in 0..steps {
            fixture.store.compaction_step().unwrap();
        }
        let saved = save(&all(&fixture.store, |_| {}));
        let (restored, summary) = saved.restore();
        assert_same(&fixture.store, &restored);
        let living = fixture.store.range(&everything(0)).unwrap().count;
        prop_assert_eq!(summary.keys, u64::try_from(living).unwrap());
        prop_assert_eq!(summary.hash, restored.hash_kv(0).unwrap().hash);
        prop_assert_eq!(saved.inspect().unwrap(), summary);
        // It has no place in a log, and takes commands.
        prop_assert_eq!(restored.applied().index, 0);
        let revision = restored.revision();
        apply(&restored, vec![put("next", "v")]);
        prop_assert_eq!(restored.revision(), revision + 1);
    }
}

#[test]
fn what_changes_meanwhile_is_not_in_it() {
    let fixture = Fixture::new();
    let value = "x".repeat(10_000);
    for key in 0..200 {
        fixture.put(&format!("k{key}"), &value);
    }
    fixture.delete("k7", "");
    fixture.grant(5, 60).unwrap();
    let revision = fixture.store.revision();
    let before = fixture.store.hash_kv(revision).unwrap();
    let mut pieces = 0;
    let saved = all(&fixture.store, |piece| {
        pieces = piece;
        if piece == 2 {
            fixture.delete("k1", "k2");
            fixture.put("k9", "new");
            fixture.revoke(5).unwrap();
            fixture.compact(fixture.store.revision()).unwrap();
        }
        if piece >= 2 {
            // It has to wait, so that nothing is missing from what is to come.
            assert!(fixture.store.compaction_is_held());
            assert!(fixture.store.compaction_step().unwrap());
        }
    });
    assert!(pieces > 5, "{pieces}");
    assert!(!fixture.store.compaction_is_held());
    fixture.finish_compaction();
    assert!(!fixture.store.compaction_step().unwrap());
    let (restored, summary) = save(&saved).restore();
    assert_eq!((summary.revision, summary.keys), (revision, 199));
    assert_eq!(restored.hash_kv(0).unwrap(), before);
    assert_eq!(restored.leases().ids(), [5]);
    assert_eq!(
        restored.range(&range("k9", "")).unwrap().kvs[0].value,
        value
    );
}

#[test]
fn snapshots_of_one_state_are_the_same_whatever_the_disk_looks_like() {
    let (one, other) = (Fixture::new(), Fixture::new());
    for fixture in [&one, &other] {
        for value in 0..50 {
            fixture.put("a", &value.to_string());
        }
        fixture.compact(40).unwrap();
    }
    one.finish_compaction();
    assert!(all(&one.store, |_| {}) == all(&other.store, |_| {}));
}

#[test]
fn etcds_tools_see_a_snapshot() {
    let fixture = Fixture::new();
    for size in [0, 1, 450, 480, 512, 100_000] {
        fixture.put("a", &"x".repeat(size));
        let saved = all(&fixture.store, |_| {});
        assert_eq!(saved.len() % 512, 32);
        assert!(save(&saved).inspect().is_ok());
    }
}

#[test]
fn a_snapshot_that_is_not_whole_is_refused() {
    let fixture = Fixture::new();
    fixture.put("a", &"x".repeat(3000));
    fixture.grant(5, 60).unwrap();
    let whole = all(&fixture.store, |_| {});
    for length in (0..whole.len()).step_by(97).chain([whole.len() - 1]) {
        assert!(save(&whole[..length]).inspect().is_err(), "{length}");
    }
    for at in (0..whole.len()).step_by(61) {
        let mut damaged = whole.clone();
        damaged[at] ^= 4;
        let error = save(&damaged).inspect().unwrap_err();
        let told = error.to_string();
        assert!(told.contains("damaged") || at < MAGIC.len(), "{at}: {told}");
    }
    let longer = [&whole[..], &whole[..512]].concat();
    assert!(save(&longer).inspect().is_err());
    let text = save(b"this is a diary\n").inspect().unwrap_err();
    assert!(matches!(text, SnapshotError::Foreign { .. }), "{text}");
    let none = inspect_snapshot(std::path::Path::new("/nowhere"), &mut |_| {});
    assert!(matches!(none, Err(SnapshotError::Read { .. })));
}

/// A file with a right checksum over any content.
fn sealed(content: &[u8]) -> Saved {
    use sha2::{Digest, Sha256};
    let mut bytes = [&MAGIC[..], content].concat();
    bytes.resize(bytes.len().next_multiple_of(BLOCK), 0);
    let checksum = Sha256::digest(&bytes);
    bytes.extend_from_slice(&checksum);
    save(&bytes)
}

proptest! {
    #[test]
    fn whatever_is_under_a_right_checksum_does_no_harm(
        content in prop::collection::vec(any::<u8>(), 0..200)
    ) {
        prop_assert!(sealed(&content).inspect().is_err());
    }
}

#[test]
fn a_newer_format_is_refused_by_name() {
    use prost::Message;
    use quorate_proto::snapshot::{Head, Part, part};
    let head = Head {
        format: 99,
        ..Head::default()
    };
    let part = Part {
        part: Some(part::Part::Head(head)),
    };
    let error = sealed(&part.encode_length_delimited_to_vec()).inspect();
    assert!(matches!(error, Err(SnapshotError::Newer { found: 99, .. })));
}

#[test]
fn progress_goes_from_nothing_to_all() {
    let fixture = Fixture::new();
    for key in 0..20 {
        fixture.put(&format!("k{key}"), &"x".repeat(100_000));
    }
    let saved = save(&all(&fixture.store, |_| {}));
    let mut last = 0;
    inspect_snapshot(&saved.path, &mut |progress| {
        assert!(progress.done >= last && progress.done <= progress.total);
        last = progress.done;
    })
    .unwrap();
    assert!(last > 3_000_000, "{last}");
}
