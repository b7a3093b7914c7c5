//! Virtual machines: one function per operation.

use std::ffi::{CString, c_char, c_void};
use std::future::Future;
use std::sync::Arc;

use engine::Result;
use engine::client::{Changed, Job, VirtualMachines};
use engine::v1::VmObject;
use serde_json::Value as Json;

use crate::console::gpve_console;
use crate::error::{gpve_error, gpve_status};
use crate::job::gpve_job;
use crate::raw::{self, Caller, Object, Slot, UserData};
use crate::runtime::{Runtime, within};
use crate::watch::gpve_watch;

/// The virtual machines of one namespace. `name` is a machine's name or its number.
pub struct gpve_machines {
    pub(crate) runtime: Arc<Runtime>,
    pub(crate) machines: VirtualMachines,
}

impl Object for gpve_machines {
    const MARK: u64 = u64::from_be_bytes(*b"gpve:vms");
    const NAME: &'static str = "machines";
}

impl gpve_machines {
    pub(crate) fn wait<T>(&self, work: impl Future<Output = Result<T>>) -> Result<T> {
        self.runtime.wait(work)?
    }

    /// Does what makes a task.
    fn task(&self, job: &Slot<*mut gpve_job>, work: impl Future<Output = Result<Job>>) -> Result<()> {
        gpve_job::begin(&self.runtime, job, work)
    }

    /// Does what changes an object.
    fn change(&self, machine: &Slot<*mut c_char>, job: &Slot<*mut gpve_job>, work: impl Future<Output = Result<Changed>>) -> Result<()> {
        let changed = self.wait(work)?;
        machine.json(&changed.machine)?;
        job.hand_over(gpve_job::new(&self.runtime, changed.job));
        Ok(())
    }
}

/// All of them by number, as JSON: {"metadata": {"resourceVersion": "…"}, "items": [machine, …]}. `selector` picks by labels
/// ("app=web,tier!=test"); NULL: all. Free `list` with gpve_string_free. Blocks for some exchanges. Any thread.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn gpve_machines_list(
    machines: *const gpve_machines,
    selector: *const c_char,
    list: *mut *mut c_char,
    error: *mut *mut gpve_error,
) -> gpve_status {
    // SAFETY: the header says what each pointer must be.
    let c = unsafe { Caller::new("gpve_machines_list", error) };
    c.run(|| {
        let out = c.pointer(list, "list")?;
        let vms = c.object(machines)?;
        out.json(&vms.wait(vms.machines.list(c.text_or_none(selector, "selector")?))?)
    })
}

/// One of them, as JSON: {"metadata": {…}, "spec": {…}, "status": {…}}. Free `machine` with gpve_string_free. Blocks for an exchange. Any
/// thread.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn gpve_machines_get(
    machines: *const gpve_machines,
    name: *const c_char,
    machine: *mut *mut c_char,
    error: *mut *mut gpve_error,
) -> gpve_status {
    // SAFETY: the header says what each pointer must be.
    let c = unsafe { Caller::new("gpve_machines_get", error) };
    c.run(|| {
        let out = c.pointer(machine, "machine")?;
        let vms = c.object(machines)?;
        out.json(&vms.wait(vms.machines.get(c.text(name, "name")?))?)
    })
}

/// Makes one from a document of "metadata" and "spec". `machine`, unless NULL, gets the object as the change left it: free it with gpve_string_free. `job`,
/// unless NULL, gets the task that carries it out. Blocks until it is accepted. Any thread.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn gpve_machines_create(
    machines: *const gpve_machines,
    document: *const c_char,
    machine: *mut *mut c_char,
    job: *mut *mut gpve_job,
    error: *mut *mut gpve_error,
) -> gpve_status {
    // SAFETY: the header says what each pointer must be.
    let c = unsafe { Caller::new("gpve_machines_create", error) };
    c.run(|| {
        let (shown, task) = (c.pointer_or_none(machine), c.pointer_or_none(job));
        let vms = c.object(machines)?;
        let document: Json = c.json(document, "document")?;
        vms.change(&shown, &task, vms.machines.create(&document))
    })
}

