//! Up, down, halt and go: start, stop, shutdown, reboot, reset, pause, resume.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use crate::error::{Error, ErrorKind, Result};
use crate::node::{Env, Memo, cloud_init, hook, wiring};
use crate::ports::{Exit, HookPhase, Live, OpCx, PortId, Prepared, ShutdownOptions};
use crate::saga::{Step, Steps};
use crate::types::ResolvedVm;

pub(super) fn start() -> Steps<Env, Memo> {
    vec![Box::new(Launch), Box::new(Go)]
}

pub(super) fn stop() -> Steps<Env, Memo> {
    vec![Box::new(Kill)]
}

pub(super) fn shutdown(options: ShutdownOptions) -> Steps<Env, Memo> {
    vec![Box::new(AskToPowerOff(options)), Box::new(TearDown)]
}

pub(super) fn reboot(options: ShutdownOptions) -> Steps<Env, Memo> {
    let mut steps = shutdown(options);
    steps.extend(start());
    steps
}

pub(super) fn reset() -> Steps<Env, Memo> {
    vec![Box::new(Reset)]
}

pub(super) fn pause() -> Steps<Env, Memo> {
    vec![Box::new(Pause)]
}

pub(super) fn resume() -> Steps<Env, Memo> {
    vec![Box::new(Resume)]
}

/// Makes volumes usable, plugs the cards in, launches the process with its limits, halted, and notes it: the note is durable before the
/// first instruction. All of it follows from the guest's record, which nothing else changes while a task of the guest runs; so there is
/// nothing to decide beforehand.
struct Launch;

#[async_trait]
impl Step<Env, Memo> for Launch {
    fn name(&self) -> &'static str {
        "launch"
    }

    async fn run(&self, cx: &OpCx, env: &Env, _memo: &mut Memo) -> Result<()> {
        let record = env.record();
        let vm = record.spec.resolve(env.vmid(), record.name.as_ref())?;
        let live: Arc<dyn Live> = match env.live() {
            Some(live) => live,
            None => {
                cloud_init::write(env, cx, &record.spec, record.name.as_ref()).await?;
                launch(cx, env, vm).await?
            }
        };
        let run = live.record().clone();
        env.set_live(Some(live));
        env.stage(|r| {
            r.run = Some(run);
            r.running = Some(Box::new(record.spec));
        });
        Ok(())
    }

    async fn undo(&self, cx: &OpCx, env: &Env, _memo: &mut Memo) -> Result<()> {
        if let Some(live) = env.live() {
            live.kill(cx).await?;
            env.set_live(None);
        }
        env.stage(|r| {
            r.run = None;
            r.running = None;
        });
        wiring::clean(env, cx).await?;
        let spec = env.record().spec;
        let ports: Vec<_> = spec.networks.keys().map(|nic| PortId { vmid: env.vmid(), nic: *nic }).collect();
        wiring::detach_ports(env, cx, &ports).await?;
        let volumes: Vec<_> = spec.disks.values().filter_map(|d| d.volume().cloned()).collect();
        wiring::detach_volumes(env, cx, volumes).await
    }
}

async fn launch(cx: &OpCx, env: &Env, vm: ResolvedVm) -> Result<Arc<dyn Live>> {
    if !vm.without_effect.is_empty() {
        let names = vm.without_effect.iter().map(|k| k.as_str()).collect::<Vec<_>>().join(", ");
        cx.log(format!("note: kept without effect in this version: {names}"));
    }
    hook::run(env, cx, HookPhase::PreStart).await?;
    wiring::clean(env, cx).await?;
    let volumes = wiring::attach_volumes(env, cx, &vm).await?;
    let mut ports = BTreeMap::new();
    for (index, nic) in &vm.networks {
        ports.insert(*index, wiring::attach_port(env, cx, *index, nic).await?);
    }
    // Link down first, then up: no half-made port sees a packet.
    for (index, nic) in &vm.networks {
        wiring::link(env, cx, *index, nic).await?;
    }
    wiring::launch(env, cx, Prepared::new(vm).wire(volumes, ports)?).await.map(Arc::from)
}

