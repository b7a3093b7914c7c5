//! Plans: what a change would do.

use std::ffi::c_char;

use serde_json::Value as Json;

use crate::error::{gpve_error, gpve_status};
use crate::machines::gpve_machines;
use crate::raw::Caller;

/// What gpve_machines_create would do, as JSON: {"verb": "create", "vmid": 100, "node": "…", "steps": ["…"], "spec": {…}}. Nothing is done, and
/// a number that was not asked for is not kept. Free `plan` with gpve_string_free. Blocks for an exchange. Any thread.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn gpve_machines_plan_create(
    machines: *const gpve_machines,
    document: *const c_char,
    plan: *mut *mut c_char,
    error: *mut *mut gpve_error,
) -> gpve_status {
    // SAFETY: the header says what each pointer must be.
    let c = unsafe { Caller::new("gpve_machines_plan_create", error) };
    c.run(|| {
        let out = c.pointer(plan, "plan")?;
        let vms = c.object(machines)?;
        let document: Json = c.json(document, "document")?;
        out.json(&vms.wait(vms.machines.plan_create(&document))?)
    })
}

/// What gpve_machines_apply would do, as JSON; "changes" names the fields, and without "steps" it is so already. Nothing is done. Free
/// `plan` with gpve_string_free. Blocks for an exchange. Any thread.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn gpve_machines_plan_apply(
    machines: *const gpve_machines,
    name: *const c_char,
    document: *const c_char,
    manager: *const c_char,
    force: bool,
    plan: *mut *mut c_char,
    error: *mut *mut gpve_error,
) -> gpve_status {
    // SAFETY: the header says what each pointer must be.
    let c = unsafe { Caller::new("gpve_machines_plan_apply", error) };
    c.run(|| {
        let out = c.pointer(plan, "plan")?;
        let vms = c.object(machines)?;
        let (name, manager) = (c.text(name, "name")?, c.text(manager, "manager")?);
        let document: Json = c.json(document, "document")?;
        out.json(&vms.wait(vms.machines.plan_apply(name, &document, manager, force))?)
    })
}
