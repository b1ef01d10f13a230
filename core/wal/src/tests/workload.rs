//! Workloads, and a model of what a log has to keep of them.

use std::sync::mpsc::Receiver;

use super::{Entry, completion, open};
use crate::crash_disk::CrashDisk;
use crate::{Batch, Recovery, Wal, WalError, WalOptions};

/// One step of a workload.
#[derive(Clone, Debug)]
pub(super) enum Step {
    /// Appends records of these lengths durably, and waits.
    Put(Vec<usize>),
    /// Appends them durably, and does not wait: the group may grow.
    Start(Vec<usize>),
    /// Appends them relaxed.
    Relaxed(Vec<usize>),
    Sync,
    /// Releases this share of the records, in percent.
    Release(u64),
    /// Closes and opens.
    Reopen,
}

/// What should be in the log: all that was ever appended, how much of it is acknowledged, and how much may have
/// been released.
#[derive(Default)]
pub(super) struct Model {
    appended: Vec<Entry>,
    acknowledged: u64,
    released: u64,
    /// Appends not waited for.
    started: Vec<(u64, Receiver<Result<(), WalError>>)>,
    /// Whether all records have the same bytes: then only the log's own care tells old ones from new.
    alike: bool,
}

impl Model {
    pub(super) fn new(alike: bool) -> Self {
        Self {
            alike,
            ..Self::default()
        }
    }

    fn batch(&self, lengths: &[usize]) -> Batch {
        let mut batch = Batch::new();
        for (next, &length) in (self.appended.len() as u64 + 1..).zip(lengths) {
            let byte = if self.alike { 7 } else { next as u8 | 1 };
            batch.push(1, &vec![byte; length]);
        }
        batch
    }

    fn note(&mut self, batch: &Batch) {
        for (kind, payload) in batch.records() {
            let sequence = self.appended.len() as u64 + 1;
            self.appended.push((sequence, kind, payload.to_vec()));
        }
    }

    pub(super) fn settle(&mut self) {
        for (last, result) in self.started.drain(..) {
            if let Ok(Ok(())) = result.recv() {
                self.acknowledged = self.acknowledged.max(last);
            }
        }
    }

    /// Does a step; an error is what a crash looks like.
    pub(super) fn step(&mut self, wal: &Wal, step: &Step) -> Result<(), WalError> {
        match step {
            Step::Put(lengths) | Step::Start(lengths) => {
                let batch = self.batch(lengths);
                let (done, result) = completion();
                let appended = wal.append(batch.clone(), done)?;
                self.note(&batch);
                assert_eq!(appended.last, self.appended.len() as u64);
                self.started.push((appended.last, result));
                if matches!(step, Step::Put(_)) {
                    self.settle();
                }
            }
            Step::Relaxed(lengths) => {
                let batch = self.batch(lengths);
                wal.append_relaxed(batch.clone())?;
                self.note(&batch);
            }
            Step::Sync => {
                wal.sync()?;
                self.acknowledged = self.appended.len() as u64;
            }
            Step::Release(percent) => {
                let before = self.appended.len() as u64 * percent / 100;
                wal.release_before(before)?;
                self.released = self.released.max(before);
            }
            Step::Reopen => {}
        }
        match wal.failure() {
            Some(failure) => Err(failure),
            None => Ok(()),
        }
    }

    /// Compares what a new process found, and takes it over as the truth.
    pub(super) fn check(&mut self, recovery: &Recovery, found: &[Entry]) {
        let last = recovery.last_sequence;
        assert!(
            last >= self.acknowledged,
            "acknowledged {}, found up to {last}",
            self.acknowledged
        );
        assert!(
            last <= self.appended.len() as u64,
            "{last} was never appended"
        );
        assert!(
            recovery.first_sequence <= self.released.max(1),
            "{recovery:?}, released {}",
            self.released
        );
        self.appended.truncate(last as usize);
        assert_eq!(
            found,
            &self.appended[recovery.first_sequence as usize - 1..]
        );
        self.acknowledged = last;
    }
}

/// Runs a workload until it ends or the disk crashes.
pub(super) fn run(disk: &CrashDisk, options: &WalOptions, model: &mut Model, steps: &[Step]) {
    let Ok((mut wal, recovery, found)) = open(disk, options.clone()) else {
        return;
    };
    model.check(&recovery, &found);
    for step in steps {
        if matches!(step, Step::Reopen) {
            drop(wal);
            model.settle();
            let Ok((reopened, recovery, found)) = open(disk, options.clone()) else {
                return;
            };
            model.check(&recovery, &found);
            wal = reopened;
        }
        if model.step(&wal, step).is_err() {
            break;
        }
    }
    drop(wal);
    model.settle();
}

pub(super) fn script() -> Vec<Step> {
    vec![
        Step::Put(vec![10]),
        Step::Put(vec![0, 600, 1]),
        Step::Relaxed(vec![700]),
        Step::Put(vec![900]),
        Step::Start(vec![100, 100]),
        Step::Start(vec![1000]),
        Step::Put(vec![1200]),
        Step::Sync,
        Step::Put(vec![2000]),
        Step::Put(vec![3000, 2500, 100]),
        Step::Relaxed(vec![5, 6, 7]),
        Step::Reopen,
        Step::Release(60),
        Step::Put(vec![3500]),
        Step::Start(vec![3500, 400]),
        Step::Relaxed(vec![1500]),
        Step::Sync,
        Step::Release(90),
        Step::Put(vec![40]),
    ]
}
