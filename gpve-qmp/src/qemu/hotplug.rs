//! Changing a running guest's hardware.
//!
//! A change is a sequence of monitor commands, each with what takes it back: when one is refused those before it are
//! taken back, so the hardware is as it was. A change that began runs to its end even if its caller goes away: a machine
//! with half a disk serves nobody. The machine's own answers are the check: a device is there when `/machine/peripheral`
//! lists it and gone when QEMU says so.

mod steps;

use async_trait::async_trait;
use gpve_core::error::{Error, ErrorKind, Result};
use gpve_core::ports::{AttachedPort, AttachedVolume, Hotplug, HotplugChange, OpCx, PortAccess};
use gpve_core::types::{DiskBus, DiskSlot, MachineKind, NicIndex, ResolvedDisk, ResolvedNic, ScsiController};
use serde_json::{Value, json};

use self::steps::Steps;
use super::argv::blockdev::Blockdev;
use super::argv::compose::{NicBackend, disk_devices, netdev, nic_device, queues};
use super::argv::switches::TapSource;
use super::fault;
use super::image::{self, OpenMode, OpenedFile};
use super::live::QemuLive;

const OP: &str = "guest.hotplug";

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
            DiskBus::Ide | DiskBus::Sata | DiskBus::Efi | DiskBus::Tpm => false,
        }
    }

    async fn change(&self, change: HotplugChange) -> Result<()> {
        if let HotplugChange::CpuLimits { limit, units } = change {
            return self.limit_cpu(limit.map(|limit| limit.get().get()), units);
        }
        let client = self.monitor().client().await.map_err(|error| fault::qmp(OP, &error))?;
        let steps = Steps::new(client);
        match change {
            HotplugChange::AddDisk { slot, disk, volume } => self.add_disk(steps, slot, *disk, volume).await,
            HotplugChange::RemoveDisk { slot } => self.remove_disk(steps, slot).await,
            HotplugChange::ChangeMedium { slot, medium } => self.change_medium(steps, slot, medium).await,
            HotplugChange::ResizeDisk { slot, size } => detached(async move { steps.resize(slot, size).await }).await,
            HotplugChange::AddNic { index, nic, port } => self.add_nic(steps, index, &nic, port).await,
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

    async fn add_disk(&self, mut steps: Steps, slot: DiskSlot, disk: ResolvedDisk, volume: AttachedVolume) -> Result<()> {
        let (vm, aio) = (self.detail().vm.clone(), self.detail().default_aio);
        let chain = open(volume, OpenMode::of(&disk.options, disk.cdrom)).await?;
        let format = chain.first().map(|file| file.format.to_string());
        detached(async move {
            let add = async {
                let image = steps.give(chain).await?;
                let parts = disk_devices(&vm, slot, &disk, image.as_ref(), aio);
                steps.add_disk(slot, &parts).await
            };
            let done = add.await;
            steps.end(done).await
        })
        .await?;
        self.disk_added(slot, format);
        Ok(())
    }

    async fn remove_disk(&self, steps: Steps, slot: DiskSlot) -> Result<()> {
        let is_single = slot.bus() == DiskBus::Scsi && self.detail().vm.scsi_controller == ScsiController::VirtioScsiSingle;
        detached(async move { steps.remove_disk(slot, is_single).await }).await?;
        self.disk_removed(slot);
        Ok(())
    }

    async fn change_medium(&self, mut steps: Steps, slot: DiskSlot, medium: Option<AttachedVolume>) -> Result<()> {
        let aio = self.detail().default_aio;
        let options = self.detail().vm.disks.get(&slot).map(|disk| disk.options.clone()).unwrap_or_default();
        let chain = match medium {
            Some(volume) => open(volume, OpenMode::of(&options, true)).await?,
            None => Vec::new(),
        };
        detached(async move {
            let change = async {
                let image = steps.give(chain).await?;
                let label = steps.free_label(slot).await?;
                let nodes = image.map(|image| Blockdev::new(&label, &image, &options, aio));
                steps.change_medium(slot, &label, nodes.as_ref()).await
            };
            let done = change.await;
            steps.end(done).await
        })
        .await
    }

    async fn add_nic(&self, mut steps: Steps, index: NicIndex, nic: &ResolvedNic, port: AttachedPort) -> Result<()> {
        let mut descriptors = Vec::new();
        let backend = match port.port.access {
            PortAccess::Tap { interface } => {
                let opened = self.driver().open_tap(&interface, queues(nic).unwrap_or(1));
                let opened = opened.map_err(|error| fault::io(OP, &interface, &error))?.unwrap_or_default();
                descriptors.extend(opened.into_iter().enumerate().map(|(queue, opened)| (format!("{index}-{queue}"), opened)));
                let names: Vec<_> = descriptors.iter().map(|(name, _)| name.clone()).collect();
                let by_name = || TapSource::Interface(interface.to_string());
                let source = if names.is_empty() { by_name() } else { TapSource::Descriptors(names) };
                NicBackend::Tap { source, mtu: port.port.mtu.map(u16::from) }
            }
            PortAccess::User | PortAccess::Memory => NicBackend::User,
        };
        let (vm, facts) = (&self.detail().vm, &self.detail().facts);
        let host_side = Value::Object(netdev(vm, facts, index, nic, &backend).options().to_json());
        let card = nic_device(vm, facts, index, nic, &backend).map_err(|refusal| refusal.into_error(OP))?;
        detached(async move {
            let add = async {
                steps.name_descriptors(descriptors).await?;
                steps.add_nic(index, host_side, &card).await
            };
            let done = add.await;
            steps.end(done).await
        })
        .await?;
        self.nic_added(index);
        Ok(())
    }
}

/// Runs a change to its end, whatever becomes of its caller.
async fn detached(change: impl Future<Output = Result<()>> + Send + 'static) -> Result<()> {
    tokio::spawn(change).await.map_err(|error| Error::internal(OP, error.to_string()))?
}

async fn open(volume: AttachedVolume, mode: OpenMode) -> Result<Vec<OpenedFile>> {
    let opened = tokio::task::spawn_blocking(move || image::open_chain(&volume.access, mode)).await;
    let opened = opened.map_err(|error| Error::internal(OP, error.to_string()))?;
    opened.map_err(|error| Error::new(ErrorKind::Unavailable, OP, error.to_string()).because(&error))
}
