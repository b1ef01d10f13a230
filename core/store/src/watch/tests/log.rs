//! Whatever a client reads or leaves unread, it gets its part of the log: nothing missing,
//! nothing twice, nothing out of order.

use std::collections::BTreeMap;

use proptest::prelude::*;
use quorate_proto::log::Command;
use quorate_proto::log::command::Op;
use quorate_proto::mvccpb::Event;

use super::*;
use crate::key_range::KeyRange;
use crate::testing::model::Model;
use crate::testing::random;

/// What a client knows of one of its watches.
struct Seen {
    request: WatchCreateRequest,
    /// The first revision it must get; known once it is created.
    start: Option<i64>,
    events: Vec<Event>,
    /// It got some parts of this revision, and must get the rest.
    partial: bool,
    canceled: bool,
}

impl Seen {
    fn last(&self) -> i64 {
        self.events
            .last()
            .map_or(0, |event| event.kv.as_ref().unwrap().mod_revision)
    }

    /// What it must have been told of the log up to `revision`, with previous versions.
    fn expected(&self, model: &Model, revision: i64) -> Vec<Event> {
        let Some(start) = self.start else {
            return Vec::new();
        };
        let range = KeyRange::borrowed(&self.request.key, &self.request.range_end);
        (start..=revision)
            .flat_map(|revision| model.events(revision))
            .filter(|event| range.contains(&event.kv.as_ref().unwrap().key))
            .filter(|event| !self.request.filters.contains(&event.r#type))
            .cloned()
            .collect()
    }
}

struct Client {
    stream: WatchStream,
    seen: BTreeMap<i64, Seen>,
    /// Requests whose answer has not come.
    asked: Vec<WatchCreateRequest>,
    progress: usize,
}

impl Client {
    /// Reads one response and checks it; `false` if there is none.
    fn read(&mut self, model: &Model) -> bool {
        let Some(response) = poll_next(&self.stream) else {
            return false;
        };
        let id = response.watch_id;
        let revision = response.header.unwrap().revision;
        if id == -1 {
            assert!(!response.created && response.events.is_empty());
            assert!(self.progress > 0, "nobody asked");
            self.progress = 0;
            for seen in self.seen.values().filter(|seen| !seen.canceled) {
                let expected = seen.expected(model, revision);
                assert_eq!(seen.events.len(), expected.len(), "progress too early");
            }
            return true;
        }
        if response.created {
            assert!(!response.canceled);
            let request = self.asked.remove(0);
            let start = match request.start_revision {
                0 => revision + 1,
                start => start,
            };
            self.seen.insert(
                id,
                Seen {
                    request,
                    start: Some(start),
                    events: Vec::new(),
                    partial: false,
                    canceled: false,
                },
            );
            return true;
        }
        let seen = self.seen.get_mut(&id).expect("created comes first");
        assert!(!seen.canceled, "told after it was canceled");
        if response.canceled {
            seen.canceled = true;
            if response.compact_revision != 0 {
                assert!(response.compact_revision > seen.last());
                assert_eq!(response.compact_revision, model.compacted);
            }
            return true;
        }
        assert!(!response.events.is_empty(), "a response without content");
        let first = response.events[0].kv.as_ref().unwrap().mod_revision;
        if seen.partial {
            assert!(first >= seen.last());
        } else {
            assert!(first > seen.last(), "a revision was split");
        }
        assert!(seen.request.fragment || !response.fragment);
        seen.partial = response.fragment;
        seen.events.extend(response.events);
        if !seen.partial {
            assert_eq!(revision, seen.last());
        }
        // All of it so far is the log's beginning, and its revisions are whole.
        let to = if seen.partial {
            model.revision()
        } else {
            seen.last()
        };
        let expected = seen.expected(model, to);
        if !seen.partial {
            assert_eq!(seen.events.len(), expected.len());
        }
        for (event, expected) in seen.events.iter_mut().zip(&expected) {
            assert_eq!((event.r#type, &event.kv), (expected.r#type, &expected.kv));
            match &event.prev_kv {
                Some(_) => {
                    assert!(seen.request.prev_kv);
                    assert_eq!(event.prev_kv, expected.prev_kv);
                }
                None if seen.request.prev_kv && expected.prev_kv.is_some() => {
                    let revision = event.kv.as_ref().unwrap().mod_revision;
                    assert!(revision <= model.compacted, "prev_kv is missing");
                }
                None => {}
            }
        }
        true
    }
}

#[derive(Clone, Debug)]
enum Step {
    Apply(Vec<Op>),
    Create(usize, WatchCreateRequest),
    Cancel(usize, i64),
    Progress(usize),
    Read(usize, usize),
    Tidy,
}

fn create() -> impl Strategy<Value = WatchCreateRequest> {
    (
        random::key_range(),
        prop_oneof![2 => Just(0_i64), 3 => 1_i64..30],
        prop::collection::vec(0_i32..2, 0..2),
        any::<bool>(),
        any::<bool>(),
    )
        .prop_filter("empty ranges are refused", |((key, range_end), ..)| {
            !KeyRange::borrowed(key, range_end).is_empty()
        })
        .prop_map(
            |((key, range_end), start_revision, filters, prev_kv, fragment)| WatchCreateRequest {
                key,
                range_end,
                start_revision,
                filters,
                prev_kv,
                fragment,
                ..WatchCreateRequest::default()
            },
        )
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => prop::collection::vec(random::op(), 1..5).prop_map(Step::Apply),
        3 => (0_usize..2, create()).prop_map(|(client, request)| Step::Create(client, request)),
        1 => (0_usize..2, 0_i64..6).prop_map(|(client, id)| Step::Cancel(client, id)),
        1 => (0_usize..2).prop_map(Step::Progress),
        4 => (0_usize..2, 1_usize..6).prop_map(|(client, count)| Step::Read(client, count)),
        2 => Just(Step::Tidy),
    ]
}

fn limits() -> impl Strategy<Value = WatchLimits> {
    (
        1_usize..6,
        1_usize..2000,
        60_usize..300,
        1_usize..6,
        1_usize..600,
        1_usize..8,
        0_usize..6,
    )
        .prop_map(
            |(changes, bytes, fragment, events, response, rows, keys)| WatchLimits {
                buffered_changes: changes,
                buffered_bytes: bytes,
                fragment_bytes: fragment,
                response_events: events,
                response_bytes: response,
                history_rows: rows,
                indexed_keys: keys,
                ..WatchLimits::default()
            },
        )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, ..ProptestConfig::default() })]

