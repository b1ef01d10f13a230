//! The client's threads in this process, the clients that are open, and their end.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures::future::join_all;
use napi_derive::napi;
use parking_lot::Mutex;
use quorate::Client;
use quorate_bridge::Runtimes;
use tokio::runtime::Handle;

use crate::errors::{Result, raise};

static RUNTIMES: Runtimes = Runtimes::new();

/// Every client that was not closed yet, of all environments: a process that exits closes those
/// of its workers too.
static OPEN: Mutex<BTreeMap<u64, Open>> = Mutex::new(BTreeMap::new());

struct Open {
    environment: u64,
    client: Client,
}

/// How long all clients together have to close when the process or a worker ends.
const LAST_WORDS: Duration = Duration::from_secs(1);
/// How long tasks that are left have after that.
const LAST_MOMENT: Duration = Duration::from_millis(100);

/// The runtime of this process.
pub(crate) fn handle() -> Result<Handle> {
    RUNTIMES.handle().map_err(|error| raise(&error))
}

/// Notes a client that is to be closed at the end. Returns its number.
pub(crate) fn opened(environment: u64, client: Client) -> u64 {
    static NUMBERS: AtomicU64 = AtomicU64::new(0);
    let number = NUMBERS.fetch_add(1, Ordering::Relaxed);
    let open = Open {
        environment,
        client,
    };
    OPEN.lock().insert(number, open);
    number
}

/// It was closed.
pub(crate) fn closed(number: u64) {
    OPEN.lock().remove(&number);
}

/// Closes the clients of an environment that ends.
pub(crate) fn close_environment(environment: u64) {
    let mut ended = Vec::new();
    OPEN.lock().retain(|_, open| {
        let ends = open.environment == environment;
        if ends {
            ended.push(open.client.clone());
        }
        !ends
    });
    close(ended);
}

/// Ends everything, for the exit of the process: closes all clients, together within a second, so
/// that instances are deregistered and locks released at once, then ends the threads. Afterwards
/// no client can be used.
#[napi]
pub fn shut_down() {
    let all = std::mem::take(&mut *OPEN.lock());
    close(all.into_values().map(|open| open.client).collect());
    RUNTIMES.shut_down(LAST_MOMENT);
}

fn close(clients: Vec<Client>) {
    if clients.is_empty() {
        return;
    }
    // Without a runtime the process ends already, and they were closed.
    let Ok(runtime) = RUNTIMES.handle() else {
        return;
    };
    runtime.block_on(async {
        let closing = join_all(clients.iter().map(Client::close));
        // Who is not done by then is ended by its time to live.
        let _ = tokio::time::timeout(LAST_WORDS, closing).await;
    });
}
