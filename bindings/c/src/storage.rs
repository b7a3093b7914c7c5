//! Volumes by storage.

use std::ffi::c_char;
use std::sync::Arc;

use engine::Vmid;
use engine::client::Storage;
use engine::v1::VolumeRequest;

use crate::client::gpve_client;
use crate::error::{gpve_error, gpve_status};
use crate::job::gpve_job;
use crate::raw::{self, Caller, Object};
use crate::runtime::Runtime;

/// One storage's volumes: those of guests, those that no guest uses yet, and images.
pub struct gpve_storage {
    runtime: Arc<Runtime>,
    storage: Storage,
}

impl Object for gpve_storage {
    const MARK: u64 = u64::from_be_bytes(*b"gpve:sto");
    const NAME: &'static str = "storage";
}

/// The storage called `name`; with `node`, unless NULL, the one of that node, which is needed where several have one of that name. Nothing
/// is asked yet. Does not block. Any thread.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn gpve_client_storage(
    client: *const gpve_client,
    name: *const c_char,
    node: *const c_char,
    storage: *mut *mut gpve_storage,
    error: *mut *mut gpve_error,
) -> gpve_status {
    // SAFETY: the header says what each pointer must be.
    let c = unsafe { Caller::new("gpve_client_storage", error) };
    c.run(|| {
        let out = c.pointer(storage, "storage")?;
        let client = c.object(client)?;
        let storage = client.client.storage(c.text(name, "name")?);
        let storage = c.text_or_none(node, "node")?.into_iter().fold(storage, Storage::on);
        out.hand_over(gpve_storage { runtime: Arc::clone(&client.runtime), storage });
        Ok(())
    })
}

/// Its volumes by name, read now, as JSON: [{"id": "local:100/vm-100-disk-0.qcow2", "format": "qcow2", "size": "8Gi", "vmid": 100, …}]; only those of
/// the guest of number `vmid`, unless that is 0. Free `list` with gpve_string_free. Blocks for an exchange. Any thread.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn gpve_storage_volumes(
    storage: *const gpve_storage,
    vmid: u32,
    list: *mut *mut c_char,
    error: *mut *mut gpve_error,
) -> gpve_status {
    // SAFETY: the header says what each pointer must be.
    let c = unsafe { Caller::new("gpve_storage_volumes", error) };
    c.run(|| {
        let out = c.pointer(list, "list")?;
        let storage = c.object(storage)?;
        let of = (vmid != 0).then(|| vmid.to_string().parse::<Vmid>()).transpose();
        let of = of.map_err(|e| c.refuse("vmid", e.to_string()))?;
        out.json(&storage.runtime.wait(storage.storage.volumes(of))??)
    })
}

/// Makes an empty volume. `document` is JSON, {"vmid": 100, "size": "8Gi"}: for which guest, which need not exist, and how large; further: "name", the
/// first free one unless given, which the task's log tells, and "format". `job`, unless NULL, gets its task. Blocks until it is accepted,
/// not until it is done. Any thread.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn gpve_storage_create_volume(
    storage: *const gpve_storage,
    document: *const c_char,
    job: *mut *mut gpve_job,
    error: *mut *mut gpve_error,
) -> gpve_status {
    // SAFETY: the header says what each pointer must be.
    let c = unsafe { Caller::new("gpve_storage_create_volume", error) };
    c.run(|| {
        let out = c.pointer_or_none(job);
        let storage = c.object(storage)?;
        let wanted: VolumeRequest = c.json(document, "document")?;
        gpve_job::begin(&storage.runtime, &out, storage.storage.create_volume(&wanted))
    })
}

/// Deletes a volume, by its id or its name on the storage, that no guest uses: otherwise GPVE_STATUS_FAILED_PRECONDITION. `job`, unless NULL,
/// gets its task. Blocks until it is accepted, not until it is done. Any thread.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn gpve_storage_delete_volume(
    storage: *const gpve_storage,
    volume: *const c_char,
    job: *mut *mut gpve_job,
    error: *mut *mut gpve_error,
) -> gpve_status {
    // SAFETY: the header says what each pointer must be.
    let c = unsafe { Caller::new("gpve_storage_delete_volume", error) };
    c.run(|| {
        let out = c.pointer_or_none(job);
        let storage = c.object(storage)?;
        let volume = c.text(volume, "volume")?;
        gpve_job::begin(&storage.runtime, &out, storage.storage.delete_volume(volume))
    })
}

/// Frees it; nothing for NULL. GPVE_STATUS_INVALID_INPUT for what can be seen to be something else. Any thread, while no other uses it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn gpve_storage_free(storage: *mut gpve_storage) -> gpve_status {
    // SAFETY: the header says what the pointer must be.
    unsafe { raw::free("gpve_storage_free", storage) }
}
