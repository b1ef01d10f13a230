//! A program that stands for an election, leads when it wins, and tells when.

use std::time::Duration;

use anyhow::{Result, bail};
use clap::Parser;
use quorate::Client;
use serde_json::json;
use tokio::signal::unix::{SignalKind, signal};

/// Stands for an election, and leads until it is terminated.
#[derive(Debug, Parser)]
struct Arguments {
    /// `host:port` of the server.
    #[arg(long)]
    server: String,
    /// What is to be led.
    #[arg(long, default_value = "reports")]
    election: String,
    /// What the others see of the leader.
    #[arg(long)]
    name: String,
    /// Milliseconds by which leadership outlives a program that vanishes.
    #[arg(long, default_value_t = 3_000)]
    ttl_ms: u64,
}

#[tokio::main]
async fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let mut terminated = signal(SignalKind::terminate())?;
    let client = Client::builder().endpoints([&arguments.server]).build()?;
    client.connected().await?;
    println!("{}", json!({ "stands": arguments.name }));
    let election = client
        .election(&arguments.election)
        .ttl(Duration::from_millis(arguments.ttl_ms));
    let leadership = tokio::select! {
        leadership = election.campaign(arguments.name.as_str()) => leadership?,
        _ = terminated.recv() => {
            client.close().await;
            return Ok(());
        }
    };
    println!(
        "{}",
        json!({ "leads": arguments.name, "token": leadership.token() })
    );
    tokio::select! {
        () = leadership.lost() => bail!("leadership was lost"),
        _ = terminated.recv() => leadership.resign().await?,
    }
    client.close().await;
    Ok(())
}
