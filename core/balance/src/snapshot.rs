//! What a pick reads, and the pick itself. A snapshot never changes, but for one count; a change makes a new one.

use crate::alias::AliasTable;
use crate::call::{PickContext, PickError, Why};
use crate::config::{Algorithm, BalancerConfig};
use crate::endpoint::Endpoint;
use crate::gate::{Admission, Event, Gate};
use crate::maglev::MaglevTable;
use crate::moment::{Moment, saturating_nanos};
use crate::p2c;
use crate::slow_start;
use crate::stats::EndpointStats;
use crate::stride::StrideTable;
use crate::ticket::Tickets;
use fastrand::Rng;
use std::sync::Arc;
use std::sync::atomic::{AtomicIsize, AtomicU64, Ordering};
use std::time::Duration;

/// Draws before all endpoints are looked at. With half of them shut, 1 pick in 256 gets that far.
const DRAWS: u32 = 8;

/// An endpoint with its statistics.
#[derive(Debug)]
pub(crate) struct Member<P> {
    pub(crate) endpoint: Arc<Endpoint<P>>,
    pub(crate) stats: Arc<EndpointStats>,
    /// Where its statistics are in `slots`.
    pub(crate) slot: u32,
    /// Nanoseconds on the caller's clock; negative if before its origin.
    pub(crate) up_since: i64,
}

impl<P> Member<P> {
    fn up(&self, now: Moment) -> Duration {
        let now = i64::try_from(now.as_nanos()).unwrap_or(i64::MAX);
        Duration::from_nanos(u64::try_from(now.saturating_sub(self.up_since)).unwrap_or(0))
    }
}

/// What a member gets, at the same position.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Share {
    /// The weight that counts now. 0 gets nothing.
    weight: f32,
    /// The mean weight divided by its own.
    unit: f32,
    /// The part of the configured weight that counts now.
    pub(crate) warmth: f32,
}

#[derive(Debug)]
enum Table {
    Random(AliasTable),
    Stride(StrideTable),
    P2c(AliasTable),
    Maglev(Arc<MaglevTable>),
}

/// The endpoints of a service, and how to draw one.
#[derive(Debug)]
pub(crate) struct Snapshot<P> {
    /// Sorted by id, so that all clients build the same tables.
    pub(crate) members: Arc<[Member<P>]>,
    /// All statistics, also of endpoints that left while requests were under way.
    pub(crate) slots: Arc<[Arc<EndpointStats>]>,
    pub(crate) shares: Box<[Share]>,
    /// `None` if there is nothing to draw.
    table: Option<Table>,
    /// Members that can be drawn.
    eligible: usize,
    /// Members with a weight.
    pub(crate) weighted: usize,
    /// Members with a weight whose gate is not closed. Reports keep it current; a rebuild counts again.
    shut: AtomicIsize,
    /// With more shut than this, health is ignored.
    most_shut: isize,
    /// Whether somebody warms up, or is shut: to be rebuilt as time passes.
    pub(crate) restless: bool,
}

/// What draws share beyond one snapshot.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shared<'a> {
    pub(crate) sequence: &'a AtomicU64,
    pub(crate) tickets: &'a Tickets,
    pub(crate) probe_timeout: Duration,
}

/// A member, and how it came to be picked.
type Choice = (usize, Why);

impl<P> Snapshot<P> {
    /// Builds the tables. `previous` lends what is costly and did not change.
    pub(crate) fn build(
        config: &BalancerConfig,
        members: Arc<[Member<P>]>,
        slots: Arc<[Arc<EndpointStats>]>,
        previous: Option<&Self>,
        now: Moment,
    ) -> Self {
        let weighted = members.iter().filter(|m| m.endpoint.weight > 0).count();
        let gates = || {
            members
                .iter()
                .filter(|m| m.endpoint.weight > 0)
                .map(|m| m.stats.gate.load())
        };
        let shut = gates().filter(|&gate| gate != Gate::Closed).count() as isize;
        let most_shut = most_shut(config.panic_threshold, weighted);
        let warmth = warmth(config, &members, now);
        let mut shares: Box<[Share]> = members
            .iter()
            .zip(&warmth)
            .map(|(m, &warmth)| Share {
                weight: f32::from(m.endpoint.weight) * warmth,
                unit: 0.0,
                warmth,
            })
            .collect();
        let admitted = |member: &Member<P>| {
            member.endpoint.weight > 0
                && (shut > most_shut || member.stats.gate.admission(now) != Admission::Refuse)
        };
        let drawn: Vec<(u32, f64)> = (0..)
            .zip(members.iter().zip(&shares))
            .filter(|(_, (member, _))| admitted(member))
            .map(|(index, (_, share))| (index, f64::from(share.weight)))
            .collect();
        let mean = drawn.iter().map(|d| d.1).sum::<f64>() / drawn.len().max(1) as f64;
        for share in shares.iter_mut().filter(|s| s.weight > 0.0) {
            share.unit = mean as f32 / share.weight;
        }
        let table = (!drawn.is_empty()).then(|| match config.algorithm {
            Algorithm::WeightedRandom => Table::Random(AliasTable::new(&drawn)),
            Algorithm::WeightedRoundRobin => Table::Stride(StrideTable::new(&drawn)),
            Algorithm::P2c => Table::P2c(AliasTable::new(&drawn)),
            Algorithm::Maglev => Table::Maglev(maglev(&members, previous)),
        });
        let restless = shut > 0 || warming(config, &members, now) > 0;
        let eligible = drawn.len();
        Self {
            members,
            slots,
            shares,
            table,
            eligible,
            weighted,
            shut: AtomicIsize::new(shut),
            most_shut,
            restless,
        }
    }

