//! Changing a running guest's hardware.
//!
//! A change is a sequence of monitor commands, each with what takes it back: when one is refused those before it are
//! taken back, so the hardware is as it was. A change that began runs to its end even if its caller goes away: a machine
//! with half a disk serves nobody. The machine's own answers are the check: a device is there when `/machine/peripheral`
//! lists it and gone when QEMU says so.

use std::time::Duration;

use async_trait::async_trait;
use gpve_core::error::{Error, ErrorKind, Result};
use gpve_core::ports::{Hotplug, HotplugChange, OpCx, PortAccess};
use gpve_core::types::{ByteSize, DiskBus, DiskSlot, MachineKind, NicIndex, ScsiController};
use serde_json::{Value, json};

use super::argv::blockdev::{Blockdev, Image, base_label, file_node, format_node, throttle_group, top_node};
use super::argv::compose::{NicBackend, disk_devices, netdev, nic_device};
use super::argv::device::{Device, Object};
use super::fault;
use super::image::{self, MAX_CHAIN, OpenMode, OpenedFile};
use super::live::QemuLive;
use crate::protocol::client::QmpClient;
use crate::protocol::error::QmpError;

const OP: &str = "guest.hotplug";

/// How long a guest may take to let go of a device: Linux takes half a second, a guest that is booting does not answer.
const UNPLUG_TIMEOUT: Duration = Duration::from_secs(30);

#[async_trait]
impl Hotplug for QemuLive {
    fn can(&self, change: &HotplugChange) -> bool {
        let vm = &self.detail().vm;
        let has_pci = vm.machine.kind != MachineKind::Microvm;
        match change {
            HotplugChange::AddDisk { slot, .. } => has_pci && self.is_pluggable(*slot) && !self.has_disk(*slot),
            HotplugChange::RemoveDisk { slot } => has_pci && self.is_pluggable(*slot) && self.has_disk(*slot),
            HotplugChange::ChangeMedium { slot, .. } => vm.disks.get(slot).is_some_and(|disk| disk.cdrom) && self.has_disk(*slot),
            HotplugChange::ResizeDisk { slot, .. } => self.format(*slot).is_some(),
            HotplugChange::AddNic { index, port, .. } => has_pci && port.port.access != PortAccess::Memory && !self.has_nic(*index),
            HotplugChange::RemoveNic { index } => has_pci && self.has_nic(*index),
            HotplugChange::SetLink { index, .. } => self.has_nic(*index),
            HotplugChange::Balloon { .. } => vm.balloon,
            HotplugChange::CpuLimits { .. } => true,
        }
    }

    async fn apply(&self, _cx: &OpCx, change: HotplugChange) -> Result<()> {
        if !self.can(&change) {
            return Err(Error::unsupported(OP, "this machine cannot change that while it runs").on(self.vmid()));
        }
        self.change(change).await.map_err(|error| error.on(self.vmid()))
    }
}

impl QemuLive {
    /// PCI and virtio-scsi guests look for new disks; the others only at boot.
    fn is_pluggable(&self, slot: DiskSlot) -> bool {
        match slot.bus() {
            DiskBus::Virtio | DiskBus::Nvme => true,
            DiskBus::Scsi => {
                matches!(self.detail().vm.scsi_controller, ScsiController::VirtioScsiPci | ScsiController::VirtioScsiSingle)
            }
            DiskBus::Ide | DiskBus::Sata => false,
        }
    }

