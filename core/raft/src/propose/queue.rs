//! What waits to be proposed, and how many batches are under way. Pure: no clock, no I/O.

use std::collections::VecDeque;

use quorate_proto::log::Command;

use crate::config::ProposeLimits;

/// A command that waits for a batch.
#[derive(Debug)]
pub(super) struct Pending<R> {
    pub(super) command: Command,
    /// What it takes in an encoded batch.
    pub(super) bytes: usize,
    /// Who wants the outcome.
    pub(super) reply: R,
}

/// The queue in front of consensus.
#[derive(Debug)]
pub(super) struct Queue<R> {
    limits: ProposeLimits,
    waiting: VecDeque<Pending<R>>,
    waiting_bytes: usize,
    in_flight: usize,
    closed: bool,
}

impl<R> Queue<R> {
    pub(super) fn new(limits: ProposeLimits) -> Self {
        Self {
            limits,
            waiting: VecDeque::new(),
            waiting_bytes: 0,
            in_flight: 0,
            closed: false,
        }
    }

    /// Queues a command; false if there is no room for it. A command larger than the queue is let in when it is
    /// alone.
    pub(super) fn push(&mut self, pending: Pending<R>) -> bool {
        let fits = self.waiting_bytes + pending.bytes <= self.limits.queued_bytes
            && self.waiting.len() < self.limits.queued_commands;
        if !fits && !self.waiting.is_empty() {
            return false;
        }
        self.waiting_bytes += pending.bytes;
        self.waiting.push_back(pending);
        true
    }

    /// Takes a batch, if one may begin and something waits. Those whose caller has gone are left out.
    pub(super) fn begin_batch(
        &mut self,
        mut has_gone: impl FnMut(&R) -> bool,
    ) -> Option<Vec<Pending<R>>> {
        if self.in_flight >= self.limits.batches_in_flight {
            return None;
        }
        let mut batch = Vec::new();
        let mut bytes = 0;
        while let Some(next) = self.waiting.front() {
            let is_full = batch.len() >= self.limits.batch_commands
                || bytes + next.bytes > self.limits.batch_bytes;
            if is_full && !batch.is_empty() {
                break;
            }
            let Some(next) = self.waiting.pop_front() else {
                break;
            };
            self.waiting_bytes -= next.bytes;
            if has_gone(&next.reply) {
                continue;
            }
            bytes += next.bytes;
            batch.push(next);
        }
        if batch.is_empty() {
            return None;
        }
        self.in_flight += 1;
        Some(batch)
    }

    /// A batch was answered.
    pub(super) fn end_batch(&mut self) {
        self.in_flight = self.in_flight.saturating_sub(1);
    }

    pub(super) fn close(&mut self) {
        self.closed = true;
    }

    pub(super) fn is_closed(&self) -> bool {
        self.closed
    }

    /// Whether nothing waits and nothing is under way.
    pub(super) fn is_idle(&self) -> bool {
        self.waiting.is_empty() && self.in_flight == 0
    }

    #[cfg(test)]
    pub(super) fn waiting(&self) -> usize {
        self.waiting.len()
    }

    pub(super) fn take_all(&mut self) -> VecDeque<Pending<R>> {
        self.waiting_bytes = 0;
        std::mem::take(&mut self.waiting)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn queue() -> Queue<u32> {
        Queue::new(ProposeLimits {
            queued_commands: 5,
            queued_bytes: 100,
            batch_commands: 3,
            batch_bytes: 40,
            batches_in_flight: 2,
        })
    }

    fn pending(reply: u32, bytes: usize) -> Pending<u32> {
        Pending {
            command: Command::default(),
            bytes,
            reply,
        }
    }

    fn replies(batch: Option<Vec<Pending<u32>>>) -> Vec<u32> {
        batch
            .unwrap_or_default()
            .into_iter()
            .map(|pending| pending.reply)
            .collect()
    }

    fn nobody_left(_: &u32) -> bool {
        false
    }

    #[test]
    fn an_idle_queue_gives_the_command_back_at_once_and_then_gathers() {
        let mut queue = queue();
        assert!(queue.push(pending(1, 10)));
        assert_eq!(replies(queue.begin_batch(nobody_left)), [1]);
        assert!(queue.push(pending(2, 10)));
        assert_eq!(replies(queue.begin_batch(nobody_left)), [2]);
        assert!(queue.push(pending(3, 10)) && queue.push(pending(4, 10)));
        assert!(
            queue.begin_batch(nobody_left).is_none(),
            "two are under way"
        );
        queue.end_batch();
        assert_eq!(replies(queue.begin_batch(nobody_left)), [3, 4]);
    }

    #[test]
    fn batches_end_at_their_limits() {
        let mut queue = queue();
        for reply in 0..5 {
            assert!(queue.push(pending(reply, 5)));
        }
        assert_eq!(
            replies(queue.begin_batch(nobody_left)),
            [0, 1, 2],
            "by count"
        );
        assert_eq!(replies(queue.begin_batch(nobody_left)), [3, 4]);
        queue.end_batch();
        for (reply, bytes) in [(0, 30), (1, 30), (2, 10)] {
            assert!(queue.push(pending(reply, bytes)));
        }
        assert_eq!(replies(queue.begin_batch(nobody_left)), [0], "by size");
        queue.end_batch();
        assert_eq!(replies(queue.begin_batch(nobody_left)), [1, 2]);
    }

    #[test]
    fn a_full_queue_refuses_by_count_and_by_size() {
        let mut queue = queue();
        for reply in 0..5 {
            assert!(queue.push(pending(reply, 1)));
        }
        assert!(!queue.push(pending(5, 1)));
        queue.take_all();
        assert!(queue.push(pending(0, 60)));
        assert!(!queue.push(pending(1, 60)));
        queue.take_all();
        assert!(
            queue.push(pending(0, 1000)),
            "alone, it may be larger than the queue"
        );
        assert_eq!(replies(queue.begin_batch(nobody_left)), [0]);
        assert!(queue.push(pending(1, 100)), "its bytes are free again");
    }

    #[test]
    fn who_has_gone_is_left_out() {
        let mut queue = queue();
        for reply in 0..4 {
            assert!(queue.push(pending(reply, 1)));
        }
        assert_eq!(replies(queue.begin_batch(|reply| reply % 2 == 0)), [1, 3]);
        assert!(queue.push(pending(6, 1)));
        assert!(queue.begin_batch(|_| true).is_none());
        queue.end_batch();
        assert!(queue.is_idle());
    }
}
