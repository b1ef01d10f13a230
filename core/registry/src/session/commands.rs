//! What a client can say in a session.

use quorate_proto::convert;
use quorate_proto::v1;
use quorate_proto::v1::session_command::Body as Command;
use quorate_proto::v1::session_event::Body as Event;
use quorate_types::instance::check_metadata;
use quorate_types::{Error, ErrorCode, RemovalReason, ServiceKey};

use super::held::Held;
use super::{Session, SessionEnd};
use crate::plane::{Changes, Standing};
use crate::view::Position;

// === impl Session ===

impl Session {
    /// Does what the client asks and queues the answers. Any message is a sign of life.
    ///
    /// # Errors
    /// Why the connection has ended; the rest of the message is not done then, and
    /// [`next`](Self::next) gives the same reason after the answers so far.
    pub fn handle(&self, request: v1::SessionRequest) -> Result<(), SessionEnd> {
        self.check_open()?;
        self.check_flood(request.commands.len())?;
        self.state.touch(self.plane.lease.now());
        for command in request.commands {
            if let Err(why) = self.check_open().and_then(|()| self.execute(command)) {
                self.mailbox.end(why.clone());
                return Err(why);
            }
        }
        let mut held = self.lock_held();
        self.plane.tell_interval(&mut held);
        drop(held);
        self.mailbox.wake();
        Ok(())
    }

    fn check_open(&self) -> Result<(), SessionEnd> {
        self.mailbox.ended().map_or(Ok(()), Err)
    }

    fn check_flood(&self, commands: usize) -> Result<(), SessionEnd> {
        let limit = self.plane.options.limits.queued_acks;
        if self.mailbox.waiting() + commands <= limit {
            return Ok(());
        }
        let why = SessionEnd::Refused(Error::new(
            ErrorCode::ResourceExhausted,
            format!(
                "over {limit} commands are unread or unanswered: read the answers, send less at once"
            ),
        ));
        self.mailbox.end(why.clone());
        Err(why)
    }

    fn execute(&self, command: v1::SessionCommand) -> Result<(), SessionEnd> {
        let v1::SessionCommand { request_id, body } = command;
        // Held until the answer is queued, so that news of the same instance come after it.
        let mut held = self.lock_held();
        let mut standing = None;
        let result = match body {
            Some(Command::Register(register)) => self.register(&mut held, register).map(|it| {
                let ack = v1::SessionAck {
                    id: String::from_utf8_lossy(it.record.id()).into_owned(),
                    ttl_ms: it.record.ttl().as_millis(),
                    revision: it.record.revision(),
                    ..Default::default()
                };
                standing = Some(it);
                ack
            }),
            Some(Command::Update(update)) => {
                self.update(&mut held, update).map(|it| v1::SessionAck {
                    revision: it.record.revision(),
                    ..Default::default()
                })
            }
            Some(Command::Deregister(deregister)) => self.deregister(&mut held, &deregister),
            Some(Command::Subscribe(subscribe)) => self.subscribe(&subscribe),
            Some(Command::Unsubscribe(unsubscribe)) => self.unsubscribe(&unsubscribe),
            Some(Command::Heartbeat(_)) => {
                self.mailbox.push_heartbeat_ack(None);
                Ok(v1::SessionAck::default())
            }
            Some(Command::Close(_)) => {
                drop(held);
                self.close();
                self.answer(request_id, Ok(v1::SessionAck::default()));
                return Err(SessionEnd::Closed);
            }
            Some(Command::Open(_)) => {
                let error =
                    Error::new(ErrorCode::FailedPrecondition, "the session is open already");
                if request_id == 0 {
                    return Err(SessionEnd::Refused(error));
                }
                Err(error)
            }
            None => Err(Error::new(
                ErrorCode::Unimplemented,
                "this server does not know the command",
            )),
        };
        self.answer(request_id, result);
        drop(held);
        if let Some(Standing {
            key,
            record,
            displaced: Some(previous),
        }) = standing
        {
            self.plane.displace(&previous, &key, record.id(), None);
        }
        Ok(())
    }

    fn register(&self, held: &mut Held, register: v1::SessionRegister) -> Result<Standing, Error> {
        let key = convert::service_key(register.service.as_ref())?;
        let instance = convert::instance(register.instance)?;
        check_not_ended(held)?;
        let limit = self.plane.options.limits.instances_per_session;
        if held.len() >= limit && !held.contains(&key, instance.id.as_bytes()) {
            return Err(Error::new(
                ErrorCode::ResourceExhausted,
                format!("the session has {limit} instances, the limit"),
            ));
        }
        let standing = self.plane.register(key, instance, Some(&self.state))?;
        held.put(standing.key.clone(), standing.record.clone());
        self.plane
            .schedule_session(&self.state, held, self.state.last_sign());
        Ok(standing)
    }

