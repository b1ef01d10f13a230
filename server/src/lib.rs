//! The quorate binary: configuration, listeners, front doors, command line.
//!
//! - `cli`: the command line, and how its mistakes are told;
//! - `config`: what `quorate serve` runs with: flag over environment over file over default;
//! - `data_dir`: the data directory's identity and its lock;
//! - `bootstrap`: how a member comes to its cluster;
//! - `peers`: the connections to the other members;
//! - `serve`: a server from start to drained: listeners, runtimes, background tasks;
//! - `compaction_schedule`: when history is compacted by itself;
//! - `doors`: one module per front door, etcd's and our own;
//! - `pulse`: noticing that this process stood still;
//! - `logging`, `failure`: what a person or a program is told, and the exit code.

mod bootstrap;
mod cli;
mod compaction_schedule;
mod config;
mod data_dir;
mod doors;
mod failure;
mod logging;
mod peers;
mod pulse;
mod serve;

use std::process::ExitCode;

/// Runs the command the process was started with, to its end.
///
/// Exit codes are listed in `quorate help`; every failure is one line on stderr.
#[must_use]
pub fn run() -> ExitCode {
    cli::run(std::env::args_os())
}
