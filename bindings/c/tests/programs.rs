//! The C programs of `programs/`, built against the installed library as anybody would, and run
//! against a real server: as they are, under AddressSanitizer with its search for leaks, and under
//! Valgrind where there is one.
//!
//! What a machine lacks is skipped with a line; `cargo build -p quorate-c -p quorate-server` first.

mod built;

use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use built::{Build, build_with, builds, compile, here, is_there, output_of, prefix, run};
use quorate_tests::process::OwnedChild;
use quorate_tests::server::Server;
use rustix::process::Signal;

/// Longer than any program takes on a slow machine.
const PATIENCE: Duration = Duration::from_secs(300);

/// One program, as it is and under the sanitizers, against a server of its own.
fn passes(name: &str) {
    for &build in builds() {
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
    for &build in builds() {
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
    assert!(started.elapsed() < Duration::from_secs(60));
}

#[test]
fn valgrind() {
    if !is_there("valgrind") {
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
        run(&mut command, PATIENCE * 3);
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

/// Builds an example, with what else it wants.
fn example(name: &str, flags: &[&str]) -> PathBuf {
    let source = here(&format!("examples/{name}.c"));
    let flags = [&["-std=c11"], flags].concat();
    build_with(
        "gcc",
        &source,
        &format!("example-{name}"),
        Build::Plain,
        &flags,
    )
}

/// Starts an example that follows a service, waits for its first line that begins so, ends it with
/// SIGTERM, and expects it to leave cleanly.
fn ends_on_sigterm(command: &mut Command, first: &str) {
    let mut child = OwnedChild::spawn(command.stdout(Stdio::piped())).expect("it starts");
    let output = child.child().stdout.take().expect("a pipe");
    let mut lines = BufReader::new(output).lines();
    let found = lines.find(|line| line.as_ref().is_ok_and(|line| line.starts_with(first)));
    assert!(found.is_some(), "{command:?} did not print {first}");
    child.signal(Signal::TERM).expect("it runs");
    let status = child.wait(PATIENCE).expect("it ends");
    assert!(status.success(), "{command:?}: {status}");
}

/// Also: SIGTERM deregisters, at once and not after its ten seconds to live.
#[test]
fn example_poll() {
    let server = Server::start().expect("a server starts");
    let program = example("poll", &[]);
    let mut command = Command::new(program);
    ends_on_sigterm(
        command.args([server.address(), "10.0.0.1:80"]),
        "1 instances: 10.0.0.1:80",
    );
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(async {
        let client = quorate::Client::builder().endpoints([server.address()]);
        let client = client.build().expect("a client");
        let view = client.discover("shop").await.expect("a view");
        assert!(view.instances.is_empty(), "{view:?}");
        client.close().await;
    });
}

#[test]
fn example_libuv() {
    if !is_there("pkg-config") || output_of("pkg-config", &["--exists", "libuv"]).is_none() {
        eprintln!("libuv is not installed, its example is skipped");
        return;
    }
    let flags = output_of("pkg-config", &["--cflags", "--libs", "libuv"]).expect("it exists");
    let flags: Vec<&str> = flags.split_whitespace().collect();
    let server = Server::start().expect("a server starts");
    let mut command = Command::new(example("libuv", &flags));
    ends_on_sigterm(command.arg(server.address()), "0 instances");
}

#[test]
fn wrapper_for_cpp() {
    if !is_there("g++") {
        eprintln!("g++ is not installed, quorate.hpp is skipped");
        return;
    }
    for (source, name) in [
        ("tests/programs/wrapper.cpp", "wrapper"),
        ("examples/raii.cpp", "raii"),
    ] {
        for &build in builds() {
            let program = build_with("g++", &here(source), name, build, &["-std=c++17"]);
            let server = Server::start().expect("a server starts");
            run(Command::new(program).arg(server.address()), PATIENCE);
        }
    }
}

/// The package for pkg-config leads to the library.
#[test]
fn pkg_config() {
    if !is_there("pkg-config") {
        eprintln!("pkg-config is not installed, skipped");
        return;
    }
    let library = prefix().join("lib");
    let told = |arguments: &[&str]| {
        let output = Command::new("pkg-config")
            .env("PKG_CONFIG_PATH", library.join("pkgconfig"))
            .args(arguments)
            .output()
            .expect("it runs");
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).expect("flags are text")
    };
    assert_eq!(
        told(&["--modversion", "quorate"]).trim(),
        env!("CARGO_PKG_VERSION")
    );
    let flags = told(&["--cflags", "--libs", "quorate"]);
    let prefix = prefix().display();
    assert_eq!(
        flags.trim(),
        format!("-I{prefix}/include -L{prefix}/lib -lquorate")
    );
    assert!(told(&["--static", "--libs", "quorate"]).contains("-lpthread"));
}

/// The CMake package leads to both libraries.
#[test]
fn cmake() {
    if !is_there("cmake") {
        eprintln!("cmake is not installed, skipped");
        return;
    }
    let directory = tempfile::tempdir().expect("a directory");
    let project = format!(
        "cmake_minimum_required(VERSION 3.16)\n\
         project(found C)\n\
         find_package(quorate {version} REQUIRED)\n\
         add_executable(shared {here}/keys.c)\n\
         target_link_libraries(shared quorate::quorate)\n\
         add_executable(static {here}/keys.c)\n\
         target_link_libraries(static quorate::quorate-static)\n",
        version = env!("CARGO_PKG_VERSION"),
        here = here("tests/programs"),
    );
    std::fs::write(directory.path().join("CMakeLists.txt"), project).expect("a file");
    let build = directory.path().join("build");
    let mut configure = Command::new("cmake");
    configure
        .arg("-S")
        .arg(directory.path())
        .arg("-B")
        .arg(&build);
    configure.arg(format!("-DCMAKE_PREFIX_PATH={}", prefix().display()));
    run(configure.stdout(Stdio::null()), PATIENCE);
    run(
        Command::new("cmake")
            .arg("--build")
            .arg(&build)
            .stdout(Stdio::null()),
        PATIENCE,
    );
    for program in ["shared", "static"] {
        let server = Server::start().expect("a server starts");
        run(
            Command::new(build.join(program)).arg(server.address()),
            PATIENCE,
        );
    }
}

/// The programs in the documentation build without a warning and run.
#[test]
fn documentation() {
    for (page, name) in [("README.md", "readme"), ("../../README.md", "front-page")] {
        let page = std::fs::read_to_string(here(page)).expect("a page");
        let code = page.split("```c\n").nth(1).expect("a program in C");
        let code = code.split("```").next().expect("it ends");
        let source = prefix().join(format!("{name}.c"));
        std::fs::write(&source, code).expect("a file");
        let source = source.to_str().expect("a path that is text");
        let program = build_with("gcc", source, name, Build::Plain, &["-std=c11"]);
        let server = Server::start().expect("a server starts");
        run(Command::new(program).arg(server.address()), PATIENCE);
    }
}

/// A program can have the whole library inside.
#[test]
fn statically_linked() {
    let server = Server::start().expect("a server starts");
    let mut command = Command::new(compile("keys", Build::Static));
    run(command.arg(server.address()), PATIENCE);
}
