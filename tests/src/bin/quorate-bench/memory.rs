//! What a client holds in memory. A process of its own measures it, one for each language, by the
//! growth of what it has resident:
//!
//! ```text
//! one client, to begin with ──► CLIENTS more, connected ──► one of them follows SERVICES services
//! ```
//! It prints the bytes of one more client and of one more followed service.

use std::process::Command;
use std::time::Duration;

use anyhow::Result;
use quorate::{Client, Registered, Registration};
use quorate_tests::process::Usage;

use crate::programs;

/// Clients beside the first.
const CLIENTS: usize = 100;
/// Services followed.
const SERVICES: usize = 10;
/// Instances of each: a session may have 10,000.
pub(crate) const INSTANCES: usize = 1_000;

fn service(number: usize) -> String {
    format!("memory-{number}")
}

/// Registers what is followed, for as long as what it returns is kept.
pub(crate) async fn provide(address: &str) -> Result<Vec<Registered>> {
    let client = connected(address).await?;
    let registrations = (0..SERVICES * INSTANCES).map(|number| {
        let instance = format!("127.1.{}.{}:80", number / 256, number % 256);
        client.register(Registration::new(service(number % SERVICES), instance))
    });
    Ok(futures::future::try_join_all(registrations).await?)
}

/// Runs [`probe`] in a process of its own.
pub(crate) fn rust(address: &str) -> Result<[f64; 2]> {
    programs::numbers(Command::new(std::env::current_exe()?).args(["memory-probe", address]))
}

/// The probe for Rust.
pub(crate) async fn probe(address: &str) -> Result<()> {
    let first = connected(address).await?;
    let begin = resident()?;
    let mut clients = Vec::new();
    for _ in 0..CLIENTS {
        clients.push(connected(address).await?);
    }
    let connected = resident()?;
    for number in 0..SERVICES {
        let known = async {
            while first.discover(&service(number)).await?.instances.len() < INSTANCES {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            anyhow::Ok(())
        };
        tokio::time::timeout(Duration::from_secs(30), known).await??;
    }
    let following = resident()?;
    println!(
        "{} {}",
        (connected - begin) / CLIENTS as f64,
        (following - connected) / SERVICES as f64
    );
    Ok(())
}

async fn connected(address: &str) -> Result<Client> {
    let client = Client::builder().endpoints([address]).build()?;
    client.connected().await?;
    Ok(client)
}

fn resident() -> Result<f64> {
    Ok(Usage::of(std::process::id())?.resident as f64)
}