    fn update(&self, held: &mut Held, update: v1::SessionUpdate) -> Result<Standing, Error> {
        let key = convert::service_key(update.service.as_ref())?;
        let changes = Changes {
            status: update.status.map(convert::status).transpose()?,
            weight: update.weight.map(check_weight).transpose()?,
            metadata: update.metadata.map(|metadata| metadata.entries),
        };
        if let Some(metadata) = &changes.metadata {
            check_metadata(metadata)?;
        }
        check_not_ended(held)?;
        let standing = self.plane.update(&key, &update.id, changes, &self.state)?;
        held.put(standing.key.clone(), standing.record.clone());
        Ok(standing)
    }

    /// Afterwards this session does not hold the instance; so it is no error if it did not.
    fn deregister(
        &self,
        held: &mut Held,
        deregister: &v1::SessionDeregister,
    ) -> Result<v1::SessionAck, Error> {
        let key = convert::service_key(deregister.service.as_ref())?;
        let id = deregister.id.as_bytes();
        let removed = self
            .plane
            .remove(&key, id, RemovalReason::Deregistered, |_, owner| {
                owner.is(&self.state)
            });
        held.remove(&key, id);
        held.forget_eviction(&key, id);
        Ok(v1::SessionAck {
            revision: removed.map_or(0, |(tombstone, _)| tombstone.revision),
            ..Default::default()
        })
    }

    fn subscribe(&self, subscribe: &v1::SessionSubscribe) -> Result<v1::SessionAck, Error> {
        let key = convert::service_key(subscribe.service.as_ref())?;
        let known = subscribe.known.map(Position::from);
        let ack = |key: &ServiceKey| {
            // A change right after this is news like any other.
            let newest = known.and_then(|known| self.plane.newest(key, known));
            v1::SessionAck {
                revision: newest.unwrap_or(0),
                ..Default::default()
            }
        };
        let mut subscriptions = self.subscriptions.lock();
        if let Some(subscription) = subscriptions.get(&key) {
            *subscription.sent.lock() = known;
            subscription.mark();
            return Ok(ack(&key));
        }
        let limit = self.plane.options.limits.subscriptions_per_session;
        if subscriptions.len() >= limit {
            return Err(Error::new(
                ErrorCode::ResourceExhausted,
                format!("the session has {limit} subscriptions, the limit"),
            ));
        }
        let subscription = self.plane.subscribe(key, &self.mailbox, known)?;
        let ack = ack(&subscription.key);
        subscriptions.insert(subscription.key.clone(), subscription);
        Ok(ack)
    }

    fn unsubscribe(&self, unsubscribe: &v1::SessionUnsubscribe) -> Result<v1::SessionAck, Error> {
        let key: ServiceKey = convert::service_key(unsubscribe.service.as_ref())?;
        let subscription = self.subscriptions.lock().remove(&key);
        if let Some(subscription) = subscription {
            self.plane.unsubscribe(&subscription);
        }
        Ok(v1::SessionAck::default())
    }

    fn answer(&self, request_id: u64, result: Result<v1::SessionAck, Error>) {
        if request_id == 0 {
            return;
        }
        let ack = match result {
            Ok(ack) => v1::SessionAck { request_id, ..ack },
            Err(error) => v1::SessionAck {
                request_id,
                code: error.code().number().into(),
                message: error.message().to_owned(),
                ..Default::default()
            },
        };
        self.mailbox.add([v1::SessionEvent {
            body: Some(Event::Ack(ack)),
        }]);
    }
}

fn check_not_ended(held: &Held) -> Result<(), Error> {
    if held.ended {
        return Err(Error::new(
            ErrorCode::SessionExpired,
            "the session has ended: open a new one and register again",
        ));
    }
    Ok(())
}

fn check_weight(weight: u32) -> Result<u16, Error> {
    u16::try_from(weight).map_err(|_| {
        Error::new(
            ErrorCode::InvalidArgument,
            format!("weight {weight} is over 65535"),
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::{World, key, request, subscribe};

    #[test]
    fn who_never_reads_cannot_fill_the_queue_by_changing_its_mind() {
        let world = World::new();
        let client = world.open("a");
        let unsubscribe = Command::Unsubscribe(v1::SessionUnsubscribe {
            service: key("web"),
        });
        for _ in 0..100 {
            let both = [(0, subscribe("web", None)), (0, unsubscribe.clone())];
            client.session.handle(request(both)).unwrap();
        }
        assert_eq!(client.session.mailbox.changed(), 0);
    }
}
