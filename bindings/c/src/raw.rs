//! What C gave, and what it is given: pointers, strings, handles, and the guard that keeps panics in.

use std::ffi::{CStr, CString, c_char, c_void};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};

use engine::{Error, Result};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error::{Told, gpve_error, gpve_status};

/// A word in each object, by which a pointer to something else, or to what was freed, is told from it. Best effort: freed memory may
/// have been used again.
#[derive(Debug)]
pub(crate) struct Mark(AtomicU64);

impl Mark {
    pub(crate) const fn new(mark: u64) -> Self {
        Self(AtomicU64::new(mark))
    }

    fn is(&self, mark: u64) -> bool {
        self.0.load(Ordering::Acquire) == mark
    }

    /// Whether the caller is the first to end it.
    fn end(&self, mark: u64) -> bool {
        self.0.compare_exchange(mark, 0, Ordering::AcqRel, Ordering::Acquire).is_ok()
    }
}

/// What C holds by a handle.
pub(crate) trait Object {
    /// Its type's word.
    const MARK: u64;
    /// Its type's name.
    const NAME: &'static str;
}

/// An object as it lies in memory. C's `T *` points here.
#[repr(C)]
struct Place<T> {
    /// What allocators overwrite first when memory is freed.
    _spare: [usize; 2],
    mark: Mark,
    value: T,
}

/// One call from C.
pub(crate) struct Caller {
    op: &'static str,
    error: *mut *mut gpve_error,
}

impl Caller {
    /// A call of the function `op`, which tells its error in `error` if that is not NULL.
    ///
    /// # Safety
    /// Until the call returns, every pointer that is given to a method is NULL or what the header says of it: a text ends with NUL, a
    /// handle was made by the library and is not freed meanwhile, a place for a result can be written to.
    pub(crate) unsafe fn new(op: &'static str, error: *mut *mut gpve_error) -> Self {
        Self { op, error }
    }

