//! The real `etcdctl`, as people and scripts use it. `QUORATE_ETCDCTL` says where it is.

use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use quorate_foreign::Target;
use quorate_tests::process::OwnedChild;

fn command(target: &Target, arguments: &[&str]) -> Result<Command> {
    let etcdctl = std::env::var_os("QUORATE_ETCDCTL")
        .context("QUORATE_ETCDCTL is not set: run this through `make test-foreign`")?;
    let mut command = Command::new(etcdctl);
    command
        .args(["--endpoints", target.endpoint()])
        .args(arguments)
        .env("ETCDCTL_API", "3")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    Ok(command)
}

/// Runs it to its end; what it printed.
fn run(target: &Target, arguments: &[&str]) -> Result<String> {
    finish(command(target, arguments)?, arguments, "")
}

fn finish(mut command: Command, arguments: &[&str], input: &str) -> Result<String> {
    if !input.is_empty() {
        command.stdin(Stdio::piped());
    }
    let mut child = command.spawn()?;
    if let Some(mut stdin) = child.stdin.take() {
        stdin.write_all(input.as_bytes())?;
    }
    let output = child.wait_with_output()?;
    ensure!(
        output.status.success(),
        "etcdctl {arguments:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(String::from_utf8(output.stdout)?)
}

/// A command that goes on, and the lines it prints.
struct Running {
    _child: OwnedChild,
    lines: std::io::Lines<BufReader<std::process::ChildStdout>>,
}

impl Running {
    fn start(target: &Target, arguments: &[&str]) -> Result<Self> {
        let mut child = OwnedChild::spawn(&mut command(target, arguments)?)?;
        let stdout = child.child().stdout.take().context("no pipe")?;
        Ok(Self {
            _child: child,
            lines: BufReader::new(stdout).lines(),
        })
    }

    fn line(&mut self) -> Result<String> {
        Ok(self.lines.next().context("etcdctl has ended")??)
    }
}

#[test]
fn put_get_del() -> Result<()> {
    let target = Target::start()?;
    let key = target.unique("ctl");
    ensure!(run(&target, &["put", &key, "hello"])? == "OK\n");
    ensure!(run(&target, &["get", &key])? == format!("{key}\nhello\n"));
    ensure!(run(&target, &["get", "--prefix", &key, "--keys-only"])?.starts_with(&key));
    ensure!(run(&target, &["del", "--prev-kv", &key])? == format!("1\n{key}\nhello\n"));
    ensure!(run(&target, &["get", &key])?.is_empty());
    Ok(())
}

#[test]
fn txn() -> Result<()> {
    let target = Target::start()?;
    let key = target.unique("ctl-txn");
    let input = format!("create(\"{key}\") = \"0\"\n\nput {key} made\n\nget {key}\n\n");
    let once = |arguments: &[&str]| finish(command(&target, arguments)?, arguments, &input);
    ensure!(once(&["txn"])? == "SUCCESS\n\nOK\n");
    ensure!(once(&["txn"])? == format!("FAILURE\n\n{key}\nmade\n"));
    Ok(())
}

#[test]
fn watch() -> Result<()> {
    let target = Target::start()?;
    let key = target.unique("ctl-watch");
    let put = run(&target, &["put", &key, "one", "--write-out", "fields"])?;
    let revision = put
        .lines()
        .find_map(|line| line.strip_prefix("\"Revision\" : "))
        .context("no revision")?;
    run(&target, &["put", &key, "two"])?;
    let mut watch = Running::start(&target, &["watch", &key, "--rev", revision])?;
    for expected in ["PUT", &key, "one", "PUT", &key, "two"] {
        ensure!(watch.line()? == expected);
    }
    run(&target, &["del", &key])?;
    ensure!(watch.line()? == "DELETE");
    Ok(())
}

#[test]
fn lease() -> Result<()> {
    let target = Target::start()?;
    let key = target.unique("ctl-lease");
    let granted = run(&target, &["lease", "grant", "120"])?;
    let id = granted
        .split_whitespace()
        .nth(1)
        .context("no lease id")?
        .to_owned();
    ensure!(granted == format!("lease {id} granted with TTL(120s)\n"));
    run(&target, &["put", &key, "v", "--lease", &id])?;
    let left = run(&target, &["lease", "timetolive", &id, "--keys"])?;
    ensure!(
        left.contains("granted with TTL(120s)") && left.contains(&key),
        "{left}"
    );
    ensure!(run(&target, &["lease", "list"])?.contains(&id));
    let kept = run(&target, &["lease", "keep-alive", "--once", &id])?;
    ensure!(kept.contains("keepalived with TTL(120)"), "{kept}");
    run(&target, &["lease", "revoke", &id])?;
    ensure!(run(&target, &["get", &key])?.is_empty());
    Ok(())
}

#[test]
fn lock_is_exclusive_and_released_with_its_command() -> Result<()> {
    let target = Target::start()?;
    let name = target.unique("ctl-lock");
    let mut held = Running::start(&target, &["lock", &name])?;
    let key = held.line()?;
    ensure!(key.starts_with(&name), "{key}");
    // Reading the key shows the lock held; a command under the same lock waits for its turn.
    ensure!(
        !run(
            &target,
            &["get", &key, "--count-only", "--write-out", "fields"]
        )?
        .is_empty()
    );
    let mut second = Running::start(&target, &["lock", &name, "echo", "in"])?;
    drop(held);
    // The first was killed, so its lease has to expire; etcdctl's default is 10 s.
    ensure!(second.line()? == "in");
    Ok(())
}

#[test]
fn elect() -> Result<()> {
    let target = Target::start()?;
    let name = target.unique("ctl-elect");
    let mut candidate = Running::start(&target, &["elect", &name, "anna"])?;
    ensure!(candidate.line()?.starts_with(&name));
    ensure!(candidate.line()? == "anna");
    let mut observer = Running::start(&target, &["elect", "--listen", &name])?;
    ensure!(observer.line()?.starts_with(&name));
    ensure!(observer.line()? == "anna");
    Ok(())
}

#[test]
fn the_server_is_healthy_and_shows_itself() -> Result<()> {
    let target = Target::start()?;
    let health = run(&target, &["endpoint", "health", "--write-out", "json"])?;
    ensure!(health.contains("\"health\":true"), "{health}");
    let status = run(&target, &["endpoint", "status", "--write-out", "fields"])?;
    ensure!(status.contains("\"Version\" : \"3."), "{status}");
    ensure!(run(&target, &["member", "list"])?.contains("started"));
    Ok(())
}

#[test]
fn the_history_has_a_hash() -> Result<()> {
    let target = Target::start()?;
    run(&target, &["put", &target.unique("ctl-hash"), "v"])?;
    let hash = || run(&target, &["endpoint", "hashkv", "--write-out", "json"]);
    let first = hash()?;
    ensure!(first.contains("\"hash\":"), "{first}");
    ensure!(hash()? == first);
    Ok(())
}

#[test]
fn a_snapshot_is_saved() -> Result<()> {
    let target = Target::start()?;
    run(&target, &["put", &target.unique("ctl-snapshot"), "v"])?;
    let directory = tempfile::tempdir()?;
    let file = directory.path().join("backup");
    let file = file.to_str().context("a strange path")?;
    // It refuses what does not end as etcd's do.
    let told = run(&target, &["snapshot", "save", file])?;
    ensure!(told.contains("Snapshot saved at"), "{told}");
    ensure!(std::fs::metadata(file)?.len() % 512 == 32);
    Ok(())
}