    async fn change(&self, change: HotplugChange) -> Result<()> {
        if let HotplugChange::CpuLimits { limit, units } = change {
            return self.limit_cpu(limit.map(|limit| limit.get().get()), units);
        }
        let vm = self.detail().vm.clone();
        let aio = self.detail().default_aio;
        let client = self.monitor().client().await.map_err(|error| fault::qmp(OP, &error))?;
        let mut steps = Steps { client, undo: Vec::new() };
        match change {
            HotplugChange::AddDisk { slot, disk, volume } => {
                let mode = OpenMode::of(&disk.options, disk.cdrom);
                let chain = open(move || image::open_chain(&volume.access, mode)).await?;
                let format = chain.first().map(|file| file.format.to_string());
                detached(async move {
                    let done = async {
                        let image = steps.give(chain).await?;
                        let parts = disk_devices(&vm, slot, &disk, image.as_ref(), aio);
                        steps.add_disk(&parts.objects, parts.controller.as_ref(), parts.blockdev.as_ref(), &parts.device, slot).await
                    };
                    let done = done.await;
                    steps.end(done).await
                })
                .await?;
                self.disk_added(slot, format);
                Ok(())
            }
            HotplugChange::RemoveDisk { slot } => {
                let is_single = slot.bus() == DiskBus::Scsi && vm.scsi_controller == ScsiController::VirtioScsiSingle;
                detached(async move { steps.remove_disk(slot, is_single).await }).await?;
                self.disk_removed(slot);
                Ok(())
            }
            HotplugChange::ChangeMedium { slot, medium } => {
                let options = vm.disks.get(&slot).map(|disk| disk.options.clone()).unwrap_or_default();
                let mode = OpenMode::of(&options, true);
                let chain = match medium {
                    Some(volume) => open(move || image::open_chain(&volume.access, mode)).await?,
                    None => Vec::new(),
                };
                detached(async move {
                    let done = async {
                        let image = steps.give(chain).await?;
                        let label = steps.free_label(slot).await?;
                        let nodes = image.map(|image| Blockdev::new(&label, &image, &options, aio));
                        steps.change_medium(slot, &label, nodes.as_ref()).await
                    };
                    let done = done.await;
                    steps.end(done).await
                })
                .await
            }
            HotplugChange::ResizeDisk { slot, size } => detached(async move { steps.resize(slot, size).await }).await,
            HotplugChange::AddNic { index, nic, port } => {
                let mtu = port.port.mtu.map(u16::from);
                let backend = match port.port.access {
                    PortAccess::Tap { interface } => NicBackend::Tap { interface: interface.to_string(), mtu },
                    PortAccess::User | PortAccess::Memory => NicBackend::User,
                };
                let host_side = Value::Object(netdev(&vm, index, &nic, &backend).options().to_json());
                let card = nic_device(&vm, index, &nic, &backend);
                detached(async move {
                    let done = steps.add_nic(index, host_side, &card).await;
                    steps.end(done).await
                })
                .await?;
                self.nic_added(index);
                Ok(())
            }
            HotplugChange::RemoveNic { index } => {
                detached(async move { steps.remove_nic(index).await }).await?;
                self.nic_removed(index);
                Ok(())
            }
            HotplugChange::SetLink { index, up } => steps.run("set_link", json!({"name": index.to_string(), "up": up})).await.map(drop),
            HotplugChange::Balloon { target } => steps.run("balloon", json!({"value": target.bytes().bytes()})).await.map(drop),
            // Needs no monitor: done above.
            HotplugChange::CpuLimits { .. } => Ok(()),
        }
    }
}

/// Runs a change to its end, whatever becomes of its caller.
async fn detached(change: impl Future<Output = Result<()>> + Send + 'static) -> Result<()> {
    tokio::spawn(change).await.map_err(|error| Error::internal(OP, error.to_string()))?
}

async fn open(chain: impl FnOnce() -> Result<Vec<OpenedFile>, image::ImageError> + Send + 'static) -> Result<Vec<OpenedFile>> {
    let opened = tokio::task::spawn_blocking(chain).await.map_err(|error| Error::internal(OP, error.to_string()))?;
    opened.map_err(|error| Error::new(ErrorKind::Unavailable, OP, error.to_string()).because(&error))
}

/// Commands given so far and what takes each of them back.
struct Steps {
    client: QmpClient,
    undo: Vec<(&'static str, Value)>,
}

impl Steps {
    async fn run(&self, command: &str, arguments: Value) -> Result<Value> {
        self.client.raw(command, &arguments).send().await.map_err(|error| fault::qmp(OP, &error))
    }

