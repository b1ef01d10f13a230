//! Keys: writing, reading, deleting, compacting.

use std::ffi::{c_char, c_void};
use std::ptr;

use bumpalo::Bump;
use quorate::Error;
use quorate::kv::{KeyValue, Order, PutOptions, PutResult, RangeOptions, RangeResult, SortBy};

use crate::arguments::{self, Options, bytes, choice, initialise, place};
use crate::cancel::{block, quorate_cancel_t};
use crate::client::{client, quorate_client_t};
use crate::error::{entry, plain, quorate_code_t, quorate_error_t};
use crate::memory::{self, list, one, optional};

/// Bytes. A NUL follows, which does not count.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct quorate_bytes_t {
    /// The bytes; never NULL.
    pub data: *const c_char,
    /// How many there are.
    pub size: usize,
}

pub(crate) fn read_bytes(memory: &Bump, bytes: &[u8]) -> quorate_bytes_t {
    quorate_bytes_t {
        data: memory::bytes(memory, bytes),
        size: bytes.len(),
    }
}

/// One version of one key. More fields may follow in a newer library.
#[repr(C)]
pub struct quorate_key_value_t {
    /// The key. A NUL follows, which does not count.
    pub key: *const c_char,
    /// How many bytes the key has.
    pub key_size: usize,
    /// The value; empty also if only keys were asked for. A NUL follows, which does not count.
    pub value: *const c_char,
    /// How many bytes the value has.
    pub value_size: usize,
    /// The revision at which the key was last created; 0 in a deletion.
    pub create_revision: i64,
    /// The revision of the last change.
    pub mod_revision: i64,
    /// How many changes since the creation, itself included; 0 in a deletion.
    pub version: i64,
    /// The lease the key lives and dies with; 0 is none.
    pub lease: i64,
}

pub(crate) fn key_value(memory: &Bump, kv: &KeyValue) -> quorate_key_value_t {
    quorate_key_value_t {
        key: memory::bytes(memory, &kv.key),
        key_size: kv.key.len(),
        value: memory::bytes(memory, &kv.value),
        value_size: kv.value.len(),
        create_revision: kv.create_revision,
        mod_revision: kv.mod_revision,
        version: kv.version,
        lease: kv.lease,
    }
}

/// How to write a key. Initialise it with quorate_put_options_init().
#[repr(C)]
#[derive(Clone, Copy)]
pub struct quorate_put_options_t {
    /// The size of this struct, as the program knows it.
    pub struct_size: usize,
    /// The id of the lease with which the key is deleted; 0, the default, is none: the key stays.
    pub lease: i64,
    /// Not 0 to be told what the key was before.
    pub previous: i32,
}

// SAFETY: numbers, any bytes are a value; it starts with its size.
unsafe impl Options for quorate_put_options_t {
    const NAME: &'static str = "quorate_put_options_t";

    fn defaults() -> Self {
        Self {
            struct_size: size_of::<Self>(),
            lease: 0,
            previous: 0,
        }
    }
}

/// Writes the defaults into options of `struct_size` bytes: pass `sizeof options`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn quorate_put_options_init(
    options: *mut quorate_put_options_t,
    struct_size: usize,
) {
    // SAFETY: as the crate's page asks of every caller.
    plain((), || unsafe { initialise(options, struct_size) });
}

/// # Safety
/// As [`arguments::options`].
pub(crate) unsafe fn put_options(
    options: *const quorate_put_options_t,
) -> Result<PutOptions, Error> {
    // SAFETY: as the caller promises.
    let options = unsafe { arguments::options(options) }?;
    let put = PutOptions::new().lease(options.lease);
    Ok(if options.previous != 0 {
        put.previous()
    } else {
        put
    })
}

/// What a write did. More fields may follow in a newer library.
#[repr(C)]
pub struct quorate_put_result_t {
    /// The store's revision right after it.
    pub revision: i64,
    /// What the key was before, if asked for and if it was; NULL otherwise.
    pub previous: *const quorate_key_value_t,
}

