//! Reading what C passes: nothing is believed that can be checked.

use std::collections::BTreeMap;
use std::ffi::{CStr, c_char, c_void};
use std::time::Duration;
use std::{mem, ptr, slice};

use quorate::{Error, ErrorCode};

/// An error about an argument.
pub(crate) fn invalid(message: impl Into<String>) -> Error {
    Error::new(ErrorCode::InvalidArgument, message)
}

/// A text that must be there.
///
/// # Safety
/// `pointer` is null, or points to bytes of which one is 0, which stay as they are meanwhile.
pub(crate) unsafe fn text<'a>(pointer: *const c_char, what: &str) -> Result<&'a str, Error> {
    // SAFETY: as the caller promises.
    let text = unsafe { optional_text(pointer, what) }?;
    text.ok_or_else(|| invalid(format!("the {what} is NULL")))
}

/// A text that may be NULL.
///
/// # Safety
/// As [`text`].
pub(crate) unsafe fn optional_text<'a>(
    pointer: *const c_char,
    what: &str,
) -> Result<Option<&'a str>, Error> {
    if pointer.is_null() {
        return Ok(None);
    }
    // SAFETY: as the caller promises.
    let text = unsafe { CStr::from_ptr(pointer) }.to_str();
    text.map(Some)
        .map_err(|_| invalid(format!("the {what} is not UTF-8")))
}

/// Bytes; NULL is allowed if there are none.
///
/// # Safety
/// `pointer` is null, or points to so many bytes, which stay as they are meanwhile.
pub(crate) unsafe fn bytes<'a>(
    pointer: *const c_void,
    size: usize,
    what: &str,
) -> Result<&'a [u8], Error> {
    if size == 0 {
        return Ok(&[]);
    }
    if pointer.is_null() {
        return Err(invalid(format!("the {what} is NULL, its size is {size}")));
    }
    if isize::try_from(size).is_err() {
        return Err(invalid(format!("the {what} cannot have {size} bytes")));
    }
    // SAFETY: not null and of a size that can be; the rest as the caller promises.
    Ok(unsafe { slice::from_raw_parts(pointer.cast(), size) })
}

/// The elements of an array; NULL is allowed if there are none.
///
/// # Safety
/// As [`bytes`], for so many elements.
pub(crate) unsafe fn array<'a, T>(
    pointer: *const T,
    count: usize,
    what: &str,
) -> Result<&'a [T], Error> {
    if count == 0 {
        return Ok(&[]);
    }
    if pointer.is_null() || !pointer.is_aligned() {
        return Err(invalid(format!(
            "the {what} are NULL, there should be {count}"
        )));
    }
    if count
        .checked_mul(size_of::<T>())
        .is_none_or(|size| isize::try_from(size).is_err())
    {
        return Err(invalid(format!("there cannot be {count} {what}")));
    }
    // SAFETY: not null, aligned and of a size that can be; the rest as the caller promises.
    Ok(unsafe { slice::from_raw_parts(pointer, count) })
}

/// The texts of an array.
///
/// # Safety
/// As [`array`], each as [`text`].
pub(crate) unsafe fn texts<'a>(
    pointer: *const *const c_char,
    count: usize,
    what: &str,
) -> Result<Vec<&'a str>, Error> {
    // SAFETY: as the caller promises.
    let pointers = unsafe { array(pointer, count, what) }?;
    pointers
        .iter()
        // SAFETY: as the caller promises.
        .map(|pointer| unsafe { text(*pointer, what) })
        .collect()
}

/// A name and a text of an instance's metadata.
#[repr(C)]
#[derive(Clone, Copy)]
#[allow(non_camel_case_types)]
pub struct quorate_label_t {
    /// The name; never NULL.
    pub key: *const c_char,
    /// The text; never NULL.
    pub value: *const c_char,
}

/// Metadata.
///
/// # Safety
/// As [`array`], with texts inside.
pub(crate) unsafe fn labels(
    pointer: *const quorate_label_t,
    count: usize,
) -> Result<BTreeMap<String, String>, Error> {
    // SAFETY: as the caller promises.
    let labels = unsafe { array(pointer, count, "metadata") }?;
    labels
        .iter()
        .map(|label| {
            // SAFETY: as the caller promises.
            let key = unsafe { text(label.key, "key of metadata") }?;
            // SAFETY: as the caller promises.
            let value = unsafe { text(label.value, "value of metadata") }?;
            Ok((key.to_owned(), value.to_owned()))
        })
        .collect()
}

