//! A client without the SDK, of one call each: what programs in any other language can do, and
//! what operators' tools do to instances that are not theirs.

use anyhow::{Context, Result, bail};
use quorate_proto::v1::registry_client::RegistryClient;
use quorate_proto::v1::{DeregisterRequest, Instance, RegisterRequest, ServiceKey};
use serde_json::{Map, Value};

use super::values::Variables;

/// What it does.
#[derive(Clone, Debug)]
pub enum SimpleCall {
    /// Registers an instance that lives for its time to live: nobody renews it.
    Register(Map<String, Value>),
    /// Takes an instance out, whoever registered it.
    Deregister(Map<String, Value>),
}

impl SimpleCall {
    /// Does it; a deregistration must have removed something.
    ///
    /// # Errors
    /// When a key is missing, or the server refuses.
    pub async fn perform(&self, variables: &Variables) -> Result<()> {
        let (Self::Register(keys) | Self::Deregister(keys)) = self;
        let text = |key: &str| -> Result<String> {
            let value = keys.get(key).with_context(|| format!("no {key:?}"))?;
            Ok(String::from_utf8(variables.bytes(value)?)?)
        };
        let service = Some(ServiceKey {
            namespace: String::new(),
            name: text("service")?,
        });
        let url = format!("http://{}", text("endpoint")?);
        let mut registry = RegistryClient::connect(url).await?;
        match self {
            Self::Register(_) => {
                let instance = Instance {
                    address: text("address")?,
                    weight: 100,
                    ttl_ms: text("ttl_ms")?.parse()?,
                    ..Instance::default()
                };
                let instance = Some(instance);
                let request = RegisterRequest { service, instance };
                registry.register(request).await?;
            }
            Self::Deregister(_) => {
                let id = text("id")?;
                let answer = registry.deregister(DeregisterRequest { service, id });
                if !answer.await?.into_inner().removed {
                    bail!("there was no such instance");
                }
            }
        }
        Ok(())
    }
}