pub(crate) fn put_result(memory: &Bump, result: &PutResult) -> quorate_put_result_t {
    let previous = result.previous.as_ref();
    quorate_put_result_t {
        revision: result.revision,
        previous: optional(memory, previous.map(|kv| key_value(memory, kv))),
    }
}

/// Writes a key. `options` may be NULL, and so may `result`, if it does not matter. Free the result
/// with quorate_put_result_free().
///
/// Errors: QUORATE_INVALID_ARGUMENT for an empty key; QUORATE_NOT_FOUND if the lease is not there;
/// QUORATE_RESOURCE_EXHAUSTED if it is too large or the store is full; QUORATE_UNAVAILABLE,
/// QUORATE_TIMEOUT and QUORATE_CANCELLED, after which the write may still have taken effect;
/// QUORATE_CLOSED.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn quorate_put(
    client: *const quorate_client_t,
    key: *const c_void,
    key_size: usize,
    value: *const c_void,
    value_size: usize,
    options: *const quorate_put_options_t,
    timeout_ms: i64,
    cancel: *mut quorate_cancel_t,
    result: *mut *mut quorate_put_result_t,
    error: *mut *mut quorate_error_t,
) -> quorate_code_t {
    // SAFETY: as the crate's page asks of every caller.
    unsafe {
        entry(error, || {
            let place = place(result, "result");
            let client = self::client(client)?;
            let key = bytes(key, key_size, "key")?;
            let value = bytes(value, value_size, "value")?;
            let options = put_options(options)?;
            let done = block(client.put_with(key, value, options), timeout_ms, cancel)?;
            if let Ok(place) = place {
                place.put(memory::own(|memory| put_result(memory, &done)));
            }
            Ok(())
        })
    }
}

/// Frees a write's result and sets the program's pointer to NULL. Does nothing with NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn quorate_put_result_free(result: *mut *mut quorate_put_result_t) {
    // SAFETY: as the crate's page asks of every caller.
    plain((), || unsafe { memory::free(result) });
}

/// Reads a key, as it is now or, if `revision` is not 0, was then; NULL if it is not there.
/// `serializable`: whatever the asked server has, which may be stale. Free it with
/// quorate_key_value_free().
///
/// Errors: QUORATE_INVALID_ARGUMENT for an empty key, QUORATE_OUT_OF_RANGE for a revision that is
/// compacted away or in the future, QUORATE_UNAVAILABLE, QUORATE_TIMEOUT, QUORATE_CANCELLED,
/// QUORATE_CLOSED.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn quorate_get(
    client: *const quorate_client_t,
    key: *const c_void,
    key_size: usize,
    revision: i64,
    serializable: bool,
    timeout_ms: i64,
    cancel: *mut quorate_cancel_t,
    found: *mut *mut quorate_key_value_t,
    error: *mut *mut quorate_error_t,
) -> quorate_code_t {
    // SAFETY: as the crate's page asks of every caller.
    unsafe {
        entry(error, || {
            let place = place(found, "key-value")?;
            let client = self::client(client)?;
            let mut options = RangeOptions::key(bytes(key, key_size, "key")?).revision(revision);
            if serializable {
                options = options.serializable();
            }
            let read = block(client.range(options), timeout_ms, cancel)?;
            if let Some(kv) = read.kvs.first() {
                place.put(memory::own(|memory| key_value(memory, kv)));
            }
            Ok(())
        })
    }
}

/// Frees a key-value and sets the program's pointer to NULL. Does nothing with NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn quorate_key_value_free(found: *mut *mut quorate_key_value_t) {
    // SAFETY: as the crate's page asks of every caller.
    plain((), || unsafe { memory::free(found) });
}

/// What records are ordered by.
#[repr(i32)]
pub enum quorate_sort_t {
    /// The key.
    QUORATE_SORT_KEY = 0,
    /// The number of changes.
    QUORATE_SORT_VERSION = 1,
    /// The revision of creation.
    QUORATE_SORT_CREATE_REVISION = 2,
    /// The revision of the last change.
    QUORATE_SORT_MOD_REVISION = 3,
    /// The value.
    QUORATE_SORT_VALUE = 4,
}