    /// Runs a command that `undo` takes back.
    async fn step(&mut self, command: &str, arguments: Value, undo: (&'static str, Value)) -> Result<Value> {
        let value = self.run(command, arguments).await?;
        self.undo.push(undo);
        Ok(value)
    }

    /// Passes the outcome on; after a failure everything is taken back first.
    async fn end(self, done: Result<()>) -> Result<()> {
        if done.is_err() {
            for (command, arguments) in self.undo.iter().rev() {
                if let Err(error) = self.run(command, arguments.clone()).await {
                    tracing::warn!(command, %error, "a step could not be taken back");
                }
            }
        }
        done
    }

    /// Gives QEMU the files of a chain.
    async fn give(&mut self, chain: Vec<OpenedFile>) -> Result<Option<Image>> {
        let mut parts = Vec::new();
        for (descriptor, shape) in chain.into_iter().map(OpenedFile::into_parts) {
            let nothing = json!({});
            let given = self.client.raw("add-fd", &nothing).descriptor(descriptor).send().await;
            let given: Value = given.map_err(|error| fault::qmp(OP, &error))?;
            let set = given["fdset-id"].as_u64().and_then(|set| u32::try_from(set).ok());
            let set = set.ok_or_else(|| Error::internal(OP, "QEMU did not name the set of a descriptor"))?;
            self.undo.push(("remove-fd", json!({"fdset-id": set})));
            parts.push((shape, set));
        }
        Ok(image::nodes(parts.into_iter()))
    }

    async fn add_disk(
        &mut self,
        objects: &[Object],
        controller: Option<&(String, Device)>,
        nodes: Option<&Blockdev>,
        disk: &Device,
        slot: DiskSlot,
    ) -> Result<()> {
        for object in objects {
            let arguments = object.to_json();
            let id = arguments["id"].clone();
            self.step("object-add", arguments, ("object-del", json!({ "id": id }))).await?;
        }
        if let Some((id, device)) = controller
            && !self.has_device(id).await?
        {
            self.step("device_add", device.to_json(), ("device_del", json!({ "id": id }))).await?;
        }
        if let Some(nodes) = nodes {
            let top = json!({"node-name": nodes.to_json()["node-name"]});
            self.step("blockdev-add", nodes.to_json().clone(), ("blockdev-del", top)).await?;
        }
        self.run("device_add", disk.to_json()).await?;
        self.require_device(&slot.to_string()).await
    }

    async fn remove_disk(&mut self, slot: DiskSlot, is_single: bool) -> Result<()> {
        let label = slot.to_string();
        self.unplug(&label).await?;
        self.drop_nodes(&label).await?;
        if is_single {
            let controller = format!("virtioscsi{}", slot.index());
            self.unplug(&controller).await?;
            self.drop_object(&format!("iothread-{controller}")).await?;
        }
        self.drop_object(&format!("iothread-{label}")).await
    }

    async fn change_medium(&mut self, slot: DiskSlot, label: &str, nodes: Option<&Blockdev>) -> Result<()> {
        let id = json!({"id": slot.to_string()});
        let with_node = |node: &str| json!({"id": slot.to_string(), "node-name": node});
        let before = self.inserted(slot).await?;
        if let Some(nodes) = nodes {
            let group = Object::ThrottleGroup { id: throttle_group(label) };
            self.step("object-add", group.to_json(), ("object-del", json!({"id": throttle_group(label)}))).await?;
            let top = json!({"node-name": top_node(label)});
            self.step("blockdev-add", nodes.to_json().clone(), ("blockdev-del", top)).await?;
        }
        let open = json!({"id": slot.to_string(), "force": true});
        self.step("blockdev-open-tray", open, ("blockdev-close-tray", id.clone())).await?;
        if let Some(before) = &before {
            self.step("blockdev-remove-medium", id.clone(), ("blockdev-insert-medium", with_node(before))).await?;
        }
        if nodes.is_some() {
            self.step("blockdev-insert-medium", with_node(&top_node(label)), ("blockdev-remove-medium", id.clone())).await?;
        }
        self.run("blockdev-close-tray", id).await?;
        // The change is done; what is left of the old medium is only memory.
        self.undo.clear();
        if let Some(old) = before.as_deref().and_then(|node| node.strip_prefix("drive-"))
            && let Err(error) = self.drop_nodes(old).await
        {
            tracing::warn!(%slot, %error, "the old medium's nodes remain");
        }
        Ok(())
    }

    async fn resize(&self, slot: DiskSlot, size: ByteSize) -> Result<()> {
        let label = slot.to_string();
        self.run("block_resize", json!({"node-name": top_node(&label), "size": size.bytes()})).await?;
        let nodes = self.nodes().await?;
        let node = nodes.iter().find(|node| node["node-name"] == format_node(&label));
        let now = node.and_then(|node| node["image"]["virtual-size"].as_u64());
        // A raw image is as large as its last sector.
        if now.is_some_and(|now| now >= size.bytes()) {
            return Ok(());
        }
        Err(Error::internal(OP, format!("{slot} did not grow: QEMU reports {now:?} bytes")))
    }

    async fn add_nic(&mut self, index: NicIndex, host_side: Value, card: &Device) -> Result<()> {
        let id = index.to_string();
        self.step("netdev_add", host_side, ("netdev_del", json!({ "id": id }))).await?;
        self.run("device_add", card.to_json()).await?;
        self.require_device(&id).await
    }

    async fn remove_nic(&self, index: NicIndex) -> Result<()> {
        let id = index.to_string();
        self.unplug(&id).await?;
        self.run("netdev_del", json!({ "id": id })).await.map(drop)
    }

    /// Takes a device out and waits until the guest has let go of it.
    async fn unplug(&self, id: &str) -> Result<()> {
        let mut events = self.client.subscribe();
        self.run("device_del", json!({ "id": id })).await?;
        let gone = async {
            loop {
                let event = events.wait_for("DEVICE_DELETED").await?;
                if event.decode::<Value>().is_ok_and(|data| data["device"] == id) {
                    return Some(());
                }
            }
        };
        match tokio::time::timeout(UNPLUG_TIMEOUT, gone).await {
            Ok(Some(())) => Ok(()),
            Ok(None) => Err(Error::new(ErrorKind::Unavailable, OP, "the guest ended")),
            // An event may have been missed; the machine itself knows.
            Err(_) if !self.has_device(id).await? => Ok(()),
            Err(_) => Err(Error::new(ErrorKind::Timeout, OP, format!("the guest does not let go of {id}; nothing was changed"))),
        }
    }

    /// Removes a disk's nodes, throttle group and descriptors.
    async fn drop_nodes(&self, label: &str) -> Result<()> {
        let nodes = self.nodes().await?;
        if !nodes.iter().any(|node| node["node-name"] == top_node(label)) {
            return Ok(());
        }
        self.run("blockdev-del", json!({"node-name": top_node(label)})).await?;
        self.drop_object(&throttle_group(label)).await?;
        let labels = std::iter::successors(Some(label.to_owned()), |label| Some(base_label(label))).take(MAX_CHAIN);
        for name in labels.map(|label| file_node(&label)) {
            let node = nodes.iter().find(|node| node["node-name"] == name);
            let set = node.and_then(|node| node["file"].as_str()).and_then(|file| file.strip_prefix("/dev/fdset/"));
            if let Some(set) = set.and_then(|set| set.parse::<u64>().ok()) {
                self.run("remove-fd", json!({"fdset-id": set})).await?;
            }
        }
        Ok(())
    }

    /// Removes an object; one that is not there is fine.
    async fn drop_object(&self, id: &str) -> Result<()> {
        if self.children("/objects").await?.iter().any(|name| name == id) {
            self.run("object-del", json!({ "id": id })).await?;
        }
        Ok(())
    }

    /// A label for a new medium that the old one does not use.
    async fn free_label(&self, slot: DiskSlot) -> Result<String> {
        let label = slot.to_string();
        let nodes = self.nodes().await?;
        let is_taken = nodes.iter().any(|node| node["node-name"] == top_node(&label));
        Ok(if is_taken { format!("{label}-x") } else { label })
    }

    /// The top node of the medium in a drive.
    async fn inserted(&self, slot: DiskSlot) -> Result<Option<String>> {
        let blocks = self.run("query-block", json!({})).await?;
        let id = slot.to_string();
        // A device without a name of its own is known by its path, which ends with its id for some.
        let is_drive = |block: &&Value| {
            let qdev = block["qdev"].as_str().unwrap_or_default();
            qdev.split('/').any(|part| part == id)
        };
        let drives = blocks.as_array().map(Vec::as_slice).unwrap_or_default();
        let drive = drives.iter().find(is_drive).ok_or_else(|| Error::not_found(OP, slot))?;
        Ok(drive["inserted"]["node-name"].as_str().map(str::to_owned))
    }

    async fn nodes(&self) -> Result<Vec<Value>> {
        let nodes = self.run("query-named-block-nodes", json!({"flat": true})).await?;
        Ok(nodes.as_array().cloned().unwrap_or_default())
    }

    async fn has_device(&self, id: &str) -> Result<bool> {
        Ok(self.children("/machine/peripheral").await?.iter().any(|name| name == id))
    }

    async fn require_device(&self, id: &str) -> Result<()> {
        if self.has_device(id).await? { Ok(()) } else { Err(Error::internal(OP, format!("QEMU took {id} and does not show it"))) }
    }

    async fn children(&self, path: &str) -> Result<Vec<String>> {
        let arguments = json!({ "path": path });
        let listed: Result<Vec<Value>, QmpError> = self.client.raw("qom-list", &arguments).returning().send().await;
        let listed = listed.map_err(|error| fault::qmp(OP, &error))?;
        Ok(listed.iter().filter_map(|child| child["name"].as_str()).map(str::to_owned).collect())
    }
}
