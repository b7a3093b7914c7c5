//! An administrator's script at steps of a guest's life.

use super::env::Env;
use crate::error::{Error, Result};
use crate::ports::{ContentKind, HookPhase, HookRun, OpCx, VolumeMode};
use crate::types::VolumeId;

/// Runs the guest's script, if it has one. Only a failure before the start is an error; any other is a warning.
pub(crate) async fn run(env: &Env, cx: &OpCx, phase: HookPhase) -> Result<()> {
    let Some(script) = env.record().spec.hook_script else { return Ok(()) };
    match call(env, cx, phase, script).await {
        Ok(()) => Ok(()),
        Err(error) if phase == HookPhase::PreStart => Err(error.on(env.vmid())),
        Err(error) => {
            tracing::warn!(vmid = %env.vmid(), phase = phase.as_str(), error = %error.report(), "a hook script failed");
            cx.warn(error.report());
            Ok(())
        }
    }
}

async fn call(env: &Env, cx: &OpCx, phase: HookPhase, script: VolumeId) -> Result<()> {
    const OP: &str = "guest.hook";
    let hooks = env.hooks().ok_or_else(|| Error::unsupported(OP, "this node runs no hook scripts"))?;
    let storage = env.storage(script.storage())?;
    if !storage.capabilities().contents.contains(&ContentKind::Snippets) {
        let text = format!("storage '{}' does not support content-type 'snippets'", script.storage());
        return Err(Error::precondition(OP, text));
    }
    let access = storage.attach(cx, script.name(), VolumeMode::Read).await?;
    cx.log(format!("hookscript '{script}' {} {}", env.vmid(), phase.as_str()));
    let ran = hooks.run(cx, &HookRun { script: script.clone(), access, vmid: env.vmid(), phase }).await;
    storage.detach(cx, script.name()).await?;
    ran
}
