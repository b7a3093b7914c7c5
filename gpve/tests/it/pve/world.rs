//! The host that the suite was recorded on, from its `environment.json`.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use gpve_core::error::Error;
use gpve_core::ports::StorageCapabilities;
use gpve_core::types::{Accel, DiskFormat};
use gpve_core::types::{Arch, DiskBus, DiskSlot, MappingId, PciAddress, ResolvedVm, Vmid};
use gpve_qmp::qemu::argv::blockdev::{FileSource, Image};
use gpve_qmp::qemu::argv::compose::{CpuVendor, CustomCpu, Facts, Host, NicBackend, SevFacts, SpiceServer, firmware_files, reserve};
use gpve_qmp::qemu::argv::refusal::Refusal;
use gpve_qmp::qemu::argv::switches::{Accelerator, ListeningSocket, PeerSocket, TapSource};
use serde_json::Value;

use super::case::Case;
use super::images;

/// The QEMU that the suite says to use where a case names none.
const QEMU: &str = "11.0.0";

/// Where Proxmox VE has UEFI firmware; only names count.
const FIRMWARE: &str = "/usr/share/pve-edk2-firmware";

pub(super) struct World {
    environment: Value,
    facts: Facts,
}

impl World {
    /// The suite's host, as the head of a case changes it.
    pub(super) fn read(suite: &Path, case: &Case) -> Self {
        let text = std::fs::read_to_string(suite.join("environment.json")).unwrap();
        let environment: Value = serde_json::from_str(&text).unwrap();
        let sev = match case.directive("HW_CAPABILITIES") {
            None => environment["hw_capabilities_default"].clone(),
            Some(text) if text.starts_with('{') => serde_json::from_str(text).unwrap(),
            Some(name) => environment["hw_capabilities_named"][name].clone(),
        };
        let facts = Facts {
            arch: if case.directive("HOST_ARCH") == Some("aarch64") { Arch::Aarch64 } else { Arch::X86_64 },
            vendor: if case.directive("HOST_CPU_VENDOR") == Some("AuthenticAMD") { CpuVendor::Amd } else { CpuVendor::Intel },
            address_bits: environment["host_phys_address_bits"].as_u64().unwrap().try_into().unwrap(),
            qemu: case.directive("QEMU_VERSION").unwrap_or(QEMU).parse().unwrap(),
            hugepages: [(2u32, 2048), (1024, 1_048_576)].map(|(mib, kib)| (mib, format!("/run/hugepages/kvm/{kib}kB").into())).into(),
            numa_nodes: None,
            sev: sev_facts(&sev["amd-sev"]),
            vhost_net: environment["vhost_net_available"] == true,
            has_render_node: true,
        };
        Self { environment, facts }
    }

    pub(super) fn vmid(&self) -> Vmid {
        u32::try_from(self.environment["vmid"].as_u64().unwrap()).unwrap().try_into().unwrap()
    }

    /// What a start asks of the storages before it attaches volumes.
    pub(super) fn storages_allow(&self, vm: &ResolvedVm) -> Result<(), Error> {
        for volume in vm.disks.values().filter_map(|disk| disk.volume.as_ref()) {
            let Some(storage) = self.environment["storage"].get(volume.storage().to_string()) else { continue };
            let contents = storage["content"].as_object().unwrap().keys().map(|kind| kind.parse().unwrap()).collect();
            let capabilities = StorageCapabilities { contents, formats: Vec::new(), shared: false };
            capabilities.allow_use(volume.storage(), volume.name())?;
        }
        Ok(())
    }

    /// This host's side of a machine.
    pub(super) fn host(&self, vm: &ResolvedVm) -> Result<Host, Refusal> {
        let run = Path::new("/var/run/qemu-server");
        let socket = |name: &str| ListeningSocket::Path(run.join(format!("{}.{name}", vm.vmid)));
        let is_kvm = vm.accel != Accel::Tcg && !vm.template && vm.arch.is_none_or(|arch| arch == self.facts.arch);
        let accelerator = if is_kvm { Accelerator::Kvm } else { Accelerator::Tcg };
        let port = self.environment["next_spice_port"].as_u64().unwrap().try_into().unwrap();
        let (firmware, variables) = self.firmware(vm)?;
        let mut images = images::of_machine(&self.environment, vm)?;
        if let Some(size) = variables {
            let slot = DiskSlot::new(DiskBus::Efi, 0).unwrap();
            let temporary = || Image::file(DiskFormat::Raw, Path::new(&format!("/run/qemu-server/efidisk/{}-ovmf.fd", vm.vmid)));
            images.entry(slot).or_insert_with(temporary).size = Some(size);
        }
        Ok(Host {
            images,
            firmware,
            nics: vm.networks.iter().map(|(index, nic)| (*index, self.nic(nic.spec.bridge.as_ref().map(AsRef::as_ref)))).collect(),
            agent: Some(socket("qga")),
            serials: vm.serials.keys().map(|number| (*number, socket(&format!("serial{number}")))).collect(),
            spice: Some(SpiceServer { address: "127.0.0.1".to_owned(), port }),
            tpm: Some(PeerSocket::Path(run.join(format!("{}.swtpm", vm.vmid)))),
            folders: vm.shared_folders.keys().map(|number| (*number, run.join(format!("virtiofsd/fs{number}")))).collect(),
            shared_memory: vm.shared_memory.as_ref().map(|shared| {
                let name = shared.name.as_ref().map_or_else(|| vm.vmid.to_string(), ToString::to_string);
                format!("/dev/shm/pve-shm-{name}").into()
            }),
            pci: self.pci(vm)?,
            cpu_model: self.cpu_model(vm),
            iscsi_initiator: self.environment["iscsi_initiator_name"].as_str().map(str::to_owned),
            ..Host::new(self.facts.clone(), accelerator, socket("qmp"), run.join("vnc"), run.join("pid"))
        })
    }

