//! Quorate for Python: the module `quorate._quorate`, on which the package `quorate` stands.
//!
//! Every operation of the client is here once; the package gives it a sync and an asyncio face.
//! - [`client`]: the operations;
//! - [`operation`], [`completions`], [`stream`]: how they are waited for, without the
//!   interpreter's lock ever being taken on one of the client's threads;
//! - [`locks`], [`registration`], on [`holding`]: handles of what is held until given up;
//! - [`pick`]: the hot path;
//! - [`arguments`], [`txn`], [`values`], [`errors`]: translation in both directions;
//! - [`runtime`], [`logs`]: the client's threads and what they have to say.
//!
//! After a fork, everything inherited answers with `ForkedClientError` and is never dropped: see
//! [`quorate_bridge::fork`].

use pyo3::prelude::*;

mod arguments;
mod client;
mod completions;
mod errors;
mod holding;
mod locks;
mod logs;
mod operation;
mod pick;
mod registration;
mod runtime;
mod stream;
mod txn;
mod values;

#[pymodule]
mod _quorate {
    #[pymodule_export]
    use crate::arguments::balancer_settings;
    #[pymodule_export]
    use crate::client::Core;
    #[pymodule_export]
    use crate::completions::Completions;
    #[pymodule_export]
    use crate::errors::error_codes;
    #[pymodule_export]
    use crate::locks::{Guard, Leadership, Lease};
    #[pymodule_export]
    use crate::logs::{next_logs, set_log_level};
    #[pymodule_export]
    use crate::operation::Operation;
    #[pymodule_export]
    use crate::pick::{Pick, Service, http_outcome};
    #[pymodule_export]
    use crate::registration::Registration;
    #[pymodule_export]
    use crate::runtime::{close_all, shut_down};
    #[pymodule_export]
    use crate::stream::Stream;
    #[pymodule_export]
    use crate::txn::{Compare, Op};
}
