//! Quorate for C: the functions of `quorate.h`.
//!
//! Every operation of the client is here once; what C cannot have of Rust is translated:
//! - [`handle`]: opaque pointers with a tag; [`memory`]: results as structs, freed at once;
//! - [`arguments`]: what is read of a caller, and how; [`error`]: codes, and the frame around every
//!   function, which no panic leaves;
//! - [`cancel`]: blocking calls, with a time limit and a handle to withdraw them;
//! - [`queue`], [`event`], [`watch`], [`log`]: what comes by itself, through a pollable queue;
//! - [`client`], [`options`], [`discovery`], [`view`], [`pick`], [`registration`], [`kv`], [`txn`],
//!   [`lock`], [`election`], [`lease`]: the operations;
//! - [`runtime`]: the client's threads, and their end with the process.
//!
//! # Contract of the exported functions
//!
//! All are `unsafe` for the same reason, which `quorate.h` states on its first page. A pointer is
//! NULL, or points to what its type says: a handle that was not freed, texts that end with a NUL,
//! arrays with as many elements as their count, a place that can be written to. What it points to
//! stays as it is during the call. Handles may be used by several threads at once, except that
//! whoever frees one is the only one to use it then.
//!
//! After a fork, everything inherited answers `QUORATE_FORKED` and is never dropped: see
//! [`quorate_bridge::fork`].

// The names are those of the header.
#![allow(non_camel_case_types)]

pub mod arguments;
pub mod cancel;
pub mod client;
pub mod discovery;
pub mod election;
pub mod error;
pub mod event;
mod handle;
pub mod kv;
pub mod lease;
pub mod lock;
pub mod log;
mod memory;
pub mod options;
pub mod pick;
pub mod queue;
pub mod registration;
mod runtime;
pub mod txn;
pub mod view;
pub mod watch;

use std::ffi::{CStr, c_char};

/// The version of the library, such as "0.1.0"; that of the header is QUORATE_VERSION.
#[unsafe(no_mangle)]
pub extern "C" fn quorate_version() -> *const c_char {
    const VERSION: &CStr =
        match CStr::from_bytes_with_nul(concat!(env!("CARGO_PKG_VERSION"), "\0").as_bytes()) {
            Ok(version) => version,
            Err(_) => panic!("a version has no NUL"),
        };
    VERSION.as_ptr()
}
