//! The client commands: how they reach a server, what they print, how they end.
//!
//! One module per subject; each is its arguments and a function from them to an [`Ending`].

mod command;
mod elect;
mod kv;
mod lock;
mod output;
mod register;
mod services;
mod snapshot;
mod status;

use std::future::Future;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, Subcommand};
use quorate::{Client, Error, ErrorCode};

use self::output::{Format, Printer};
use crate::failure::{Exit, Failure};

/// How to reach a server, and what the answer looks like: common to all client commands.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Connection and output")]
struct Connection {
    /// Servers to try, in any order
    #[arg(
        long = "endpoints",
        env = "QUORATE_ENDPOINTS",
        value_name = "HOST:PORT",
        value_delimiter = ',',
        default_value = "127.0.0.1:2379"
    )]
    endpoints: Vec<String>,
    /// The namespace of services
    #[arg(
        long,
        env = "QUORATE_NAMESPACE",
        value_name = "NAME",
        default_value = "default"
    )]
    namespace: String,
    /// How long to try, in seconds
    #[arg(
        long,
        env = "QUORATE_REQUEST_TIMEOUT",
        value_name = "SECONDS",
        default_value = "5",
        value_parser = seconds
    )]
    request_timeout: Duration,
    /// A table for people, or JSON for programs (one object per line for what goes on)
    #[arg(
        long,
        env = "QUORATE_OUTPUT",
        value_name = "FORMAT",
        value_enum,
        default_value_t = Format::Table
    )]
    output: Format,
}

/// Reads a positive number of seconds, with decimals if need be.
fn seconds(text: &str) -> Result<Duration, String> {
    text.parse::<f64>()
        .ok()
        .and_then(|seconds| Duration::try_from_secs_f64(seconds).ok())
        .filter(|duration| !duration.is_zero())
        .ok_or_else(|| format!("{text:?} is not a positive number of seconds"))
}

/// A command's own arguments, and how to reach a server.
#[derive(Args, Debug)]
pub(crate) struct With<A: Args> {
    #[command(flatten)]
    arguments: A,
    #[command(flatten)]
    connection: Connection,
}

/// No arguments of its own.
#[derive(Args, Debug)]
pub(crate) struct Nothing {}

#[derive(Debug, Subcommand)]
pub(crate) enum ClientCommand {
    /// List the services
    Services(With<services::ServicesArguments>),
    /// List the instances of a service, or follow their changes
    Instances(With<services::InstancesArguments>),
    /// Register an instance while a command runs, or until interrupted
    #[command(after_help = register::EXAMPLES)]
    Register(With<register::RegisterArguments>),
    /// Print the value of a key, or the keys under a prefix
    Get(With<kv::GetArguments>),
    /// Set a key
    Put(With<kv::PutArguments>),
    /// Delete a key, or all keys under a prefix
    Del(With<kv::DelArguments>),
    /// Follow the changes of a key, or of all keys under a prefix
    Watch(With<kv::WatchArguments>),
    /// Run a command while holding a lock
    #[command(after_help = lock::EXAMPLES)]
    Lock(With<lock::LockArguments>),
    /// Stand for an election and run a command while leading; or name the leader
    #[command(after_help = elect::EXAMPLES)]
    Elect(With<elect::ElectArguments>),
    /// Save, check or restore the state of a server
    #[command(after_help = snapshot::EXAMPLES)]
    Snapshot(snapshot::SnapshotArguments),
    /// Show the servers
    Status(With<Nothing>),
}

/// How a client command ends.
pub(crate) type Ending = Result<ExitCode, Failure>;

/// Runs a client command to its end.
pub(crate) fn run(command: ClientCommand) -> ExitCode {
    let runtime = match tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime,
        Err(error) => {
            return Failure::new(Exit::Failed, format!("cannot start: {error}")).report();
        }
    };
    let ending = runtime.block_on(answer(command));
    runtime.shutdown_timeout(Duration::from_millis(100));
    ending.unwrap_or_else(|failure| failure.report())
}

async fn answer(command: ClientCommand) -> Ending {
    match command {
        ClientCommand::Services(with) => with.run(services::services).await,
        ClientCommand::Instances(with) => with.run(services::instances).await,
        ClientCommand::Register(with) => with.run(register::run).await,
        ClientCommand::Get(with) => with.run(kv::get).await,
        ClientCommand::Put(with) => with.run(kv::put).await,
        ClientCommand::Del(with) => with.run(kv::del).await,
        ClientCommand::Watch(with) => with.run(kv::watch).await,
        ClientCommand::Lock(with) => with.run(lock::run).await,
        ClientCommand::Elect(with) => with.run(elect::run).await,
        ClientCommand::Snapshot(arguments) => snapshot::run(arguments).await,
        ClientCommand::Status(with) => with.run(status::run).await,
    }
}

impl<A: Args> With<A> {
    /// Runs a command on a client of its own, and closes that whatever happened.
    async fn run(self, command: impl AsyncFnOnce(&Context, A) -> Ending) -> Ending {
        let client = Client::builder()
            .endpoints(self.connection.endpoints)
            .namespace(self.connection.namespace)
            .request_timeout(self.connection.request_timeout)
            .client_name(concat!("quorate-cli/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(|error| failure(&error))?;
        let context = Context {
            client,
            timeout: self.connection.request_timeout,
            printer: Printer::new(self.connection.output),
        };
        let ending = command(&context, self.arguments).await;
        context.client.close().await;
        ending
    }
}

/// What every client command needs.
pub(crate) struct Context {
    client: Client,
    timeout: Duration,
    printer: Printer,
}

impl Context {
    /// A call's result, or its failure as the command line tells it.
    async fn call<T>(&self, call: impl Future<Output = Result<T, Error>>) -> Result<T, Failure> {
        call.await.map_err(|error| failure(&error))
    }
}

/// An error as the command line tells it: with its stable name and what to do next.
fn failure(error: &Error) -> Failure {
    let code = error.code();
    let exit = match code {
        ErrorCode::NotFound | ErrorCode::NoEndpoints => Exit::NotFound,
        ErrorCode::Unavailable => Exit::Unavailable,
        ErrorCode::Timeout | ErrorCode::Conflict => Exit::NotAcquired,
        ErrorCode::LockLost | ErrorCode::SessionExpired => Exit::Lost,
        ErrorCode::InvalidArgument => Exit::Usage,
        _ => Exit::Failed,
    };
    Failure::new(
        exit,
        format!("{} ({code}): {}", error.message(), code.next_step()),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_are_positive() {
        assert_eq!(seconds("1.5"), Ok(Duration::from_millis(1500)));
        for bad in ["0", "-1", "x", "", "inf", "NaN", "1e300"] {
            assert!(seconds(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn scripts_can_tell_failures_apart() {
        let exit = |code| failure(&Error::new(code, "x")).exit();
        assert_eq!(exit(ErrorCode::Unavailable), Exit::Unavailable);
        assert_eq!(exit(ErrorCode::Timeout), Exit::NotAcquired);
        assert_eq!(exit(ErrorCode::LockLost), Exit::Lost);
        let told = failure(&Error::new(ErrorCode::Unavailable, "no server answers")).to_string();
        assert!(
            told.starts_with("no server answers (unavailable): check"),
            "{told}"
        );
    }
}
