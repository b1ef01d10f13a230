//! Gives the registry its turns: what expires, expires here.

use quorate_registry::Registry;

/// Sweeps whenever the registry has asked for it, until this future is dropped.
pub(super) async fn sweep(registry: Registry) {
    loop {
        tokio::time::sleep(registry.sweep()).await;
    }
}
