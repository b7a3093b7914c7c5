//! Hook scripts that are told what to do by their names.

use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;

use crate::error::{Error, ErrorKind, Result};
use crate::ports::{HookPhase, HookRun, Hooks, OpCx};
use crate::types::Vmid;

/// The [`Hooks`] port without processes: a script called `snippets/ends-3` prints its arguments and ends with status 3,
/// `snippets/ends-3-in-pre-start` does so in that phase and ends with 0 in the others, `snippets/hangs` never ends.
#[derive(Debug, Clone, Default)]
pub struct MemHooks(Arc<Mutex<Vec<(Vmid, HookPhase)>>>);

impl MemHooks {
    /// One that has run nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// What was run, oldest first.
    pub fn runs(&self) -> Vec<(Vmid, HookPhase)> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

#[async_trait]
impl Hooks for MemHooks {
    async fn run(&self, cx: &OpCx, hook: &HookRun) -> Result<()> {
        const OP: &str = "guest.hook";
        let said = format!("{} {}", hook.vmid, hook.phase.as_str());
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push((hook.vmid, hook.phase));
        cx.log(&said);
        let name = hook.script.name().as_str();
        if name == "snippets/hangs" {
            return cx.run(OP, std::future::pending()).await;
        }
        let ends = name.strip_prefix("snippets/ends-").unwrap_or_default();
        let (status, phase) = ends.split_once("-in-").unwrap_or((ends, hook.phase.as_str()));
        if status != "0" && phase == hook.phase.as_str() {
            let text = format!("hookscript '{}' ended with code {status} in {}: {said}", hook.script, hook.phase.as_str());
            return Err(Error::new(ErrorKind::FailedPrecondition, OP, text));
        }
        Ok(())
    }
}
