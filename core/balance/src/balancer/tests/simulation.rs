//! A service under load, event by event, on a clock of its own.

use super::*;
use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// A millisecond, in nanoseconds.
pub(super) const MS: u64 = 1_000_000;

/// How long endpoints take, in nanoseconds.
#[derive(Clone, Copy, Debug)]
pub(super) enum Latency {
    Constant(u64),
    Uniform(u64, u64),
    Exponential(u64),
}

impl Latency {
    fn sample(self, rng: &mut Rng) -> u64 {
        match self {
            Self::Constant(nanos) => nanos,
            Self::Uniform(from, to) => rng.u64(from..to),
            Self::Exponential(mean) => (-(1.0 - rng.f64()).ln() * mean as f64) as u64,
        }
    }
}

/// What happened, without the first fifth.
#[derive(Debug, Default)]
pub(super) struct Run {
    counts: Vec<u32>,
    nanos: f64,
}

impl Run {
    pub(super) fn share(&self, index: usize) -> f64 {
        f64::from(self.counts[index]) / f64::from(self.counts.iter().sum::<u32>())
    }

    /// The largest distance of a share from what the weights ask.
    pub(super) fn distance(&self, weights: &[u16]) -> f64 {
        let total: f64 = weights.iter().copied().map(f64::from).sum();
        let off =
            |(index, &weight): (usize, &u16)| (self.share(index) - f64::from(weight) / total).abs();
        weights.iter().enumerate().map(off).fold(0.0, f64::max)
    }

    /// Mean time of a call in milliseconds, queueing included.
    pub(super) fn mean_millis(&self) -> f64 {
        self.nanos / f64::from(self.counts.iter().sum::<u32>()) / MS as f64
    }

    fn count(&mut self, index: usize, took: u64) {
        self.counts.resize(self.counts.len().max(index + 1), 0);
        self.counts[index] += 1;
        self.nanos += took as f64;
    }
}

/// Callers in closed loops: each picks, waits as long as the endpoint takes, reports, pauses, and picks again.
pub(super) fn closed_loops(
    f: &mut Fixture,
    latencies: &[Latency],
    callers: u64,
    pause: u64,
    calls: u32,
) -> Run {
    let mut events: BinaryHeap<_> = (0..callers)
        .map(|c| Reverse((f.now.as_nanos() + c, c, None)))
        .collect();
    let (mut run, mut made) = (Run::default(), 0);
    while let Some(Reverse((at, caller, call))) = events.pop() {
        f.now = Moment::from_nanos(at);
        if let Some((parts, took)) = call {
            f.report(parts, took);
            let pause = if pause == 0 {
                1
            } else {
                f.rng.u64(1..2 * pause)
            };
            events.push(Reverse((at + pause, caller, None)));
        } else if made < calls {
            made += 1;
            let (index, parts) = f.pick_parts();
            let took = latencies[index].sample(&mut f.rng);
            if made > calls / 5 {
                run.count(index, took);
            }
            events.push(Reverse((at + took, caller, Some((parts, took)))));
        }
    }
    run
}

/// A call that is answered at a time: when, its handle, and how long it took.
type Answer = Reverse<(u64, (u32, u64), u64)>;

/// Calls come at random, `gap` apart on average; an endpoint serves one at a time, and the others wait there.
pub(super) fn queues(
    f: &mut Fixture,
    endpoints: usize,
    service: Latency,
    gap: u64,
    calls: u32,
) -> Run {
    let mut free_at = vec![0; endpoints];
    let mut answers: BinaryHeap<Answer> = BinaryHeap::new();
    let (mut run, mut arrival) = (Run::default(), f.now.as_nanos());
    for call in 0..calls {
        arrival += Latency::Exponential(gap).sample(&mut f.rng).max(1);
        while answers.peek().is_some_and(|answer| answer.0.0 <= arrival) {
            let Some(Reverse((at, parts, took))) = answers.pop() else {
                break;
            };
            f.now = Moment::from_nanos(at);
            f.report(parts, took);
        }
        f.now = Moment::from_nanos(arrival);
        let (index, parts) = f.pick_parts();
        free_at[index] = arrival.max(free_at[index]) + service.sample(&mut f.rng);
        let took = free_at[index] - arrival;
        if call > calls / 5 {
            run.count(index, took);
        }
        answers.push(Reverse((free_at[index], parts, took)));
    }
    run
}

impl Fixture {
    fn pick_parts(&mut self) -> (usize, (u32, u64)) {
        let picked = self.pick();
        (picked.endpoint.payload as usize, picked.handle.to_parts())
    }

    fn report(&self, (place, generation): (u32, u64), took: u64) {
        let handle = PickHandle::from_parts(place, generation);
        assert!(
            self.balancer
                .report(handle, Outcome::Ok, Duration::from_nanos(took), self.now)
        );
    }
}
