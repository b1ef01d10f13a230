use super::*;

fn open(path: &Path) -> Result<DataDir, Failure> {
    DataDir::open(path, || Ok(Identity::random()))
}

fn refusal(path: &Path) -> String {
    let failure = open(path).unwrap_err();
    assert_eq!(failure.exit(), Exit::DataDirectory);
    let message = failure.to_string();
    assert!(message.contains(&path.display().to_string()), "{message}");
    message
}

#[test]
fn a_new_directory_gets_an_identity_that_stays() {
    let root = tempfile::tempdir().unwrap();
    let path = root.path().join("a/b");
    let first = open(&path).unwrap();
    assert!(!first.used_before());
    let identity = first.identity().clone();
    assert_ne!(identity.cluster_id, identity.member_id);
    drop(first);

    let again = open(&path).unwrap();
    assert!(again.used_before());
    assert_eq!(*again.identity(), identity);
    assert!(!path.join(identity::UNFINISHED).exists());
}

#[test]
fn two_directories_have_different_ids() {
    let root = tempfile::tempdir().unwrap();
    let a = open(&root.path().join("a")).unwrap();
    let b = open(&root.path().join("b")).unwrap();
    assert_ne!(a.identity().cluster_id, b.identity().cluster_id);
    assert_ne!(a.identity().member_id, b.identity().member_id);
}

#[test]
fn a_directory_in_use_is_refused_and_says_by_whom() {
    let root = tempfile::tempdir().unwrap();
    let first = open(root.path()).unwrap();
    let message = refusal(root.path());
    let me = format!("process {}", std::process::id());
    assert!(message.contains(&me), "{message}");
    drop(first);
    open(root.path()).unwrap();
}

#[test]
fn a_foreign_directory_is_refused_untouched() {
    let root = tempfile::tempdir().unwrap();
    fs::write(root.path().join("thesis.txt"), "precious").unwrap();
    assert!(refusal(root.path()).contains("thesis.txt"));
    assert_eq!(fs::read_dir(root.path()).unwrap().count(), 1);
}

#[test]
fn a_start_killed_before_its_identity_is_not_foreign() {
    let root = tempfile::tempdir().unwrap();
    fs::write(root.path().join(LOCK), "1\n").unwrap();
    fs::write(root.path().join(identity::UNFINISHED), "{").unwrap();
    assert!(!open(root.path()).unwrap().used_before());
}

#[test]
fn a_newer_format_is_refused_and_kept() {
    let root = tempfile::tempdir().unwrap();
    let text = r#"{"format": 99, "something": "new"}"#;
    fs::write(root.path().join(identity::FILE), text).unwrap();
    assert!(refusal(root.path()).contains("newer"));
    assert_eq!(
        fs::read_to_string(root.path().join(identity::FILE)).unwrap(),
        text
    );
}

#[test]
fn a_damaged_identity_is_refused_and_kept() {
    let root = tempfile::tempdir().unwrap();
    for text in [
        "",
        "{",
        r#"{"format": 1, "cluster_id": "0", "member_id": "1", "created_ms": 1}"#,
    ] {
        fs::write(root.path().join(identity::FILE), text).unwrap();
        assert!(refusal(root.path()).contains("damaged"));
        assert_eq!(
            fs::read_to_string(root.path().join(identity::FILE)).unwrap(),
            text
        );
    }
}

#[test]
fn a_path_that_cannot_be_made_is_refused() {
    let root = tempfile::tempdir().unwrap();
    let file = root.path().join("file");
    fs::write(&file, "").unwrap();
    assert!(refusal(&file.join("below")).contains("--data-dir"));
}

#[test]
fn founders_are_remembered_and_no_identity_leaves_nothing() {
    let root = tempfile::tempdir().unwrap();
    let path = root.path().join("a");
    let refused = DataDir::open(&path, || Err("not now".to_owned())).unwrap_err();
    assert!(refused.to_string().contains("not now"), "{refused}");
    let member = |name: &str| quorate_raft::Member {
        name: name.to_owned(),
        peer_urls: vec![format!("http://{name}:1")],
        ..quorate_raft::Member::default()
    };
    let founders = [(1, member("one")), (2, member("two"))].into();
    let opened = DataDir::open(&path, || Ok(Identity::founder(9, 1, &founders))).unwrap();
    assert!(!opened.used_before());
    drop(opened);
    let again = open(&path).unwrap();
    assert_eq!(again.identity().cluster_id.0, 9);
    assert_eq!(again.identity().founders(), Some(founders));
}
