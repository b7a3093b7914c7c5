//! Making a stopped guest a template: its disks become bases for linked clones.

use async_trait::async_trait;

use crate::error::{Error, Result};
use crate::node::{Env, Memo};
use crate::ports::OpCx;
use crate::saga::{Step, Steps};
use crate::types::{DiskSlot, DiskSource};

pub(super) fn steps(disk: Option<DiskSlot>) -> Steps<Env, Memo> {
    vec![Box::new(MakeBases(disk))]
}

/// Makes one disk after the other a base and writes each down: a repeated step finds what is done.
struct MakeBases(Option<DiskSlot>);

#[async_trait]
impl Step<Env, Memo> for MakeBases {
    fn name(&self) -> &'static str {
        "bases"
    }

    async fn run(&self, cx: &OpCx, env: &Env, _memo: &mut Memo) -> Result<()> {
        let record = env.record();
        if !record.snapshots.is_empty() {
            let text = "You can't convert a VM to template if VM has snapshots: delete them first";
            return Err(Error::precondition("guest.template", text).on(env.vmid()));
        }
        if let Some(slot) = self.0
            && !record.spec.disks.contains_key(&slot)
        {
            return Err(Error::field("guest.template", "disk", format!("VM {} has no disk '{slot}'", env.vmid())));
        }
        for (slot, disk) in record.spec.disks.iter().filter(|(s, d)| !d.is_cdrom() && self.0.is_none_or(|o| o == **s)) {
            let Some(id) = disk.volume() else { continue };
            let Some(clones) = env.storage(id.storage())?.clones() else { continue };
            let base = clones.make_base(cx, id.name()).await?;
            env.update(|r| {
                if let Some(d) = r.spec.disks.get_mut(slot)
                    && let DiskSource::Volume { volume, .. } = &mut d.source
                {
                    *volume = base;
                }
            })
            .await?;
        }
        if self.0.is_none() {
            env.update(|r| {
                r.spec.template = true;
                r.generation += 1;
            })
            .await?;
        }
        Ok(())
    }
}
