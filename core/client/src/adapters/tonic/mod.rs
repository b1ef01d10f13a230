//! For programs that call gRPC services with tonic.
//!
//! ```no_run
//! # use tonic_health::pb::health_client::HealthClient as ShopClient;
//! # use tonic_health::pb::HealthCheckRequest as Item;
//! # async fn example(client: quorate::Client) -> Result<(), Box<dyn std::error::Error>> {
//! let channel = quorate::adapters::tonic::channel(&client, "shop")?;
//! let mut shop = ShopClient::new(channel.clone());
//! shop.check(Item::default()).await?;
//!
//! // For calls that may be done twice:
//! let mut reads = ShopClient::new(channel.idempotent());
//! reads.check(Item::default()).await?;
//! # Ok(())
//! # }
//! ```
//!
//! Each *call* goes to an instance picked for it, over one connection per instance, and its status
//! is reported as [`Outcome::of_grpc`](crate::Outcome::of_grpc) says. A streaming call counts as under way until its stream
//! ends; its latency is the time to the first answer.

mod body;
mod channel;

pub use channel::{ServiceChannel, channel, channel_with};
