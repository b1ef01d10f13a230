//! What becomes of what was sent: accepted, refused, unanswered, undone by others.

use std::sync::Arc;
use std::time::Instant;

use quorate_types::{Error, ErrorCode, Instance, RemovalReason};

use super::{InFlight, Name, Notice, Owner, Registrations, gone};

impl Registrations {
    /// The server answered what was sent as `version` of `name`.
    pub(crate) fn acknowledged(
        &mut self,
        now: Instant,
        name: &Name,
        version: u64,
        answer: Result<u64, Error>,
        random: &mut fastrand::Rng,
    ) {
        let Some(entry) = self.entries.get_mut(name) else {
            return;
        };
        let Some(sent) = entry.in_flight.take_if(|sent| sent.version == version) else {
            return;
        };
        match (answer, sent.content) {
            (Ok(revision), Some(content)) => {
                entry.acknowledged = version;
                entry.accepted = Some((content, sent.owner, revision));
                entry.backoff.reset();
                self.notices.push(Notice::Standing(sent.owner, revision));
                self.answer_up_to(name, version, &Ok(revision));
            }
            // The server does not know it: as good as gone.
            (Ok(_), None) => self.gone(name, version),
            (Err(error), None) if error.code() == ErrorCode::NotFound => self.gone(name, version),
            (Err(error), _) => self.refused(now, name, version, &error, random),
        }
        if self
            .entries
            .get(name)
            .is_some_and(|entry| entry.acknowledged != entry.version)
        {
            self.enqueue(name);
        }
    }

    fn gone(&mut self, name: &Name, version: u64) {
        self.answer_up_to(name, version, &Ok(0));
        if let Some(entry) = self.entries.get_mut(name) {
            if entry.version == version {
                self.remove(name, &gone(name));
            } else {
                entry.accepted = None;
            }
        }
    }

    fn refused(
        &mut self,
        now: Instant,
        name: &Name,
        version: u64,
        error: &Error,
        random: &mut fastrand::Rng,
    ) {
        let Some(entry) = self.entries.get_mut(name) else {
            return;
        };
        let awaited = entry.waiting.iter().any(|(wanted, _)| *wanted <= version);
        let newest = entry.version == version;
        if newest && (entry.wanted.is_none() || !awaited) {
            // Nobody to tell, or to be done in any case: again later.
            let delay = entry.backoff.next(random);
            self.retries.set(Arc::clone(name), now + delay);
            tracing::warn!(
                service = %name.0, instance = name.1, %error,
                "the server refused a registration; trying again"
            );
        }
        self.answer_up_to(name, version, &Err(error.clone()));
        if newest && awaited {
            self.withdraw(name);
        }
    }

    /// Takes back what is wanted: to what a server accepted before, or to nothing.
    pub(super) fn withdraw(&mut self, name: &Name) {
        let Some(entry) = self.entries.get_mut(name) else {
            return;
        };
        if entry.wanted.is_none() {
            return;
        }
        self.retries.clear(name);
        match entry.accepted.clone() {
            Some((content, owner, _)) if self.confirmed.contains(&owner) => {
                entry.owner = owner;
                entry.want(Some(content));
            }
            _ if entry.sent => entry.want(None),
            _ => {
                self.remove(name, &gone(name));
                return;
            }
        }
        self.enqueue(name);
    }

    /// Someone else removed one of ours. Put back if that was for our silence (we are here), or
    /// because of a move between servers; respected if someone meant it.
    pub(crate) fn evicted(&mut self, name: &Name, reason: Option<RemovalReason>, revision: u64) {
        let Some(entry) = self.entries.get_mut(name) else {
            return;
        };
        let newer = |accepted: &(Arc<Instance>, Owner, u64)| accepted.2 > revision;
        if entry.wanted.is_none() || entry.accepted.as_ref().is_some_and(newer) {
            return;
        }
        match reason {
            Some(reason @ (RemovalReason::Deregistered | RemovalReason::Operator)) => {
                let owner = entry.owner;
                tracing::warn!(
                    service = %name.0, instance = name.1, %reason,
                    "a registration was removed by someone else; it stays away"
                );
                let error = Error::new(
                    ErrorCode::NotFound,
                    format!(
                        "{} of {} was removed by someone else: {reason}",
                        name.1, name.0
                    ),
                );
                let registers = |sent: &InFlight| sent.content.is_some();
                if entry.in_flight.as_ref().is_some_and(registers) {
                    // The server will come to that after the removal, and put it back: to be
                    // taken back in turn.
                    entry.want(None);
                    entry.accepted = None;
                    self.answer_up_to(name, u64::MAX, &Err(error));
                } else {
                    self.remove(name, &error);
                }
                self.notices.push(Notice::Evicted(owner, reason));
            }
            _ => {
                entry.version += 1;
                self.enqueue(name);
            }
        }
    }

    /// A session is open. `resumed`: what was acknowledged still stands.
    pub(crate) fn session_opened(&mut self, resumed: bool) {
        self.retries.clear_all();
        for (name, entry) in &mut self.entries {
            entry.in_flight = None;
            if !resumed {
                entry.acknowledged = 0;
            }
            if entry.acknowledged != entry.version {
                self.unsent.insert(Arc::clone(name));
            }
        }
    }

    /// The stream is gone, and answers with it.
    pub(crate) fn session_broken(&mut self) {
        for (name, entry) in &mut self.entries {
            if entry.in_flight.take().is_some() {
                self.unsent.insert(Arc::clone(name));
            }
        }
    }

    /// An answer did not come in time on a living stream: send again.
    pub(crate) fn unanswered(&mut self, name: &Name, version: u64) {
        if let Some(entry) = self.entries.get_mut(name)
            && entry
                .in_flight
                .take_if(|sent| sent.version == version)
                .is_some()
        {
            self.enqueue(name);
        }
    }
}
