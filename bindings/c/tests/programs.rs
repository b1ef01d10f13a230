//! The C programs of `programs/`, built against the installed library as anybody would, and run
//! against a real server: as they are, under AddressSanitizer with its search for leaks, and under
//! Valgrind where there is one.
//!
//! What a machine lacks is skipped with a line; `cargo build -p quorate-c -p quorate-server` first.

mod built;

use std::process::Command;
use std::time::{Duration, Instant};

use built::{Build, compile, prefix, run};
use quorate_tests::server::Server;

/// Longer than any program takes on a slow machine.
const PATIENCE: Duration = Duration::from_secs(120);

/// One program, as it is and under the sanitizers, against a server of its own.
fn passes(name: &str) {
    for build in [Build::Plain, Build::Sanitized] {
        let server = Server::start().expect("a server starts");
        let mut command = Command::new(compile(name, build));
        command.arg(server.address());
        run(&mut command, PATIENCE);
    }
}

#[test]
fn keys() {
    passes("keys");
}

#[test]
fn locks() {
    passes("locks");
}

#[test]
fn discovery() {
    passes("discovery");
}

#[test]
fn misuse() {
    passes("misuse");
}

#[test]
fn callbacks() {
    passes("callbacks");
}

#[test]
fn fork() {
    let server = Server::start().expect("a server starts");
    for build in [Build::Plain, Build::Sanitized] {
        let mut command = Command::new(compile("fork", build));
        // What threads had that are not in the child any more is nobody's there: not a leak of ours.
        command.env("ASAN_OPTIONS", "detect_leaks=0");
        run(command.arg(server.address()), PATIENCE);
    }
}

/// Whoever leaves with everything open has given it up when the process is gone, though all of it
/// has ten minutes to live.
#[test]
fn exit() {
    let server = Server::start().expect("a server starts");
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    for how in ["return", "thread", "callback", "waiting", "late"] {
        run(
            Command::new(compile("exit", Build::Plain))
                .arg(server.address())
                .arg(how),
            PATIENCE,
        );
        runtime.block_on(async {
            let client = quorate::Client::builder()
                .endpoints([server.address()])
                .build()
                .expect("a client");
            let view = client.discover("exit").await.expect("a view");
            assert!(view.instances.is_empty(), "{how}: {view:?}");
            let lock = client.lock("exit").try_acquire().await;
            let lock = lock.unwrap_or_else(|error| panic!("{how}: {error}"));
            lock.unlock().await.expect("it is released");
            let leader = client.election("exit-chief").leader().await;
            assert_eq!(leader, Ok(None), "{how}");
            client.close().await;
        });
    }
}

#[test]
fn exit_is_bounded_when_no_server_answers() {
    let started = Instant::now();
    let mut command = Command::new(compile("exit", Build::Plain));
    // A free port of this moment, on which nobody listens.
    run(command.args(["127.0.0.1:1", "dead"]), PATIENCE);
    assert!(started.elapsed() < Duration::from_secs(30));
}

#[test]
fn valgrind() {
    if Command::new("valgrind").arg("--version").output().is_err() {
        eprintln!("valgrind is not installed, skipped");
        return;
    }
    let server = Server::start().expect("a server starts");
    for name in ["keys", "locks", "discovery", "misuse", "callbacks"] {
        let mut command = Command::new("valgrind");
        command
            .args(["--quiet", "--error-exitcode=99", "--leak-check=full"])
            .args(["--show-leak-kinds=definite,indirect", "--fair-sched=yes"])
            .args(["--errors-for-leak-kinds=definite,indirect"])
            .arg(concat!(
                "--suppressions=",
                env!("CARGO_MANIFEST_DIR"),
                "/tests/valgrind.supp"
            ))
            .arg(compile(name, Build::Plain))
            .arg(server.address());
        run(&mut command, PATIENCE * 5);
    }
}

/// The shared library exports what the header declares, and nothing else.
#[test]
fn symbols() {
    let library = prefix().join("lib/libquorate.so");
    let output = match Command::new("nm")
        .args(["-D", "--defined-only"])
        .arg(&library)
        .output()
    {
        Ok(output) => output,
        Err(_) => return eprintln!("nm is not installed, skipped"),
    };
    assert!(output.status.success());
    let text = String::from_utf8(output.stdout).expect("names are text");
    let mut names: Vec<&str> = text
        .lines()
        .filter_map(|line| line.split(' ').nth(2))
        .collect();
    names.sort_unstable();
    let listed: Vec<&str> = include_str!("../quorate.symbols").lines().collect();
    assert_eq!(names, listed);
}

/// A program can have the whole library inside.
#[test]
fn statically_linked() {
    let server = Server::start().expect("a server starts");
    let mut command = Command::new(compile("keys", Build::Static));
    run(command.arg(server.address()), PATIENCE);
}
