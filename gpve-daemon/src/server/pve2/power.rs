//! Up and down.

use gpve_api::pve2::Failure;
use gpve_core::ports::ShutdownOptions;

use super::guest::{find, find_config};
use super::{Answered, Ctx, change, task};

/// Longest wait for a guest to power off when the client names none: PVE's default for a shutdown task.
const SHUTDOWN_SECONDS: u32 = 180;

fn options(cx: &Ctx<'_>) -> ShutdownOptions {
    let timeout_s = cx.params.count("timeout").map_or(SHUTDOWN_SECONDS, |t| u32::try_from(t).unwrap_or(u32::MAX));
    ShutdownOptions { timeout_s, force: cx.params.flag("forceStop") }
}

pub(super) async fn start(cx: &Ctx<'_>) -> Answered {
    let guest = find(cx)?;
    if guest.spec().template {
        return Err(Failure::new(500, "you can't start a vm if it's a template"));
    }
    task(cx.app.plane.start(&cx.call, cx.vmid()?).await)
}

pub(super) async fn stop(cx: &Ctx<'_>) -> Answered {
    find_config(cx)?;
    task(cx.app.plane.stop(&cx.call, cx.vmid()?).await)
}

pub(super) async fn reset(cx: &Ctx<'_>) -> Answered {
    running(cx)?;
    task(cx.app.plane.reset(&cx.call, cx.vmid()?).await)
}

pub(super) async fn shutdown(cx: &Ctx<'_>) -> Answered {
    find_config(cx)?;
    task(cx.app.plane.shutdown_guest(&cx.call, cx.vmid()?, options(cx)).await)
}

pub(super) async fn reboot(cx: &Ctx<'_>) -> Answered {
    running(cx)?;
    task(cx.app.plane.reboot(&cx.call, cx.vmid()?, options(cx)).await)
}

pub(super) async fn suspend(cx: &Ctx<'_>) -> Answered {
    running(cx)?;
    if cx.params.flag("todisk") {
        return Err(change::unsupported("suspending to disk"));
    }
    task(cx.app.plane.pause(&cx.call, cx.vmid()?).await)
}

pub(super) async fn resume(cx: &Ctx<'_>) -> Answered {
    running(cx)?;
    task(cx.app.plane.resume(&cx.call, cx.vmid()?).await)
}

pub(super) fn running(cx: &Ctx<'_>) -> Result<(), Failure> {
    let (guest, vmid) = (find(cx)?, cx.vmid()?);
    if guest.object.status.pid.is_some() { Ok(()) } else { Err(Failure::new(500, &format!("VM {vmid} not running"))) }
}