/// A time span that must be there.
pub(crate) fn milliseconds(value: i64, what: &str) -> Result<Duration, Error> {
    let value = u64::try_from(value)
        .map_err(|_| invalid(format!("{what} of {value} ms is not a time span")))?;
    Ok(Duration::from_millis(value))
}

/// As a `timeout_ms`: no limit but the request timeout, and none for standing in line.
pub const QUORATE_NO_LIMIT: i64 = -1;

/// How long to wait; below 0 there is no limit.
pub(crate) fn timeout(milliseconds: i64) -> Option<Duration> {
    u64::try_from(milliseconds).ok().map(Duration::from_millis)
}

/// What a number of an enum of the header stands for.
pub(crate) fn choice<T: Copy>(number: i32, what: &str, all: &[(i32, T)]) -> Result<T, Error> {
    let found = all.iter().find(|(other, _)| *other == number);
    found
        .map(|(_, meant)| *meant)
        .ok_or_else(|| invalid(format!("{number} is no quorate_{what}_t")))
}

/// A weight.
pub(crate) fn weight(weight: i32) -> Result<u16, Error> {
    u16::try_from(weight).map_err(|_| invalid(format!("weight {weight} is not within 0 and 65535")))
}

/// Where a result goes.
///
/// # Safety
/// `place` is null or can be written to.
pub(crate) unsafe fn place<T>(place: *mut *mut T, what: &str) -> Result<Place<T>, Error> {
    if place.is_null() {
        return Err(invalid(format!("the place for the {what} is NULL")));
    }
    // SAFETY: as the caller promises.
    unsafe { place.write(ptr::null_mut()) };
    Ok(Place(place))
}

/// A place that can be written to; NULL is there until it is.
pub(crate) struct Place<T>(*mut *mut T);

impl<T> Place<T> {
    /// Hands the result over.
    pub(crate) fn put(self, result: *mut T) {
        // SAFETY: whoever made it promised that it can be written to, for the length of the call.
        unsafe { self.0.write(result) };
    }
}

/// A struct of options: its first field is its size as the program knows it, which may have been
/// built with an older header, where it was smaller, or a newer one.
///
/// # Safety
/// `#[repr(C)]`, the first field a `usize`, and any bytes are a valid value.
pub(crate) unsafe trait Options: Copy {
    /// What it is called in the header.
    const NAME: &'static str;
    /// The values of those that are not set.
    fn defaults() -> Self;
}

/// No struct of options grows larger.
const LARGEST: usize = 4096;

/// Writes the defaults of a struct that has `size` bytes for the program.
///
/// # Safety
/// `pointer` is null or points to `size` bytes that can be written.
pub(crate) unsafe fn initialise<T: Options>(pointer: *mut T, size: usize) {
    if pointer.is_null() || !(size_of::<usize>()..=LARGEST).contains(&size) {
        return;
    }
    // SAFETY: as the caller promises.
    unsafe { write(pointer, T::defaults(), size) };
}

/// Writes as much of a struct as there is room for, then its size there.
///
/// # Safety
/// `pointer` points to `size` bytes that can be written, at least as many as a `usize` has.
unsafe fn write<T: Copy>(pointer: *mut T, value: T, size: usize) {
    let known = size.min(size_of::<T>());
    // SAFETY: as the caller promises; what is copied is within both.
    unsafe {
        ptr::write_bytes(pointer.cast::<u8>(), 0, size);
        ptr::copy_nonoverlapping((&raw const value).cast::<u8>(), pointer.cast(), known);
        pointer.cast::<usize>().write_unaligned(size);
    }
}

