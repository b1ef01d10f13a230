//! Registrations, views, picks.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use quorate::{ErrorCode, InstanceStatus, InstanceUpdate, Outcome, PickOptions, Registration};
use quorate_tests::conformance::line::{Answer, Fields};

use crate::arguments::Arguments;
use crate::names::{Thing, unknown};
use crate::values::{self, one};
use crate::{Done, NAMES};

fn status(arguments: &mut Arguments) -> Result<Option<InstanceStatus>, Answer> {
    let name = arguments.text("status")?;
    Ok(name.map(|name| name.parse()).transpose()?)
}

pub(crate) async fn register(arguments: &mut Arguments) -> Done {
    let client = NAMES.client(arguments)?;
    let name = arguments.needed("as", Arguments::text)?;
    let service = arguments.needed("service", Arguments::text)?;
    let address = arguments.needed("address", Arguments::text)?;
    let mut registration = Registration::new(service, address);
    if let Some(id) = arguments.text("id")? {
        registration = registration.id(id);
    }
    if let Some(weight) = arguments.number("weight")? {
        registration = registration.weight(weight);
    }
    if let Some(zone) = arguments.text("zone")? {
        registration = registration.zone(zone);
    }
    if let Some(version) = arguments.text("version")? {
        registration = registration.version(version);
    }
    for (key, value) in arguments.chosen("metadata.")? {
        registration = registration.metadata(key, value);
    }
    if let Some(status) = status(arguments)? {
        registration = registration.status(status);
    }
    if let Some(ttl) = arguments.millis("ttl_ms")? {
        registration = registration.ttl(ttl);
    }
    arguments.end()?;
    let registered = client.register(registration).await?;
    let mut fields = Fields::new();
    fields.set("id", registered.id());
    fields.show("revision", registered.revision());
    NAMES.set(name, Thing::Registration(Arc::new(registered)));
    Ok(fields)
}

pub(crate) fn registration(arguments: &mut Arguments) -> Done {
    let name = arguments.needed("registration", Arguments::text)?;
    arguments.end()?;
    let registered = NAMES.registration(&name)?;
    let mut fields = Fields::new();
    fields.set("id", registered.id());
    fields.set("namespace", registered.service().namespace());
    fields.set("service", registered.service().name());
    fields.show("revision", registered.revision());
    if let Some(reason) = registered.evicted() {
        fields.set("evicted", reason.name());
    }
    Ok(fields)
}

pub(crate) async fn update(arguments: &mut Arguments) -> Done {
    let name = arguments.needed("registration", Arguments::text)?;
    let metadata: BTreeMap<_, _> = arguments.chosen("metadata.")?.into_iter().collect();
    let update = InstanceUpdate {
        status: status(arguments)?,
        weight: arguments.number("weight")?,
        metadata: (!metadata.is_empty()).then_some(metadata),
    };
    arguments.end()?;
    let registered = NAMES.registration(&name)?;
    registered.update(update).await?;
    Ok(one("revision", registered.revision()))
}

pub(crate) async fn deregister(arguments: &mut Arguments) -> Done {
    let name = arguments.needed("registration", Arguments::text)?;
    arguments.end()?;
    let Thing::Registration(registered) = NAMES.take(&name)? else {
        return Err(unknown(&name));
    };
    let registered = Arc::try_unwrap(registered)
        .map_err(|_| Answer::refused("performer:malformed", "it is in use"))?;
    registered.deregister().await?;
    Ok(Fields::new())
}

pub(crate) async fn discover(arguments: &mut Arguments) -> Done {
    let client = NAMES.client(arguments)?;
    let service = arguments.needed("service", Arguments::text)?;
    let timeout = arguments.millis("timeout_ms")?;
    arguments.end()?;
    let view = match timeout {
        None => client.discover(&service).await?,
        Some(timeout) => client.discover_within(&service, timeout).await?,
    };
    Ok(values::view(&view))
}

pub(crate) fn view(arguments: &mut Arguments) -> Done {
    let client = NAMES.client(arguments)?;
    let service = arguments.needed("service", Arguments::text)?;
    arguments.end()?;
    let view = client.service(&service)?.view();
    Ok(view.map_or_else(|| one("none", true), |view| values::view(&view)))
}

pub(crate) async fn list_services(arguments: &mut Arguments) -> Done {
    let client = NAMES.client(arguments)?;
    let namespace = arguments.text("namespace")?;
    arguments.end()?;
    let services = client.list_services(namespace.as_deref()).await?;
    let mut fields = one("services", services.len());
    for (number, summary) in services.into_iter().enumerate() {
        let key = |what: &str| format!("service.{number}.{what}");
        fields.set(key("namespace"), summary.service.namespace());
        fields.set(key("name"), summary.service.name());
        fields.show(key("instances"), summary.instances);
        fields.show(key("up"), summary.up);
    }
    Ok(fields)
}