/// Which keys to read, and how: all that begin with `prefix`, or those from `start`, included, to
/// `end`, excluded. Initialise it with quorate_range_options_init().
#[repr(C)]
#[derive(Clone, Copy)]
pub struct quorate_range_options_t {
    /// The size of this struct, as the program knows it.
    pub struct_size: usize,
    /// What the keys begin with; not NULL and empty is all keys. NULL, the default: see `start`.
    pub prefix: *const c_void,
    /// How many bytes the prefix has.
    pub prefix_size: usize,
    /// The first key; NULL, the default, is the smallest there is.
    pub start: *const c_void,
    /// How many bytes it has.
    pub start_size: usize,
    /// The key behind the last one; NULL, the default, is none: to the end.
    pub end: *const c_void,
    /// How many bytes it has.
    pub end_size: usize,
    /// As it was at this revision; 0, the default, is now.
    pub revision: i64,
    /// Only records created at this revision or before; 0, the default, is no bound.
    pub max_create_revision: i64,
    /// At most so many records; 0, the default, is all of them.
    pub limit: u32,
    /// A quorate_sort_t. Default: by key.
    pub sort: i32,
    /// Not 0 for the greatest first.
    pub descending: i32,
    /// Not 0 to leave the values out.
    pub keys_only: i32,
    /// Not 0 to be told only how many there are.
    pub count_only: i32,
    /// Not 0 for whatever the asked server has, which may be stale.
    pub serializable: i32,
}

// SAFETY: pointers and numbers, any bytes are a value; it starts with its size.
unsafe impl Options for quorate_range_options_t {
    const NAME: &'static str = "quorate_range_options_t";

    fn defaults() -> Self {
        Self {
            struct_size: size_of::<Self>(),
            prefix: ptr::null(),
            prefix_size: 0,
            start: ptr::null(),
            start_size: 0,
            end: ptr::null(),
            end_size: 0,
            revision: 0,
            max_create_revision: 0,
            limit: 0,
            sort: 0,
            descending: 0,
            keys_only: 0,
            count_only: 0,
            serializable: 0,
        }
    }
}

/// Writes the defaults into options of `struct_size` bytes: pass `sizeof options`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn quorate_range_options_init(
    options: *mut quorate_range_options_t,
    struct_size: usize,
) {
    // SAFETY: as the crate's page asks of every caller.
    plain((), || unsafe { initialise(options, struct_size) });
}

/// # Safety
/// As [`arguments::options`], with bytes that can be read.
pub(crate) unsafe fn range_options(
    options: *const quorate_range_options_t,
) -> Result<RangeOptions, Error> {
    // SAFETY: as the caller promises, here and below.
    let given = unsafe { arguments::options(options) }?;
    let part = |pointer: *const c_void, size, what: &str| {
        // SAFETY: as the caller promises.
        let part = unsafe { bytes(pointer, size, what) }?;
        Ok::<_, Error>((!pointer.is_null()).then(|| part.to_vec()))
    };
    let prefix = part(given.prefix, given.prefix_size, "prefix")?;
    let start = part(given.start, given.start_size, "start")?;
    let end = part(given.end, given.end_size, "end")?;
    use quorate_sort_t as Number;
    let orders = [
        (Number::QUORATE_SORT_KEY as i32, SortBy::Key),
        (Number::QUORATE_SORT_VERSION as i32, SortBy::Version),
        (
            Number::QUORATE_SORT_CREATE_REVISION as i32,
            SortBy::CreateRevision,
        ),
        (
            Number::QUORATE_SORT_MOD_REVISION as i32,
            SortBy::ModRevision,
        ),
        (Number::QUORATE_SORT_VALUE as i32, SortBy::Value),
    ];
    let by = choice(given.sort, "sort", &orders)?;
    let order = if given.descending != 0 {
        Order::Descending
    } else {
        Order::Ascending
    };
    let mut options = RangeOptions::select(prefix, start, end)?
        .limit(given.limit)
        .revision(given.revision)
        .max_create_revision(given.max_create_revision)
        .sort(by, order);
    if given.keys_only != 0 {
        options = options.keys_only();
    }
    if given.count_only != 0 {
        options = options.count_only();
    }
    if given.serializable != 0 {
        options = options.serializable();
    }
    Ok(options)
}

