//! Opaque handles: a box behind a pointer, with a tag that tells what is in it.
//!
//! The tag finds a handle of another kind and memory that never was one; it is overwritten when
//! the handle is freed, so that a stale copy of a pointer is found as long as its memory was not
//! given to somebody else. That is a help for finding mistakes, not a promise.

use std::ptr;

use quorate::Error;

use crate::arguments::invalid;

/// The tag of what was freed.
const FREED: u64 = u64::from_be_bytes(*b"QUfreed!");

/// An opaque type of the header.
pub(crate) trait Opaque: Sized {
    /// What is behind the pointer; used by several threads at once.
    type State: Send + Sync;
    /// Tells it from the others.
    const TAG: u64;
    /// What it is called in messages.
    const NAME: &'static str;
}

/// Declares an opaque type's state and tag.
macro_rules! opaque {
    ($type:ident, $state:ty, $name:literal, $tag:literal) => {
        impl crate::handle::Opaque for $type {
            type State = $state;
            const TAG: u64 = u64::from_be_bytes(*$tag);
            const NAME: &'static str = $name;
        }
    };
}
pub(crate) use opaque;

#[repr(C)]
struct Handle<S> {
    tag: u64,
    state: S,
}

/// Puts a state behind a pointer.
pub(crate) fn give<T: Opaque>(state: T::State) -> *mut T {
    Box::into_raw(Box::new(Handle { tag: T::TAG, state })).cast()
}

/// The state behind a pointer, or `None`; also in signal handlers: allocates nothing.
///
/// # Safety
/// As [`borrow`].
pub(crate) unsafe fn peek<'a, T: Opaque>(pointer: *const T) -> Option<&'a T::State> {
    let handle: *const Handle<T::State> = pointer.cast();
    if handle.is_null() || !handle.is_aligned() {
        return None;
    }
    // SAFETY: not null, and aligned; readable as the caller promises.
    if unsafe { ptr::addr_of!((*handle).tag).read() } != T::TAG {
        return None;
    }
    // SAFETY: the tag says that `give` made it.
    Some(unsafe { &(*handle).state })
}

/// The state behind a pointer.
///
/// # Safety
/// `pointer` is null, or points to memory that can be read, and if that is a handle it is not
/// freed while the result is used.
pub(crate) unsafe fn borrow<'a, T: Opaque>(pointer: *const T) -> Result<&'a T::State, Error> {
    // SAFETY: as the caller promises.
    unsafe { peek(pointer) }.ok_or_else(|| {
        if pointer.is_null() {
            invalid(format!("the {} is NULL", T::NAME))
        } else {
            invalid(format!("this is no {}, or one that was freed", T::NAME))
        }
    })
}

/// Takes a handle from where the program keeps it, and leaves NULL there. `None` for what is no
/// such handle, which is left alone.
///
/// # Safety
/// `place` is null or points to a pointer as [`borrow`] wants it, and nobody else uses the handle.
pub(crate) unsafe fn take<T: Opaque>(place: *mut *mut T) -> Option<T::State> {
    if place.is_null() {
        return None;
    }
    // SAFETY: as the caller promises.
    let pointer = unsafe { place.read() };
    // SAFETY: as the caller promises.
    unsafe { peek(pointer) }?;
    // SAFETY: `peek` found that `give` made it, and nobody else uses it.
    let handle = unsafe {
        place.write(ptr::null_mut());
        let handle: *mut Handle<T::State> = pointer.cast();
        ptr::addr_of_mut!((*handle).tag).write_volatile(FREED);
        Box::from_raw(handle)
    };
    Some(handle.state)
}

#[cfg(test)]
mod tests {
    use super::*;

    struct First;
    opaque!(First, String, "first", b"QUtest01");
    struct Second;
    opaque!(Second, String, "second", b"QUtest02");

    #[test]
    fn a_handle_is_known_by_its_tag_and_freed_once() {
        let mut first: *mut First = give("state".to_owned());
        // SAFETY: these are handles, or null; nobody else uses them.
        unsafe {
            assert_eq!(borrow(first).unwrap(), "state");
            let other = borrow::<Second>(first.cast()).unwrap_err();
            assert_eq!(other.message(), "this is no second, or one that was freed");
            assert!(take::<Second>((&raw mut first).cast()).is_none());
            assert_eq!(take(&raw mut first).as_deref(), Some("state"));
            assert!(first.is_null());
            assert!(take(&raw mut first).is_none());
            assert!(take::<First>(ptr::null_mut()).is_none());
            assert_eq!(borrow(first).unwrap_err().message(), "the first is NULL");
            assert!(borrow::<First>(ptr::without_provenance(1)).is_err());
        }
    }
}
