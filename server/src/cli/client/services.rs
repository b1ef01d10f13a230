//! `quorate services` and `quorate instances`: who is there.

use clap::Args;
use futures::StreamExt;
use quorate::{Instance, ServiceEvent, ServiceView};
use serde_json::{Value, json};

use super::command::Signals;
use super::{Context, Ending};
use crate::failure::{Exit, Failure};

#[derive(Args, Debug)]
pub(crate) struct ServicesArguments {
    /// Those of all namespaces
    #[arg(long)]
    all_namespaces: bool,
}

pub(super) async fn services(context: &Context, arguments: ServicesArguments) -> Ending {
    let namespace = arguments.all_namespaces.then_some("*");
    let services = context
        .call(context.client.list_services(namespace))
        .await?;
    let rows = services
        .iter()
        .map(|service| {
            vec![
                service.service.namespace().into(),
                service.service.name().into(),
                service.instances.into(),
                service.up.into(),
                service.subscribers.into(),
            ]
        })
        .collect();
    let columns = ["namespace", "service", "instances", "up", "subscribers"];
    context.printer.rows(&columns, rows)?;
    Ok(0.into())
}

#[derive(Args, Debug)]
pub(crate) struct InstancesArguments {
    /// The service
    service: String,
    /// Print what is there, then every change, until interrupted
    #[arg(long, short)]
    watch: bool,
}

pub(super) async fn instances(context: &Context, arguments: InstancesArguments) -> Ending {
    if arguments.watch {
        return watch(context, &arguments.service).await;
    }
    let view = context
        .call(context.client.discover(&arguments.service))
        .await?;
    let rows: Vec<_> = view.instances.iter().map(|one| row(one)).collect();
    if rows.is_empty() {
        return Err(Failure::new(
            Exit::NotFound,
            format!("service {:?} has no instances", arguments.service),
        ));
    }
    context.printer.rows(&COLUMNS, rows)?;
    Ok(0.into())
}

const COLUMNS: [&str; 8] = [
    "id", "address", "weight", "status", "zone", "version", "metadata", "revision",
];

fn row(instance: &Instance) -> Vec<Value> {
    let text = |text: &str| {
        if text.is_empty() {
            Value::Null
        } else {
            text.into()
        }
    };
    vec![
        instance.id.as_str().into(),
        instance.address.as_str().into(),
        instance.weight.into(),
        instance.status.name().into(),
        text(&instance.zone),
        text(&instance.version),
        json!(instance.metadata),
        instance.revision.into(),
    ]
}

async fn watch(context: &Context, service: &str) -> Ending {
    let mut signals = Signals::catch()?;
    let mut events = context
        .client
        .watch_service(service)
        .map_err(|error| super::failure(&error))?;
    loop {
        let event = tokio::select! {
            event = events.next() => event,
            () = signals.next() => return Ok(0.into()),
        };
        match event {
            None => return Ok(0.into()),
            Some(event) => show(context, &event)?,
        }
    }
}

fn show(context: &Context, event: &ServiceEvent) -> Result<(), Failure> {
    match event {
        ServiceEvent::Snapshot { view } => show_all(context, "present", view),
        ServiceEvent::Resync { view } => show_all(context, "resync", view),
        ServiceEvent::State { freshness } => context.printer.step(
            &format!("STATE\t{}", freshness.state.name()),
            &json!({ "event": "state", "state": freshness.state.name() }),
        ),
        ServiceEvent::Changed {
            added,
            updated,
            removed,
            ..
        } => {
            for instance in added {
                show_one(context, "added", instance, None)?;
            }
            for instance in updated {
                show_one(context, "updated", instance, None)?;
            }
            for gone in removed {
                let reason = gone.reason.map(|reason| reason.name());
                show_one(context, "removed", &gone.instance, reason)?;
            }
            Ok(())
        }
        // A kind of event that this version does not know how to show.
        _ => Ok(()),
    }
}

fn show_all(context: &Context, what: &str, view: &ServiceView) -> Result<(), Failure> {
    for instance in view.instances.iter() {
        show_one(context, what, instance, None)?;
    }
    Ok(())
}

fn show_one(
    context: &Context,
    what: &str,
    instance: &Instance,
    reason: Option<&str>,
) -> Result<(), Failure> {
    let mut text = format!(
        "{}\t{}\t{}\tweight {}\t{}",
        what.to_uppercase(),
        instance.id,
        instance.address,
        instance.weight,
        instance.status
    );
    let mut value = json!({ "event": what, "instance": instance });
    if let Some(reason) = reason {
        text += &format!("\t{reason}");
        value["reason"] = reason.into();
    }
    context.printer.step(&text, &value)
}
