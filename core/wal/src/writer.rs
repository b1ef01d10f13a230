//! The thread between queue and disk: one write and one sync for all that waits, then the completions in order.

use std::collections::VecDeque;
use std::panic::{self, AssertUnwindSafe};

use crate::appender::Appender;
use crate::error::WalError;
use crate::queue::{Item, Queue};

/// Writes until the queue is closed and empty, or something fails.
pub(crate) fn run(mut appender: Appender, queue: &Queue) {
    queue.enter();
    let mut group = VecDeque::new();
    let served = panic::catch_unwind(AssertUnwindSafe(|| serve(&mut appender, queue, &mut group)));
    let Err(error) = served.unwrap_or(Err(WalError::WriterPanicked)) else {
        return;
    };
    tracing::error!(%error, "the log has failed and takes no more records");
    group.extend(queue.fail(error.clone()));
    while !group.is_empty() {
        // Completions are called one after the other; those behind one that panics still have to know.
        let _ = panic::catch_unwind(AssertUnwindSafe(|| {
            complete(&mut group, queue.flushed(), Err(error.clone()));
        }));
    }
}

fn serve(
    appender: &mut Appender,
    queue: &Queue,
    group: &mut VecDeque<Item>,
) -> Result<(), WalError> {
    loop {
        if !queue.try_take(group) {
            // Nothing to do: time for a note that costs a write and no sync.
            appender.mark()?;
            if !queue.wait() {
                return appender.close();
            }
            continue;
        }
        let written = write(appender, group);
        queue.publish(appender.durable());
        written?;
        if let Some(before) = group.iter().filter_map(|item| item.release_before).max() {
            appender.release(before);
        }
        complete(group, appender.durable(), Ok(()));
    }
}

fn write(appender: &mut Appender, group: &VecDeque<Item>) -> Result<(), WalError> {
    for item in group {
        appender.push(&item.batch)?;
    }
    appender.write()?;
    if group.iter().any(|item| item.durable) {
        appender.sync()?;
    }
    Ok(())
}

/// Tells each append what became of it. After a failure, those that became durable before it did succeed.
fn complete(group: &mut VecDeque<Item>, flushed: u64, result: Result<(), WalError>) {
    while let Some(item) = group.pop_front() {
        if let Some(completion) = item.completion {
            completion(if item.last <= flushed {
                Ok(())
            } else {
                result.clone()
            });
        }
    }
}
