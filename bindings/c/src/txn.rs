//! Transactions: conditions, and what to do if they hold or do not.

use std::ffi::c_void;
use std::ptr;

use bumpalo::Bump;
use parking_lot::Mutex;
use quorate::Error;
use quorate::kv::{Compare, Comparison, Op, OpResult, Txn, TxnResult};

use crate::arguments::{bytes, choice, place};
use crate::cancel::{block, quorate_cancel_t};
use crate::client::{client, quorate_client_t};
use crate::error::{entry, plain, quorate_code_t, quorate_error_t};
use crate::handle::{borrow, give, opaque, take};
use crate::kv::{
    put_options, put_result, quorate_put_options_t, quorate_put_result_t, quorate_range_options_t,
    quorate_range_result_t, range_options, range_result,
};
use crate::memory::{self, list, one};

/// A transaction under construction: add conditions and operations, then quorate_txn_commit() it.
/// Belongs to no client, and may be committed several times.
pub struct quorate_txn_t {
    _opaque: [u8; 0],
}
opaque!(quorate_txn_t, Mutex<Txn>, "transaction", b"QUtransa");

/// How two values are compared.
#[repr(i32)]
pub enum quorate_comparison_t {
    /// The same.
    QUORATE_EQUAL = 0,
    /// Not the same.
    QUORATE_NOT_EQUAL = 1,
    /// The stored one is greater.
    QUORATE_GREATER = 2,
    /// The stored one is less.
    QUORATE_LESS = 3,
}

/// A number of a key to compare.
#[repr(i32)]
pub enum quorate_target_t {
    /// How many changes since the creation.
    QUORATE_TARGET_VERSION = 0,
    /// The revision at which the key was created; 0 of a key that is not there.
    QUORATE_TARGET_CREATE_REVISION = 1,
    /// The revision of the key's last change.
    QUORATE_TARGET_MOD_REVISION = 2,
    /// The lease the key is attached to.
    QUORATE_TARGET_LEASE = 3,
}

/// When an operation of a transaction is done.
#[repr(i32)]
pub enum quorate_branch_t {
    /// If all conditions hold.
    QUORATE_THEN = 0,
    /// If one does not.
    QUORATE_OTHERWISE = 1,
}

/// Makes a transaction without conditions, which always does what is under QUORATE_THEN. Free it
/// with quorate_txn_free().
#[unsafe(no_mangle)]
pub unsafe extern "C" fn quorate_txn_open(
    txn: *mut *mut quorate_txn_t,
    error: *mut *mut quorate_error_t,
) -> quorate_code_t {
    // SAFETY: as the crate's page asks of every caller.
    unsafe {
        entry(error, || {
            place(txn, "transaction")?.put(give(Mutex::new(Txn::new())));
            Ok(())
        })
    }
}

/// Frees a transaction and sets the program's pointer to NULL. Does nothing with NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn quorate_txn_free(txn: *mut *mut quorate_txn_t) {
    plain((), || {
        // SAFETY: as the crate's page asks of every caller.
        drop(unsafe { take(txn) });
    });
}

fn comparison(number: i32) -> Result<Comparison, Error> {
    use quorate_comparison_t as Number;
    let all = [
        (Number::QUORATE_EQUAL as i32, Comparison::Equal),
        (Number::QUORATE_NOT_EQUAL as i32, Comparison::NotEqual),
        (Number::QUORATE_GREATER as i32, Comparison::Greater),
        (Number::QUORATE_LESS as i32, Comparison::Less),
    ];
    choice(number, "comparison", &all)
}

/// # Safety
/// As [`borrow`].
unsafe fn add_condition(
    txn: *mut quorate_txn_t,
    condition: Compare,
    prefix: bool,
) -> Result<(), Error> {
    let condition = if prefix {
        condition.prefix()
    } else {
        condition
    };
    // SAFETY: as the caller promises.
    let mut txn = unsafe { borrow(txn) }?.lock();
    *txn = std::mem::take(&mut *txn).when([condition]);
    Ok(())
}

/// # Safety
/// As [`borrow`].
unsafe fn add_operation(txn: *mut quorate_txn_t, branch: i32, op: Op) -> Result<(), Error> {
    use quorate_branch_t as Number;
    let branches = [
        (Number::QUORATE_THEN as i32, true),
        (Number::QUORATE_OTHERWISE as i32, false),
    ];
    let then = choice(branch, "branch", &branches)?;
    // SAFETY: as the caller promises.
    let mut txn = unsafe { borrow(txn) }?.lock();
    let so_far = std::mem::take(&mut *txn);
    *txn = if then {
        so_far.then([op])
    } else {
        so_far.otherwise([op])
    };
    Ok(())
}