    #[test]
    fn every_watcher_gets_its_part_of_the_log(
        steps in prop::collection::vec(step(), 1..40),
        limits in prop::collection::vec(limits(), 2),
    ) {
        let fixture = Fixture::new();
        let mut model = Model::new();
        let mut clients: Vec<_> = limits
            .into_iter()
            .map(|limits| Client {
                stream: fixture.store.watch_stream(limits),
                seen: BTreeMap::new(),
                asked: Vec::new(),
                progress: 0,
            })
            .collect();
        for step in steps {
            match step {
                Step::Apply(mut ops) => {
                    ops.retain(|op| {
                        let command = Command { op: Some(op.clone()) };
                        fixture.store.validate(&command).is_ok()
                    });
                    for op in &ops {
                        let _ = model.apply(op.clone());
                    }
                    fixture.batch(ops);
                }
                Step::Create(client, request) => {
                    clients[client].stream.ask(RequestUnion::CreateRequest(request.clone()));
                    clients[client].asked.push(request);
                }
                Step::Cancel(client, watch_id) => clients[client]
                    .stream
                    .ask(RequestUnion::CancelRequest(WatchCancelRequest { watch_id })),
                Step::Progress(client) => {
                    clients[client].progress += 1;
                    let request = RequestUnion::ProgressRequest(WatchProgressRequest {});
                    clients[client].stream.ask(request);
                }
                Step::Read(client, count) => {
                    for _ in 0..count {
                        clients[client].read(&model);
                    }
                }
                Step::Tidy => {
                    fixture.store.compaction_step().unwrap();
                }
            }
        }
        for client in &mut clients {
            while client.read(&model) {}
            prop_assert!(client.asked.is_empty());
            let now = model.revision();
            let mut complete = true;
            for seen in client.seen.values().filter(|seen| !seen.canceled) {
                prop_assert_eq!(seen.events.len(), seen.expected(&model, now).len());
                prop_assert!(!seen.partial);
                complete &= seen.start.unwrap() <= now + 1;
            }
            // A progress request is answered, unless a watcher starts in the future.
            prop_assert!(client.progress == 0 || !complete);
        }
        let live = clients.iter().flat_map(|client| client.seen.values());
        let live = live.filter(|seen| !seen.canceled).count();
        prop_assert_eq!(fixture.store.shared.hub.live_watchers(), live);
    }
}