/// Makes it so: creates it, or changes the fields that `document` names and takes back those that `manager` named before and no longer
/// does. GPVE_STATUS_CONFLICT when another manager owns a field, unless `force`. `machine`, unless NULL, gets the object as the change left it: free it with gpve_string_free. `job`,
/// unless NULL, gets the task that carries it out. Blocks until it is accepted. Any thread.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn gpve_machines_apply(
    machines: *const gpve_machines,
    name: *const c_char,
    document: *const c_char,
    manager: *const c_char,
    force: bool,
    machine: *mut *mut c_char,
    job: *mut *mut gpve_job,
    error: *mut *mut gpve_error,
) -> gpve_status {
    // SAFETY: the header says what each pointer must be.
    let c = unsafe { Caller::new("gpve_machines_apply", error) };
    c.run(|| {
        let (shown, task) = (c.pointer_or_none(machine), c.pointer_or_none(job));
        let vms = c.object(machines)?;
        let (name, manager) = (c.text(name, "name")?, c.text(manager, "manager")?);
        let document: Json = c.json(document, "document")?;
        vms.change(&shown, &task, vms.machines.apply(name, &document, manager, force))
    })
}

/// Replaces what is asked of it. GPVE_STATUS_CONFLICT when the document's resource version is not the present one. `machine`, unless NULL, gets the object as the change left it: free it with gpve_string_free. `job`,
/// unless NULL, gets the task that carries it out. Blocks until it is accepted. Any thread.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn gpve_machines_replace(
    machines: *const gpve_machines,
    name: *const c_char,
    document: *const c_char,
    machine: *mut *mut c_char,
    job: *mut *mut gpve_job,
    error: *mut *mut gpve_error,
) -> gpve_status {
    // SAFETY: the header says what each pointer must be.
    let c = unsafe { Caller::new("gpve_machines_replace", error) };
    c.run(|| {
        let (shown, task) = (c.pointer_or_none(machine), c.pointer_or_none(job));
        let vms = c.object(machines)?;
        let (name, document) = (c.text(name, "name")?, c.json::<Json>(document, "document")?);
        vms.change(&shown, &task, vms.machines.replace(name, &document))
    })
}

/// Removes it with its volumes; a running one only by `force`, which ends it first. `job`, unless NULL, gets its task. Blocks until it is accepted, not until it is done. Any thread.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn gpve_machines_delete(
    machines: *const gpve_machines,
    name: *const c_char,
    force: bool,
    job: *mut *mut gpve_job,
    error: *mut *mut gpve_error,
) -> gpve_status {
    // SAFETY: the header says what each pointer must be.
    let c = unsafe { Caller::new("gpve_machines_delete", error) };
    c.run(|| {
        let out = c.pointer_or_none(job);
        let vms = c.object(machines)?;
        let name = c.text(name, "name")?;
        vms.task(&out, vms.machines.delete(name, force))
    })
}

/// Starts it. `job`, unless NULL, gets its task. Blocks until it is accepted, not until it is done. Any thread.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn gpve_machines_start(
    machines: *const gpve_machines,
    name: *const c_char,
    job: *mut *mut gpve_job,
    error: *mut *mut gpve_error,
) -> gpve_status {
    // SAFETY: the header says what each pointer must be.
    let c = unsafe { Caller::new("gpve_machines_start", error) };
    c.run(|| {
        let out = c.pointer_or_none(job);
        let vms = c.object(machines)?;
        let name = c.text(name, "name")?;
        vms.task(&out, vms.machines.start(name))
    })
}

/// Ends it at once. `job`, unless NULL, gets its task. Blocks until it is accepted, not until it is done. Any thread.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn gpve_machines_stop(
    machines: *const gpve_machines,
    name: *const c_char,
    job: *mut *mut gpve_job,
    error: *mut *mut gpve_error,
) -> gpve_status {
    // SAFETY: the header says what each pointer must be.
    let c = unsafe { Caller::new("gpve_machines_stop", error) };
    c.run(|| {
        let out = c.pointer_or_none(job);
        let vms = c.object(machines)?;
        let name = c.text(name, "name")?;
        vms.task(&out, vms.machines.stop(name))
    })
}

/// Asks it to power off, for `timeout_s` seconds (0: 60), and then by `force` ends it. `job`, unless NULL, gets its task. Blocks until it is accepted, not until it is done. Any thread.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn gpve_machines_shutdown(
    machines: *const gpve_machines,
    name: *const c_char,
    timeout_s: u32,
    force: bool,
    job: *mut *mut gpve_job,
    error: *mut *mut gpve_error,
) -> gpve_status {
    // SAFETY: the header says what each pointer must be.
    let c = unsafe { Caller::new("gpve_machines_shutdown", error) };
    c.run(|| {
        let out = c.pointer_or_none(job);
        let vms = c.object(machines)?;
        let name = c.text(name, "name")?;
        let timeout_s = (timeout_s > 0).then_some(timeout_s);
        vms.task(&out, vms.machines.shutdown(name, timeout_s, force))
    })
}

