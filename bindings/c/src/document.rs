//! Looking into documents, for programs without a JSON library.

use std::ffi::c_char;

use engine::{Error, Result};
use serde_json::Value as Json;

use crate::error::{gpve_error, gpve_status};
use crate::raw::{self, Caller};

/// The part of a JSON document that a pointer names (RFC 6901: "/status/phase", "/items/0/metadata/name"): a string as it is, anything
/// else as JSON. GPVE_STATUS_NOT_FOUND if there is none. Free the text with gpve_string_free. Does not block. Any thread.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn gpve_document_get(
    document: *const c_char,
    pointer: *const c_char,
    text: *mut *mut c_char,
    error: *mut *mut gpve_error,
) -> gpve_status {
    // SAFETY: the header says what each pointer must be.
    let c = unsafe { Caller::new("gpve_document_get", error) };
    c.run(|| {
        let out = c.pointer(text, "text")?;
        let document: Json = c.json(document, "document")?;
        out.text(text_of(part(&document, c.text(pointer, "pointer")?)?));
        Ok(())
    })
}

/// The name of a machine, from its document or from a watch's event. Free it with gpve_string_free. Does not block. Any thread.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn gpve_machine_name(machine: *const c_char, name: *mut *mut c_char, error: *mut *mut gpve_error) -> gpve_status {
    // SAFETY: the header says what each pointer must be.
    let c = unsafe { Caller::new("gpve_machine_name", error) };
    c.run(|| {
        let out = c.pointer(name, "name")?;
        out.text(text_of(&of_machine(c.json(machine, "machine")?, "/metadata/name")?));
        Ok(())
    })
}

/// Where a machine is in its life ("Running", "Stopped", …), from its document or from a watch's event. Free it with gpve_string_free.
/// Does not block. Any thread.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn gpve_machine_phase(machine: *const c_char, phase: *mut *mut c_char, error: *mut *mut gpve_error) -> gpve_status {
    // SAFETY: the header says what each pointer must be.
    let c = unsafe { Caller::new("gpve_machine_phase", error) };
    c.run(|| {
        let out = c.pointer(phase, "phase")?;
        out.text(text_of(&of_machine(c.json(machine, "machine")?, "/status/phase")?));
        Ok(())
    })
}

/// The number of a machine, from its document or from a watch's event. Does not block. Any thread.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn gpve_machine_vmid(machine: *const c_char, vmid: *mut u32, error: *mut *mut gpve_error) -> gpve_status {
    // SAFETY: the header says what each pointer must be.
    let c = unsafe { Caller::new("gpve_machine_vmid", error) };
    c.run(|| {
        let out = c.place(vmid, "vmid")?;
        let number = of_machine(c.json(machine, "machine")?, "/status/vmid")?;
        let number = number.as_u64().and_then(|n| u32::try_from(n).ok());
        out.put(number.ok_or_else(|| c.refuse("machine", "its number is none"))?);
        Ok(())
    })
}

/// Frees a text that the library gave; nothing for NULL. Any thread.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn gpve_string_free(text: *mut c_char) {
    // SAFETY: the header says what the pointer must be.
    unsafe { raw::free_text(text) }
}

fn part<'d>(document: &'d Json, pointer: &str) -> Result<&'d Json> {
    document.pointer(pointer).ok_or_else(|| Error::not_found("document.get", pointer))
}

/// The part of a machine, or of the machine that an event is about.
fn of_machine(document: Json, pointer: &str) -> Result<Json> {
    let machine = document.get("object").unwrap_or(&document);
    part(machine, pointer).cloned()
}

fn text_of(part: &Json) -> String {
    part.as_str().map_or_else(|| part.to_string(), str::to_owned)
}
