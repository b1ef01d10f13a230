//! An instance as the registry holds it: its texts packed into one allocation, its hash known.
//!
//! A [`quorate_types::Instance`] with three metadata entries takes over 900 bytes, most of it
//! unused room in its map. A million packed ones fit where that many would not.

use std::borrow::Borrow;
use std::collections::BTreeMap;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use quorate_proto::v1;
use quorate_types::{ContentHash, Instance, InstanceStatus, Ttl};

/// An immutable version of an instance.
#[derive(Debug)]
pub(crate) struct Record {
    revision: u64,
    hash: ContentHash,
    ttl: Ttl,
    weight: u16,
    status: InstanceStatus,
    /// Id, address (empty if it is the id), zone, version, then keys and values of the metadata,
    /// each after its length as a varint.
    packed: Box<[u8]>,
}

/// A validated instance on its way into a service: packed before any lock is taken.
pub(crate) struct Draft {
    instance: Instance,
    packed: Box<[u8]>,
}

/// A record as a key: equal by the instance's id alone.
#[derive(Clone, Debug)]
pub(crate) struct ById(pub(crate) Arc<Record>);

struct Fields<'a>(&'a [u8]);

// === impl Record ===

impl Record {
    pub(crate) fn revision(&self) -> u64 {
        self.revision
    }

    pub(crate) fn hash(&self) -> ContentHash {
        self.hash
    }

    pub(crate) fn ttl(&self) -> Ttl {
        self.ttl
    }

    pub(crate) fn is_up(&self) -> bool {
        self.status == InstanceStatus::Up
    }

    /// Bytes of its texts: what the size limit of a service counts.
    pub(crate) fn size(&self) -> usize {
        self.packed.len()
    }

    pub(crate) fn id(&self) -> &[u8] {
        Fields(&self.packed).text()
    }

    /// The instance, to be changed and registered again.
    pub(crate) fn to_instance(&self) -> Instance {
        let wire = self.to_wire();
        Instance {
            id: wire.id,
            address: wire.address,
            weight: self.weight,
            zone: wire.zone,
            version: wire.version,
            metadata: wire.metadata,
            status: self.status,
            ttl: self.ttl,
            revision: self.revision,
        }
    }

    /// The instance as it is sent.
    pub(crate) fn to_wire(&self) -> v1::Instance {
        let mut fields = Fields(&self.packed);
        let id = fields.string();
        let address = match fields.string() {
            address if address.is_empty() => id.clone(),
            address => address,
        };
        v1::Instance {
            address,
            id,
            weight: u32::from(self.weight),
            zone: fields.string(),
            version: fields.string(),
            metadata: fields.map(),
            status: v1::InstanceStatus::from(self.status) as i32,
            ttl_ms: self.ttl.as_millis(),
            revision: self.revision,
        }
    }
}

// === impl Draft ===

impl Draft {
    /// Packs a validated instance.
    pub(crate) fn new(instance: Instance) -> Self {
        let packed = pack(&instance);
        Self { instance, packed }
    }

    pub(crate) fn id(&self) -> &str {
        &self.instance.id
    }

    pub(crate) fn size(&self) -> usize {
        self.packed.len()
    }

    /// In milliseconds.
    pub(crate) fn ttl(&self) -> u64 {
        self.instance.ttl.as_millis().into()
    }

    /// Whether it says the same as a record, apart from the revision.
    pub(crate) fn same_content(&self, record: &Record) -> bool {
        self.packed == record.packed
            && self.instance.weight == record.weight
            && self.instance.status == record.status
            && self.instance.ttl == record.ttl
    }

    pub(crate) fn into_record(mut self, revision: u64) -> Record {
        self.instance.revision = revision;
        Record {
            revision,
            hash: ContentHash::of([&self.instance]),
            ttl: self.instance.ttl,
            weight: self.instance.weight,
            status: self.instance.status,
            packed: self.packed,
        }
    }
}

// === impl ById ===

impl Borrow<[u8]> for ById {
    fn borrow(&self) -> &[u8] {
        self.0.id()
    }
}

impl PartialEq for ById {
    fn eq(&self, other: &Self) -> bool {
        self.0.id() == other.0.id()
    }
}

impl Eq for ById {}

impl Hash for ById {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.id().hash(state);
    }
}

