//! What everybody who runs hook scripts promises.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;

use crate::error::ErrorKind;
use crate::ports::{Cancel, HookPhase, HookRun, Hooks, LogSink, OpCx, VolumeAccess};
use crate::types::{Upid, Vmid, VolumeId};

/// Scripts for the suite.
#[async_trait]
pub trait HooksFixture: Send + Sync {
    /// A script that prints its arguments on a line and ends with `status`.
    async fn ends(&self, status: i32) -> (VolumeId, VolumeAccess);

    /// A script that prints its arguments on a line and never ends.
    async fn hangs(&self) -> (VolumeId, VolumeAccess);
}

#[derive(Default)]
struct Lines(Mutex<Vec<String>>);

impl LogSink for Lines {
    fn line(&self, text: &str) {
        self.0.lock().unwrap().push(text.to_owned());
    }
}

/// The suite.
pub async fn hooks(hooks: &dyn Hooks, fixture: &dyn HooksFixture) {
    let lines = Arc::new(Lines::default());
    let upid: Upid = "UPID:suite:00000001:00000001:00000001:suite::root@pam:".parse().expect("a valid id");
    let cx = OpCx::task(upid, Cancel::never(), Arc::clone(&lines) as Arc<dyn LogSink>);
    let run = |(script, access), phase| HookRun { script, access, vmid: Vmid::MIN, phase };
    for phase in HookPhase::ALL {
        hooks.run(&cx, &run(fixture.ends(0).await, phase)).await.expect("a script that ends with 0 is no error");
        let told = std::mem::take(&mut *lines.0.lock().unwrap());
        assert_eq!(told, [format!("{} {}", Vmid::MIN, phase.as_str())], "it gets number and phase, and its lines are in the log");
    }
    let error = hooks.run(&cx, &run(fixture.ends(3).await, HookPhase::PreStart)).await.expect_err("a script that fails is an error");
    assert_eq!(error.kind, ErrorKind::FailedPrecondition, "{error:?}");
    for part in ["code 3", "pre-start", &Vmid::MIN.to_string()] {
        assert!(error.message.contains(part), "the error tells status, phase and last line: {error:?}");
    }
    let short = cx.within(Duration::from_millis(300));
    let late = hooks.run(&short, &run(fixture.hangs().await, HookPhase::PreStop)).await.expect_err("a script that hangs is ended");
    assert_eq!(late.kind, ErrorKind::Timeout, "{late:?}");
}