/// Shuts it down within `timeout_s` seconds (0: 60) and starts it again, with pending changes applied. `job`, unless NULL, gets its task. Blocks until it is accepted, not until it is done. Any thread.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn gpve_machines_reboot(
    machines: *const gpve_machines,
    name: *const c_char,
    timeout_s: u32,
    job: *mut *mut gpve_job,
    error: *mut *mut gpve_error,
) -> gpve_status {
    // SAFETY: the header says what each pointer must be.
    let c = unsafe { Caller::new("gpve_machines_reboot", error) };
    c.run(|| {
        let out = c.pointer_or_none(job);
        let vms = c.object(machines)?;
        let name = c.text(name, "name")?;
        let timeout_s = (timeout_s > 0).then_some(timeout_s);
        vms.task(&out, vms.machines.reboot(name, timeout_s))
    })
}

/// Resets the machine. `job`, unless NULL, gets its task. Blocks until it is accepted, not until it is done. Any thread.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn gpve_machines_reset(
    machines: *const gpve_machines,
    name: *const c_char,
    job: *mut *mut gpve_job,
    error: *mut *mut gpve_error,
) -> gpve_status {
    // SAFETY: the header says what each pointer must be.
    let c = unsafe { Caller::new("gpve_machines_reset", error) };
    c.run(|| {
        let out = c.pointer_or_none(job);
        let vms = c.object(machines)?;
        let name = c.text(name, "name")?;
        vms.task(&out, vms.machines.reset(name))
    })
}

/// Halts its processors. `job`, unless NULL, gets its task. Blocks until it is accepted, not until it is done. Any thread.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn gpve_machines_pause(
    machines: *const gpve_machines,
    name: *const c_char,
    job: *mut *mut gpve_job,
    error: *mut *mut gpve_error,
) -> gpve_status {
    // SAFETY: the header says what each pointer must be.
    let c = unsafe { Caller::new("gpve_machines_pause", error) };
    c.run(|| {
        let out = c.pointer_or_none(job);
        let vms = c.object(machines)?;
        let name = c.text(name, "name")?;
        vms.task(&out, vms.machines.pause(name))
    })
}

/// Sets them going. `job`, unless NULL, gets its task. Blocks until it is accepted, not until it is done. Any thread.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn gpve_machines_resume(
    machines: *const gpve_machines,
    name: *const c_char,
    job: *mut *mut gpve_job,
    error: *mut *mut gpve_error,
) -> gpve_status {
    // SAFETY: the header says what each pointer must be.
    let c = unsafe { Caller::new("gpve_machines_resume", error) };
    c.run(|| {
        let out = c.pointer_or_none(job);
        let vms = c.object(machines)?;
        let name = c.text(name, "name")?;
        vms.task(&out, vms.machines.resume(name))
    })
}

/// Makes a copy. `document` is JSON, {"name": "copy", "full": true}; further: "vmid", "description", "snapshot", "storage", "format". `job`, unless NULL, gets its task. Blocks until it is accepted, not until it is done. Any thread.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn gpve_machines_clone(
    machines: *const gpve_machines,
    name: *const c_char,
    document: *const c_char,
    job: *mut *mut gpve_job,
    error: *mut *mut gpve_error,
) -> gpve_status {
    // SAFETY: the header says what each pointer must be.
    let c = unsafe { Caller::new("gpve_machines_clone", error) };
    c.run(|| {
        let out = c.pointer_or_none(job);
        let vms = c.object(machines)?;
        let name = c.text(name, "name")?;
        let document = c.json(document, "document")?;
        vms.task(&out, vms.machines.clone_machine(name, &document))
    })
}

/// Makes a stopped one without snapshots a template: it starts no more, and linked copies are made of it. With `disk` ("scsi0"), unless NULL,
/// only that disk becomes a base, and it stays a machine. `job`, unless NULL, gets its task. Blocks until it is accepted, not until it is done. Any thread.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn gpve_machines_template(
    machines: *const gpve_machines,
    name: *const c_char,
    disk: *const c_char,
    job: *mut *mut gpve_job,
    error: *mut *mut gpve_error,
) -> gpve_status {
    // SAFETY: the header says what each pointer must be.
    let c = unsafe { Caller::new("gpve_machines_template", error) };
    c.run(|| {
        let out = c.pointer_or_none(job);
        let vms = c.object(machines)?;
        let name = c.text(name, "name")?;
        let disk = c.text_or_none(disk, "disk")?;
        vms.task(&out, vms.machines.template(name, disk))
    })
}