/// The records read. More fields may follow in a newer library.
#[repr(C)]
pub struct quorate_range_result_t {
    /// The records, in the order asked for. NULL follows.
    pub kvs: *const *const quorate_key_value_t,
    /// How many there are here.
    pub kv_count: usize,
    /// How many there are in the range, whatever the limit.
    pub count: u64,
    /// The store's revision at the read.
    pub revision: i64,
    /// Whether the limit cut some off.
    pub more: bool,
}

pub(crate) fn range_result(memory: &Bump, result: &RangeResult) -> quorate_range_result_t {
    let kvs = result
        .kvs
        .iter()
        .map(|kv| one(memory, key_value(memory, kv)));
    quorate_range_result_t {
        kvs: list(memory, kvs),
        kv_count: result.kvs.len(),
        count: result.count,
        revision: result.revision,
        more: result.more,
    }
}

/// Reads a range of keys. Free the result with quorate_range_result_free().
///
/// Errors: as quorate_get(); QUORATE_INVALID_ARGUMENT also without prefix, start and end, and for
/// an empty range.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn quorate_range(
    client: *const quorate_client_t,
    options: *const quorate_range_options_t,
    timeout_ms: i64,
    cancel: *mut quorate_cancel_t,
    result: *mut *mut quorate_range_result_t,
    error: *mut *mut quorate_error_t,
) -> quorate_code_t {
    // SAFETY: as the crate's page asks of every caller.
    unsafe {
        entry(error, || {
            let place = place(result, "result")?;
            let client = self::client(client)?;
            let options = range_options(options)?;
            let read = block(client.range(options), timeout_ms, cancel)?;
            place.put(memory::own(|memory| range_result(memory, &read)));
            Ok(())
        })
    }
}

/// Frees a range's result and sets the program's pointer to NULL. Does nothing with NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn quorate_range_result_free(result: *mut *mut quorate_range_result_t) {
    // SAFETY: as the crate's page asks of every caller.
    plain((), || unsafe { memory::free(result) });
}

/// Deletes a key or, with `prefix`, all keys that begin with it; an empty prefix is refused. How
/// many are gone goes to `deleted`, unless that is NULL.
///
/// Errors: as quorate_put().
#[unsafe(no_mangle)]
pub unsafe extern "C" fn quorate_delete(
    client: *const quorate_client_t,
    key: *const c_void,
    key_size: usize,
    prefix: bool,
    timeout_ms: i64,
    cancel: *mut quorate_cancel_t,
    deleted: *mut u64,
    error: *mut *mut quorate_error_t,
) -> quorate_code_t {
    // SAFETY: as the crate's page asks of every caller.
    unsafe {
        entry(error, || {
            let client = self::client(client)?;
            let key = bytes(key, key_size, "key")?;
            let gone = if prefix {
                block(client.delete_prefix(key), timeout_ms, cancel)?
            } else {
                block(client.delete(key), timeout_ms, cancel)?
            };
            if !deleted.is_null() {
                deleted.write(gone);
            }
            Ok(())
        })
    }
}

/// Forgets all versions older than `revision`.
///
/// Errors: QUORATE_OUT_OF_RANGE if that is done already or the revision is in the future,
/// QUORATE_INVALID_ARGUMENT, QUORATE_UNAVAILABLE, QUORATE_TIMEOUT, QUORATE_CANCELLED,
/// QUORATE_CLOSED.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn quorate_compact(
    client: *const quorate_client_t,
    revision: i64,
    timeout_ms: i64,
    cancel: *mut quorate_cancel_t,
    error: *mut *mut quorate_error_t,
) -> quorate_code_t {
    // SAFETY: as the crate's page asks of every caller.
    unsafe {
        entry(error, || {
            let client = self::client(client)?;
            block(client.compact(revision), timeout_ms, cancel)
        })
    }
}