/// Sets the processors going.
struct Go;

#[async_trait]
impl Step<Env, Memo> for Go {
    fn name(&self) -> &'static str {
        "go"
    }

    async fn run(&self, cx: &OpCx, env: &Env, _memo: &mut Memo) -> Result<()> {
        env.running()?.resume(cx).await?;
        hook::run(env, cx, HookPhase::PostStart).await
    }
}

/// Ends the process and removes what it used.
pub(super) struct Kill;

#[async_trait]
impl Step<Env, Memo> for Kill {
    fn name(&self) -> &'static str {
        "kill"
    }

    async fn run(&self, cx: &OpCx, env: &Env, _memo: &mut Memo) -> Result<()> {
        if let Some(live) = env.live() {
            hook::run(env, cx, HookPhase::PreStop).await?;
            live.kill(cx).await?;
        }
        tear_down(env, cx).await
    }
}

/// Removes what the ended process used.
struct TearDown;

#[async_trait]
impl Step<Env, Memo> for TearDown {
    fn name(&self) -> &'static str {
        "tear-down"
    }

    async fn run(&self, cx: &OpCx, env: &Env, _memo: &mut Memo) -> Result<()> {
        tear_down(env, cx).await
    }
}

async fn tear_down(env: &Env, cx: &OpCx) -> Result<()> {
    // Before: the record says no more that it ran.
    let ran = env.record().run.is_some();
    wiring::tear_down(env, cx).await?;
    if ran { hook::run(env, cx, HookPhase::PostStop).await } else { Ok(()) }
}

/// Asks the guest to power off and waits for it.
struct AskToPowerOff(ShutdownOptions);

#[async_trait]
impl Step<Env, Memo> for AskToPowerOff {
    fn name(&self) -> &'static str {
        "shutdown"
    }

    async fn run(&self, cx: &OpCx, env: &Env, _memo: &mut Memo) -> Result<()> {
        let Some(live) = env.live() else { return Ok(()) };
        hook::run(env, cx, HookPhase::PreStop).await?;
        live.request_shutdown(cx).await?;
        let limit = Duration::from_secs(u64::from(self.0.timeout_s));
        let gone = cx.within(limit).run("shutdown", async { Ok(live.wait().await) }).await;
        match gone {
            Ok(Exit::GuestPoweroff | Exit::Killed) => Ok(()),
            Ok(Exit::Crashed(why)) => {
                cx.log(format!("the process ended unexpectedly: {why}"));
                Ok(())
            }
            Err(e) if e.kind == ErrorKind::Timeout && self.0.force => {
                cx.log(format!("the guest did not power off within {} s: ending it", self.0.timeout_s));
                live.kill(cx).await
            }
            Err(e) if e.kind == ErrorKind::Timeout => {
                let text = "VM quit/powerdown failed - got timeout: the guest did not power off; stop it to end it by force";
                Err(Error::new(ErrorKind::Timeout, "shutdown", text).on(env.vmid()))
            }
            Err(e) => Err(e),
        }
    }
}

struct Reset;

#[async_trait]
impl Step<Env, Memo> for Reset {
    fn name(&self) -> &'static str {
        "reset"
    }

    async fn run(&self, cx: &OpCx, env: &Env, _memo: &mut Memo) -> Result<()> {
        env.running()?.reset(cx).await
    }
}

struct Pause;

#[async_trait]
impl Step<Env, Memo> for Pause {
    fn name(&self) -> &'static str {
        "pause"
    }

    async fn run(&self, cx: &OpCx, env: &Env, _memo: &mut Memo) -> Result<()> {
        env.running()?.pause(cx).await
    }
}

struct Resume;

#[async_trait]
impl Step<Env, Memo> for Resume {
    fn name(&self) -> &'static str {
        "resume"
    }

    async fn run(&self, cx: &OpCx, env: &Env, _memo: &mut Memo) -> Result<()> {
        env.running()?.resume(cx).await
    }
}
