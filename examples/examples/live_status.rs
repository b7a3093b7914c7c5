//! Live status: the embedded engine, and a watch that tells every change of every guest.
//!
//! `[GPVE_GUEST=DIR] cargo run -p gpve-examples --example live_status`, where DIR holds `vmlinuz` and `initrd` as `cargo xtask guest-image`
//! makes them; guests then run on QEMU, otherwise in memory. Phases that pass quickly may pass unseen. Prints:
//!
//! ```text
//! engine: …
//! 100 Pending
//! …
//! 100 Running
//! …
//! 100 gone
//! ```
use std::{sync::Arc, time::Duration};

use gpve_core::control::{Answer, Call, ControlPlane, CreateGuest, GuestEvent, GuestWatch, outcome};
use gpve_core::error::Result;
use gpve_core::node::NodeBuilder;
use gpve_core::ports::{Clock, GuestDriver};
use gpve_core::testing::mem::{MemHost, MemNetwork, MemQemu, MemSampler};
use gpve_core::types::{NodeName, VmSpec, Vmid};
use gpve_core::{bus::Bus, clock::SystemClock};
use gpve_exec::Tools;
use gpve_qmp::qemu::config::QemuConfig;
use gpve_qmp::qemu::driver::QemuDriver;
use gpve_store::MemStore;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let work = tempfile::tempdir()?;
    let image = std::env::var("GPVE_GUEST").unwrap_or_default();
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    // The machine itself, and the cards that these guests do not have, are played in either case.
    let (host, name): (_, NodeName) = (MemHost::new(clock.clone()), "here".parse()?);
    let (runtime_root, state_dir, tools) = (work.path().join("run"), work.path().join("state"), Tools::system());
    let qemu = QemuConfig { runtime_root, state_dir, identity: None, tools, clock: clock.clone() };
    let driver: Arc<dyn GuestDriver> = match image.is_empty() {
        true => Arc::new(MemQemu::new(host.clone())),
        false => Arc::new(QemuDriver::new(qemu)?),
    };
    println!("engine: {}", driver.name());
    let node = NodeBuilder::new(name.clone()).store(Arc::new(MemStore::new(clock.clone()))).clock(clock.clone()).driver(driver);
    let node = node.network(Arc::new(MemNetwork::new(host.clone()))).host(Arc::new(MemSampler::new(host, name))).build().await?;
    let plane =
        ControlPlane::builder(Arc::new(MemStore::new(clock.clone())), clock, Arc::new(Bus::new())).node(Arc::new(node)).build().await?;
    plane.ready(Duration::from_secs(10)).await;
    let watching = tokio::spawn(tell(plane.watch(plane.guests().revision()).await?));
    let kernel = serde_json::json!({ "kernel": format!("{image}/vmlinuz"), "initrd": format!("{image}/initrd") });
    let spec: VmSpec = serde_json::from_value(serde_json::json!({ "memory": { "size": "128Mi" }, "kernel": kernel }))?;
    let me = Call::by("root@pam".parse()?);
    let vmid = done(&plane, plane.create(&me, CreateGuest::of(spec)).await?).await?;
    done(&plane, plane.start(&me, vmid).await?).await?;
    done(&plane, plane.stop(&me, vmid).await?).await?;
    done(&plane, plane.delete(&me, vmid, Default::default()).await?).await?;
    Ok(watching.await??)
}

/// Waits for a call's task; which guest it was about.
async fn done(plane: &ControlPlane, answer: Answer) -> Result<Vmid> {
    let accepted = answer.accepted()?;
    outcome(plane.wait(&accepted.upid).await?.as_ref()).map(|()| accepted.vmid)
}

async fn tell(mut watch: GuestWatch) -> Result<()> {
    let mut last = None;
    loop {
        match watch.next().await?.1 {
            GuestEvent::Added(guest) | GuestEvent::Modified(guest) => {
                let now = guest.object.status.phase;
                if last.replace(now) != Some(now) {
                    println!("{} {now}", guest.object.spec.vmid);
                }
            }
            GuestEvent::Deleted { vmid, .. } => break println!("{vmid} gone"),
            GuestEvent::Bookmark => {}
        }
    }
    Ok(())
}
