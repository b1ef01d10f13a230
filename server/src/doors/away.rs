//! Work that may take long, away from the thread that serves others.

use tokio_util::task::AbortOnDropHandle;
use tonic::Status;

/// Does it on a thread of its own. A caller that gives up takes it out of the queue.
pub(super) async fn away<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Status> + Send + 'static,
) -> Result<T, Status> {
    AbortOnDropHandle::new(tokio::task::spawn_blocking(work))
        .await
        .map_err(|error| Status::internal(format!("a call panicked: {error}")))?
}
