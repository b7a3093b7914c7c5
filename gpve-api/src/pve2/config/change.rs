//! Changing a configuration: set, delete, revert, with what becomes of volumes.

use gpve_core::control::UpdateGuest;
use gpve_core::error::{Error, ErrorKind, FieldError};
use gpve_core::patch::SpecPatch;
use gpve_core::types::{DiskSource, VmSpec, VolumeId};

use crate::route::Params;

use super::{Definition, VmConfig, option};

/// What a request asks to change.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Edit {
    /// Settings to set.
    pub set: VmConfig,
    /// Settings to remove.
    pub delete: Vec<String>,
    /// Pending changes to take back.
    pub revert: Vec<String>,
    /// Volumes that are removed are destroyed instead of kept as unused.
    pub force: bool,
    /// Digest that the configuration must have.
    pub digest: Option<String>,
}

/// What an [`Edit`] makes of a guest.
#[derive(Debug, Clone, PartialEq)]
pub struct Change {
    /// The guest as it shall be.
    pub definition: Definition,
    /// The same as a change for the control plane; it does not wait.
    pub update: UpdateGuest,
    /// Volumes that shall be destroyed once the change is made, because the edit forces it. (A volume that was unused
    /// before and is removed from the settings goes with the change itself.)
    pub destroy: Vec<VolumeId>,
    /// Whether anything differs from before.
    pub differs: bool,
}

impl Edit {
    /// The change that a config request asks for.
    ///
    /// # Errors
    /// Nothing to do; unknown settings in `delete` or `revert`; settings both set and deleted.
    pub fn from_params(params: &Params) -> Result<Self, Error> {
        let edit = Self {
            set: VmConfig::from_params(params),
            delete: params.list("delete").to_vec(),
            revert: params.list("revert").to_vec(),
            force: params.flag("force"),
            digest: params.text("digest").map(str::to_owned),
        };
        let mut bad = Vec::new();
        for (field, names) in [("delete", &edit.delete), ("revert", &edit.revert)] {
            for name in names {
                if option(name).is_none() {
                    bad.push(FieldError { field: field.into(), reason: format!("unknown option '{name}'") });
                } else if edit.set.get(name).is_some() {
                    bad.push(FieldError { field: field.into(), reason: format!("cannot set '{name}' and {field} it at the same time") });
                }
            }
        }
        if !bad.is_empty() {
            return Err(Error::invalid("vm.config", bad));
        }
        if edit.set.iter().next().is_none() && edit.delete.is_empty() && edit.revert.is_empty() {
            return Err(Error::new(ErrorKind::FailedPrecondition, "vm.config", "no options specified"));
        }
        Ok(edit)
    }

    /// Applies the edit to `now`; `running` is what a running guest has, for [`Self::revert`].
    ///
    /// A drive that is removed or gets another volume leaves its volume as `unusedN`; removing an `unusedN` destroys the
    /// volume; using one takes it out of the list. A card keeps its address unless another is given.
    ///
    /// # Errors
    /// [`ErrorKind::Conflict`] for another digest, and what the settings themselves are refused for.
    pub fn apply(&self, now: &Definition, running: Option<&Definition>) -> Result<Change, Error> {
        let before = VmConfig::of(now);
        if self.digest.as_ref().is_some_and(|d| *d != now.digest()) {
            let message = "checksum mismatch (file change by other user?)";
            return Err(Error::new(ErrorKind::Conflict, "vm.config", message));
        }
        let mut config = before.clone();
        let in_force = running.map(VmConfig::of);
        for key in &self.delete {
            config.remove(key);
        }
        for key in &self.revert {
            match in_force.as_ref().and_then(|r| r.get(key)) {
                Some(value) => config.set(key, value),
                None if in_force.is_some() => drop(config.remove(key)),
                None => {}
            }
        }
        for (key, value) in self.set.iter() {
            // An empty text removes a setting; that is how descriptions are cleared.
            if value.is_empty() { drop(config.remove(key)) } else { config.set(key, value) }
        }
        let mut definition = config.define()?;
        super::refuse_files_of_host(&definition.spec, Some(&now.spec))?;
        keep_addresses(&now.spec, &mut definition.spec);
        keep_sizes(&now.spec, &mut definition.spec);
        keep_boot_by_class(&now.spec, &mut definition.spec);
        let destroy = self.settle_volumes(&now.spec, &mut definition.spec);
        let differs = VmConfig::of(&definition) != before;
        let update = UpdateGuest {
            patch: SpecPatch::between(&now.spec, &definition.spec)?,
            name: (definition.name != now.name).then(|| definition.name.clone()),
            digest: self.digest.clone(),
            ..UpdateGuest::default()
        };
        Ok(Change { definition, update, destroy, differs })
    }

    fn settle_volumes(&self, before: &VmSpec, after: &mut VmSpec) -> Vec<VolumeId> {
        let in_drives: Vec<VolumeId> = after.disks.values().filter_map(|d| d.volume().cloned()).collect();
        after.unused.retain(|_, volume| !in_drives.contains(volume));
        let mut destroy = Vec::new();
        for volume in before.owned_volumes() {
            if in_drives.contains(volume) || after.unused.values().any(|v| v == volume) {
                continue;
            }
            if before.unused.values().any(|v| v == volume) {
                continue;
            }
            if let Some(n) = (0..=u8::MAX).find(|n| !after.unused.contains_key(n)) {
                after.unused.insert(n, volume.clone());
            }
            if self.force {
                destroy.push(volume.clone());
            }
        }
        destroy
    }
}

fn keep_addresses(before: &VmSpec, after: &mut VmSpec) {
    for (index, card) in &mut after.networks {
        if card.mac_address.is_none() {
            card.mac_address = before.networks.get(index).and_then(|old| old.mac_address);
        }
    }
}

/// No setting says that a guest boots by class in the usual order; it stays so until there is another order.
fn keep_boot_by_class(before: &VmSpec, after: &mut VmSpec) {
    if after.boot.is_none() && before.boot.is_none() && before.legacy_boot.is_some() {
        after.legacy_boot.get_or_insert_default();
    }
}

/// A client's word about the size of a volume does not count; what is known of it stays known.
fn keep_sizes(before: &VmSpec, after: &mut VmSpec) {
    let known = |wanted: &VolumeId| {
        before.disks.values().find_map(|d| match &d.source {
            DiskSource::Volume { volume, size } if volume == wanted => *size,
            _ => None,
        })
    };
    for disk in after.disks.values_mut() {
        if let DiskSource::Volume { volume, size } = &mut disk.source {
            *size = known(volume);
        }
    }
}
