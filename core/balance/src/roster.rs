//! The writer's side: which endpoint has which statistics, across updates.

use crate::endpoint::{Endpoint, EndpointSpec};
use crate::moment::Moment;
use crate::snapshot::{Member, up_since};
use crate::stats::EndpointStats;
use crate::ticket::MAX_SLOTS;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

/// Statistics of an endpoint that left are kept this long, in case it comes back.
const KEEP: Duration = Duration::from_secs(60);
/// With more of them, they are dropped as soon as no request is under way.
const KEEP_MOST: usize = 4096;

/// An id at an address: another address is another process, with nothing in common.
type Name = (Arc<str>, Arc<str>);

#[derive(Debug, Default)]
pub(crate) struct Roster {
    slots: Vec<Arc<EndpointStats>>,
    free: Vec<u32>,
    known: HashMap<Name, Known>,
}

#[derive(Debug)]
struct Known {
    slot: u32,
    first_seen: Moment,
    left: Option<Moment>,
}

impl Roster {
    /// The members of these endpoints, sorted by id. Of several with one id, the last counts.
    pub(crate) fn update<P>(
        &mut self,
        endpoints: Vec<EndpointSpec<P>>,
        now: Moment,
    ) -> Vec<Member<P>> {
        for known in self.known.values_mut() {
            known.left.get_or_insert(now);
        }
        let by_id: BTreeMap<Arc<str>, EndpointSpec<P>> =
            endpoints.into_iter().map(|e| (e.id.clone(), e)).collect();
        let members = by_id
            .into_values()
            .filter_map(|spec| self.member(spec, now))
            .collect();
        self.forget(now);
        members
    }

    /// All statistics, by slot.
    pub(crate) fn slots(&self) -> Arc<[Arc<EndpointStats>]> {
        self.slots.as_slice().into()
    }

    /// `None` beyond 16 million endpoints.
    fn member<P>(&mut self, spec: EndpointSpec<P>, now: Moment) -> Option<Member<P>> {
        let name = (spec.id.clone(), spec.address.clone());
        if !self.known.contains_key(&name) {
            let slot = self.take_slot()?;
            self.known.insert(
                name.clone(),
                Known {
                    slot,
                    first_seen: now,
                    left: None,
                },
            );
        }
        let known = self.known.get_mut(&name)?;
        known.left = None;
        let age = spec.age.unwrap_or(now.since(known.first_seen));
        Some(Member {
            stats: self.slots[known.slot as usize].clone(),
            slot: known.slot,
            up_since: up_since(now, age),
            endpoint: Arc::new(Endpoint {
                id: spec.id,
                address: spec.address,
                weight: spec.weight,
                payload: spec.payload,
            }),
        })
    }

    fn take_slot(&mut self) -> Option<u32> {
        if let Some(slot) = self.free.pop() {
            self.slots[slot as usize] = Arc::default();
            return Some(slot);
        }
        if self.slots.len() >= MAX_SLOTS {
            return None;
        }
        self.slots.push(Arc::default());
        Some(self.slots.len() as u32 - 1)
    }

    /// Drops the statistics of those who left long ago. Requests still under way keep them: their reports name the slot.
    fn forget(&mut self, now: Moment) {
        let left = self.known.values().filter(|k| k.left.is_some()).count();
        let keep = if left > KEEP_MOST {
            Duration::ZERO
        } else {
            KEEP
        };
        let Self { slots, free, known } = self;
        known.retain(|_, known| {
            let gone = known.left.is_some_and(|left| now.since(left) >= keep)
                && slots[known.slot as usize].outstanding() == 0;
            if gone {
                free.push(known.slot);
            }
            !gone
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn update(roster: &mut Roster, names: &[(&str, &str)], seconds: u64) -> Vec<(String, u32)> {
        let specs = names
            .iter()
            .map(|&(id, address)| EndpointSpec::new(id, address, 1, ()))
            .collect();
        let members = roster.update(specs, Moment::from_millis(seconds * 1000));
        members
            .into_iter()
            .map(|m| (m.endpoint.id.to_string(), m.slot))
            .collect()
    }

    #[test]
    fn slots_outlive_updates() {
        let mut roster = Roster::default();
        let first = update(&mut roster, &[("b", "x"), ("a", "y")], 0);
        assert_eq!(
            first.iter().map(|m| m.0.as_str()).collect::<Vec<_>>(),
            ["a", "b"]
        );
        assert_eq!(
            update(&mut roster, &[("a", "y"), ("b", "x"), ("c", "z")], 1)[..2],
            first
        );
    }

    #[test]
    fn who_comes_back_in_time_is_known() {
        let mut roster = Roster::default();
        let first = update(&mut roster, &[("a", "x")], 0);
        update(&mut roster, &[], 10);
        let stats = roster.slots[0].clone();
        for seconds in [69, 200, 201] {
            assert_eq!(update(&mut roster, &[("a", "x")], seconds), first);
            assert!(Arc::ptr_eq(&stats, &roster.slots[0]));
        }
        update(&mut roster, &[], 210);
        update(&mut roster, &[], 270);
        update(&mut roster, &[("a", "x")], 271);
        assert!(
            !Arc::ptr_eq(&stats, &roster.slots[0]),
            "statistics were kept for a minute and more"
        );
        assert_eq!(roster.slots.len(), 1);
    }

    #[test]
    fn another_address_is_another_endpoint() {
        let mut roster = Roster::default();
        let first = update(&mut roster, &[("a", "x")], 0);
        assert_ne!(update(&mut roster, &[("a", "y")], 1), first);
    }

    #[test]
    fn requests_under_way_keep_their_slot() {
        let mut roster = Roster::default();
        update(&mut roster, &[("a", "x")], 0);
        roster.slots[0].begin();
        update(&mut roster, &[], 1);
        update(&mut roster, &[("b", "x")], 1000);
        assert_eq!(
            update(&mut roster, &[("b", "x"), ("c", "x")], 1001)[1],
            ("c".to_owned(), 2)
        );
        roster.slots[0].end();
        update(&mut roster, &[("b", "x"), ("c", "x")], 1002);
        assert_eq!(
            update(&mut roster, &[("b", "x"), ("c", "x"), ("d", "x")], 1003)[2],
            ("d".to_owned(), 0)
        );
    }

    #[test]
    fn churn_does_not_pile_up() {
        let mut roster = Roster::default();
        for round in 0..50 {
            let ids: Vec<String> = (0..200).map(|i| format!("{round}-{i}")).collect();
            let names: Vec<_> = ids.iter().map(|id| (id.as_str(), "x")).collect();
            update(&mut roster, &names, round);
        }
        assert!(
            roster.slots.len() <= KEEP_MOST + 400,
            "{}",
            roster.slots.len()
        );
    }

    #[test]
    fn the_last_of_one_id_counts() {
        let mut roster = Roster::default();
        let specs = vec![
            EndpointSpec::new("a", "x", 1, 1),
            EndpointSpec::new("a", "y", 1, 2),
        ];
        let members = roster.update(specs, Moment::default());
        assert_eq!(
            members
                .iter()
                .map(|m| m.endpoint.payload)
                .collect::<Vec<_>>(),
            [2]
        );
    }
}
