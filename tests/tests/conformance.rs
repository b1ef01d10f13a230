//! The conformance runner itself: it must fail where it should, and say why.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use tempfile::TempDir;

/// A repository with one scenario, and a performer that answers everything with `value=1`.
fn repository(steps: &str, performer: &str) -> TempDir {
    let root = tempfile::tempdir().unwrap();
    let folder = root.path().join("tests/conformance");
    let fake = folder.join("performers/fake");
    fs::create_dir_all(&fake).unwrap();
    let file =
        format!(r#"{{"scenarios": [{{"name": "one", "says": "It is so.", "steps": [{steps}]}}]}}"#);
    fs::write(folder.join("topic.json"), file).unwrap();
    fs::write(fake.join("performer.sh"), performer).unwrap();
    let description = r#"{"command": ["sh", "{here}/performer.sh"], "needs": ["{here}/performer.sh"], "build": "make fake"}"#;
    fs::write(fake.join("performer.json"), description).unwrap();
    root
}

const ANSWERS: &str = r#"
echo "hello language=fake lacks=lock,range.sort"
while read -r id op rest; do
    echo "heard $op" >&2
    case "$op" in
        fail) echo "$id error code=conflict retryable=false message=no" ;;
        silent) ;;
        *) echo "$id ok value=1" ;;
    esac
done
"#;

fn run(root: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_quorate-conformance"))
        .arg("--root")
        .arg(root)
        .args(arguments)
        .output()
        .unwrap()
}

/// Whether it passed, and all it said.
fn played(steps: &str, performer: &str, arguments: &[&str]) -> (bool, String) {
    let root = repository(steps, performer);
    let output = run(root.path(), arguments);
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    (output.status.success(), said + &errors)
}

#[test]
fn what_is_as_expected_passes() {
    let steps = r#"
        {"call": "held", "holding": "x", "expect": {"value": {"as": "one", "at_least": 1}}},
        {"call": "fail", "error": "conflict"},
        {"call": "held", "background": "later", "holding": "x"},
        {"await": "later", "expect": {"value": "$one"}, "exactly": true}"#;
    let (passed, said) = played(steps, ANSWERS, &["--languages", "fake"]);
    assert!(passed, "{said}");
    assert!(said.contains("topic/one  ok"), "{said}");
}

#[test]
fn what_is_otherwise_fails_and_is_shown() {
    let steps = r#"{"call": "held", "holding": "a b", "expect": {"value": 2}}"#;
    let (passed, said) = played(steps, ANSWERS, &[]);
    assert!(!passed, "{said}");
    for shown in [
        "topic/one  FAILED",
        "main < 1 held holding=a%20b",
        "main > 1 ok value=1",
        "value: is \"1\", not \"2\"",
        "heard held",
        "log of the shared server",
        "--scenario topic/one",
    ] {
        assert!(said.contains(shown), "{shown}: {said}");
    }
    let steps = r#"{"call": "fail"}"#;
    let (passed, said) = played(steps, ANSWERS, &[]);
    assert!(
        !passed && said.contains("failed with conflict: no"),
        "{said}"
    );
}

#[test]
fn silence_and_nonsense_fail() {
    let steps = r#"{"call": "silent", "within_ms": 50}"#;
    let (passed, said) = played(steps, ANSWERS, &[]);
    assert!(
        !passed && said.contains("no answer to 1 within 50ms"),
        "{said}"
    );

    let steps = r#"{"call": "held", "until": true, "within_ms": 200, "expect": {"value": 2}}"#;
    let (passed, said) = played(steps, ANSWERS, &[]);
    assert!(!passed && said.contains("still so after"), "{said}");

    let nonsense =
        "echo 'hello language=fake lacks='; read -r line; echo 'what?'; read -r line; true";
    let steps = r#"{"call": "held"}"#;
    let (passed, said) = played(steps, nonsense, &[]);
    assert!(!passed && said.contains("what?"), "{said}");

    let (passed, said) = played(steps, "echo no >&2; exit 1", &[]);
    assert!(!passed && said.contains("it ended"), "{said}");

    let other = "echo 'hello language=other lacks='; read -r line";
    let (passed, said) = played(steps, other, &[]);
    assert!(!passed && said.contains("calls itself other"), "{said}");
}

#[test]
fn what_a_language_lacks_is_said_and_what_was_asked_for_must_be_there() {
    let steps = r#"{"call": "range", "client": "a", "prefix": "x", "sort": "key"}"#;
    let (passed, said) = played(steps, ANSWERS, &[]);
    assert!(passed && said.contains("fake: no range.sort"), "{said}");

    let (passed, said) = played(steps, ANSWERS, &["--languages", "fake,none"]);
    assert!(!passed && said.contains("\"none\""), "{said}");

    let root = repository(steps, ANSWERS);
    let here = root.path().join("tests/conformance/performers/fake");
    fs::remove_file(here.join("performer.sh")).unwrap();
    let output = run(root.path(), &["--languages", "fake"]);
    assert!(!output.status.success());
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.contains("make fake"), "{said}");

    let (passed, said) = played(steps, ANSWERS, &["--scenario", "nothing"]);
    assert!(!passed && said.contains("nothing"), "{said}");
    let (passed, said) = played(steps, ANSWERS, &["--list"]);
    assert!(passed && said.contains("It is so."), "{said}");
}
