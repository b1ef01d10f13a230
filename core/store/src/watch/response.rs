//! From changes to responses: previous versions, headers, fragments.

use prost::Message;
use quorate_proto::etcdserverpb::WatchResponse;
use quorate_proto::mvccpb::Event;

use super::queue::{Delivery, Watcher};
use crate::error::StoreFault;
use crate::range::header;
use crate::revision::Revision;
use crate::view::{View, read_row};

/// An event with the version before the change, where that is still kept.
pub(crate) fn with_previous(
    view: &View,
    event: &Event,
    previous: Option<Revision>,
) -> Result<Event, StoreFault> {
    let mut event = event.clone();
    let before = event.kv.as_ref().map_or(0, |kv| kv.mod_revision) - 1;
    if let Some(previous) = previous.filter(|_| before >= view.compacted) {
        let kv = read_row(&view.rows, previous, |record| record.to_key_value(previous))?;
        event.prev_kv = Some(kv);
    }
    Ok(event)
}

/// Makes one response of deliveries to one watcher.
pub(crate) fn of_deliveries(
    view: &View,
    watcher: &Watcher,
    deliveries: &[Delivery],
) -> Result<WatchResponse, StoreFault> {
    let mut events = Vec::new();
    let (mut id, mut revision) = (0, 0);
    for delivery in deliveries {
        id = delivery.id;
        revision = delivery.transaction.main;
        for pick in delivery.picks.iter() {
            let change = &delivery.transaction.changes[pick];
            events.push(if watcher.prev_kv {
                with_previous(view, &change.event, change.previous)?
            } else {
                change.event.clone()
            });
        }
    }
    Ok(of_events(id, revision, events))
}

/// A response with events. Its header has the last one's revision: a client may resume behind
/// the header without missing anything.
pub(crate) fn of_events(id: i64, revision: i64, events: Vec<Event>) -> WatchResponse {
    WatchResponse {
        header: header(revision),
        watch_id: id,
        events,
        ..WatchResponse::default()
    }
}

/// Splits a response that is larger than `limit` bytes, if its watcher allows it; all parts but
/// the last say that more follow.
pub(crate) fn fragments(
    response: WatchResponse,
    fragment: bool,
    limit: usize,
) -> Vec<WatchResponse> {
    if !fragment || response.events.len() < 2 || response.encoded_len() <= limit {
        return vec![response];
    }
    let empty = WatchResponse {
        events: Vec::new(),
        fragment: true,
        ..response.clone_header()
    };
    let mut parts = Vec::new();
    let mut size = empty.encoded_len();
    let mut part = empty.clone();
    for event in response.events {
        // Tag and length of an event in its list take no more than this.
        let length = event.encoded_len() + 11;
        if !part.events.is_empty() && size + length > limit {
            parts.push(std::mem::replace(&mut part, empty.clone()));
            size = empty.encoded_len();
        }
        size += length;
        part.events.push(event);
    }
    part.fragment = false;
    parts.push(part);
    parts
}

trait CloneHeader {
    fn clone_header(&self) -> Self;
}

impl CloneHeader for WatchResponse {
    /// Everything but the events.
    fn clone_header(&self) -> Self {
        Self {
            header: self.header,
            watch_id: self.watch_id,
            created: self.created,
            canceled: self.canceled,
            compact_revision: self.compact_revision,
            cancel_reason: self.cancel_reason.clone(),
            fragment: self.fragment,
            events: Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use quorate_proto::mvccpb::KeyValue;

    use super::*;

    fn response(events: usize, value: usize) -> WatchResponse {
        let event = |number: usize| Event {
            kv: Some(KeyValue {
                key: Bytes::from(number.to_string()),
                value: Bytes::from(vec![0; value]),
                ..KeyValue::default()
            }),
            ..Event::default()
        };
        of_events(3, 9, (0..events).map(event).collect())
    }

    #[test]
    fn fragments_stay_under_the_limit_and_only_the_last_ends() {
        let parts = fragments(response(20, 100), true, 512);
        assert!(parts.len() > 3);
        for (number, part) in parts.iter().enumerate() {
            assert!(part.encoded_len() <= 512);
            assert_eq!(part.fragment, number + 1 < parts.len());
            assert_eq!((part.watch_id, part.header.unwrap().revision), (3, 9));
        }
        let events: Vec<_> = parts.into_iter().flat_map(|part| part.events).collect();
        assert_eq!(events, response(20, 100).events);
    }

    #[test]
    fn what_fits_or_may_not_be_split_stays_whole() {
        assert_eq!(fragments(response(20, 100), false, 512).len(), 1);
        assert_eq!(fragments(response(2, 10), true, 512).len(), 1);
        // One event can't be split.
        let single = fragments(response(1, 1000), true, 512);
        assert!(single.len() == 1 && !single[0].fragment);
    }
}