/// Grows a disk. `document` is JSON, {"disk": "scsi0", "size": "20Gi"}; "+5Gi" adds to it. `job`, unless NULL, gets its task. Blocks until it is accepted, not until it is done. Any thread.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn gpve_machines_resize(
    machines: *const gpve_machines,
    name: *const c_char,
    document: *const c_char,
    job: *mut *mut gpve_job,
    error: *mut *mut gpve_error,
) -> gpve_status {
    // SAFETY: the header says what each pointer must be.
    let c = unsafe { Caller::new("gpve_machines_resize", error) };
    c.run(|| {
        let out = c.pointer_or_none(job);
        let vms = c.object(machines)?;
        let name = c.text(name, "name")?;
        let document = c.json(document, "document")?;
        vms.task(&out, vms.machines.resize(name, &document))
    })
}

/// Its snapshots, oldest first, as JSON: [{"name": "…", "description": "…", "time": "…", "memory": false}]. Free `list` with
/// gpve_string_free. Blocks for an exchange. Any thread.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn gpve_machines_snapshots(
    machines: *const gpve_machines,
    name: *const c_char,
    list: *mut *mut c_char,
    error: *mut *mut gpve_error,
) -> gpve_status {
    // SAFETY: the header says what each pointer must be.
    let c = unsafe { Caller::new("gpve_machines_snapshots", error) };
    c.run(|| {
        let out = c.pointer(list, "list")?;
        let vms = c.object(machines)?;
        out.json(&vms.wait(vms.machines.snapshots(c.text(name, "name")?))?)
    })
}

/// Takes a snapshot. `document` is JSON, {"name": "before", "description": "…"}. `job`, unless NULL, gets its task. Blocks until it is accepted, not until it is done. Any thread.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn gpve_machines_snapshot(
    machines: *const gpve_machines,
    name: *const c_char,
    document: *const c_char,
    job: *mut *mut gpve_job,
    error: *mut *mut gpve_error,
) -> gpve_status {
    // SAFETY: the header says what each pointer must be.
    let c = unsafe { Caller::new("gpve_machines_snapshot", error) };
    c.run(|| {
        let out = c.pointer_or_none(job);
        let vms = c.object(machines)?;
        let name = c.text(name, "name")?;
        let document = c.json(document, "document")?;
        vms.task(&out, vms.machines.snapshot(name, &document))
    })
}

/// Changes a snapshot's description. `job`, unless NULL, gets its task. Blocks until it is accepted, not until it is done. Any thread.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn gpve_machines_describe_snapshot(
    machines: *const gpve_machines,
    name: *const c_char,
    snapshot: *const c_char,
    description: *const c_char,
    job: *mut *mut gpve_job,
    error: *mut *mut gpve_error,
) -> gpve_status {
    // SAFETY: the header says what each pointer must be.
    let c = unsafe { Caller::new("gpve_machines_describe_snapshot", error) };
    c.run(|| {
        let out = c.pointer_or_none(job);
        let vms = c.object(machines)?;
        let name = c.text(name, "name")?;
        let (snapshot, description) = (c.text(snapshot, "snapshot")?, c.text(description, "description")?);
        vms.task(&out, vms.machines.describe_snapshot(name, snapshot, description))
    })
}

/// Deletes a snapshot. `job`, unless NULL, gets its task. Blocks until it is accepted, not until it is done. Any thread.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn gpve_machines_delete_snapshot(
    machines: *const gpve_machines,
    name: *const c_char,
    snapshot: *const c_char,
    job: *mut *mut gpve_job,
    error: *mut *mut gpve_error,
) -> gpve_status {
    // SAFETY: the header says what each pointer must be.
    let c = unsafe { Caller::new("gpve_machines_delete_snapshot", error) };
    c.run(|| {
        let out = c.pointer_or_none(job);
        let vms = c.object(machines)?;
        let name = c.text(name, "name")?;
        let snapshot = c.text(snapshot, "snapshot")?;
        vms.task(&out, vms.machines.delete_snapshot(name, snapshot))
    })
}

/// Sets it back to a snapshot; a running one is ended first. `job`, unless NULL, gets its task. Blocks until it is accepted, not until it is done. Any thread.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn gpve_machines_rollback(
    machines: *const gpve_machines,
    name: *const c_char,
    snapshot: *const c_char,
    job: *mut *mut gpve_job,
    error: *mut *mut gpve_error,
) -> gpve_status {
    // SAFETY: the header says what each pointer must be.
    let c = unsafe { Caller::new("gpve_machines_rollback", error) };
    c.run(|| {
        let out = c.pointer_or_none(job);
        let vms = c.object(machines)?;
        let name = c.text(name, "name")?;
        let snapshot = c.text(snapshot, "snapshot")?;
        vms.task(&out, vms.machines.rollback(name, snapshot))
    })
}

