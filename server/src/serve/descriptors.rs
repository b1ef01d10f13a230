//! File descriptors: connections must leave enough of them to the log and the state, which cannot
//! go on without.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// What all but client connections may need: the log's files, the state's, listeners, peers.
const RESERVED: u64 = 256;
/// What each client thread's runtime needs of its own.
const PER_THREAD: u64 = 4;

/// How many of the client connections wanted there may be. Raises this process's limit first, as
/// far as it may by itself; the usual one of 1024 is for programs that use select(2).
pub(super) fn connections(wanted: usize, threads: usize) -> usize {
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: maximum,
        maximum,
    };
    if let Err(error) = setrlimit(Resource::Nofile, raised) {
        tracing::debug!(%error, "the limit of open files stays as it is");
    }
    let limit = getrlimit(Resource::Nofile).current;
    let allowed = allowed(limit, wanted, threads);
    if allowed < wanted {
        tracing::warn!(
            open_files = limit,
            "at most {allowed} client connections instead of {wanted}: the system allows no more \
             open files (ulimit -n)"
        );
    }
    allowed
}

fn allowed(limit: Option<u64>, wanted: usize, threads: usize) -> usize {
    let Some(limit) = limit else {
        return wanted;
    };
    let others = (threads as u64).saturating_mul(PER_THREAD) + RESERVED;
    // Where there are too few for that, half: it may do for a small server.
    let left = limit.saturating_sub(others).max(limit / 2);
    usize::try_from(left).map_or(wanted, |left| wanted.min(left))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_get_what_the_others_leave() {
        assert_eq!(allowed(None, 10_000, 2), 10_000);
        assert_eq!(allowed(Some(1 << 20), 10_000, 2), 10_000);
        assert_eq!(allowed(Some(1024), 10_000, 2), 1024 - 256 - 8);
        assert_eq!(allowed(Some(200), 10_000, 2), 100);
        assert_eq!(allowed(Some(200), 7, 2), 7);
    }
}