pub(crate) fn pick(arguments: &mut Arguments) -> Done {
    let client = NAMES.client(arguments)?;
    let service = arguments.needed("service", Arguments::text)?;
    let name = arguments.text("as")?;
    let sticky = arguments.bytes("sticky")?;
    let excluding = arguments.texts("excluding")?.unwrap_or_default();
    arguments.end()?;
    let excluding: Vec<&str> = excluding.iter().map(String::as_str).collect();
    let options = sticky.map_or_else(PickOptions::default, PickOptions::sticky);
    let pick = client.pick(&service, &options.excluding(&excluding))?;
    let mut fields = Fields::new();
    fields.set("address", pick.address());
    fields.set("id", pick.id());
    fields.set("state", pick.state().name());
    fields.set("why", pick.why().name());
    if let Some(name) = name {
        NAMES.set(name, Thing::Pick(pick));
    }
    Ok(fields)
}

fn outcome(name: &str, retry_after: Option<Duration>) -> Result<Outcome, Answer> {
    Ok(match name {
        "ok" => Outcome::Ok,
        "fail" => Outcome::Fail,
        "timeout" => Outcome::Timeout,
        "connect_fail" => Outcome::ConnectFail,
        "overloaded" => Outcome::Overloaded { retry_after },
        "cancelled" => Outcome::Cancelled,
        _ => return Err(Answer::refused("performer:malformed", name)),
    })
}

pub(crate) fn report(arguments: &mut Arguments) -> Done {
    let name = arguments.needed("pick", Arguments::text)?;
    let said = arguments.needed("outcome", Arguments::text)?;
    let latency = arguments.millis("latency_ms")?;
    let retry_after = arguments.millis("retry_after_ms")?;
    arguments.end()?;
    let Thing::Pick(pick) = NAMES.take(&name)? else {
        return Err(unknown(&name));
    };
    pick.report(outcome(&said, retry_after)?, latency);
    Ok(Fields::new())
}

pub(crate) fn may_retry(arguments: &mut Arguments) -> Done {
    let client = NAMES.client(arguments)?;
    let service = arguments.needed("service", Arguments::text)?;
    arguments.end()?;
    Ok(one("value", client.may_retry(&service)))
}

pub(crate) fn pick_many(arguments: &mut Arguments) -> Done {
    let client = NAMES.client(arguments)?;
    let service = arguments.needed("service", Arguments::text)?;
    let count: u64 = arguments.needed("count", Arguments::number)?;
    let prefix = arguments.bytes("sticky_prefix")?;
    let excluding = arguments.texts("excluding")?.unwrap_or_default();
    let mut outcomes = BTreeMap::new();
    for (address, name) in arguments.chosen("outcome.")? {
        outcomes.insert(address, outcome(&name, None)?);
    }
    let mut latencies = BTreeMap::new();
    for (address, millis) in arguments.chosen("latency_ms.")? {
        let millis = millis.parse();
        let millis = millis.map_err(|_| Answer::refused("performer:malformed", "latency_ms"))?;
        latencies.insert(address, Duration::from_millis(millis));
    }
    arguments.end()?;
    let excluding: Vec<&str> = excluding.iter().map(String::as_str).collect();
    let (mut counts, mut whys) = (BTreeMap::new(), BTreeMap::new());
    let mut failed = 0u64;
    for number in 0..count {
        let options = match &prefix {
            None => PickOptions::default(),
            Some(prefix) => {
                let mut key = prefix.clone();
                key.extend_from_slice(number.to_string().as_bytes());
                PickOptions::sticky(key)
            }
        };
        let pick = match client.pick(&service, &options.excluding(&excluding)) {
            Ok(pick) => pick,
            Err(error) if error.code() == ErrorCode::NoEndpoints => {
                failed += 1;
                continue;
            }
            Err(error) => return Err(error.into()),
        };
        let address = pick.address().to_owned();
        *whys.entry(pick.why().name()).or_insert(0u64) += 1;
        let outcome = outcomes.get(&address).copied().unwrap_or(Outcome::Ok);
        let latency = latencies.get(&address).copied();
        pick.report(outcome, Some(latency.unwrap_or(Duration::from_millis(1))));
        *counts.entry(address).or_insert(0u64) += 1;
    }
    let mut fields = one("failed", failed);
    for (address, count) in counts {
        fields.show(format!("count.{address}"), count);
    }
    for (why, count) in whys {
        fields.show(format!("why.{why}"), count);
    }
    Ok(fields)
}
