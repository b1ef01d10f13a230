//! `quorate elect`: a command that runs while this process leads.

use std::time::Duration;

use clap::Args;
use futures::StreamExt;
use quorate::election::Leader;
use serde_json::json;

use super::command::{Ended, Signals, run as run_command};
use super::output::bytes;
use super::{Context, Ending, failure, seconds};
use crate::failure::{Exit, Failure};

pub(crate) const EXAMPLES: &str = "\
Examples:
  quorate elect scheduler -- ./scheduler
      Runs it when this process is the leader; others wait
  quorate elect scheduler --leader
      Names the leader, or ends with 6 if there is none
  quorate elect scheduler --observe
      Names each leader from now on

The command finds its fencing token in QUORATE_ELECTION_TOKEN. If the leadership is lost the
command gets SIGTERM, then SIGKILL, and the exit code is 9. Otherwise it is the command's.";

#[derive(Args, Debug)]
pub(crate) struct ElectArguments {
    /// The election's name
    name: String,
    /// What the others see of the leader [default: host name and process id]
    #[arg(long)]
    value: Option<String>,
    /// How long to wait for the leadership, in seconds. Without it: as long as it takes
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    timeout: Option<Duration>,
    /// How long the leadership stays if this process dies, in seconds
    #[arg(long, value_name = "SECONDS", default_value = "10", value_parser = seconds)]
    ttl: Duration,
    /// Only name the present leader
    #[arg(long, conflicts_with_all = ["observe", "command"])]
    leader: bool,
    /// Only name each leader, until interrupted
    #[arg(long, conflicts_with = "command")]
    observe: bool,
    /// The command and its arguments
    #[arg(
        last = true,
        required_unless_present_any = ["leader", "observe"],
        value_name = "COMMAND"
    )]
    command: Vec<String>,
}

pub(super) async fn run(context: &Context, arguments: ElectArguments) -> Ending {
    if arguments.leader {
        return leader(context, &arguments).await;
    }
    if arguments.observe {
        return observe(context, &arguments).await;
    }
    campaign(context, arguments).await
}

async fn leader(context: &Context, arguments: &ElectArguments) -> Ending {
    let election = context.client.election(&arguments.name);
    match context.call(election.leader()).await? {
        Some(leader) => show(context, &leader).map(|()| 0.into()),
        None => Err(Failure::new(
            Exit::NotFound,
            format!("election {:?} has no leader", arguments.name),
        )),
    }
}

async fn observe(context: &Context, arguments: &ElectArguments) -> Ending {
    let mut signals = Signals::catch()?;
    let mut leaders = context.client.election(&arguments.name).observe();
    loop {
        tokio::select! {
            leader = leaders.next() => match leader {
                Some(Ok(leader)) => show(context, &leader)?,
                Some(Err(error)) => return Err(failure(&error)),
                None => return Ok(0.into()),
            },
            () = signals.next() => return Ok(0.into()),
        }
    }
}

fn show(context: &Context, leader: &Leader) -> Result<(), Failure> {
    context.printer.step(
        &format!(
            "{}\ttoken {}",
            String::from_utf8_lossy(&leader.value),
            leader.token
        ),
        &json!({
            "value": bytes(&leader.value),
            "key": bytes(&leader.key),
            "token": leader.token,
        }),
    )
}

async fn campaign(context: &Context, arguments: ElectArguments) -> Ending {
    let mut signals = Signals::catch()?;
    let value = arguments.value.clone().unwrap_or_else(default_value);
    let mut election = context.client.election(&arguments.name).ttl(arguments.ttl);
    if let Some(timeout) = arguments.timeout {
        election = election.timeout(timeout);
    }
    let leadership = tokio::select! {
        won = election.campaign(value) => won.map_err(|error| failure(&error))?,
        () = signals.next() => return Err(Failure::new(Exit::Failed, "interrupted while waiting")),
    };
    let environment = [
        ("QUORATE_ELECTION_NAME", arguments.name.clone()),
        ("QUORATE_ELECTION_TOKEN", leadership.token().to_string()),
    ];
    let ended = run_command(
        &arguments.command,
        &environment,
        &mut signals,
        leadership.lost(),
    )
    .await?;
    match ended {
        Ended::Itself(code) => {
            if let Err(error) = leadership.resign().await {
                eprintln!("quorate: could not resign; the leadership ends with its TTL: {error}");
            }
            Ok(code)
        }
        Ended::Lost => Err(Failure::new(
            Exit::Lost,
            format!(
                "the leadership of {:?} was lost; the command was ended",
                arguments.name
            ),
        )),
    }
}

fn default_value() -> String {
    let host = rustix::system::uname();
    format!(
        "{}:{}",
        host.nodename().to_string_lossy(),
        std::process::id()
    )
}
