//! Growing a disk: through QEMU while the guest runs, through the storage otherwise.

use async_trait::async_trait;

use crate::error::{Error, Result};
use crate::node::{Env, Memo, volumes};
use crate::ports::{HotplugChange, OpCx, ResizeTo};
use crate::saga::{Step, Steps};
use crate::types::{ByteSize, DiskSlot, DiskSource, VmSpec, VolumeId};

pub(super) fn steps(disk: DiskSlot, to: ResizeTo) -> Steps<Env, Memo> {
    vec![Box::new(Decide(disk, to)), Box::new(Grow(disk))]
}

/// Decides the new size once, so that a repeated "by 1 GiB" does not grow twice.
struct Decide(DiskSlot, ResizeTo);

#[async_trait]
impl Step<Env, Memo> for Decide {
    fn name(&self) -> &'static str {
        "decide"
    }

    async fn run(&self, cx: &OpCx, env: &Env, memo: &mut Memo) -> Result<()> {
        let mut spec = env.record().spec;
        let volume = disk_volume(&spec, self.0)?.clone();
        let present = volumes::size_of(env, cx, &volume).await?;
        let size = match self.1 {
            ResizeTo::Absolute(size) => size,
            ResizeTo::Grow(by) => present.checked_add(by).ok_or_else(|| Error::field("guest.resize", "size", "is too large"))?,
        };
        if size < present {
            let text = format!("shrinking disks is not supported: '{}' has {}", self.0, present.pve());
            return Err(Error::field("guest.resize", "size", text));
        }
        set_size(&mut spec, self.0, size);
        memo.spec = Some(Box::new(spec));
        Ok(())
    }
}

struct Grow(DiskSlot);

#[async_trait]
impl Step<Env, Memo> for Grow {
    fn name(&self) -> &'static str {
        "grow"
    }

    async fn run(&self, cx: &OpCx, env: &Env, memo: &mut Memo) -> Result<()> {
        let Some(spec) = &memo.spec else { return Err(Error::internal("guest.resize", "no size was decided")) };
        let volume = disk_volume(spec, self.0)?.clone();
        let Some(DiskSource::Volume { size: Some(size), .. }) = spec.disks.get(&self.0).map(|d| d.source.clone()) else {
            return Err(Error::internal("guest.resize", "no size was decided"));
        };
        let in_use = env.record().running.as_ref().is_some_and(|r| r.disks.get(&self.0).and_then(|d| d.volume()) == Some(&volume));
        match env.live().filter(|_| in_use) {
            Some(live) => {
                let hotplug =
                    live.hotplug().ok_or_else(|| Error::unsupported("guest.resize", "this guest cannot be changed while it runs"))?;
                hotplug.apply(cx, HotplugChange::ResizeDisk { slot: self.0, size }).await?;
            }
            None => {
                let plugin = env.storage(volume.storage())?;
                let resize = plugin
                    .resize()
                    .ok_or_else(|| Error::unsupported("guest.resize", format!("storage '{}' cannot grow disks", volume.storage())))?;
                resize.grow(cx, volume.name(), size).await?;
            }
        }
        env.update(|r| {
            set_size(&mut r.spec, self.0, size);
            if let Some(running) = &mut r.running {
                set_size(running, self.0, size);
            }
            r.generation += 1;
        })
        .await
    }
}

fn disk_volume(spec: &VmSpec, slot: DiskSlot) -> Result<&VolumeId> {
    let disk = spec.disks.get(&slot).ok_or_else(|| Error::field("guest.resize", "disk", format!("disk '{slot}' does not exist")))?;
    let volume = disk.volume().filter(|_| !disk.is_cdrom());
    volume.ok_or_else(|| Error::field("guest.resize", "disk", format!("'{slot}' is a CD-ROM drive: only disks can be resized")))
}

fn set_size(spec: &mut VmSpec, slot: DiskSlot, new: ByteSize) {
    if let Some(disk) = spec.disks.get_mut(&slot)
        && let DiskSource::Volume { size, .. } = &mut disk.source
    {
        *size = Some(new);
    }
}
