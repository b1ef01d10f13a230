//! The async runtime openraft runs on: tokio, without its coarse short sleeps.
//!
//! openraft's forwarder of finished log writes sleeps for one microsecond when a second write finishes right
//! behind a first. tokio's timer counts in milliseconds, so that microsecond would cost a whole one, and the
//! writes behind it wait. Here such a sleep only lets the other tasks run.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use openraft::{AsyncRuntime, OptionalSend};
use openraft_rt_tokio::TokioRuntime;

/// Sleeps up to this long are a yield: the timer cannot do better than a millisecond.
const SHORTEST_SLEEP: Duration = Duration::from_micros(100);

/// tokio, with sleeps below the timer's resolution turned into yields.
#[derive(Debug)]
pub(crate) struct ConsensusRuntime {
    tokio: TokioRuntime,
}

type Tokio = TokioRuntime;

/// A sleep on the timer, or a yield.
pub(crate) enum Sleep {
    Timer(Pin<Box<tokio::time::Sleep>>),
    Yield { yielded: bool },
}

impl Sleep {
    const YIELD: Self = Self::Yield { yielded: false };
}

impl Future for Sleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        match &mut *self {
            Self::Timer(sleep) => sleep.as_mut().poll(context),
            Self::Yield { yielded: true } => Poll::Ready(()),
            Self::Yield { yielded } => {
                *yielded = true;
                context.waker().wake_by_ref();
                Poll::Pending
            }
        }
    }
}

impl AsyncRuntime for ConsensusRuntime {
    type JoinError = <Tokio as AsyncRuntime>::JoinError;
    type JoinHandle<T: OptionalSend + 'static> = <Tokio as AsyncRuntime>::JoinHandle<T>;
    type Sleep = Sleep;
    type Instant = <Tokio as AsyncRuntime>::Instant;
    type TimeoutError = <Tokio as AsyncRuntime>::TimeoutError;
    type Timeout<R, T: Future<Output = R> + OptionalSend> = <Tokio as AsyncRuntime>::Timeout<R, T>;
    type ThreadLocalRng = <Tokio as AsyncRuntime>::ThreadLocalRng;
    type Mpsc = <Tokio as AsyncRuntime>::Mpsc;
    type Watch = <Tokio as AsyncRuntime>::Watch;
    type Oneshot = <Tokio as AsyncRuntime>::Oneshot;
    type Mutex<T: OptionalSend + 'static> = <Tokio as AsyncRuntime>::Mutex<T>;

    fn spawn<T>(future: T) -> Self::JoinHandle<T::Output>
    where
        T: Future + OptionalSend + 'static,
        T::Output: OptionalSend + 'static,
    {
        Tokio::spawn(future)
    }

    fn sleep(duration: Duration) -> Sleep {
        if duration <= SHORTEST_SLEEP {
            Sleep::YIELD
        } else {
            Sleep::Timer(Box::pin(Tokio::sleep(duration)))
        }
    }

    fn sleep_until(deadline: Self::Instant) -> Sleep {
        let now = <Self::Instant as openraft::Instant>::now();
        if deadline <= now + SHORTEST_SLEEP {
            Sleep::YIELD
        } else {
            Sleep::Timer(Box::pin(Tokio::sleep_until(deadline)))
        }
    }

    fn timeout<R, F: Future<Output = R> + OptionalSend>(
        duration: Duration,
        future: F,
    ) -> Self::Timeout<R, F> {
        Tokio::timeout(duration, future)
    }

    fn timeout_at<R, F: Future<Output = R> + OptionalSend>(
        deadline: Self::Instant,
        future: F,
    ) -> Self::Timeout<R, F> {
        Tokio::timeout_at(deadline, future)
    }

    fn is_panic(join_error: &Self::JoinError) -> bool {
        Tokio::is_panic(join_error)
    }

    fn thread_rng() -> Self::ThreadLocalRng {
        Tokio::thread_rng()
    }

    fn new(threads: usize) -> Self {
        Self {
            tokio: Tokio::new(threads),
        }
    }

    fn block_on<F, T>(&mut self, future: F) -> T
    where
        F: Future<Output = T>,
    {
        self.tokio.block_on(future)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    #[test]
    fn a_short_sleep_is_a_yield_and_a_long_one_is_not() {
        ConsensusRuntime::new(1).block_on(async {
            let begin = Instant::now();
            for _ in 0..1000 {
                ConsensusRuntime::sleep(Duration::from_micros(1)).await;
            }
            assert!(
                begin.elapsed() < Duration::from_millis(900),
                "each slept a tick"
            );
            let begin = Instant::now();
            ConsensusRuntime::sleep(Duration::from_millis(5)).await;
            assert!(begin.elapsed() >= Duration::from_millis(5));
        });
    }
}
