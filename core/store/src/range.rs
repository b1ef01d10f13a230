//! Range: reads of one key or an interval, now or in the past.

use quorate_proto::etcdserverpb::range_request::{SortOrder, SortTarget};
use quorate_proto::etcdserverpb::{RangeRequest, RangeResponse, ResponseHeader};
use quorate_proto::mvccpb::KeyValue;
use redb::ReadableTable;

use crate::error::{EtcdError, Stop, StoreFault};
use crate::index::Seen;
use crate::key_range::KeyRange;
use crate::revision::RowKey;
use crate::view::{Reader, read_row};

/// A response's header as the store fills it.
pub(crate) fn header(revision: i64) -> Option<ResponseHeader> {
    Some(ResponseHeader {
        revision,
        ..ResponseHeader::default()
    })
}

impl<T> Reader<'_, T>
where
    T: ReadableTable<&'static RowKey, &'static [u8]>,
{
    /// Answers a Range. The header has the current revision, even of a read in the past.
    pub(crate) fn range(&self, request: &RangeRequest) -> Result<RangeResponse, Stop> {
        let at = self.at(request.revision)?;
        let order = Order::of(request)?;
        let limit = usize::try_from(request.limit)
            .ok()
            .filter(|&limit| limit > 0)
            .unwrap_or(usize::MAX);
        let wanted = if request.count_only {
            0
        } else if order.is_the_indexs() && !filters(request) {
            // One more shows that there are more.
            limit.saturating_add(1)
        } else {
            usize::MAX
        };
        let range = KeyRange::borrowed(&request.key, &request.range_end);
        let (mut found, count) = match range.single() {
            // The most frequent read, without a list's detour.
            Some(key) => {
                let found = self.lookup(key, at)?.map(|(revision, head)| Seen {
                    revision,
                    create_revision: head.map_or(0, |head| head.create_revision),
                });
                (Vec::from_iter(found), usize::from(found.is_some()))
            }
            None => {
                let found = self.live(&range, at, wanted)?;
                (found.versions, found.count)
            }
        };
        let mut response = RangeResponse {
            header: header(self.revision),
            // The count knows neither limit nor filters.
            count: i64::try_from(count).unwrap_or(i64::MAX),
            ..RangeResponse::default()
        };
        if request.count_only {
            return Ok(response);
        }
        found.retain(|seen| within(request, Bound::Modified, seen.revision.main));
        if filters_creation(request) || order.target == SortTarget::Create {
            self.complete_creation(&mut found)?;
            found.retain(|seen| within(request, Bound::Created, seen.create_revision));
        }
        if let Some(order) = order.by_revision() {
            // What is cut off need not be read.
            response.more = order.sort_versions(&mut found, limit);
        }
        let values = !request.keys_only || order.target == SortTarget::Value;
        let mut kvs = Vec::with_capacity(found.len());
        for Seen { revision, .. } in found {
            let kv = read_row(self.rows, revision, |record| {
                let record = if values {
                    record
                } else {
                    record.without_value()
                };
                record.to_key_value(revision)
            })?;
            self.take_room(&kv)?;
            kvs.push(kv);
        }
        if order.by_revision().is_none() {
            order.sort(&mut kvs);
        }
        if kvs.len() > limit {
            response.more = true;
            kvs.truncate(limit);
        }
        if request.keys_only && values {
            for kv in &mut kvs {
                kv.value.clear();
            }
        }
        response.kvs = kvs;
        Ok(response)
    }

    /// Looks up when versions were created that are not the newest of their keys.
    fn complete_creation(&self, found: &mut [Seen]) -> Result<(), StoreFault> {
        for seen in found {
            if seen.create_revision == 0 {
                seen.create_revision = self.key_value(seen.revision)?.create_revision;
            }
        }
        Ok(())
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Bound {
    Modified,
    Created,
}

/// Whether a revision passes the filters of its kind; 0 is no filter.
fn within(request: &RangeRequest, bound: Bound, revision: i64) -> bool {
    let (min, max) = match bound {
        Bound::Modified => (request.min_mod_revision, request.max_mod_revision),
        Bound::Created => (request.min_create_revision, request.max_create_revision),
    };
    (min == 0 || revision >= min) && (max == 0 || revision <= max)
}

fn filters(request: &RangeRequest) -> bool {
    filters_creation(request) || request.min_mod_revision != 0 || request.max_mod_revision != 0
}

fn filters_creation(request: &RangeRequest) -> bool {
    request.min_create_revision != 0 || request.max_create_revision != 0
}

/// The order of an answer. Versions arrive in key order, and sorting is stable.
#[derive(Clone, Copy)]
struct Order {
    target: SortTarget,
    descending: bool,
}

impl Order {
    fn of(request: &RangeRequest) -> Result<Self, EtcdError> {
        let target =
            SortTarget::try_from(request.sort_target).map_err(|_| EtcdError::InvalidSortOption)?;
        let order =
            SortOrder::try_from(request.sort_order).map_err(|_| EtcdError::InvalidSortOption)?;
        // NONE is ascending: keys come so anyway, and another target makes no sense without.
        Ok(Self {
            target,
            descending: order == SortOrder::Descend,
        })
    }

    /// The order, if it can be established without reading rows.
    fn by_revision(self) -> Option<Self> {
        let rows = matches!(self.target, SortTarget::Version | SortTarget::Value);
        (!rows).then_some(self)
    }

    /// Whether it is the order the index has.
    fn is_the_indexs(self) -> bool {
        self.target == SortTarget::Key && !self.descending
    }

    /// Sorts, and keeps only the first `limit`. Answers whether there were more. The creation is
    /// known if it is the target.
    fn sort_versions(self, found: &mut Vec<Seen>, limit: usize) -> bool {
        let number = |seen: &Seen| match self.target {
            SortTarget::Create => seen.create_revision,
            SortTarget::Mod => seen.revision.main,
            // They are in this order.
            _ => 0,
        };
        match (self.target, self.descending) {
            (SortTarget::Key, false) => {}
            (SortTarget::Key, true) => found.reverse(),
            // The first of those in line for a lock: no need to sort them all.
            (_, descending) if limit == 1 => {
                let first = if descending {
                    // Of equal ones, the first by key.
                    found.iter().copied().rev().max_by_key(number)
                } else {
                    found.iter().copied().min_by_key(number)
                };
                let more = found.len() > 1;
                found.clear();
                found.extend(first);
                return more;
            }
            (_, false) => found.sort_by_key(number),
            (_, true) => found.sort_by_key(|seen| std::cmp::Reverse(number(seen))),
        }
        let more = found.len() > limit;
        found.truncate(limit);
        more
    }

    fn sort(self, kvs: &mut [KeyValue]) {
        kvs.sort_by(|a, b| {
            let order = match self.target {
                SortTarget::Key => a.key.cmp(&b.key),
                SortTarget::Version => a.version.cmp(&b.version),
                SortTarget::Create => a.create_revision.cmp(&b.create_revision),
                SortTarget::Mod => a.mod_revision.cmp(&b.mod_revision),
                SortTarget::Value => a.value.cmp(&b.value),
            };
            if self.descending {
                order.reverse()
            } else {
                order
            }
        });
    }
}

#[cfg(test)]
mod tests;
