//! SIGTERM and SIGINT: the first asks to stop, the second means it.

use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};

/// Both signals, caught from now on.
pub(super) struct StopSignals {
    terminate: Signal,
    interrupt: Signal,
}

impl StopSignals {
    /// Starts catching them.
    ///
    /// # Errors
    /// When the system refuses a handler.
    pub(super) fn catch() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    /// Waits for the next one; its name and number.
    pub(super) async fn next(&mut self) -> (&'static str, i32) {
        tokio::select! {
            _ = self.terminate.recv() => ("SIGTERM", SignalKind::terminate().as_raw_value()),
            _ = self.interrupt.recv() => ("SIGINT", SignalKind::interrupt().as_raw_value()),
        }
    }

    /// Ends the process at the next one, with the code a shell gives for it.
    pub(super) async fn exit_at_next(mut self) -> ! {
        let (name, number) = self.next().await;
        tracing::warn!("{name} again, exiting at once");
        std::process::exit(128 + number)
    }
}