/// Adds a condition: the key is there or, with `missing`, is not.
///
/// Errors: QUORATE_INVALID_ARGUMENT.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn quorate_txn_when_exists(
    txn: *mut quorate_txn_t,
    key: *const c_void,
    key_size: usize,
    missing: bool,
    error: *mut *mut quorate_error_t,
) -> quorate_code_t {
    // SAFETY: as the crate's page asks of every caller.
    unsafe {
        entry(error, || {
            let key = bytes(key, key_size, "key")?;
            let condition = if missing {
                Compare::missing(key)
            } else {
                Compare::exists(key)
            };
            add_condition(txn, condition, false)
        })
    }
}

/// Adds a condition on the value of a key or, with `prefix`, of every key that begins with it. A
/// key that is not there has no value: the condition does not hold.
///
/// Errors: QUORATE_INVALID_ARGUMENT.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn quorate_txn_when_value(
    txn: *mut quorate_txn_t,
    key: *const c_void,
    key_size: usize,
    prefix: bool,
    comparison: i32,
    value: *const c_void,
    value_size: usize,
    error: *mut *mut quorate_error_t,
) -> quorate_code_t {
    // SAFETY: as the crate's page asks of every caller.
    unsafe {
        entry(error, || {
            let key = bytes(key, key_size, "key")?;
            let value = bytes(value, value_size, "value")?;
            let condition = Compare::value(key, self::comparison(comparison)?, value);
            add_condition(txn, condition, prefix)
        })
    }
}

/// Adds a condition on a number, a quorate_target_t, of a key or, with `prefix`, of every key that
/// begins with it.
///
/// Errors: QUORATE_INVALID_ARGUMENT.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn quorate_txn_when_number(
    txn: *mut quorate_txn_t,
    key: *const c_void,
    key_size: usize,
    prefix: bool,
    target: i32,
    comparison: i32,
    number: i64,
    error: *mut *mut quorate_error_t,
) -> quorate_code_t {
    // SAFETY: as the crate's page asks of every caller.
    unsafe {
        entry(error, || {
            let key = bytes(key, key_size, "key")?;
            let comparison = self::comparison(comparison)?;
            use quorate_target_t as Number;
            type Make = fn(Vec<u8>, Comparison, i64) -> Compare;
            let targets: [(i32, Make); 4] = [
                (Number::QUORATE_TARGET_VERSION as i32, Compare::version),
                (
                    Number::QUORATE_TARGET_CREATE_REVISION as i32,
                    Compare::create_revision,
                ),
                (
                    Number::QUORATE_TARGET_MOD_REVISION as i32,
                    Compare::mod_revision,
                ),
                (Number::QUORATE_TARGET_LEASE as i32, Compare::lease),
            ];
            let make = choice(target, "target", &targets)?;
            let condition = make(key.to_vec(), comparison, number);
            add_condition(txn, condition, prefix)
        })
    }
}

/// Adds a write to a branch, a quorate_branch_t. `options` may be NULL.
///
/// Errors: QUORATE_INVALID_ARGUMENT.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn quorate_txn_put(
    txn: *mut quorate_txn_t,
    branch: i32,
    key: *const c_void,
    key_size: usize,
    value: *const c_void,
    value_size: usize,
    options: *const quorate_put_options_t,
    error: *mut *mut quorate_error_t,
) -> quorate_code_t {
    // SAFETY: as the crate's page asks of every caller.
    unsafe {
        entry(error, || {
            let key = bytes(key, key_size, "key")?;
            let value = bytes(value, value_size, "value")?;
            let options = put_options(options)?;
            add_operation(txn, branch, Op::put_with(key, value, options))
        })
    }
}

/// Adds a read of one key to a branch, a quorate_branch_t.
///
/// Errors: QUORATE_INVALID_ARGUMENT.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn quorate_txn_get(
    txn: *mut quorate_txn_t,
    branch: i32,
    key: *const c_void,
    key_size: usize,
    error: *mut *mut quorate_error_t,
) -> quorate_code_t {
    // SAFETY: as the crate's page asks of every caller.
    unsafe {
        entry(error, || {
            let key = bytes(key, key_size, "key")?;
            add_operation(txn, branch, Op::get(key))
        })
    }
}

/// Adds a read of a range to a branch, a quorate_branch_t.
///
/// Errors: QUORATE_INVALID_ARGUMENT.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn quorate_txn_range(
    txn: *mut quorate_txn_t,
    branch: i32,
    options: *const quorate_range_options_t,
    error: *mut *mut quorate_error_t,
) -> quorate_code_t {
    // SAFETY: as the crate's page asks of every caller.
    unsafe {
        entry(error, || {
            let options = range_options(options)?;
            add_operation(txn, branch, Op::range(options))
        })
    }
}

