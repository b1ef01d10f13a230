//! Running a person's command while something is held: a registration, a lock, a leadership.

use std::future::Future;
use std::process::{ExitCode, ExitStatus};
use std::time::Duration;

use std::os::unix::process::ExitStatusExt;
use tokio::process::{Child, Command};
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::failure::{Exit, Failure};

/// How long a command has to end by itself before it is killed.
const GRACE: Duration = Duration::from_secs(5);

/// SIGTERM and SIGINT, caught from when this was made.
pub(crate) struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    pub(crate) fn catch() -> Result<Self, Failure> {
        let catch = |kind| {
            signal(kind).map_err(|error| {
                Failure::new(Exit::Failed, format!("cannot catch signals: {error}"))
            })
        };
        Ok(Self {
            terminate: catch(SignalKind::terminate())?,
            interrupt: catch(SignalKind::interrupt())?,
        })
    }

    /// Waits for either.
    pub(crate) async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

/// How a command ended.
pub(crate) enum Ended {
    /// By itself, or by a signal that was meant for us.
    Itself(ExitCode),
    /// It was ended because what was held is lost.
    Lost,
}

/// Runs a command to its end, with these variables in its environment. A signal to us is passed
/// on; when `lost` is done first, the command is asked to end, and killed if it does not.
pub(crate) async fn run(
    line: &[String],
    environment: &[(&str, String)],
    signals: &mut Signals,
    lost: impl Future<Output = ()>,
) -> Result<Ended, Failure> {
    let (program, arguments) = line
        .split_first()
        .ok_or_else(|| Failure::new(Exit::Usage, "no command given"))?;
    let mut child = Command::new(program)
        .args(arguments)
        .envs(environment.iter().map(|(name, value)| (*name, value)))
        .kill_on_drop(true)
        .spawn()
        .map_err(|error| {
            Failure::new(Exit::CannotRun, format!("cannot run {program:?}: {error}"))
        })?;
    tokio::pin!(lost);
    loop {
        tokio::select! {
            status = child.wait() => return Ok(Ended::Itself(exit_code(wait_result(status)?))),
            () = &mut lost => {
                end(&mut child).await?;
                return Ok(Ended::Lost);
            }
            _ = signals.terminate.recv() => ask_to_end(&child),
            // The terminal sends it to the command as well: it decides whether to go on.
            _ = signals.interrupt.recv() => {}
        }
    }
}

async fn end(child: &mut Child) -> Result<(), Failure> {
    ask_to_end(child);
    if let Ok(status) = tokio::time::timeout(GRACE, child.wait()).await {
        return wait_result(status).map(|_| ());
    }
    wait_result(child.kill().await)
}

fn ask_to_end(child: &Child) {
    let pid = child
        .id()
        .and_then(|id| i32::try_from(id).ok())
        .and_then(rustix::process::Pid::from_raw);
    if let Some(pid) = pid {
        // It may have ended this moment, which is what is wanted.
        let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
    }
}

fn wait_result<T>(result: std::io::Result<T>) -> Result<T, Failure> {
    result.map_err(|error| {
        Failure::new(
            Exit::Failed,
            format!("cannot wait for the command: {error}"),
        )
    })
}

/// The command's own exit code; 128 and the signal if one ended it, as shells have it.
fn exit_code(status: ExitStatus) -> ExitCode {
    let code = status
        .code()
        .or_else(|| status.signal().map(|signal| 128 + signal))
        .and_then(|code| u8::try_from(code).ok())
        .unwrap_or(1);
    ExitCode::from(code)
}

#[cfg(test)]
mod tests {
    use std::future::{pending, ready};

    use super::*;

    fn line(words: &[&str]) -> Vec<String> {
        words.iter().map(|word| (*word).to_owned()).collect()
    }

    async fn ended(words: &[&str], lost: impl Future<Output = ()>) -> Result<Ended, Failure> {
        let mut signals = Signals::catch()?;
        let environment = [("QUORATE_TEST", "seven".to_owned())];
        run(&line(words), &environment, &mut signals, lost).await
    }

    #[tokio::test]
    async fn its_exit_code_is_ours_and_it_sees_the_variables() {
        let script = "test \"$QUORATE_TEST\" = seven && exit 7";
        match ended(&["sh", "-c", script], pending()).await {
            Ok(Ended::Itself(code)) => assert_eq!(code, ExitCode::from(7)),
            _ => panic!("it did not end by itself"),
        }
    }

    #[tokio::test]
    async fn it_is_ended_when_what_was_held_is_lost() {
        assert!(matches!(
            ended(&["sleep", "600"], ready(())).await,
            Ok(Ended::Lost)
        ));
    }

    #[tokio::test]
    async fn a_program_that_is_not_there_is_named() {
        let failure = ended(&["/no/such/program"], pending()).await.err().unwrap();
        assert_eq!(failure.exit(), Exit::CannotRun);
        assert!(failure.to_string().contains("/no/such/program"));
    }
}
