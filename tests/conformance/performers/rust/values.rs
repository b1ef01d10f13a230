//! What the crate answers, as fields.

use quorate::kv::KeyValue;
use quorate::{Instance, ServiceView};
use quorate_tests::conformance::line::Fields;

fn instance(instance: &Instance) -> Fields {
    let mut fields = Fields::new();
    fields.set("id", &instance.id);
    fields.set("address", &instance.address);
    fields.show("weight", instance.weight);
    fields.set("zone", &instance.zone);
    fields.set("version", &instance.version);
    fields.set("status", instance.status.name());
    fields.show("ttl_ms", instance.ttl.as_millis());
    fields.show("revision", instance.revision);
    for (key, value) in &instance.metadata {
        fields.set(format!("metadata.{key}"), value);
    }
    fields
}

pub(crate) fn view(view: &ServiceView) -> Fields {
    let mut fields = Fields::new();
    fields.set("state", view.freshness.state.name());
    fields.show("complete", view.freshness.complete);
    fields.show("revision", view.freshness.revision);
    fields.show("instances", view.instances.len());
    for (number, one) in view.instances.iter().enumerate() {
        fields.put_under(&format!("instance.{number}."), instance(one));
    }
    fields
}

pub(crate) fn key_value(kv: &KeyValue) -> Fields {
    let mut fields = Fields::new();
    fields.set("key", &kv.key);
    fields.set("value", &kv.value);
    fields.show("version", kv.version);
    fields.show("create_revision", kv.create_revision);
    fields.show("mod_revision", kv.mod_revision);
    fields.show("lease", kv.lease);
    fields
}

/// A single value under a single key.
pub(crate) fn one(key: &str, value: impl ToString) -> Fields {
    let mut fields = Fields::new();
    fields.show(key, value);
    fields
}
