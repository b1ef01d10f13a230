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
    /// Its place among all that were queued; set by the queue.
    pub(super) number: u64,
    /// Another member passed it on to this one.
    pub(super) passed_on: bool,
    /// Who wants the outcome.
    pub(super) reply: R,
}

/// The queue in front of consensus.
#[derive(Debug)]
pub(super) struct Queue<R> {
    limits: ProposeLimits,
    /// By number.
    waiting: VecDeque<Pending<R>>,
    waiting_bytes: usize,
    next_number: u64,
    in_flight: usize,
    closed: bool,
}

impl<R> Queue<R> {
    pub(super) fn new(limits: ProposeLimits) -> Self {
        Self {
            limits,
            waiting: VecDeque::new(),
            waiting_bytes: 0,
            next_number: 0,
            in_flight: 0,
            closed: false,
        }
    }

    /// Queues a command and gives its number; none if there is no room for it. A command larger than the queue is
    /// let in when it is alone.
    pub(super) fn push(&mut self, mut pending: Pending<R>) -> Option<u64> {
        let fits = self.waiting_bytes + pending.bytes <= self.limits.queued_bytes
            && self.waiting.len() < self.limits.queued_commands;
        if !fits && !self.waiting.is_empty() {
            return None;
        }
        pending.number = self.next_number;
        self.next_number += 1;
        self.waiting_bytes += pending.bytes;
        let number = pending.number;
        self.waiting.push_back(pending);
        Some(number)
    }

    /// Puts a batch back that was not proposed, in front of what has come since. There is room for it: it was
    /// queued before.
    pub(super) fn put_back(&mut self, batch: Vec<Pending<R>>) {
        for pending in batch.into_iter().rev() {
            self.waiting_bytes += pending.bytes;
            self.waiting.push_front(pending);
        }
    }

    /// Takes a command out that still waits for a batch; false if it does not.
    pub(super) fn withdraw(&mut self, number: u64) -> bool {
        let found = self
            .waiting
            .binary_search_by_key(&number, |pending| pending.number);
        let withdrawn = found.ok().and_then(|at| self.waiting.remove(at));
        if let Some(pending) = &withdrawn {
            self.waiting_bytes -= pending.bytes;
        }
        withdrawn.is_some()
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
            number: 0,
            passed_on: false,
            reply,
        }
    }

    fn push(queue: &mut Queue<u32>, reply: u32, bytes: usize) {
        assert!(queue.push(pending(reply, bytes)).is_some());
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
        push(&mut queue, 1, 10);
        assert_eq!(replies(queue.begin_batch(nobody_left)), [1]);
        push(&mut queue, 2, 10);
        assert_eq!(replies(queue.begin_batch(nobody_left)), [2]);
        push(&mut queue, 3, 10);
        push(&mut queue, 4, 10);
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
            push(&mut queue, reply, 5);
        }
        assert_eq!(
            replies(queue.begin_batch(nobody_left)),
            [0, 1, 2],
            "by count"
        );
        assert_eq!(replies(queue.begin_batch(nobody_left)), [3, 4]);
        queue.end_batch();
        for (reply, bytes) in [(0, 30), (1, 30), (2, 10)] {
            push(&mut queue, reply, bytes);
        }
        assert_eq!(replies(queue.begin_batch(nobody_left)), [0], "by size");
        queue.end_batch();
        assert_eq!(replies(queue.begin_batch(nobody_left)), [1, 2]);
    }

    #[test]
    fn a_full_queue_refuses_by_count_and_by_size() {
        let mut queue = queue();
        for reply in 0..5 {
            push(&mut queue, reply, 1);
        }
        assert!(queue.push(pending(5, 1)).is_none());
        queue.take_all();
        push(&mut queue, 0, 60);
        assert!(queue.push(pending(1, 60)).is_none());
        queue.take_all();
        assert!(
            queue.push(pending(0, 1000)).is_some(),
            "alone, it may be larger than the queue"
        );
        assert_eq!(replies(queue.begin_batch(nobody_left)), [0]);
        assert!(
            queue.push(pending(1, 100)).is_some(),
            "its bytes are free again"
        );
    }

    #[test]
    fn who_has_gone_is_left_out() {
        let mut queue = queue();
        for reply in 0..4 {
            push(&mut queue, reply, 1);
        }
        assert_eq!(replies(queue.begin_batch(|reply| reply % 2 == 0)), [1, 3]);
        push(&mut queue, 6, 1);
        assert!(queue.begin_batch(|_| true).is_none());
        queue.end_batch();
        assert!(queue.is_idle());
    }

    #[test]
    fn what_was_not_proposed_goes_back_in_front_and_can_be_withdrawn() {
        let mut queue = queue();
        for reply in 0..3 {
            push(&mut queue, reply, 10);
        }
        let batch = queue.begin_batch(nobody_left).unwrap();
        let first = batch[0].number;
        push(&mut queue, 3, 10);
        assert!(!queue.withdraw(first), "it is under way");
        queue.put_back(batch);
        queue.end_batch();
        assert!(queue.withdraw(first + 1));
        assert!(!queue.withdraw(first + 1));
        assert_eq!(replies(queue.begin_batch(nobody_left)), [0, 2, 3]);
        assert!(queue.push(pending(4, 100)).is_some(), "no bytes are left");
    }
}
