//! How a session loses registrations without asking: by silence, or because others take or remove
//! them.

use std::sync::Arc;

use quorate_types::{RemovalReason, ServiceKey};

use super::held::Held;
use super::{SessionEnd, SessionState};
use crate::plane::Plane;
use crate::view::Tombstone;

impl Plane {
    /// Removes what the silence of a session has outlived, at most `limit` registrations, and
    /// ends the session if nothing is left to wait for. `at` is when this was scheduled. Returns
    /// how much was done.
    pub(crate) fn expire_session(
        &self,
        state: &Arc<SessionState>,
        at: u64,
        now: u64,
        limit: usize,
    ) -> usize {
        let mut held = state.held.lock();
        if held.ended || held.scheduled != at {
            return 1; // Scheduled anew since.
        }
        held.scheduled = u64::MAX;
        let silence = now.saturating_sub(state.last_sign());
        let ttl = self.session_ttl(&held);
        let lost = held.up_to_ttl(silence, limit);
        let done = 1 + lost.len();
        for (key, record) in lost {
            held.remove(&key, record.id());
            let removed = self.remove(&key, record.id(), RemovalReason::SessionLost, |_, owner| {
                owner.is(state)
            });
            if let Some((tombstone, _)) = removed {
                held.evict(key, tombstone, self.options.limits.instances_per_session);
            }
        }
        if held.len() > 0 || silence < ttl {
            self.tell_interval(&mut held);
            self.schedule_session(state, &mut held, now);
            return done;
        }
        held.ended = true;
        held.forget_evictions();
        let mailbox = held.mailbox.take();
        drop(held);
        self.sessions.remove(state);
        if let Some(mailbox) = mailbox {
            mailbox.end(SessionEnd::Expired);
        }
        self.counters.sessions.subtract(1);
        self.counters.sessions_expired.add(1);
        tracing::debug!(session = state.id, silence_ms = silence, "session expired");
        done
    }

    /// Another client registered or removed an instance of this session. Taken over, it just goes
    /// on elsewhere; removed, with a tombstone, the session is told.
    pub(crate) fn displace(
        &self,
        state: &Arc<SessionState>,
        key: &Arc<ServiceKey>,
        id: &[u8],
        tombstone: Option<Tombstone>,
    ) {
        let mut held = state.held.lock();
        // It may have registered again in the meantime.
        if self.is_owner(key, id, state) || !held.remove(key, id) {
            return;
        }
        if let Some(tombstone) = tombstone {
            held.evict(
                key.clone(),
                tombstone,
                self.options.limits.instances_per_session,
            );
        }
        self.tell_interval(&mut held);
    }

    /// Tells the attached client how often to send a sign of life, if that has changed.
    pub(super) fn tell_interval(&self, held: &mut Held) {
        let interval = self.heartbeat_interval(held);
        if let Some(mailbox) = &held.mailbox
            && held.told_interval != interval
        {
            mailbox.push_heartbeat_ack(Some(interval));
            held.told_interval = interval;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use quorate_types::ServiceKey;

    use crate::tests::{World, instance, register};

    #[test]
    fn a_late_displacement_of_an_instance_taken_back_does_nothing() {
        let world = World::new();
        let client = world.open("a");
        client.ok(register("web", instance("i", 3)));
        let key = Arc::new(ServiceKey::new("", "web").unwrap());
        let session = &client.session;
        session.plane.displace(&session.state, &key, b"i", None);
        // Forgotten by its owner, it would stay for ever.
        world.pass(3_000);
        assert!(world.ids("web").is_empty());
    }
}
