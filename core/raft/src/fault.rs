//! What ends a node: the first fault wins, is kept, and is told to all who wait for it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use quorate_store::StoreFault;
use quorate_types::ErrorCode;
use quorate_wal::WalError;
use tokio::sync::watch;

/// Why a node can't go on. Nothing is retried: what is on disk is no longer known. The process must end, and
/// recovers on its next start.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Fault {
    /// The log can't be written or read.
    #[error(transparent)]
    Log(WalError),
    /// The state can't be written or read.
    #[error(transparent)]
    Store(StoreFault),
    /// What the log or the state holds makes no sense.
    #[error("stored data is damaged: {0}; restore this member from a backup")]
    Damaged(String),
    /// Consensus ended by itself: a defect.
    #[error("consensus stopped: {0}")]
    Consensus(String),
}

impl Fault {
    /// The stable code.
    #[must_use]
    pub fn code(&self) -> ErrorCode {
        match self {
            Self::Log(error) => error.code(),
            Self::Store(error) => error.error_code(),
            Self::Damaged(_) => ErrorCode::Corrupt,
            Self::Consensus(_) => ErrorCode::Internal,
        }
    }
}

/// Holds the first fault reported. A cheap handle.
#[derive(Clone, Debug)]
pub(crate) struct FaultCell {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    first: watch::Sender<Option<Fault>>,
    /// Whether there is one, for asking on every request.
    is_set: AtomicBool,
}

impl FaultCell {
    pub(crate) fn new() -> Self {
        let shared = Shared {
            first: watch::Sender::new(None),
            is_set: AtomicBool::new(false),
        };
        Self {
            shared: Arc::new(shared),
        }
    }

    /// Keeps the fault if it is the first.
    pub(crate) fn report(&self, fault: Fault) {
        self.shared.first.send_if_modified(|first| {
            if first.is_some() {
                return false;
            }
            tracing::error!(%fault, "this node can't go on");
            *first = Some(fault);
            self.shared.is_set.store(true, Ordering::Release);
            true
        });
    }

    /// Whether there was a fault.
    pub(crate) fn is_set(&self) -> bool {
        self.shared.is_set.load(Ordering::Acquire)
    }

    /// The first fault, if there was one.
    pub(crate) fn get(&self) -> Option<Fault> {
        self.shared.first.borrow().clone()
    }

    /// Waits for the first fault.
    pub(crate) async fn wait(&self) -> Fault {
        let mut receiver = self.shared.first.subscribe();
        let first = receiver.wait_for(Option::is_some).await;
        first
            .ok()
            .and_then(|fault| fault.clone())
            .expect("the sender lives as long as self, and only a fault ends the wait")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_first_fault_is_kept_and_told() {
        let cell = FaultCell::new();
        assert!(cell.get().is_none());
        let waiting = tokio::spawn({
            let cell = cell.clone();
            async move { cell.wait().await.to_string() }
        });
        cell.report(Fault::Consensus("first".to_owned()));
        cell.report(Fault::Consensus("second".to_owned()));
        assert_eq!(waiting.await.unwrap(), "consensus stopped: first");
        assert_eq!(cell.wait().await.code(), ErrorCode::Internal);
    }
}