/// Opens serial port `port` of a running one. Blocks for an exchange. Any thread.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn gpve_machines_console(
    machines: *const gpve_machines,
    name: *const c_char,
    port: u8,
    console: *mut *mut gpve_console,
    error: *mut *mut gpve_error,
) -> gpve_status {
    // SAFETY: the header says what each pointer must be.
    let c = unsafe { Caller::new("gpve_machines_console", error) };
    c.run(|| {
        let out = c.pointer(console, "console")?;
        let vms = c.object(machines)?;
        let stream = vms.wait(vms.machines.console(c.text(name, "name")?, port))?;
        out.hand_over(gpve_console::new(&vms.runtime, stream)?);
        Ok(())
    })
}

/// Changes after `resource_version`, which a list or a machine has at "/metadata/resourceVersion" and a watch tells by
/// gpve_watch_position. `selector` as in gpve_machines_list. Nothing is asked before the first event is. Does not block. Any thread.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn gpve_machines_watch(
    machines: *const gpve_machines,
    selector: *const c_char,
    resource_version: *const c_char,
    watch: *mut *mut gpve_watch,
    error: *mut *mut gpve_error,
) -> gpve_status {
    // SAFETY: the header says what each pointer must be.
    let c = unsafe { Caller::new("gpve_machines_watch", error) };
    c.run(|| {
        let out = c.pointer(watch, "watch")?;
        let vms = c.object(machines)?;
        let selector = c.text_or_none(selector, "selector")?;
        let watch = vms.machines.watch(selector, c.text(resource_version, "resource_version")?);
        out.hand_over(gpve_watch::new(&vms.runtime, watch));
        Ok(())
    })
}

/// Says whether a machine, as JSON, is as it shall be. The text belongs to the library and ends with the call. Called on the thread that
/// waits. It may not call a function that blocks (GPVE_STATUS_FAILED_PRECONDITION), throw or jump out.
pub type gpve_machine_test = Option<unsafe extern "C" fn(machine: *const c_char, user_data: *mut c_void) -> bool>;

/// Blocks until `is_so` holds of it, or `timeout_ms` milliseconds have passed (0: for ever): GPVE_STATUS_TIMEOUT. Watches, never polls.
/// `is_so` gets `user_data`. `machine`, unless NULL, gets it as it then was: free it with gpve_string_free. Any thread.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn gpve_machines_wait_for(
    machines: *const gpve_machines,
    name: *const c_char,
    is_so: gpve_machine_test,
    user_data: *mut c_void,
    timeout_ms: u64,
    machine: *mut *mut c_char,
    error: *mut *mut gpve_error,
) -> gpve_status {
    // SAFETY: the header says what each pointer must be.
    let c = unsafe { Caller::new("gpve_machines_wait_for", error) };
    c.run(|| {
        let out = c.pointer_or_none(machine);
        let vms = c.object(machines)?;
        let is_so = is_so.ok_or_else(|| c.refuse("is_so", "is NULL"))?;
        let user_data = UserData(user_data);
        let test = |machine: &VmObject| {
            let text = serde_json::to_string(machine).unwrap_or_default();
            let text: CString = raw::c_text(text);
            // SAFETY: the header says what the function must be; the text ends after the call.
            unsafe { is_so(text.as_ptr(), user_data.0) }
        };
        let name = c.text(name, "name")?;
        out.json(&vms.wait(within(timeout_ms, "machines.wait_for", vms.machines.wait_for(name, test)))?)
    })
}

/// The same until its phase is `phase` ("Running", "Stopped", …).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn gpve_machines_wait_phase(
    machines: *const gpve_machines,
    name: *const c_char,
    phase: *const c_char,
    timeout_ms: u64,
    machine: *mut *mut c_char,
    error: *mut *mut gpve_error,
) -> gpve_status {
    // SAFETY: the header says what each pointer must be.
    let c = unsafe { Caller::new("gpve_machines_wait_phase", error) };
    c.run(|| {
        let out = c.pointer_or_none(machine);
        let vms = c.object(machines)?;
        let (name, phase) = (c.text(name, "name")?, c.text(phase, "phase")?);
        let is_so = |machine: &VmObject| machine.status.phase.to_string() == phase;
        out.json(&vms.wait(within(timeout_ms, "machines.wait_phase", vms.machines.wait_for(name, is_so)))?)
    })
}

/// Frees it; nothing for NULL. GPVE_STATUS_INVALID_INPUT for what can be seen to be something else. Any thread, while no other uses it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn gpve_machines_free(machines: *mut gpve_machines) -> gpve_status {
    // SAFETY: the header says what the pointer must be.
    unsafe { raw::free("gpve_machines_free", machines) }
}
