//! The arrows between the crates point one way: asserted on what cargo resolves.

use std::process::Command;

/// The names of all crates that `package` is built from, build scripts left out.
fn dependencies(package: &str) -> Vec<String> {
    dependencies_with(package, "")
}

/// The same, with these features.
fn dependencies_with(package: &str, features: &str) -> Vec<String> {
    let output = Command::new(env!("CARGO"))
        .args([
            "tree",
            "--offline",
            "--edges",
            "normal",
            "--prefix",
            "none",
            "--package",
            package,
            "--features",
            features,
        ])
        .current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
        .output()
        .expect("cargo runs");
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let tree = String::from_utf8(output.stdout).expect("names are UTF-8");
    let names: Vec<String> = tree
        .lines()
        .filter_map(|line| line.split_whitespace().next())
        .map(str::to_owned)
        .collect();
    assert_eq!(names.first().map(String::as_str), Some(package));
    names
}

fn assert_not_reached(package: &str, forbidden: &[&str]) {
    let names = dependencies(package);
    for name in forbidden {
        assert!(
            !names.iter().any(|found| found == name),
            "{package} reaches {name}"
        );
    }
}

#[test]
fn the_client_side_does_not_reach_the_server_side() {
    for package in [
        "quorate",
        "quorate-bridge",
        "quorate-c",
        "quorate-node",
        "quorate-python",
    ] {
        assert_not_reached(
            package,
            &[
                "openraft",
                "redb",
                "quorate-wal",
                "quorate-store",
                "quorate-raft",
                "quorate-registry",
                "quorate-server",
            ],
        );
    }
}

#[test]
fn the_client_brings_no_http_library_unless_asked() {
    for package in [
        "quorate",
        "quorate-bridge",
        "quorate-python",
        "quorate-server",
    ] {
        assert_not_reached(package, &["reqwest", "url", "tower-http"]);
    }
    // The check itself can see what it forbids.
    let with = dependencies_with("quorate", "reqwest");
    assert!(with.iter().any(|name| name == "reqwest"));
}

#[test]
fn only_the_raft_room_knows_openraft_and_only_the_store_knows_redb() {
    for package in [
        "quorate-types",
        "quorate-proto",
        "quorate-wal",
        "quorate-balance",
        "quorate-registry",
    ] {
        assert_not_reached(package, &["openraft", "redb"]);
    }
    assert_not_reached(
        "quorate-store",
        &["openraft", "tonic-health", "quorate-wal", "quorate-raft"],
    );
    // The check itself can see what it forbids.
    assert!(
        dependencies("quorate-raft")
            .iter()
            .any(|name| name == "openraft")
    );
}

#[test]
fn the_pure_rooms_have_no_runtime() {
    for package in ["quorate-types", "quorate-wal", "quorate-balance"] {
        assert_not_reached(package, &["tokio", "tonic"]);
    }
}