/// Reads options; NULL is all defaults.
///
/// # Safety
/// `pointer` is null or points to a struct as large as its first field says.
pub(crate) unsafe fn options<T: Options>(pointer: *const T) -> Result<T, Error> {
    let mut whole = T::defaults();
    if pointer.is_null() {
        return Ok(whole);
    }
    // SAFETY: as the caller promises.
    let size = unsafe { pointer.cast::<usize>().read_unaligned() };
    if !(size_of::<usize>()..=LARGEST).contains(&size) {
        return Err(invalid(format!(
            "struct_size of {name} is {size}: initialise it with {name}_init(&options, sizeof options)",
            name = T::NAME.trim_end_matches("_t"),
        )));
    }
    let known = size.min(mem::size_of::<T>());
    // SAFETY: as the caller promises; what is copied is within both, and any bytes are a value.
    let unknown = unsafe {
        ptr::copy_nonoverlapping(pointer.cast::<u8>(), (&raw mut whole).cast(), known);
        slice::from_raw_parts(pointer.cast::<u8>().add(known), size - known)
    };
    if unknown.iter().any(|byte| *byte != 0) {
        return Err(invalid(format!(
            "{} has a field that this version of the library does not know",
            T::NAME
        )));
    }
    Ok(whole)
}

/// Fills a struct of the program's, as far as it and the library know it.
///
/// # Safety
/// `pointer` is null or points to a struct as large as its first field says, which can be written;
/// `T` starts with its size.
pub(crate) unsafe fn fill<T: Copy>(pointer: *mut T, value: T, name: &str) -> Result<(), Error> {
    if pointer.is_null() {
        return Err(invalid(format!("the {name} is NULL")));
    }
    // SAFETY: as the caller promises.
    let size = unsafe { pointer.cast::<usize>().read_unaligned() };
    if !(size_of::<usize>()..=LARGEST).contains(&size) {
        return Err(invalid(format!(
            "struct_size of {name} is {size}: set it to sizeof({name})"
        )));
    }
    // SAFETY: as the caller promises.
    unsafe { write(pointer, value, size) };
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[repr(C)]
    #[derive(Clone, Copy, Debug, PartialEq)]
    struct Some {
        struct_size: usize,
        first: i64,
        second: i64,
    }

    // SAFETY: plain numbers.
    unsafe impl Options for Some {
        const NAME: &'static str = "some_t";
        fn defaults() -> Self {
            Self {
                struct_size: size_of::<Self>(),
                first: 1,
                second: 2,
            }
        }
    }

    #[repr(C)]
    struct Larger {
        some: Some,
        third: i64,
    }

    #[test]
    fn what_an_older_struct_lacks_has_its_default() {
        let older = [16i64, 7];
        // SAFETY: as large as it says.
        let read = unsafe { options::<Some>(older.as_ptr().cast()) }.unwrap();
        assert_eq!((read.first, read.second), (7, 2));
    }

    #[test]
    fn a_newer_struct_is_taken_if_it_asks_for_nothing_new() {
        let mut newer = Larger {
            some: Some::defaults(),
            third: 9,
        };
        // SAFETY: as large as it says.
        unsafe {
            initialise::<Some>((&raw mut newer).cast(), size_of::<Larger>());
            assert_eq!((newer.some.second, newer.third), (2, 0));
            assert!(options::<Some>((&raw const newer).cast()).is_ok());
            newer.third = 1;
            let error = options::<Some>((&raw const newer).cast()).unwrap_err();
            assert!(error.message().contains("does not know"), "{error}");
        }
    }

    #[test]
    fn a_struct_without_its_size_is_refused_and_null_is_the_defaults() {
        let zero = [0usize; 3];
        // SAFETY: readable; null is allowed.
        unsafe {
            let error = options::<Some>(zero.as_ptr().cast()).unwrap_err();
            assert!(error.message().contains("some_init"), "{error}");
            assert_eq!(options::<Some>(ptr::null()).unwrap(), Some::defaults());
        }
    }

    #[test]
    fn null_and_bytes_that_are_no_text_are_errors() {
        // SAFETY: null or terminated.
        unsafe {
            assert!(
                text(ptr::null(), "name")
                    .unwrap_err()
                    .message()
                    .contains("name is NULL")
            );
            let error = text(c"\xff".as_ptr(), "name").unwrap_err();
            assert_eq!(error.message(), "the name is not UTF-8");
            assert_eq!(text(c"é".as_ptr(), "name").unwrap(), "é");
            assert!(bytes(ptr::null(), 1, "key").is_err());
            assert_eq!(bytes(ptr::null(), 0, "key").unwrap(), b"");
            assert!(array::<u64>(ptr::null(), 1, "ids").is_err());
        }
    }
}