    /// A gate shut (1) or opened (−1) since this was built.
    pub(crate) fn count_shut(&self, change: isize) {
        self.shut.fetch_add(change, Ordering::Relaxed);
    }

    /// Picks a member.
    pub(crate) fn choose(
        &self,
        shared: Shared<'_>,
        ctx: &PickContext<'_>,
        rng: &mut Rng,
    ) -> Result<Choice, PickError> {
        let table = self.table.as_ref().ok_or(PickError::NoEndpoints {
            known: self.members.len(),
        })?;
        let chooser = Chooser {
            snapshot: self,
            shared,
            ctx,
            panic: self.shut.load(Ordering::Relaxed) > self.most_shut,
        };
        for attempt in 0..DRAWS {
            let choice = match table {
                Table::Random(alias) => chooser.admit(alias.draw(rng)),
                Table::Stride(stride) => chooser.admit(stride.draw(shared.sequence)),
                Table::P2c(alias) => chooser.better_of_two(alias, rng),
                Table::Maglev(maglev) => chooser.admit(maglev.draw(ctx.hash, attempt, rng)),
            };
            if let Some(choice) = choice {
                return Ok(choice);
            }
        }
        match (table, ctx.hash) {
            // The last resort sticks, too.
            (Table::Maglev(_), Some(hash)) => chooser.search(&mut Rng::with_seed(hash)),
            _ => chooser.search(rng),
        }
        .ok_or(PickError::NoEndpoints {
            known: self.members.len(),
        })
    }
}

/// One pick under way.
struct Chooser<'a, P> {
    snapshot: &'a Snapshot<P>,
    shared: Shared<'a>,
    ctx: &'a PickContext<'a>,
    panic: bool,
}

