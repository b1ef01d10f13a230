//! Reading a create request.

use bytes::Bytes;
use quorate_proto::etcdserverpb::watch_create_request::FilterType;
use quorate_proto::etcdserverpb::{WatchCreateRequest, WatchResponse};

use super::change::Filters;
use super::queue::{Mode, Queue, Watcher};
use super::stream::WatchLimits;
use crate::error::EtcdError;
use crate::key_range::KeyRange;
use crate::range::header;

/// The id of answers that are for no watcher in particular.
pub(crate) const NO_WATCHER: i64 = -1;

const EMPTY_RANGE: &str = "mvcc: watcher range is empty";
const DUPLICATE_ID: &str = "mvcc: duplicate watch ID provided on the WatchStream";
const TOO_MANY: &str = "etcdserver: too many requests";

/// Makes a watcher of a request, and the id it gets; or says why not. `revision` is the newest
/// that has been handed out.
pub(crate) fn watcher(
    request: WatchCreateRequest,
    queue: &mut Queue,
    revision: i64,
    limits: &WatchLimits,
) -> Result<(i64, Watcher), &'static str> {
    // A watch may leave out its key: then it is the first there can be.
    let key = if request.key.is_empty() {
        Bytes::from_static(b"\0")
    } else {
        request.key.into()
    };
    let range = KeyRange::new(key, request.range_end);
    if range.is_empty() {
        return Err(EMPTY_RANGE);
    }
    if request.start_revision < 0 {
        return Err(EtcdError::Compacted.message());
    }
    if queue.watchers.len() >= limits.watchers {
        return Err(TOO_MANY);
    }
    let id = match request.watch_id {
        0 => {
            while queue.watchers.contains_key(&queue.next_id) {
                queue.next_id += 1;
            }
            queue.next_id
        }
        id if queue.watchers.contains_key(&id) => return Err(DUPLICATE_ID),
        id => id,
    };
    if request.watch_id == 0 {
        queue.next_id += 1;
    }
    let start = match request.start_revision {
        0 => revision + 1,
        start => start,
    };
    let mut filters = Filters::default();
    for filter in request.filters {
        match FilterType::try_from(filter) {
            Ok(FilterType::Noput) => filters.no_put = true,
            Ok(FilterType::Nodelete) => filters.no_delete = true,
            // etcd ignores filters it does not know.
            Err(_) => {}
        }
    }
    queue.incarnations += 1;
    let mode = if start > revision {
        Mode::Live
    } else {
        Mode::Lagging { next: start }
    };
    Ok((
        id,
        Watcher {
            range,
            filters,
            prev_kv: request.prev_kv,
            fragment: request.fragment,
            progress_notify: request.progress_notify,
            start,
            mode,
            incarnation: queue.incarnations,
            quiet: true,
        },
    ))
}

/// The answer to a create request: the watcher's id, or why there is none.
pub(crate) fn answer(made: Result<i64, &'static str>, revision: i64) -> WatchResponse {
    WatchResponse {
        header: header(revision),
        watch_id: made.unwrap_or(NO_WATCHER),
        created: true,
        canceled: made.is_err(),
        cancel_reason: made.err().unwrap_or_default().to_owned(),
        ..WatchResponse::default()
    }
}
