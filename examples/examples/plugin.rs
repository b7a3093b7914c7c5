//! An engine with a storage plugin of one's own beside the directory plugin: a storage that holds so much and no more.
//!
//! `cargo run -p gpve-examples --example plugin`; guests are played in memory, disks are real. A plugin from nothing is in
//! `examples/out-of-tree/storage`. Prints:
//!
//! ```text
//! storages: local (dir), small (capped)
//! 100: made
//! 101: refused: the storage small holds 1536Mi at most, and 1Gi already
//! left: small:100/vm-100-disk-0.qcow2
//! ```
use std::{sync::Arc, time::Duration};

use gpve_core::control::{Call, ControlPlane, CreateGuest, outcome};
use gpve_core::error::{Error, ErrorKind, Result};
use gpve_core::ports::*;
use gpve_core::testing::mem::{MemHost, MemNetwork, MemQemu, MemSampler};
use gpve_core::types::{ByteSize, DiskFormat, NodeName, StorageId, Vmid, VolumeName};
use gpve_core::{async_trait, bus::Bus, clock::SystemClock, node::NodeBuilder};
use gpve_storage::{DirConfig, DirStorage};
use gpve_store::MemStore;

/// Any storage, with a limit for the sum of its disks.
struct Capped(Arc<dyn StoragePlugin>, ByteSize);

#[async_trait]
#[rustfmt::skip]
impl StoragePlugin for Capped {
    async fn create(&self, cx: &OpCx, request: &CreateVolume) -> Result<Ensured<Volume>> {
        let held: ByteSize = self.list(cx, &VolumeFilter::default()).await?.iter().map(|v| v.size).sum();
        if held.bytes() + request.size.bytes() > self.1.bytes() {
            let why = format!("the storage {} holds {} at most, and {held} already", self.id(), self.1);
            return Err(Error::new(ErrorKind::ResourceExhausted, "volume.create", why));
        }
        self.0.create(cx, request).await
    }
    fn kind(&self) -> &str { "capped" }
    fn id(&self) -> &StorageId { self.0.id() }
    fn capabilities(&self) -> &StorageCapabilities { self.0.capabilities() }
    async fn status(&self, cx: &OpCx) -> Result<StorageStatus> { self.0.status(cx).await }
    async fn list(&self, cx: &OpCx, filter: &VolumeFilter) -> Result<Vec<Volume>> { self.0.list(cx, filter).await }
    async fn get(&self, cx: &OpCx, name: &VolumeName) -> Result<Option<Volume>> { self.0.get(cx, name).await }
    async fn free_name(&self, cx: &OpCx, owner: Vmid, format: DiskFormat, taken: &[VolumeName]) -> Result<VolumeName> {
        self.0.free_name(cx, owner, format, taken).await
    }
    async fn delete(&self, cx: &OpCx, name: &VolumeName) -> Result<Removed> { self.0.delete(cx, name).await }
    async fn attach(&self, cx: &OpCx, name: &VolumeName, mode: VolumeMode) -> Result<VolumeAccess> { self.0.attach(cx, name, mode).await }
    async fn detach(&self, cx: &OpCx, name: &VolumeName) -> Result<()> { self.0.detach(cx, name).await }
}

#[tokio::main]
async fn main() -> std::result::Result<(), Box<dyn std::error::Error>> {
    let work = tempfile::tempdir()?;
    let runner = Arc::new(gpve_exec::System::new(gpve_exec::Tools::system()));
    let dir = |id: StorageId| DirStorage::new(DirConfig::new(id.clone(), work.path().join(id.as_str())), runner.clone());
    let small = Arc::new(Capped(Arc::new(dir("small".parse()?)?), ByteSize::from_mib(1536)));

    let clock = Arc::new(SystemClock::new());
    let (host, name): (_, NodeName) = (MemHost::new(clock.clone()), "here".parse()?);
    let node = NodeBuilder::new(name.clone()).storage(Arc::new(dir("local".parse()?)?)).storage(small.clone());
    let node = node.driver(Arc::new(MemQemu::new(host.clone()))).network(Arc::new(MemNetwork::new(host.clone())));
    let node = node.host(Arc::new(MemSampler::new(host, name.clone()))).clock(clock.clone());
    let node = Arc::new(node.store(Arc::new(MemStore::new(clock.clone()))).build().await?);
    let plane = ControlPlane::builder(Arc::new(MemStore::new(clock.clone())), clock, Arc::new(Bus::new())).node(node).build().await?;
    plane.ready(Duration::from_secs(10)).await;
    let storages: Vec<String> = plane.node(&name)?.storages.values().map(|s| format!("{} ({})", s.id, s.kind)).collect();
    println!("storages: {}", storages.join(", "));
    let disk = serde_json::json!({ "name": "scsi0", "source": { "new": { "storage": "small", "size": "1Gi" } } });
    let spec = serde_json::json!({ "memory": { "size": "64Mi" }, "disks": [disk] });
    for _ in 0..2 {
        let request = CreateGuest::of(serde_json::from_value(spec.clone())?);
        let made = plane.create(&Call::by("root@pam".parse()?), request).await?.accepted()?;
        let ended = outcome(plane.wait(&made.upid).await?.as_ref());
        println!("{}: {}", made.vmid, ended.map_or_else(|e| format!("refused: {e}"), |()| "made".to_owned()));
    }
    let volumes = small.list(&OpCx::background(), &VolumeFilter::default()).await?;
    volumes.iter().for_each(|volume| println!("left: {}", volume.id));
    Ok(())
}
