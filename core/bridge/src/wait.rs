//! Blocking on a future with a deadline, while the host can still be interrupted.

use std::future::Future;
use std::pin::pin;
use std::time::{Duration, Instant};

use quorate_types::{Error, ErrorCode};
use tokio::runtime::Handle;

/// How often a blocked call looks whether the host wants it to stop: what a person at a
/// terminal takes for at once.
pub const SLICE: Duration = Duration::from_millis(100);

/// Blocks the calling thread until the future is done, the deadline has passed, or the host says
/// stop. `interrupted` is asked every [`SLICE`]; a binding looks for pending signals there. In
/// the last two cases the future is dropped, which withdraws what it was about.
///
/// # Errors
/// What the future gives; [`ErrorCode::Timeout`] at the deadline; [`ErrorCode::Cancelled`] when
/// interrupted.
pub fn wait<T>(
    runtime: &Handle,
    future: impl Future<Output = Result<T, Error>>,
    at_most: Option<Duration>,
    mut interrupted: impl FnMut() -> bool,
) -> Result<T, Error> {
    // A timeout too long to add to the clock is none.
    let deadline = at_most.and_then(|at_most| Instant::now().checked_add(at_most));
    let mut future = pin!(future);
    loop {
        let slice = deadline.map_or(SLICE, |deadline| {
            SLICE.min(deadline.saturating_duration_since(Instant::now()))
        });
        let sliced = runtime.block_on(async { tokio::time::timeout(slice, &mut future).await });
        if let Ok(done) = sliced {
            return done;
        }
        if interrupted() {
            return Err(Error::new(ErrorCode::Cancelled, "the call was interrupted"));
        }
        if deadline.is_some_and(|deadline| Instant::now() >= deadline) {
            return Err(Error::new(
                ErrorCode::Timeout,
                format!("no answer within {:?}", at_most.unwrap_or_default()),
            ));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::{pending, ready};
    use std::sync::Arc;

    use tokio::runtime::Runtime;

    use super::*;

    #[test]
    fn a_ready_future_is_not_delayed_by_a_zero_deadline() {
        let runtime = Runtime::new().unwrap();
        let done = wait(runtime.handle(), ready(Ok(5)), Some(Duration::ZERO), || {
            false
        });
        assert_eq!(done, Ok(5));
    }

    #[test]
    fn the_deadline_ends_it_and_drops_the_future() {
        let runtime = Runtime::new().unwrap();
        let held = Arc::new(());
        let inside = held.clone();
        let future = async move {
            let _inside = inside;
            pending::<Result<(), Error>>().await
        };
        let error = wait(
            runtime.handle(),
            future,
            Some(Duration::from_millis(5)),
            || false,
        )
        .unwrap_err();
        assert_eq!(error.code(), ErrorCode::Timeout);
        assert_eq!(Arc::strong_count(&held), 1);
    }

    #[test]
    fn an_interrupt_ends_it_at_the_next_slice() {
        let runtime = Runtime::new().unwrap();
        let mut asked = 0;
        let error = wait(
            runtime.handle(),
            pending::<Result<(), Error>>(),
            None,
            || {
                asked += 1;
                asked == 2
            },
        )
        .unwrap_err();
        assert_eq!(error.code(), ErrorCode::Cancelled);
        assert_eq!(asked, 2);
    }

    #[test]
    fn progress_is_kept_between_slices() {
        let runtime = Runtime::new().unwrap();
        let mut slices = 0;
        let future = async {
            tokio::time::sleep(SLICE * 2).await;
            Ok("done")
        };
        let done = wait(runtime.handle(), future, Some(Duration::MAX), || {
            slices += 1;
            false
        });
        assert_eq!(done, Ok("done"));
        assert!(slices >= 1);
    }
}