    fn nic(&self, bridge: Option<&str>) -> NicBackend {
        let Some(bridge) = bridge else { return NicBackend::User };
        let mtus = &self.environment["bridge_mtu"];
        let mtu = mtus.get(bridge).unwrap_or(&mtus["*"]).as_u64().unwrap();
        NicBackend::Tap { source: TapSource::Interface("tap".to_owned()), mtu: Some(mtu.try_into().unwrap()) }
    }

    /// The firmware's code, and the size of its variables.
    fn firmware(&self, vm: &ResolvedVm) -> Result<(Option<FileSource>, Option<u64>), Refusal> {
        if vm.template {
            // What the volume holds is what counts; the reduced machine's firmware is that of a PC.
            let plain =
                ResolvedVm { machine: gpve_core::types::MachineSpec::of(gpve_core::types::MachineKind::Pc), template: false, ..vm.clone() };
            return self.firmware(&plain);
        }
        let Some(files) = firmware_files(vm, &self.facts)? else { return Ok((None, None)) };
        let code = FileSource::Path(Path::new(FIRMWARE).join(files.code));
        let size = files.variables.map(|name| match name {
            "AAVMF_VARS.fd" => "AAVMF_VARS",
            "OVMF_VARS.fd" => "OVMF_VARS",
            _ => "OVMF(32)?_(SEV_)?VARS_4M",
        });
        Ok((Some(code), size.map(|name| self.environment["firmware_sizes_bytes"][name].as_u64().unwrap())))
    }

    fn pci(&self, vm: &ResolvedVm) -> Result<BTreeMap<u8, Vec<PciAddress>>, Refusal> {
        self.reserve(vm, &BTreeSet::new())
    }

    /// The functions for each PCI device, none of those that are `taken`.
    pub(super) fn reserve(&self, vm: &ResolvedVm, taken: &BTreeSet<PciAddress>) -> Result<BTreeMap<u8, Vec<PciAddress>>, Refusal> {
        let address = |text: &str| text.parse::<PciAddress>().unwrap();
        let there = self.environment["pci_devices"].as_array().unwrap().iter().map(|device| address(device.as_str().unwrap()));
        let mut mappings: BTreeMap<MappingId, Vec<Vec<PciAddress>>> = BTreeMap::new();
        for (name, mapping) in self.environment["pci_mapping"].as_object().unwrap() {
            let path = |entry: &str| entry.split(',').find_map(|part| part.strip_prefix("path=").map(str::to_owned)).unwrap();
            let devices = mapping["map"].as_array().unwrap().iter().map(|entry| path(entry.as_str().unwrap()));
            mappings.insert(name.parse().unwrap(), devices.map(|device| device.split(';').map(address).collect()).collect());
        }
        reserve(vm, &there.collect(), &mappings, taken)
    }

    fn cpu_model(&self, vm: &ResolvedVm) -> Option<CustomCpu> {
        let wanted = vm.cpu.model.as_ref()?.as_str().strip_prefix("custom-")?;
        let text = self.environment["cpu_models_conf"].as_str().unwrap();
        let mut lines = text.lines().skip_while(|line| line.strip_prefix("cpu-model:").is_none_or(|name| name.trim() != wanted));
        lines.next()?;
        let mut model = CustomCpu::of("kvm64".parse().unwrap());
        for line in lines.take_while(|line| line.starts_with(char::is_whitespace)) {
            let (key, value) = line.trim().split_once(' ').unwrap();
            let value = value.trim();
            match key {
                "reported-model" => model.reported = value.parse().unwrap(),
                "flags" => model.flags = value.split(';').map(|flag| flag.parse().unwrap()).collect(),
                "hidden" => model.hidden = value == "1",
                "hv-vendor-id" => model.hv_vendor_id = Some(value.parse().unwrap()),
                "phys-bits" => model.phys_bits = Some(value.parse().unwrap()),
                "guest-phys-bits" => model.guest_phys_bits = Some(value.parse().unwrap()),
                other => panic!("cpu_models_conf: {other}"),
            }
        }
        Some(model)
    }
}

fn sev_facts(text: &Value) -> SevFacts {
    let number = |key: &str| text[key].as_u64().unwrap_or_default().try_into().unwrap();
    SevFacts {
        std: text["sev-support"] == true,
        es: text["sev-support-es"] == true,
        snp: text["sev-support-snp"] == true,
        cbitpos: number("cbitpos"),
        reduced_phys_bits: number("reduced-phys-bits"),
    }
}
