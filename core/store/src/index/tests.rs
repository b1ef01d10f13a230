use super::*;

fn at(main: i64) -> Revision {
    Revision::new(main, 0)
}

fn filled() -> Index {
    let mut index = Index::default();
    index.put("a".into(), at(2), 0);
    index.put("a".into(), at(3), 7);
    index.delete(b"a", at(5));
    index.put("b".into(), at(4), 0);
    index.put("a".into(), at(6), 0);
    index
}

#[test]
fn versions_count_from_a_keys_creation() {
    let index = filled();
    let head = index.head(b"a").unwrap();
    assert_eq!((head.create_revision, head.version), (6, 1));
    assert_eq!(index.head(b"c"), None);
}

#[test]
fn a_read_in_the_past_ignores_what_is_newer() {
    let index = filled();
    let live = |revision| index.live_at(b"a", revision).map(|(r, _)| r.main);
    assert_eq!(live(1), None);
    assert_eq!(live(2), Some(2));
    assert_eq!(live(4), Some(3));
    assert_eq!(live(5), None);
    assert_eq!(live(9), Some(6));
    assert_eq!(index.before(b"a", 6), None);
    assert_eq!(index.before(b"a", 5), Some(at(3)));
}

#[test]
fn collecting_in_steps_finds_the_same_as_at_once() {
    let mut index = Index::default();
    for number in 0..100_i64 {
        index.put(format!("k{number:03}").into(), at(number + 2), 0);
    }
    let range = KeyRange::borrowed(b"k010", b"k090");
    let collect = |keys: usize, wanted: usize| {
        let (mut found, mut resume) = (Found::up_to(wanted), None);
        loop {
            resume = index.collect_live(&range, 200, resume.as_ref(), keys, &mut found);
            if resume.is_none() {
                return found;
            }
        }
    };
    let whole = collect(1000, usize::MAX);
    assert_eq!((whole.versions.len(), whole.count), (80, 80));
    for keys in [1, 7, 80, 81] {
        assert_eq!(collect(keys, usize::MAX).versions, whole.versions);
        // What is not wanted is still counted.
        let few = collect(keys, 10);
        assert_eq!((&few.versions[..], few.count), (&whole.versions[..10], 80));
    }
}

#[test]
fn an_empty_range_finds_nothing() {
    let index = filled();
    let mut found = Found::up_to(10);
    index.collect_live(&KeyRange::borrowed(b"b", b"a"), 9, None, 10, &mut found);
    index.collect_live(&KeyRange::borrowed(b"b", b"b"), 9, None, 10, &mut found);
    assert_eq!(found.count, 0);
}

#[test]
fn compaction_keeps_what_is_visible_and_the_delete_at_its_revision() {
    let mut index = filled();
    let found = index.superseded(5, None, 100, 100);
    // a@2 and a@3 go; the tombstone a@5 stays for watches from 5; b@4 is visible at 5.
    assert_eq!(found.rows, [at(2), at(3)]);
    index.forget(&found.keys);
    assert!(index.keeps(b"a", at(5), 5));
    assert!(index.keeps(b"b", at(4), 5));
    let found = index.superseded(6, None, 100, 100);
    assert_eq!(found.rows, [at(5)]);
    index.forget(&found.keys);
    assert_eq!(index.head(b"a").unwrap().revision, at(6));
}

#[test]
fn compaction_in_steps_finds_the_same_as_at_once() {
    let mut index = Index::default();
    for main in 2..200 {
        index.put(format!("k{}", main % 7).into(), at(main), 0);
    }
    let mut whole = index.superseded(150, None, 1000, 1000).rows;
    let (mut steps, mut resume) = (Vec::new(), None);
    loop {
        let step = index.superseded(150, resume.as_ref(), 5, 2);
        assert!(step.rows.len() <= 5);
        index.forget(&step.keys);
        steps.extend(step.rows);
        resume = step.resume;
        if resume.is_none() {
            break;
        }
    }
    whole.sort_unstable();
    steps.sort_unstable();
    assert_eq!(steps, whole);
}

#[test]
fn a_deleted_key_is_forgotten_after_its_tombstone() {
    let mut index = Index::default();
    index.put("x".into(), at(2), 0);
    index.delete(b"x", at(3));
    let found = index.superseded(4, None, 100, 100);
    assert_eq!(found.rows, [at(2), at(3)]);
    index.forget(&found.keys);
    assert!(index.keys.is_empty());
}
