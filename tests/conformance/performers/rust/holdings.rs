//! Locks, elections, leases.

use std::sync::Arc;

use futures::future::BoxFuture;
use quorate_tests::conformance::line::{Answer, Fields};

use crate::arguments::Arguments;
use crate::names::{Holding, Thing};
use crate::values::one;
use crate::{Done, NAMES};

fn named(name: String, holding: Holding, token: i64, key: &[u8]) -> Fields {
    let mut fields = one("token", token);
    fields.set("key", key);
    NAMES.set(name, Thing::Holding(Arc::new(holding)));
    fields
}

pub(crate) async fn lock(arguments: &mut Arguments) -> Done {
    acquired(arguments, true).await
}

pub(crate) async fn try_lock(arguments: &mut Arguments) -> Done {
    acquired(arguments, false).await
}

async fn acquired(arguments: &mut Arguments, waits: bool) -> Done {
    let client = NAMES.client(arguments)?;
    let name = arguments.needed("as", Arguments::text)?;
    let mut request = client.lock(arguments.needed("name", Arguments::text)?);
    if let Some(ttl) = arguments.millis("ttl_ms")? {
        request = request.ttl(ttl);
    }
    if waits && let Some(timeout) = arguments.millis("timeout_ms")? {
        request = request.timeout(timeout);
    }
    arguments.end()?;
    let guard = match waits {
        true => request.acquire().await?,
        false => request.try_acquire().await?,
    };
    let (token, key) = (guard.token(), guard.key().to_vec());
    Ok(named(name, Holding::Lock(guard), token, &key))
}

pub(crate) async fn unlock(arguments: &mut Arguments) -> Done {
    match given_up(arguments)? {
        Holding::Lock(guard) => guard.unlock().await?,
        _ => return Err(Answer::refused("performer:unknown_name", "no lock")),
    }
    Ok(Fields::new())
}

pub(crate) async fn campaign(arguments: &mut Arguments) -> Done {
    let client = NAMES.client(arguments)?;
    let name = arguments.needed("as", Arguments::text)?;
    let mut election = client.election(arguments.needed("name", Arguments::text)?);
    let value = arguments.needed("value", Arguments::bytes)?;
    if let Some(ttl) = arguments.millis("ttl_ms")? {
        election = election.ttl(ttl);
    }
    if let Some(timeout) = arguments.millis("timeout_ms")? {
        election = election.timeout(timeout);
    }
    arguments.end()?;
    let leadership = election.campaign(value).await?;
    let (token, key) = (leadership.token(), leadership.key().to_vec());
    Ok(named(name, Holding::Leadership(leadership), token, &key))
}

pub(crate) async fn proclaim(arguments: &mut Arguments) -> Done {
    let holding = held_by_name(arguments)?;
    let value = arguments.needed("value", Arguments::bytes)?;
    arguments.end()?;
    match &*holding {
        Holding::Leadership(leadership) => leadership.proclaim(value).await?,
        _ => return Err(Answer::refused("performer:unknown_name", "no leadership")),
    }
    Ok(Fields::new())
}

pub(crate) async fn resign(arguments: &mut Arguments) -> Done {
    match given_up(arguments)? {
        Holding::Leadership(leadership) => leadership.resign().await?,
        _ => return Err(Answer::refused("performer:unknown_name", "no leadership")),
    }
    Ok(Fields::new())
}

pub(crate) async fn leader(arguments: &mut Arguments) -> Done {
    let client = NAMES.client(arguments)?;
    let name = arguments.needed("name", Arguments::text)?;
    arguments.end()?;
    let Some(leader) = client.election(name).leader().await? else {
        return Ok(one("none", true));
    };
    let mut fields = one("token", leader.token);
    fields.set("value", &leader.value);
    fields.set("key", &leader.key);
    Ok(fields)
}

pub(crate) async fn lease(arguments: &mut Arguments) -> Done {
    let client = NAMES.client(arguments)?;
    let name = arguments.needed("as", Arguments::text)?;
    let ttl = arguments.needed("ttl_ms", Arguments::millis)?;
    arguments.end()?;
    let lease = client.lease(ttl).await?;
    let mut fields = one("id", lease.id());
    fields.show("ttl_ms", lease.ttl().as_millis());
    NAMES.set(name, Thing::Holding(Arc::new(Holding::Lease(lease))));
    Ok(fields)
}

pub(crate) async fn lease_time_to_live(arguments: &mut Arguments) -> Done {
    let client = NAMES.client(arguments)?;
    let id = arguments.needed("id", Arguments::number)?;
    arguments.end()?;
    let Some(info) = client.lease_time_to_live(id).await? else {
        return Ok(one("none", true));
    };
    let mut keys = info.keys;
    keys.sort();
    let mut fields = one("ttl_ms", info.remaining.as_millis());
    fields.show("granted_ms", info.granted.as_millis());
    fields.set_list("keys", keys);
    Ok(fields)
}

pub(crate) async fn revoke(arguments: &mut Arguments) -> Done {
    match given_up(arguments)? {
        Holding::Lease(lease) => lease.revoke().await?,
        _ => return Err(Answer::refused("performer:unknown_name", "no lease")),
    }
    Ok(Fields::new())
}

pub(crate) fn held(arguments: &mut Arguments) -> Done {
    let holding = held_by_name(arguments)?;
    arguments.end()?;
    Ok(match &*holding {
        Holding::Lock(guard) => {
            let mut fields = one("lost", guard.is_lost());
            fields.show("token", guard.token());
            fields
        }
        Holding::Leadership(leadership) => {
            let mut fields = one("lost", leadership.is_lost());
            fields.show("token", leadership.token());
            fields
        }
        Holding::Lease(lease) => one("lost", lease.is_lost()),
    })
}

pub(crate) async fn wait_lost(arguments: &mut Arguments) -> Done {
    let holding = held_by_name(arguments)?;
    let timeout = arguments.millis("timeout_ms")?;
    arguments.end()?;
    let lost: BoxFuture<'static, ()> = match &*holding {
        Holding::Lock(guard) => Box::pin(guard.lost()),
        Holding::Leadership(leadership) => Box::pin(leadership.lost()),
        Holding::Lease(lease) => Box::pin(lease.lost()),
    };
    drop(holding);
    let lost = match timeout {
        None => {
            lost.await;
            true
        }
        Some(timeout) => tokio::time::timeout(timeout, lost).await.is_ok(),
    };
    Ok(one("value", lost))
}

fn held_by_name(arguments: &mut Arguments) -> Result<Arc<Holding>, Answer> {
    NAMES.holding(&arguments.needed("holding", Arguments::text)?)
}

fn given_up(arguments: &mut Arguments) -> Result<Holding, Answer> {
    let name = arguments.needed("holding", Arguments::text)?;
    arguments.end()?;
    NAMES.take_holding(&name)
}
