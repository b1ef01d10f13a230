//! Clients: opened, closed, asked how they are.

use std::collections::BTreeMap;

use quorate::{Client, Instance};
use quorate_tests::conformance::line::{Answer, Fields};

use crate::arguments::Arguments;
use crate::names::Thing;
use crate::{Done, NAMES};

pub(crate) fn open(arguments: &mut Arguments) -> Done {
    let name = arguments.needed("as", Arguments::text)?;
    let mut builder = Client::builder();
    if let Some(endpoints) = arguments.texts("endpoints")? {
        builder = builder.endpoints(endpoints);
    }
    if let Some(namespace) = arguments.text("namespace")? {
        builder = builder.namespace(namespace);
    }
    if let Some(directory) = arguments.text("cache_dir")? {
        builder = builder.cache_dir(directory);
    }
    if let Some(timeout) = arguments.millis("request_timeout_ms")? {
        builder = builder.request_timeout(timeout);
    }
    if let Some(timeout) = arguments.millis("connect_timeout_ms")? {
        builder = builder.connect_timeout(timeout);
    }
    if let Some(client_name) = arguments.text("client_name")? {
        builder = builder.client_name(client_name);
    }
    if let Some(algorithm) = arguments.text("algorithm")? {
        let algorithm = algorithm
            .parse()
            .map_err(|error: quorate::UnknownAlgorithm| {
                Answer::refused("host:UnknownAlgorithm", error.to_string())
            })?;
        builder = builder.algorithm(algorithm);
    }
    let mut services: BTreeMap<String, Vec<Instance>> = BTreeMap::new();
    for mut one in arguments.numbered("static.") {
        let service = one.needed("service", Arguments::text)?;
        let mut instance = Instance::new(one.needed("address", Arguments::text)?);
        if let Some(id) = one.text("id")? {
            instance.id = id;
        }
        if let Some(weight) = one.number("weight")? {
            instance.weight = weight;
        }
        one.end()?;
        services.entry(service).or_default().push(instance);
    }
    for (service, instances) in services {
        builder = builder.static_instances(service, instances);
    }
    for (name, number) in arguments.chosen("balancer.")? {
        let number = number.parse();
        let number = number.map_err(|_| Answer::refused("host:ParseFloatError", name.clone()))?;
        builder = builder.balancer_setting(name, number);
    }
    arguments.end()?;
    NAMES.set(name, Thing::Client(builder.build()?));
    Ok(Fields::new())
}

pub(crate) async fn connected(arguments: &mut Arguments) -> Done {
    let client = NAMES.client(arguments)?;
    arguments.end()?;
    client.connected().await?;
    Ok(Fields::new())
}

pub(crate) async fn close(arguments: &mut Arguments) -> Done {
    let client = NAMES.client(arguments)?;
    arguments.end()?;
    client.close().await;
    Ok(Fields::new())
}

pub(crate) fn metrics(arguments: &mut Arguments) -> Done {
    let metrics = NAMES.client(arguments)?.metrics();
    arguments.end()?;
    let mut fields = Fields::new();
    for (name, count) in metrics.named() {
        fields.show(name, count);
    }
    Ok(fields)
}

pub(crate) async fn server_status(arguments: &mut Arguments) -> Done {
    let client = NAMES.client(arguments)?;
    arguments.end()?;
    let mut fields = Fields::new();
    for (number, status) in client.server_status().await.into_iter().enumerate() {
        let key = |what: &str| format!("server.{number}.{what}");
        fields.set(key("address"), &status.address);
        match status.result {
            Ok(info) => {
                fields.set(key("version"), &info.version);
                fields.show(key("leader"), info.leader);
                fields.show(key("term"), info.term);
                fields.show(key("revision"), info.revision);
            }
            Err(error) => fields.set(key("error"), error.to_string()),
        }
    }
    Ok(fields)
}
