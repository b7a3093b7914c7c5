//! Checks of requests before anything is written. Pure.

use super::objects::GuestObject;
use super::request::CreateGuest;
use crate::error::{Error, FieldError, Result};
use crate::types::{DiskSource, Labels, ObjectMeta, StorageId, VmSpec};

/// Longest key of a label or annotation, as in Kubernetes: a prefix of 253, a slash, a name of 63 characters.
const LABEL_KEY_MAX: usize = 253 + 1 + 63;
/// Longest value of a label or annotation in bytes.
const LABEL_VALUE_MAX: usize = 16 * 1024;

/// What is wrong with a guest to be made.
pub(super) fn create(request: &CreateGuest) -> Result<()> {
    let bad = request.spec.check();
    if !bad.is_empty() {
        return Err(Error::invalid("guest.create", bad));
    }
    labels("metadata.labels", &request.labels)?;
    labels("metadata.annotations", &request.annotations)
}

/// Checks labels or annotations; `field` names them in the error.
pub(super) fn labels(field: &str, labels: &Labels) -> Result<()> {
    let refuse = |name: String, reason: String| Error::field("object.labels", name, reason);
    if labels.len() > ObjectMeta::MAX_LABELS {
        return Err(refuse(field.to_owned(), format!("has {} entries, at most {} are allowed", labels.len(), ObjectMeta::MAX_LABELS)));
    }
    for (key, value) in labels {
        let plain = |c: char| c.is_ascii_alphanumeric() || "-_./".contains(c);
        if key.is_empty() || key.len() > LABEL_KEY_MAX || !key.chars().all(plain) {
            let shown: String = key.chars().take(64).flat_map(char::escape_default).collect();
            let reason = format!("keys are 1 to {LABEL_KEY_MAX} letters, digits and '-_./'");
            return Err(refuse(format!("{field}.{shown}"), reason));
        }
        if value.len() > LABEL_VALUE_MAX || value.contains('\0') {
            return Err(refuse(format!("{field}.{key}"), format!("values are text without NUL of at most {LABEL_VALUE_MAX} bytes")));
        }
    }
    Ok(())
}

/// The storages that a machine needs.
pub(super) fn storages(spec: &VmSpec) -> Vec<StorageId> {
    let of_disk = |source: &DiskSource| match source {
        DiskSource::Empty | DiskSource::Host(_) => None,
        DiskSource::Volume { volume, .. } => Some(volume.storage().clone()),
        DiskSource::New { storage, .. } | DiskSource::Import { storage, .. } | DiskSource::CloudInit { storage, .. } => {
            Some(storage.clone())
        }
    };
    let disks = spec.disks.values().filter_map(|d| of_disk(&d.source));
    let mut all: Vec<StorageId> = disks.chain(spec.unused.values().map(|v| v.storage().clone())).collect();
    all.sort();
    all.dedup();
    all
}

/// Refuses a digest that is not the guest's.
pub(super) fn digest(guest: &GuestObject, wanted: Option<&str>) -> Result<()> {
    match wanted {
        Some(wanted) if wanted != guest.digest() => Err(Error::new(
            crate::error::ErrorKind::Conflict,
            "guest.update",
            "the configuration was changed in the meantime (its digest is another one): read it again and retry",
        )),
        _ => Ok(()),
    }
}

/// Refuses a spec that breaks a rule between fields.
pub(super) fn spec(op: &str, spec: &VmSpec) -> Result<()> {
    let bad: Vec<FieldError> = spec.check();
    if bad.is_empty() { Ok(()) } else { Err(Error::invalid(op, bad)) }
}