/// Adds a deletion of a key or, with `prefix`, of all keys that begin with it, to a branch, a
/// quorate_branch_t.
///
/// Errors: QUORATE_INVALID_ARGUMENT.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn quorate_txn_delete(
    txn: *mut quorate_txn_t,
    branch: i32,
    key: *const c_void,
    key_size: usize,
    prefix: bool,
    error: *mut *mut quorate_error_t,
) -> quorate_code_t {
    // SAFETY: as the crate's page asks of every caller.
    unsafe {
        entry(error, || {
            let key = bytes(key, key_size, "key")?;
            let op = if prefix {
                Op::delete_prefix(key)
            } else {
                Op::delete(key)
            };
            add_operation(txn, branch, op)
        })
    }
}

/// Adds a copy of another transaction to a branch, a quorate_branch_t.
///
/// Errors: QUORATE_INVALID_ARGUMENT.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn quorate_txn_nested(
    txn: *mut quorate_txn_t,
    branch: i32,
    nested: *const quorate_txn_t,
    error: *mut *mut quorate_error_t,
) -> quorate_code_t {
    // SAFETY: as the crate's page asks of every caller.
    unsafe {
        entry(error, || {
            // Copied before the other is locked: they may be the same.
            let nested = borrow(nested)?.lock().clone();
            add_operation(txn, branch, Op::txn(nested))
        })
    }
}

/// What an operation of a transaction was.
#[repr(i32)]
#[derive(Clone, Copy)]
pub enum quorate_op_t {
    /// A write: see `put`.
    QUORATE_OP_PUT = 1,
    /// A read: see `range`.
    QUORATE_OP_RANGE = 2,
    /// A deletion: see `deleted`.
    QUORATE_OP_DELETE = 3,
    /// A transaction: see `txn`.
    QUORATE_OP_TXN = 4,
}

/// What one operation of a transaction did. More fields may follow in a newer library.
#[repr(C)]
pub struct quorate_op_result_t {
    /// What it was.
    pub op: quorate_op_t,
    /// How many keys are gone.
    pub deleted: u64,
    /// Of a write; NULL otherwise.
    pub put: *const quorate_put_result_t,
    /// Of a read; NULL otherwise.
    pub range: *const quorate_range_result_t,
    /// Of a transaction; NULL otherwise.
    pub txn: *const quorate_txn_result_t,
}

/// What a transaction did. More fields may follow in a newer library.
#[repr(C)]
pub struct quorate_txn_result_t {
    /// The store's revision right after it.
    pub revision: i64,
    /// One for each operation done, in their order. NULL follows.
    pub results: *const *const quorate_op_result_t,
    /// How many there are.
    pub result_count: usize,
    /// Whether all conditions held, so that QUORATE_THEN was done and not QUORATE_OTHERWISE.
    pub succeeded: bool,
}

fn txn_result(memory: &Bump, result: &TxnResult) -> quorate_txn_result_t {
    let results = result.responses.iter().map(|response| {
        let mut done = quorate_op_result_t {
            op: quorate_op_t::QUORATE_OP_DELETE,
            deleted: 0,
            put: ptr::null(),
            range: ptr::null(),
            txn: ptr::null(),
        };
        match response {
            OpResult::Put(put) => {
                done.op = quorate_op_t::QUORATE_OP_PUT;
                done.put = one(memory, put_result(memory, put));
            }
            OpResult::Range(range) => {
                done.op = quorate_op_t::QUORATE_OP_RANGE;
                done.range = one(memory, range_result(memory, range));
            }
            OpResult::Txn(txn) => {
                done.op = quorate_op_t::QUORATE_OP_TXN;
                done.txn = one(memory, txn_result(memory, txn));
            }
            OpResult::Deleted(count) => done.deleted = *count,
            // Of an operation this binding has no function for, so nobody asked for it.
            _ => {}
        }
        one(memory, done)
    });
    quorate_txn_result_t {
        revision: result.revision,
        results: list(memory, results),
        result_count: result.responses.len(),
        succeeded: result.succeeded,
    }
}

/// Does a transaction, as one revision. Free the result with quorate_txn_result_free().
///
/// Errors: as quorate_put().
#[unsafe(no_mangle)]
pub unsafe extern "C" fn quorate_txn_commit(
    client: *const quorate_client_t,
    txn: *const quorate_txn_t,
    timeout_ms: i64,
    cancel: *mut quorate_cancel_t,
    result: *mut *mut quorate_txn_result_t,
    error: *mut *mut quorate_error_t,
) -> quorate_code_t {
    // SAFETY: as the crate's page asks of every caller.
    unsafe {
        entry(error, || {
            let place = place(result, "result")?;
            let client = self::client(client)?;
            let txn = borrow(txn)?.lock().clone();
            let done = block(client.txn(txn), timeout_ms, cancel)?;
            place.put(memory::own(|memory| txn_result(memory, &done)));
            Ok(())
        })
    }
}

/// Frees a transaction's result and sets the program's pointer to NULL. Does nothing with NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn quorate_txn_result_free(result: *mut *mut quorate_txn_result_t) {
    // SAFETY: as the crate's page asks of every caller.
    plain((), || unsafe { memory::free(result) });
}
