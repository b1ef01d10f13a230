//! `quorate register`: an instance that is registered while a command runs.

use std::time::Duration;

use clap::Args;
use quorate::Registration;
use serde_json::json;

use super::command::{Ended, Signals, run as run_command};
use super::{Context, Ending, seconds};

pub(crate) const EXAMPLES: &str = "\
Examples:
  quorate register web 10.0.0.5:8080 -- ./server --port 8080
      Registered while the server runs; the exit code is the server's
  quorate register web 10.0.0.5:8080 --weight 300 --zone eu-1 --metadata tier=gold
      Registered until interrupted";

#[derive(Args, Debug)]
pub(crate) struct RegisterArguments {
    /// The service
    service: String,
    /// Where the instance listens
    #[arg(value_name = "HOST:PORT")]
    address: String,
    /// Its name within the service [default: the address]
    #[arg(long)]
    id: Option<String>,
    /// Its share of the calls, relative to the others, 0 to 65535
    #[arg(long, default_value_t = 100)]
    weight: u16,
    /// Where it runs: a rack, a data centre
    #[arg(long, default_value = "")]
    zone: String,
    /// The version of the program that runs there
    #[arg(long = "instance-version", value_name = "VERSION", default_value = "")]
    version: String,
    /// A label; may be repeated
    #[arg(long, value_name = "KEY=VALUE", value_parser = pair)]
    metadata: Vec<(String, String)>,
    /// How long it stays if this process dies, in seconds
    #[arg(long, value_name = "SECONDS", default_value = "10", value_parser = seconds)]
    ttl: Duration,
    /// The command and its arguments
    #[arg(last = true, value_name = "COMMAND")]
    command: Vec<String>,
}

fn pair(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => Err(format!("{text:?} is not KEY=VALUE")),
    }
}

pub(super) async fn run(context: &Context, arguments: RegisterArguments) -> Ending {
    let mut signals = Signals::catch()?;
    let mut registration = Registration::new(&arguments.service, &arguments.address)
        .weight(arguments.weight)
        .zone(&arguments.zone)
        .version(&arguments.version)
        .ttl(arguments.ttl);
    if let Some(id) = &arguments.id {
        registration = registration.id(id);
    }
    for (key, value) in &arguments.metadata {
        registration = registration.metadata(key, value);
    }
    let registered = context.call(context.client.register(registration)).await?;
    let code = if arguments.command.is_empty() {
        context.printer.step(
            &format!("registered {} in {}", registered.id(), arguments.service),
            &json!({ "id": registered.id(), "service": arguments.service }),
        )?;
        signals.next().await;
        0.into()
    } else {
        let environment = [("QUORATE_INSTANCE_ID", registered.id().to_owned())];
        // A registration is never lost for good: the client registers again.
        let never = std::future::pending();
        match run_command(&arguments.command, &environment, &mut signals, never).await? {
            Ended::Itself(code) => code,
            Ended::Lost => 0.into(),
        }
    };
    let deregister = tokio::time::timeout(context.timeout, registered.deregister());
    if !matches!(deregister.await, Ok(Ok(()))) {
        eprintln!("quorate: could not deregister; the instance ends with its TTL");
    }
    Ok(code)
}
