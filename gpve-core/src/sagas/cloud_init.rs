//! Bringing what cloud-init reads to a guest that runs. A guest that does not run gets it at its start.

use async_trait::async_trait;

use crate::error::{Error, Result};
use crate::node::{Env, Memo, cloud_init, wiring};
use crate::ports::{ConfigPatch, Hotplug, HotplugChange, OpCx};
use crate::saga::Step;
use crate::types::{DiskSlot, GuestName, HotplugFeature, ResolvedDisk, VmSpec};

/// Writes the drive where the running machine will read it, before the machine is told; also of one that does not run, if
/// that is asked.
pub(super) struct WriteCloudInit(pub(super) ConfigPatch);

#[async_trait]
impl Step<Env, Memo> for WriteCloudInit {
    fn name(&self) -> &'static str {
        "cloud-init"
    }

    fn leaves_nothing(&self, memo: &Memo) -> bool {
        memo.spec.as_ref().is_none_or(|spec| !spec.disks.values().any(crate::types::DiskSpec::is_cloud_init))
    }

    async fn run(&self, cx: &OpCx, env: &Env, memo: &mut Memo) -> Result<()> {
        let Some(new) = &memo.spec else { return Err(Error::internal("guest.update", "no spec was planned")) };
        let asked = self.0.refresh_cloud_init;
        let needed = match &env.record().running {
            Some(old) => is_new(env, old, new) || to_refresh(env, old, new, asked).is_some(),
            None => asked,
        };
        if needed {
            cloud_init::write(env, cx, new, self.name_of(env).as_ref()).await?;
        }
        Ok(())
    }

    /// The machine is shown what it was told before. That this fails is no reason to be stuck: a start writes the drive anew.
    async fn undo(&self, cx: &OpCx, env: &Env, memo: &mut Memo) -> Result<()> {
        let (Some(live), Some(old), Some(new)) = (env.live(), env.record().running, &memo.spec) else { return Ok(()) };
        let Some(slot) = to_refresh(env, &old, new, self.0.refresh_cloud_init) else { return Ok(()) };
        let back = async {
            cloud_init::write(env, cx, &old, env.record().name.as_ref()).await?;
            match live.hotplug() {
                Some(hotplug) => insert(env, cx, hotplug, slot, &old).await,
                None => Ok(()),
            }
        };
        if let Err(e) = back.await {
            cx.warn(format!("the cloud-init drive shows what is not in force, until the next start: {}", e.report()));
        }
        Ok(())
    }
}

impl WriteCloudInit {
    fn name_of(&self, env: &Env) -> Option<GuestName> {
        self.0.name.clone().unwrap_or_else(|| env.record().name)
    }
}

/// True for a path of the spec that only cloud-init reads.
pub(super) fn is_setting(path: &str) -> bool {
    path.starts_with("cloudInit.")
}

/// True for a setting that no drive carries, in the running machine or later: it is in force as soon as it is written down.
pub(super) fn is_idle(env: &Env, path: &str, old: &VmSpec, new: &VmSpec) -> bool {
    let none = |spec: &VmSpec| spec.cloud_init_drive(env.vmid()).is_none();
    is_setting(path) && none(old) && none(new)
}

/// True if the drive comes to the running machine with this change.
fn is_new(env: &Env, old: &VmSpec, new: &VmSpec) -> bool {
    new.cloud_init_drive(env.vmid()).is_some() && new.cloud_init_drive(env.vmid()) != old.cloud_init_drive(env.vmid())
}

/// The drive whose medium the running machine shall read again: if that is asked, or a setting changed and the guest is to
/// have such changes while it runs.
pub(super) fn to_refresh(env: &Env, old: &VmSpec, new: &VmSpec, asked: bool) -> Option<DiskSlot> {
    let at_once = || new.hotplug.clone().unwrap_or_default().has(HotplugFeature::Cloudinit) && old.cloud_init != new.cloud_init;
    let (slot, _) = new.cloud_init_drive(env.vmid())?;
    (!is_new(env, old, new) && (asked || at_once())).then_some(slot)
}

/// Puts the drive's medium in again: the guest sees a changed disc.
pub(super) async fn insert(env: &Env, cx: &OpCx, hotplug: &dyn Hotplug, slot: DiskSlot, spec: &VmSpec) -> Result<()> {
    let Some(disk) = spec.disks.get(&slot) else { return Ok(()) };
    let medium = wiring::attach_volume(env, cx, &ResolvedDisk::of(disk)).await?;
    let change = HotplugChange::ChangeMedium { slot, medium };
    if !hotplug.can(&change) {
        return Err(Error::unsupported("cloud-init", format!("the medium of '{slot}' cannot be changed while the VM runs")));
    }
    hotplug.apply(cx, change).await?;
    cx.log(format!("{slot}: the guest sees the new cloud-init data"));
    Ok(())
}