impl<P> Chooser<'_, P> {
    fn excluded(&self, member: &Member<P>) -> bool {
        self.ctx
            .exclude
            .iter()
            .any(|&id| id == &*member.endpoint.id)
    }

    /// The drawn member, if it may be called. One that is due for a probe is claimed.
    fn admit(&self, drawn: u32) -> Option<Choice> {
        let index = drawn as usize;
        let member = &self.snapshot.members[index];
        if self.excluded(member) {
            return None;
        }
        match member.stats.gate.admission(self.ctx.now) {
            Admission::Due if self.claim(member) => Some((index, Why::Probe)),
            Admission::Pass => Some((index, self.reason(index))),
            Admission::Due | Admission::Refuse => self.panic.then_some((index, Why::Panic)),
        }
    }

    fn claim(&self, member: &Member<P>) -> bool {
        let now = self.ctx.now;
        let lost_at = now.after(self.shared.probe_timeout).as_millis();
        member
            .stats
            .gate
            .apply(Event::Claim {
                now: now.as_millis(),
                lost_at,
            })
            .is_some()
    }

    fn reason(&self, index: usize) -> Why {
        if self.panic {
            Why::Panic
        } else if self.snapshot.shares[index].warmth < 1.0 {
            Why::SlowStart
        } else {
            Why::Normal
        }
    }

    /// Two draws, with replacement: when neither is better, the first counts, and the weights hold exactly.
    fn better_of_two(&self, alias: &AliasTable, rng: &mut Rng) -> Option<Choice> {
        let Some(first) = self.admit(alias.draw(rng)) else {
            return self.admit(alias.draw(rng));
        };
        let second = alias.draw(rng) as usize;
        // A probe is not compared: its latency is that of the failures before. Nor is a second one claimed.
        if first.1 == Why::Probe || second == first.0 {
            return Some(first);
        }
        let member = &self.snapshot.members[second];
        let open = self.panic || member.stats.gate.admission(self.ctx.now) == Admission::Pass;
        if !open || self.excluded(member) {
            return Some(first);
        }
        let lean = p2c::lean(
            self.load(first.0),
            self.load(second),
            || self.queue(),
            self.ctx.now,
        );
        let keep = lean >= 1.0 || (lean > -1.0 && rng.f32() * 2.0 - 1.0 < lean);
        Some(if keep {
            first
        } else {
            (second, self.reason(second))
        })
    }

    /// The mean number of requests under way per endpoint.
    fn queue(&self) -> f32 {
        self.shared.tickets.outstanding() as f32 / self.snapshot.eligible as f32
    }

    fn load(&self, index: usize) -> p2c::Load {
        let stats = &self.snapshot.members[index].stats;
        p2c::Load {
            latency: stats.latency.load(),
            outstanding: stats.outstanding() as f32,
            unit: self.snapshot.shares[index].unit,
        }
    }

    /// The draws found nobody: looks at all, by weight, giving up one wish after the other.
    fn search(&self, rng: &mut Rng) -> Option<Choice> {
        let admission = |member: &Member<P>| member.stats.gate.admission(self.ctx.now);
        let passes = |member: &Member<P>| self.panic || admission(member) == Admission::Pass;
        if let Some(index) = self.lottery(rng, |m| passes(m) && !self.excluded(m)) {
            return Some((index, self.reason(index)));
        }
        if let Some(index) =
            self.lottery(rng, |m| admission(m) == Admission::Due && !self.excluded(m))
            && self.claim(&self.snapshot.members[index])
        {
            return Some((index, Why::Probe));
        }
        if let Some(index) = self.lottery(rng, passes) {
            return Some((index, Why::ExcludedFallback));
        }
        // Everything dead means everything alive.
        let index = self
            .lottery(rng, |m| !self.excluded(m))
            .or_else(|| self.lottery(rng, |_| true))?;
        Some((index, Why::Panic))
    }

    /// One of the accepted, by weight, in one pass: each takes the prize from those before with its part of the sum.
    fn lottery(&self, rng: &mut Rng, accept: impl Fn(&Member<P>) -> bool) -> Option<usize> {
        let (mut sum, mut winner) = (0.0, None);
        for (index, (member, share)) in self
            .snapshot
            .members
            .iter()
            .zip(&self.snapshot.shares)
            .enumerate()
        {
            if share.weight > 0.0 && accept(member) {
                sum += share.weight;
                if winner.is_none() || rng.f32() * sum < share.weight {
                    winner = Some(index);
                }
            }
        }
        winner
    }
}

/// How many of `all` may be shut before health is ignored. All of them never may.
fn most_shut(panic_threshold: f64, all: usize) -> isize {
    let healthy = (panic_threshold.clamp(0.0, 1.0) * all as f64)
        .ceil()
        .max(1.0) as isize;
    all as isize - healthy
}

fn warming<P>(config: &BalancerConfig, members: &[Member<P>], now: Moment) -> usize {
    if config.algorithm == Algorithm::Maglev {
        return 0;
    }
    members
        .iter()
        .filter(|m| m.endpoint.weight > 0 && m.up(now) < config.slow_start.window)
        .count()
}

/// The part of its weight each member gets.
fn warmth<P>(config: &BalancerConfig, members: &[Member<P>], now: Moment) -> Vec<f32> {
    let weighted = members.iter().filter(|m| m.endpoint.weight > 0).count();
    let warming = warming(config, members, now);
    if warming == 0 || slow_start::suspended(warming, weighted) {
        return vec![1.0; members.len()];
    }
    members
        .iter()
        .map(|m| slow_start::factor(&config.slow_start, m.up(now)) as f32)
        .collect()
}

/// The previous table if ids and weights are the same: 65,537 slots take milliseconds.
/// It covers shut members, too: a key comes back to its endpoint when that does.
fn maglev<P>(members: &[Member<P>], previous: Option<&Snapshot<P>>) -> Arc<MaglevTable> {
    let key = |m: &Member<P>| (m.endpoint.id.clone(), m.endpoint.weight);
    if let Some(Snapshot {
        members: before,
        table: Some(Table::Maglev(table)),
        ..
    }) = previous
        && before.iter().map(key).eq(members.iter().map(key))
    {
        return table.clone();
    }
    let weighted: Vec<_> = (0..)
        .zip(members)
        .filter(|(_, m)| m.endpoint.weight > 0)
        .map(|(index, m)| (index, m.endpoint.id.clone(), m.endpoint.weight))
        .collect();
    Arc::new(MaglevTable::new(&weighted))
}

/// Where an endpoint of this age began, on the caller's clock.
pub(crate) fn up_since(now: Moment, age: Duration) -> i64 {
    let signed = |nanos: u64| i64::try_from(nanos).unwrap_or(i64::MAX);
    signed(now.as_nanos()).saturating_sub(signed(saturating_nanos(age)))
}
