//! `quorate lock`: a command that runs while a lock is held.

use std::time::Duration;

use clap::Args;
use quorate::ErrorCode;

use super::command::{Ended, Signals, run as run_command};
use super::{Context, Ending, failure, seconds};
use crate::failure::{Exit, Failure};

pub(crate) const EXAMPLES: &str = "\
Examples:
  quorate lock nightly -- ./backup.sh
      Runs backup.sh once all earlier holders of 'nightly' are done
  quorate lock nightly --timeout 0 -- ./backup.sh
      Ends with 8 at once if somebody else holds it

The command finds its fencing token in QUORATE_LOCK_TOKEN: a number that grows from holder to
holder. If the lock is lost the command gets SIGTERM, then SIGKILL, and the exit code is 9.
Otherwise the exit code is the command's.";

#[derive(Args, Debug)]
pub(crate) struct LockArguments {
    /// The lock's name
    name: String,
    /// How long to wait for it, in seconds; 0 tries once. Without it: as long as it takes
    #[arg(long, value_name = "SECONDS", value_parser = seconds_or_zero)]
    timeout: Option<Duration>,
    /// How long it stays held if this process dies, in seconds
    #[arg(long, value_name = "SECONDS", default_value = "10", value_parser = seconds)]
    ttl: Duration,
    /// The command and its arguments
    #[arg(last = true, required = true, value_name = "COMMAND")]
    command: Vec<String>,
}

fn seconds_or_zero(text: &str) -> Result<Duration, String> {
    match text {
        "0" => Ok(Duration::ZERO),
        _ => seconds(text),
    }
}

pub(super) async fn run(context: &Context, arguments: LockArguments) -> Ending {
    let mut signals = Signals::catch()?;
    let mut request = context.client.lock(&arguments.name).ttl(arguments.ttl);
    let tries_once = arguments.timeout == Some(Duration::ZERO);
    if let Some(timeout) = arguments.timeout.filter(|_| !tries_once) {
        request = request.timeout(timeout);
    }
    let acquire = async {
        if tries_once {
            request.try_acquire().await
        } else {
            request.acquire().await
        }
    };
    let guard = tokio::select! {
        guard = acquire => guard.map_err(|error| failure(&error))?,
        () = signals.next() => return Err(Failure::new(Exit::Failed, "interrupted while waiting")),
    };
    let environment = [
        ("QUORATE_LOCK_NAME", arguments.name.clone()),
        ("QUORATE_LOCK_TOKEN", guard.token().to_string()),
    ];
    match run_command(&arguments.command, &environment, &mut signals, guard.lost()).await? {
        Ended::Itself(code) => {
            match guard.unlock().await {
                Ok(()) => Ok(code),
                // The command has had the lock; that it is gone by now changes nothing.
                Err(error) if error.code() == ErrorCode::LockLost => Ok(code),
                Err(error) => {
                    eprintln!(
                        "quorate: the lock could not be released and ends with its TTL: {error}"
                    );
                    Ok(code)
                }
            }
        }
        Ended::Lost => Err(Failure::new(
            Exit::Lost,
            format!("lock {:?} was lost; the command was ended", arguments.name),
        )),
    }
}
