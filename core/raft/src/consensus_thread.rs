//! The thread consensus runs on: a tokio runtime of one thread, with nothing else on it.

use std::sync::mpsc;
use std::thread::{self, JoinHandle};

use tokio::sync::oneshot;

use crate::error::RaftFault;
use crate::fault::Fault;

/// The thread that runs consensus. Dropping it ends the thread and all tasks on it.
pub(crate) struct ConsensusThread {
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl ConsensusThread {
    /// Starts the thread, and returns what `setup` gives once it has run there.
    pub(crate) fn start<T: Send + 'static>(
        setup: impl Future<Output = Result<T, RaftFault>> + Send + 'static,
    ) -> Result<(Self, T), RaftFault> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .thread_name("quorate-log-read")
            .max_blocking_threads(2)
            .build()?;
        let (stop, stopped) = oneshot::channel();
        let (ready, is_ready) = mpsc::sync_channel(1);
        let thread = thread::Builder::new()
            .name("quorate-raft".to_owned())
            .spawn(move || {
                runtime.block_on(async move {
                    // The one who starts it waits for this.
                    let _ = ready.send(setup.await);
                    let _ = stopped.await;
                });
            })?;
        let consensus = Self {
            stop: Some(stop),
            thread: Some(thread),
        };
        let result = is_ready.recv().unwrap_or_else(|_| {
            Err(RaftFault::Failed(Fault::Consensus(
                "it panicked while starting".to_owned(),
            )))
        })?;
        Ok((consensus, result))
    }
}

impl Drop for ConsensusThread {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take()
            && thread.thread().id() != thread::current().id()
        {
            // A panic of consensus was reported by whoever waited for it.
            let _ = thread.join();
        }
    }
}
