//! Results as C reads them: a struct, and all it points to, in one piece of memory that is freed
//! at once.
//!
//! Lists hold pointers to their elements and end with NULL, so that structs can grow at their end
//! without breaking programs built before.

use std::ffi::c_char;
use std::ptr;

use bumpalo::Bump;

/// A result and the memory its pointers point into.
#[repr(C)]
struct Owned<T> {
    /// First, so that a pointer to it is one to the whole.
    value: T,
    _memory: Bump,
}

/// Makes a result of what `build` puts into the memory it is given. To be freed with [`free`].
pub(crate) fn own<T>(build: impl FnOnce(&Bump) -> T) -> *mut T {
    let memory = Bump::with_capacity(512);
    let value = build(&memory);
    Box::into_raw(Box::new(Owned {
        value,
        _memory: memory,
    }))
    .cast()
}

/// Frees a result, and leaves NULL where the program keeps it.
///
/// # Safety
/// `place` is null or points to null or to what [`own`] made of the same type, which is not used
/// any more.
pub(crate) unsafe fn free<T>(place: *mut *mut T) {
    if place.is_null() {
        return;
    }
    // SAFETY: as the caller promises.
    let value = unsafe { place.replace(ptr::null_mut()) };
    if !value.is_null() {
        // SAFETY: `own` made it as the first field of an `Owned<T>` in a box.
        drop(unsafe { Box::from_raw(value.cast::<Owned<T>>()) });
    }
}

/// A copy with a NUL behind it.
pub(crate) fn text(memory: &Bump, text: &str) -> *const c_char {
    bytes(memory, text.as_bytes())
}

/// A copy with a NUL behind it, which does not count.
pub(crate) fn bytes(memory: &Bump, bytes: &[u8]) -> *const c_char {
    let copy = memory.alloc_slice_fill_copy(bytes.len() + 1, 0u8);
    copy[..bytes.len()].copy_from_slice(bytes);
    copy.as_ptr().cast()
}

/// A list of pointers, with NULL behind it.
pub(crate) fn list<T>(
    memory: &Bump,
    items: impl ExactSizeIterator<Item = *const T>,
) -> *const *const T {
    let pointers = memory.alloc_slice_fill_copy(items.len() + 1, ptr::null());
    for (place, item) in pointers.iter_mut().zip(items) {
        *place = item;
    }
    pointers.as_ptr()
}

/// One struct.
pub(crate) fn one<T>(memory: &Bump, value: T) -> *const T {
    memory.alloc(value)
}

/// One struct, or NULL.
pub(crate) fn optional<T>(memory: &Bump, value: Option<T>) -> *const T {
    value.map_or(ptr::null(), |value| one(memory, value))
}

#[cfg(test)]
mod tests {
    use std::ffi::CStr;

    use super::*;

    #[test]
    fn a_result_is_whole_and_freed_once() {
        let mut owned = own(|memory| {
            let items = ["a", "", "ccc"].map(|item| text(memory, item).cast::<u8>());
            list(memory, items.into_iter())
        });
        // SAFETY: `own` made it, of pointers to strings.
        unsafe {
            let items = *owned;
            let read = |index: usize| CStr::from_ptr((*items.add(index)).cast());
            assert_eq!([read(0), read(1), read(2)], [c"a", c"", c"ccc"]);
            assert!((*items.add(3)).is_null());
            free(&raw mut owned);
            assert!(owned.is_null());
            free(&raw mut owned);
            free::<*const *const u8>(ptr::null_mut());
        }
    }
}
