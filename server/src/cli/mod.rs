//! The command line: which command was asked for, and running it.
//!
//! `serve` is the server; the client commands are in [`client`].

mod client;
mod usage;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use self::client::ClientCommand;
use crate::config::{Config, ServeArguments};
use crate::{logging, serve};

/// A service registry and coordination server that speaks etcd's protocol.
#[derive(Debug, Parser)]
#[command(name = "quorate", version, max_term_width = 100)]
#[command(subcommand_required = true, arg_required_else_help = true)]
#[command(after_help = CLIENT_EXIT_CODES)]
struct CommandLine {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    #[command(after_help = SERVE_EXAMPLES)]
    Serve(Box<ServeArguments>),
    #[command(flatten)]
    Client(Box<ClientCommand>),
}

const CLIENT_EXIT_CODES: &str = "\
Exit codes of the client commands:
  1  it failed for a reason no other code names
  2  a wrong flag or argument
  6  no such key, instance or leader
  7  no server answers
  8  a lock or leadership was not acquired in time
  9  a lock or leadership was lost while its command ran
127  the command given cannot be run; otherwise its own exit code is passed on

'quorate COMMAND --help' tells more, with examples.";

const SERVE_EXAMPLES: &str = "\
Examples:
  quorate serve
      Keep data in ./quorate.data, answer clients on 127.0.0.1:2379
  quorate serve --data-dir /var/lib/quorate --listen-client 0.0.0.0:2379
  quorate serve --listen-client 127.0.0.1:0 --listen-peer 127.0.0.1:0 --ready-file ready.json
      Take any free ports and tell them in ready.json: for tests
  quorate serve --name one --listen-peer 10.0.0.1:2380 --listen-client 10.0.0.1:2379 \\
      --initial-cluster one=10.0.0.1:2380,two=10.0.0.2:2380,three=10.0.0.3:2380
      Found a cluster of three; the others say the same, but for their own name and addresses
  QUORATE_LOG_FORMAT=json quorate serve --config /etc/quorate.toml

A flag wins over its environment variable, that over the file, that over the default.
SIGTERM or SIGINT drains and exits with 0; a second one exits at once.

Exit codes:
  1  it failed while running
  2  a wrong flag, environment variable or configuration file
  3  an address cannot be listened on
  4  the data directory cannot be used: unwritable, foreign, newer, or used by another process
  5  stored data cannot be read or written, or is damaged";

/// Runs a command line, the program's name first.
pub(crate) fn run(line: impl IntoIterator<Item = OsString>) -> ExitCode {
    let command = match CommandLine::try_parse_from(line) {
        Ok(line) => line.command,
        Err(error) => return usage::report(&error),
    };
    match command {
        Command::Serve(arguments) => run_server(*arguments),
        Command::Client(command) => client::run(*command),
    }
}

fn run_server(arguments: ServeArguments) -> ExitCode {
    let outcome = Config::resolve(arguments).and_then(|config| {
        logging::start(config.log_format, &config.log_level);
        serve::run(config)
    });
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        CommandLine::command().debug_assert();
    }
}
