//! The command line as scripts use it: output, exit codes, and commands that run under something.

use std::process::{Command, Output, Stdio};

use anyhow::{Context, Result, ensure};
use quorate_tests::server::{Server, binary};
use serde_json::Value;

struct CommandLine {
    server: Server,
}

impl CommandLine {
    fn start() -> Result<Self> {
        Ok(Self {
            server: Server::start()?,
        })
    }

    fn command(&self, arguments: &[&str]) -> Result<Command> {
        let mut command = Command::new(binary()?);
        command
            .args(arguments)
            .env("QUORATE_ENDPOINTS", self.server.address())
            .env("QUORATE", binary()?)
            .stdin(Stdio::null());
        Ok(command)
    }

    fn run(&self, arguments: &[&str]) -> Result<Output> {
        Ok(self.command(arguments)?.output()?)
    }

    /// Its output; it must succeed.
    fn ok(&self, arguments: &[&str]) -> Result<String> {
        let output = self.run(arguments)?;
        ensure!(output.status.success(), "{arguments:?}: {output:?}");
        Ok(String::from_utf8(output.stdout)?)
    }

    /// Its exit code and its one line on stderr; it must fail.
    fn fails(&self, arguments: &[&str]) -> Result<(i32, String)> {
        let output = self.run(arguments)?;
        let told = String::from_utf8(output.stderr)?;
        ensure!(told.lines().count() == 1, "{arguments:?}: {told}");
        Ok((output.status.code().context("killed")?, told))
    }
}

#[test]
fn keys_are_put_got_and_deleted() -> Result<()> {
    let line = CommandLine::start()?;
    ensure!(
        line.ok(&["put", "greeting", "hello"])?
            .starts_with("revision ")
    );
    ensure!(line.ok(&["get", "greeting"])? == "hello\n");
    line.ok(&["put", "greetings/de", "hallo"])?;
    let all: Value =
        serde_json::from_str(&line.ok(&["get", "--prefix", "greeting", "--output", "json"])?)?;
    ensure!(all.as_array().context("no array")?.len() == 2);
    ensure!(all[1]["key"] == "greetings/de" && all[1]["version"] == 1);
    ensure!(line.ok(&["del", "--prefix", "greeting"])? == "2 deleted\n");
    ensure!(line.fails(&["get", "greeting"])?.0 == 6);
    Ok(())
}

#[test]
fn failures_are_one_line_and_have_codes() -> Result<()> {
    let mut line = CommandLine::start()?;
    let (code, told) = line.fails(&["gett", "x"])?;
    ensure!(code == 2 && told.contains("did you mean 'get'"), "{told}");
    let (code, told) = line.fails(&["register", "not ok", "127.0.0.1:1"])?;
    ensure!(code == 2 && told.contains("' '"), "{told}");
    let (code, told) = line.fails(&["register", "web", "nowhere"])?;
    ensure!(code == 2 && told.contains("host:port"), "{told}");
    let (code, _) = line.fails(&["instances", "nobody"])?;
    ensure!(code == 6);
    line.server.kill();
    let (code, told) = line.fails(&["get", "x", "--request-timeout", "0.3"])?;
    ensure!(
        code == 7 && told.contains("check the server addresses"),
        "{told}"
    );
    Ok(())
}

#[test]
fn an_instance_is_registered_while_its_command_runs() -> Result<()> {
    let line = CommandLine::start()?;
    let inside = "\"$QUORATE\" instances web --output json; exit 7";
    let arguments = [
        "register",
        "web",
        "127.0.0.1:8080",
        "--metadata",
        "a=b",
        "--",
        "sh",
        "-c",
        inside,
    ];
    let output = line.run(&arguments)?;
    ensure!(output.status.code() == Some(7));
    let seen: Value = serde_json::from_slice(&output.stdout)?;
    ensure!(seen[0]["address"] == "127.0.0.1:8080" && seen[0]["metadata"]["a"] == "b");
    ensure!(
        line.fails(&["instances", "web"])?.0 == 6,
        "it is still there"
    );
    Ok(())
}

#[test]
fn a_lock_excludes_others_while_its_command_runs() -> Result<()> {
    let line = CommandLine::start()?;
    let inside = "echo $QUORATE_LOCK_TOKEN; \"$QUORATE\" lock l --timeout 0 -- true 2>/dev/null; echo $?; \
                  \"$QUORATE\" lock other -- true; echo $?";
    let first = line.ok(&["lock", "l", "--", "sh", "-c", inside])?;
    let lines: Vec<&str> = first.lines().collect();
    ensure!(
        lines.len() == 3 && lines[1] == "8" && lines[2] == "0",
        "{first}"
    );
    let again = line.ok(&[
        "lock",
        "l",
        "--timeout",
        "0",
        "--",
        "sh",
        "-c",
        "echo $QUORATE_LOCK_TOKEN",
    ])?;
    ensure!(again.trim().parse::<i64>()? > lines[0].parse()?);
    let (code, told) = line.fails(&["lock", "l", "--", "/no/such/program"])?;
    ensure!(code == 127 && told.contains("/no/such/program"), "{told}");
    Ok(())
}

#[test]
fn a_leader_is_named_while_its_command_runs() -> Result<()> {
    let line = CommandLine::start()?;
    let inside = "\"$QUORATE\" elect e --leader --output json";
    let seen = line.ok(&["elect", "e", "--value", "anna", "--", "sh", "-c", inside])?;
    let leader: Value = serde_json::from_str(&seen)?;
    ensure!(leader["value"] == "anna" && leader["token"].as_i64() > Some(0));
    ensure!(line.fails(&["elect", "e", "--leader"])?.0 == 6);
    Ok(())
}

#[test]
fn the_servers_are_shown() -> Result<()> {
    let line = CommandLine::start()?;
    let both = format!("{},127.0.0.1:1", line.server.address());
    let shown = line.ok(&[
        "status",
        "--output",
        "json",
        "--endpoints",
        &both,
        "--request-timeout",
        "2",
    ])?;
    let servers: Value = serde_json::from_str(&shown)?;
    let state = |address: &str| {
        servers
            .as_array()
            .and_then(|all| all.iter().find(|one| one["address"] == address))
            .map(|one| one["state"].clone())
    };
    ensure!(state(line.server.address()) == Some("up".into()), "{shown}");
    ensure!(state("127.0.0.1:1") == Some("down".into()), "{shown}");
    Ok(())
}
