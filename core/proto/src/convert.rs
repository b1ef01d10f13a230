//! Between the wire and [`quorate_types`]: what comes in is validated here, once.

use quorate_types::{Error, ErrorCode, Instance, InstanceStatus, RemovalReason, ServiceKey, Ttl};

use crate::v1;

/// Reads a service's name; an absent message or an invalid name is an error.
pub fn service_key(wire: Option<&v1::ServiceKey>) -> Result<ServiceKey, Error> {
    let wire =
        wire.ok_or_else(|| Error::new(ErrorCode::InvalidArgument, "the request names no service"))?;
    ServiceKey::new(&wire.namespace, &wire.name)
}

impl From<&ServiceKey> for v1::ServiceKey {
    fn from(key: &ServiceKey) -> Self {
        Self {
            namespace: key.namespace().to_owned(),
            name: key.name().to_owned(),
        }
    }
}

/// Reads an instance and checks its limits; an absent message is an error.
pub fn instance(wire: Option<v1::Instance>) -> Result<Instance, Error> {
    let wire = wire.ok_or_else(|| {
        Error::new(
            ErrorCode::InvalidArgument,
            "the request carries no instance",
        )
    })?;
    let weight = u16::try_from(wire.weight).map_err(|_| {
        Error::new(
            ErrorCode::InvalidArgument,
            format!("weight {} is over 65535", wire.weight),
        )
    })?;
    let instance = Instance {
        id: if wire.id.is_empty() {
            wire.address.clone()
        } else {
            wire.id
        },
        address: wire.address,
        weight,
        zone: wire.zone,
        version: wire.version,
        metadata: wire.metadata,
        status: status(wire.status)?,
        ttl: Ttl::from_millis(wire.ttl_ms)?,
        revision: wire.revision,
    };
    instance.validate()?;
    Ok(instance)
}

impl From<&Instance> for v1::Instance {
    fn from(instance: &Instance) -> Self {
        Self {
            id: instance.id.clone(),
            address: instance.address.clone(),
            weight: u32::from(instance.weight),
            zone: instance.zone.clone(),
            version: instance.version.clone(),
            metadata: instance.metadata.clone(),
            status: v1::InstanceStatus::from(instance.status) as i32,
            ttl_ms: instance.ttl.as_millis(),
            revision: instance.revision,
        }
    }
}

/// Reads a status; unspecified is `Up`, an unknown number is an error.
pub fn status(wire: i32) -> Result<InstanceStatus, Error> {
    Ok(match v1::InstanceStatus::try_from(wire) {
        Ok(v1::InstanceStatus::Unspecified | v1::InstanceStatus::Up) => InstanceStatus::Up,
        Ok(v1::InstanceStatus::Starting) => InstanceStatus::Starting,
        Ok(v1::InstanceStatus::Draining) => InstanceStatus::Draining,
        Ok(v1::InstanceStatus::Down) => InstanceStatus::Down,
        Err(_) => {
            return Err(Error::new(
                ErrorCode::InvalidArgument,
                format!("unknown instance status {wire}"),
            ));
        }
    })
}

impl From<InstanceStatus> for v1::InstanceStatus {
    fn from(status: InstanceStatus) -> Self {
        match status {
            InstanceStatus::Up => Self::Up,
            InstanceStatus::Starting => Self::Starting,
            InstanceStatus::Draining => Self::Draining,
            InstanceStatus::Down => Self::Down,
        }
    }
}

/// Reads a removal reason; `None` for unspecified or one this version does not know.
#[must_use]
pub fn removal_reason(wire: i32) -> Option<RemovalReason> {
    match v1::RemovalReason::try_from(wire).ok()? {
        v1::RemovalReason::Unspecified => None,
        v1::RemovalReason::Deregistered => Some(RemovalReason::Deregistered),
        v1::RemovalReason::LeaseExpired => Some(RemovalReason::LeaseExpired),
        v1::RemovalReason::SessionLost => Some(RemovalReason::SessionLost),
        v1::RemovalReason::Operator => Some(RemovalReason::Operator),
        v1::RemovalReason::Moved => Some(RemovalReason::Moved),
    }
}

impl From<RemovalReason> for v1::RemovalReason {
    fn from(reason: RemovalReason) -> Self {
        match reason {
            RemovalReason::Deregistered => Self::Deregistered,
            RemovalReason::LeaseExpired => Self::LeaseExpired,
            RemovalReason::SessionLost => Self::SessionLost,
            RemovalReason::Operator => Self::Operator,
            RemovalReason::Moved => Self::Moved,
        }
    }
}