fn pack(instance: &Instance) -> Box<[u8]> {
    let address = if instance.address == instance.id {
        ""
    } else {
        &instance.address
    };
    let texts = || {
        [&*instance.id, address, &*instance.zone, &*instance.version]
            .into_iter()
            .chain(
                instance
                    .metadata
                    .iter()
                    .flat_map(|(key, value)| [&**key, &**value]),
            )
    };
    let size = texts().map(|text| text.len() + varint_size(text.len()));
    let mut packed = Vec::with_capacity(size.sum());
    for text in texts() {
        let mut length = text.len();
        while length >= 0x80 {
            packed.push(length as u8 | 0x80);
            length >>= 7;
        }
        packed.push(length as u8);
        packed.extend_from_slice(text.as_bytes());
    }
    packed.into_boxed_slice()
}

fn varint_size(length: usize) -> usize {
    1 + (length.max(1).ilog2() / 7) as usize
}

// === impl Fields ===

impl<'a> Fields<'a> {
    /// The next text; empty at the end, which only the metadata reaches.
    fn text(&mut self) -> &'a [u8] {
        let mut length = 0;
        let mut shift = 0;
        while let Some((&byte, rest)) = self.0.split_first() {
            self.0 = rest;
            length |= usize::from(byte & 0x7f) << shift;
            shift += 7;
            if byte < 0x80 {
                break;
            }
        }
        let (text, rest) = self.0.split_at(length);
        self.0 = rest;
        text
    }

    fn string(&mut self) -> String {
        // Packed from a `String`, so nothing is ever replaced.
        String::from_utf8_lossy(self.text()).into_owned()
    }

    fn map(&mut self) -> BTreeMap<String, String> {
        let mut map = BTreeMap::new();
        while !self.0.is_empty() {
            let key = self.string();
            map.insert(key, self.string());
        }
        map
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn instance() -> impl Strategy<Value = Instance> {
        let text = "\\PC{0,20}";
        (
            ("\\PC{1,200}", "[a-z]{1,9}:[1-9]", text, text),
            proptest::collection::btree_map("\\PC{1,9}", "\\PC{0,300}", 0..5),
            (any::<u16>(), 1_000u32..60_000, 1usize..5),
        )
            .prop_map(
                |((id, address, zone, version), metadata, (weight, ttl, status))| Instance {
                    id,
                    weight,
                    zone,
                    version,
                    metadata,
                    status: ["up", "starting", "draining", "down"]
                        .map(|name| InstanceStatus::from_name(name).unwrap())[status - 1],
                    ttl: Ttl::from_millis(ttl).unwrap(),
                    ..Instance::new(address)
                },
            )
    }

    proptest! {
        #[test]
        fn what_is_packed_comes_out_again(instance in instance(), revision: u64) {
            let draft = Draft::new(instance.clone());
            prop_assert_eq!(draft.packed.len(), draft.size());
            let record = draft.into_record(revision);
            let expected = Instance { revision, ..instance };
            prop_assert_eq!(record.id(), expected.id.as_bytes());
            prop_assert_eq!(record.hash(), ContentHash::of([&expected]));
            prop_assert_eq!(&record.to_wire(), &v1::Instance::from(&expected));
            prop_assert_eq!(&record.to_instance(), &expected);
        }

        #[test]
        fn content_is_the_same_exactly_when_the_instances_say_the_same(
            a in instance(),
            b in instance(),
            mix in proptest::array::uniform8(any::<bool>()),
        ) {
            let mut c = a.clone();
            if mix[0] { c.id = b.id; }
            if mix[1] { c.address = b.address; }
            if mix[2] { c.weight = b.weight; }
            if mix[3] { c.zone = b.zone; }
            if mix[4] { c.version = b.version; }
            if mix[5] { c.metadata = b.metadata; }
            if mix[6] { c.status = b.status; }
            if mix[7] { c.ttl = b.ttl; }
            let record = Draft::new(a.clone()).into_record(1);
            prop_assert_eq!(Draft::new(c.clone()).same_content(&record), c.same_content(&a));
        }
    }

    #[test]
    fn an_address_that_is_the_id_is_held_once() {
        let draft = Draft::new(Instance::new("10.0.0.1:8080"));
        assert_eq!(draft.size(), "10.0.0.1:8080".len() + 4);
        assert_eq!(draft.into_record(1).to_wire().address, "10.0.0.1:8080");
    }
}