    /// Does the work; its error, or its panic as one, goes to C.
    pub(crate) fn run(&self, work: impl FnOnce() -> Result<()>) -> gpve_status {
        let done = catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|panic| {
            let words = panic.downcast_ref::<&str>().copied().or_else(|| panic.downcast_ref::<String>().map(String::as_str));
            let why = words.unwrap_or("for no stated reason").to_owned();
            // Its end may panic again.
            std::mem::forget(panic);
            Err(Error::internal(self.op, format!("a defect: {why}")))
        });
        let told = done
            .as_ref()
            .err()
            .map_or(std::ptr::null_mut(), |e| if self.error.is_null() { std::ptr::null_mut() } else { Box::into_raw(Told::of(e)).cast() });
        if !self.error.is_null() {
            // SAFETY: the caller of `new` promised that it can be written to.
            unsafe { self.error.write(told) };
        }
        done.map_or_else(|e| e.kind.into(), |()| gpve_status::Ok)
    }

    pub(crate) fn refuse(&self, argument: &str, why: impl Into<String>) -> Error {
        Error::field(self.op, argument, why)
    }

    /// The text of an argument.
    pub(crate) fn text(&self, text: *const c_char, argument: &str) -> Result<&str> {
        self.text_or_none(text, argument)?.ok_or_else(|| self.refuse(argument, "is NULL"))
    }

    /// The text of an argument that may be NULL.
    pub(crate) fn text_or_none(&self, text: *const c_char, argument: &str) -> Result<Option<&str>> {
        if text.is_null() {
            return Ok(None);
        }
        // SAFETY: the caller of `new` promised that it ends with NUL; it is borrowed no longer than the call.
        let bytes = unsafe { CStr::from_ptr(text) };
        bytes.to_str().map(Some).map_err(|e| self.refuse(argument, format!("is no UTF-8: {e}")))
    }

    /// The document of an argument.
    pub(crate) fn json<T: DeserializeOwned>(&self, text: *const c_char, argument: &str) -> Result<T> {
        serde_json::from_str(self.text(text, argument)?).map_err(|e| self.refuse(argument, e.to_string()))
    }

    /// The bytes of an argument.
    pub(crate) fn bytes(&self, bytes: *const u8, count: usize, argument: &str) -> Result<&[u8]> {
        match (bytes.is_null(), count) {
            (_, 0) => Ok(&[]),
            (true, _) => Err(self.refuse(argument, "is NULL")),
            // SAFETY: the caller of `new` promised that so many are there; they are borrowed no longer than the call.
            (false, _) => Ok(unsafe { std::slice::from_raw_parts(bytes, count) }),
        }
    }

    /// Copies to where C wants bytes, which has room for them.
    pub(crate) fn fill(&self, buffer: *mut u8, bytes: &[u8]) {
        // SAFETY: the caller of `new` promised that the buffer has the room that it said; `bytes` is ours and lies elsewhere.
        unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr(), buffer, bytes.len()) };
    }

    /// The object that a handle holds.
    pub(crate) fn object<T: Object>(&self, handle: *const T) -> Result<&T> {
        let place = handle.cast::<Place<T>>();
        if place.is_null() {
            return Err(self.refuse(T::NAME, "is NULL"));
        }
        if !place.is_aligned() {
            return Err(self.refuse(T::NAME, "is no handle"));
        }
        // SAFETY: the caller of `new` promised that it is a live handle. If it is not, this is the attempt to notice.
        let mark = unsafe { &(*place).mark };
        if !mark.is(T::MARK) {
            return Err(self.refuse(T::NAME, format!("is no {}, or was freed", T::NAME)));
        }
        // SAFETY: as above; it has the mark. It is borrowed no longer than the call.
        Ok(unsafe { &(*place).value })
    }

    /// A place for a result, NULL or 0 until there is one.
    pub(crate) fn place<T: Default>(&self, place: *mut T, argument: &str) -> Result<Slot<T>> {
        if place.is_null() { Err(self.refuse(argument, "is NULL")) } else { Ok(self.place_or_none(place)) }
    }

    /// A place for a result that is not wanted if it is NULL.
    pub(crate) fn place_or_none<T: Default>(&self, place: *mut T) -> Slot<T> {
        let slot = Slot(place);
        slot.put(T::default());
        slot
    }

    /// The same for a pointer.
    pub(crate) fn pointer<T>(&self, place: *mut *mut T, argument: &str) -> Result<Slot<*mut T>> {
        if place.is_null() { Err(self.refuse(argument, "is NULL")) } else { Ok(self.pointer_or_none(place)) }
    }

    /// The same for a pointer that is not wanted if it is NULL.
    pub(crate) fn pointer_or_none<T>(&self, place: *mut *mut T) -> Slot<*mut T> {
        let slot = Slot(place);
        slot.put(std::ptr::null_mut());
        slot
    }
}

/// Where a result goes. Made by a [`Caller`] only, so that its promise holds.
pub(crate) struct Slot<T>(*mut T);

impl<T> Slot<T> {
    pub(crate) fn put(&self, value: T) {
        if !self.0.is_null() {
            // SAFETY: the caller of `Caller::new` promised that results can be written.
            unsafe { self.0.write(value) };
        }
    }
}

impl<T: Object> Slot<*mut T> {
    /// Hands over an object; one that is not wanted ends.
    pub(crate) fn hand_over(&self, value: T) {
        if !self.0.is_null() {
            let place = Place { _spare: [0; 2], mark: Mark::new(T::MARK), value };
            self.put(Box::into_raw(Box::new(place)).cast());
        }
    }
}

impl Slot<*mut c_char> {
    /// Hands over a text, to be freed by `gpve_string_free`.
    pub(crate) fn text(&self, text: impl Into<Vec<u8>>) {
        if !self.0.is_null() {
            self.put(c_text(text).into_raw());
        }
    }

    /// Hands over a document.
    pub(crate) fn json(&self, document: &impl Serialize) -> Result<()> {
        let text = serde_json::to_vec(document).map_err(|e| Error::internal("json", e.to_string()))?;
        self.text(text);
        Ok(())
    }
}

/// Text for C. NUL, which JSON never holds, becomes a space.
pub(crate) fn c_text(text: impl Into<Vec<u8>>) -> CString {
    let mut text: Vec<u8> = text.into();
    text.iter_mut().filter(|b| **b == 0).for_each(|b| *b = b' ');
    CString::new(text).unwrap_or_default()
}

