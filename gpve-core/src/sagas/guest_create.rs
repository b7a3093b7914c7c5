//! Making a guest: plan names, make volumes, record. The number and the record are reserved when the task is accepted;
//! a failed create removes them again.

use async_trait::async_trait;

use super::volumes::MakeVolumes;
use crate::error::{Error, Result};
use crate::node::{Env, Memo, volumes};
use crate::ports::OpCx;
use crate::saga::{Step, Steps};

pub(super) fn steps() -> Steps<Env, Memo> {
    vec![Box::new(Plan), Box::new(MakeVolumes), Box::new(Record)]
}

/// Decides the names of all volumes.
struct Plan;

#[async_trait]
impl Step<Env, Memo> for Plan {
    fn name(&self) -> &'static str {
        "plan"
    }

    async fn run(&self, cx: &OpCx, env: &Env, memo: &mut Memo) -> Result<()> {
        let mut spec = env.record().spec;
        check_given_volumes(env, cx, &spec).await?;
        memo.volumes = volumes::plan(env, cx, &mut spec).await?;
        memo.spec = Some(Box::new(spec));
        Ok(())
    }
}

/// Volumes that the client named must exist.
pub(super) async fn check_given_volumes(env: &Env, cx: &OpCx, spec: &crate::types::VmSpec) -> Result<()> {
    for disk in spec.disks.values() {
        if let Some(id) = disk.volume()
            // Its own cloud-init drive is made anew where it is gone.
            && disk.cloud_init_of() != Some(env.vmid())
            && env.storage(id.storage())?.get(cx, id.name()).await?.is_none()
        {
            return Err(Error::not_found("guest.create", format!("volume '{id}'")));
        }
    }
    Ok(())
}

/// Writes down what was made.
struct Record;

#[async_trait]
impl Step<Env, Memo> for Record {
    fn name(&self) -> &'static str {
        "record"
    }

    fn leaves_nothing(&self, _memo: &Memo) -> bool {
        true
    }

    async fn run(&self, cx: &OpCx, env: &Env, memo: &mut Memo) -> Result<()> {
        let Some(mut spec) = memo.spec.clone() else {
            return Err(Error::internal("guest.create", "no spec was planned"));
        };
        for disk in spec.disks.values_mut() {
            fill_in_size(env, cx, disk).await?;
        }
        env.stage(|r| r.spec = *spec);
        Ok(())
    }
}

/// Fills in the size of a volume that the client named: its word is not taken for it.
pub(super) async fn fill_in_size(env: &Env, cx: &OpCx, disk: &mut crate::types::DiskSpec) -> Result<()> {
    let is_cloud_init = disk.is_cloud_init();
    if let crate::types::DiskSource::Volume { volume, size } = &mut disk.source {
        if is_cloud_init {
            // Always the same, and it may be gone: a start makes it.
            *size = None;
            return Ok(());
        }
        *size = Some(volumes::size_of(env, cx, volume).await?);
    }
    Ok(())
}