/// Frees a handle; nothing for NULL.
///
/// # Safety
/// As [`Caller::new`], and nobody uses it now or later.
pub(crate) unsafe fn free<T: Object>(op: &'static str, handle: *mut T) -> gpve_status {
    if handle.is_null() {
        return gpve_status::Ok;
    }
    // SAFETY: what the caller promised.
    let caller = unsafe { Caller::new(op, std::ptr::null_mut()) };
    caller.run(|| {
        caller.object(handle)?;
        let place = handle.cast::<Place<T>>();
        // SAFETY: it has the mark.
        let mark = unsafe { &(*place).mark };
        if !mark.end(T::MARK) {
            return Err(caller.refuse(T::NAME, "was freed"));
        }
        // SAFETY: it came from `hand_over`, and this call was the first to end it.
        drop(unsafe { Box::from_raw(place) });
        Ok(())
    })
}

/// Frees an error; nothing for NULL, or what was freed, as far as that can be seen.
///
/// # Safety
/// As [`free`].
pub(crate) unsafe fn free_error(error: *mut gpve_error) {
    let told = error.cast::<Told>();
    if told.is_null() || !told.is_aligned() {
        return;
    }
    // SAFETY: what the caller promised; it came from `Caller::run`.
    let is_first = unsafe { &*told }.mark().end(Told::MARK);
    if is_first {
        // SAFETY: it came from a box in `Caller::run`, and this call was the first to end it.
        drop(unsafe { Box::from_raw(told) });
    }
}

/// Frees a text; nothing for NULL.
///
/// # Safety
/// It came from [`Slot::text`], and nobody uses it now or later.
pub(crate) unsafe fn free_text(text: *mut c_char) {
    if !text.is_null() {
        // SAFETY: what the caller promised.
        drop(unsafe { CString::from_raw(text) });
    }
}

/// C's own pointer, which its callbacks get back.
#[derive(Debug, Clone, Copy)]
pub(crate) struct UserData(pub(crate) *mut c_void);

// SAFETY: the library never looks behind it; the header says on which thread callbacks get it.
unsafe impl Send for UserData {}

#[cfg(test)]
mod tests {
    use super::*;

    struct Thing(#[allow(dead_code, reason = "it takes room")] u32);

    impl Object for Thing {
        const MARK: u64 = 77;
        const NAME: &'static str = "thing";
    }

    #[test]
    fn a_panic_becomes_an_error() {
        let mut error = std::ptr::null_mut();
        // SAFETY: `error` is a place for one.
        let caller = unsafe { Caller::new("test", &raw mut error) };
        assert_eq!(caller.run(|| panic!("went wrong")), gpve_status::Internal);
        // SAFETY: it was just made.
        let shown = unsafe { &*error };
        // SAFETY: its texts end with NUL.
        let message = unsafe { CStr::from_ptr(shown.message) };
        assert_eq!(message.to_str(), Ok("a defect: went wrong"));
        // SAFETY: as above, and it is not used again.
        unsafe { free_error(error) };
    }

    #[test]
    fn a_freed_or_foreign_handle_is_noticed() {
        let mut handle: *mut Thing = std::ptr::null_mut();
        // SAFETY: `handle` is a place for one.
        let caller = unsafe { Caller::new("test", std::ptr::null_mut()) };
        caller.pointer(&raw mut handle, "thing").unwrap().hand_over(Thing(3));
        assert!(caller.object(handle).is_ok());
        let foreign = [0_u64; 16];
        assert!(caller.object(foreign.as_ptr().cast::<Thing>()).is_err());
        assert!(caller.object(std::ptr::null::<Thing>()).is_err());
        assert!(caller.object(handle.cast::<u8>().wrapping_add(1).cast::<Thing>()).is_err());
        // SAFETY: it was made above, and is not used again.
        assert_eq!(unsafe { free("test", handle) }, gpve_status::Ok);
    }

    #[test]
    fn texts_are_checked_and_named() {
        // SAFETY: each text below ends with NUL.
        let caller = unsafe { Caller::new("test", std::ptr::null_mut()) };
        assert_eq!(caller.text(c"web".as_ptr(), "name").unwrap(), "web");
        assert_eq!(caller.text(std::ptr::null(), "name").unwrap_err().fields[0].field, "name");
        assert!(caller.text(c"\xff".as_ptr(), "name").unwrap_err().message.contains("UTF-8"));
        assert_eq!(caller.text_or_none(std::ptr::null(), "name").unwrap(), None);
        assert_eq!(c_text("a\0b").to_str(), Ok("a b"));
    }
}
