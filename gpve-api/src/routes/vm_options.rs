//! Settings of a guest, shared by create and config.

use gpve_auth::Privilege as P;

use super::{forms as f, properties as pr};
use crate::route::{Kind, Param};

const fn opt(name: &'static str, kind: Kind, text: &'static str) -> Param {
    Param::optional(name, kind, text)
}

const fn many(name: &'static str, count: u16, kind: Kind, text: &'static str) -> Param {
    Param::indexed(name, count, kind, text)
}

const LOCKS: &[&str] = &["backup", "clone", "create", "migrate", "rollback", "snapshot", "snapshot-delete", "suspending", "suspended"];
const OS_TYPES: &[&str] = &["other", "wxp", "w2k", "w2k3", "w2k8", "wvista", "win7", "win8", "win10", "win11", "l24", "l26", "solaris"];
const KEYBOARDS: &[&str] = &[
    "de", "de-ch", "da", "en-gb", "en-us", "es", "fi", "fr", "fr-be", "fr-ca", "fr-ch", "hu", "is", "it", "ja", "lt", "mk", "nl", "no",
    "pl", "pt", "pt-br", "sv", "sl", "tr",
];
const SCSI_CONTROLLERS: &[&str] = &["lsi", "lsi53c810", "virtio-scsi-pci", "virtio-scsi-single", "megasas", "pvscsi"];

/// Everything that a guest's configuration holds.
pub(super) const VM_OPTIONS: &[Param] = &[
    // processors and memory
    opt("cores", Kind::at_least(1), "Cores per socket.").default("1").needs(P::VmConfigCpu),
    opt("sockets", Kind::at_least(1), "Sockets.").default("1").needs(P::VmConfigCpu),
    opt("smp", Kind::at_least(1), "Processors in all; use sockets and cores.").default("1").needs(P::VmConfigCpu),
    opt("vcpus", Kind::at_least(1), "Processors plugged in at start.").default("0").needs(P::VmConfigCpu),
    opt("cpu", Kind::Property(&pr::CPU), "CPU model and flags.").needs(P::VmConfigCpu),
    opt("cpulimit", Kind::Number { min: 0.0, max: 128.0 }, "Most CPU time, in cores; 0 is no limit.").default("0").needs(P::VmConfigCpu),
    opt("cpuunits", Kind::between(1, 262_144), "CPU weight among guests.").default("100").needs(P::VmConfigCpu),
    opt("affinity", Kind::Format(&f::CPU_SET), "Host processors that the guest runs on.").needs(P::VmConfigCpu),
    opt("numa", Kind::Boolean, "Show NUMA nodes to the guest.").default("0").needs(P::VmConfigCpu),
    many("numa", 8, Kind::Property(&pr::NUMA), "A NUMA node.").needs(P::VmConfigCpu),
    opt("memory", Kind::Property(&pr::MEMORY), "Memory in MiB.").needs(P::VmConfigMemory),
    opt("balloon", Kind::COUNT, "Smallest memory in MiB that ballooning may leave; 0 is no balloon device.").needs(P::VmConfigMemory),
    opt("shares", Kind::between(0, 50_000), "Weight in automatic ballooning.").default("1000").needs(P::VmConfigMemory),
    opt("hugepages", Kind::Word(&["any", "2", "1024"]), "Back memory by huge pages of this many MiB.").needs(P::VmConfigMemory),
    opt("keephugepages", Kind::Boolean, "Keep huge pages after shutdown.").default("0").needs(P::VmConfigMemory),
    opt("allow-ksm", Kind::Boolean, "Let the host share equal pages.").default("1").needs(P::VmConfigMemory),
    opt("ivshmem", Kind::Property(&pr::IVSHMEM), "Memory shared between guests.").needs(P::VmConfigHwType).root_only(),
    // board and firmware
    opt("arch", Kind::Word(&["x86_64", "aarch64"]), "Processor architecture.").needs(P::VmConfigHwType).root_only(),
    opt("machine", Kind::Property(&pr::MACHINE), "Board, with a version to pin it.").needs(P::VmConfigHwType),
    opt("bios", Kind::Word(&["seabios", "ovmf"]), "Firmware.").default("seabios").needs(P::VmConfigOptions),
    opt("ostype", Kind::Word(OS_TYPES), "Operating system in the guest.").default("other").needs(P::VmConfigOptions),
    opt("acpi", Kind::Boolean, "ACPI.").default("1").needs(P::VmConfigOptions),
    opt("kvm", Kind::Boolean, "Hardware virtualization where it works.").default("1").needs(P::VmConfigHwType),
    opt("tdf", Kind::Boolean, "Time drift fix.").default("0").needs(P::VmConfigHwType),
    opt("localtime", Kind::Boolean, "The guest's clock shows local time.").needs(P::VmConfigOptions),
    opt("startdate", Kind::Format(&f::START_DATE), "The guest's clock at start.").default("now").needs(P::VmConfigOptions),
    opt("freeze", Kind::Boolean, "Start with processors halted.").needs(P::VmConfigOptions),
    opt("reboot", Kind::Boolean, "A reset restarts the guest; if not, it ends it.").default("1").needs(P::VmConfigOptions),
    opt("smbios1", Kind::Property(&pr::SMBIOS), "SMBIOS system information.").needs(P::VmConfigHwType),
    opt("vmgenid", Kind::Format(&f::GENERATION_ID), "Generation id; 1 makes one, 0 is none.").default("1").needs(P::VmConfigOptions),
    opt("amd-sev", Kind::Property(&pr::SEV), "AMD memory encryption.").needs(P::VmConfigHwType),
    opt("intel-tdx", Kind::Property(&pr::TDX), "Intel trust domains.").needs(P::VmConfigHwType),
    opt("args", Kind::TEXT, "Further arguments for QEMU.").root_only(),
    // disks
    many("scsi", 31, Kind::Property(&pr::SCSI), "A SCSI drive.").needs(P::VmConfigDisk),
    many("virtio", 16, Kind::Property(&pr::VIRTIO), "A virtio-blk drive.").needs(P::VmConfigDisk),
    many("sata", 6, Kind::Property(&pr::SATA), "A SATA drive.").needs(P::VmConfigDisk),
    many("ide", 4, Kind::Property(&pr::IDE), "An IDE drive.").needs(P::VmConfigDisk),
    many("nvme", 8, Kind::Property(&pr::NVME), "An NVMe drive (an extension of gpve).").needs(P::VmConfigDisk),
    many("unused", 256, Kind::Property(&pr::UNUSED), "A volume that is in no drive.").needs(P::VmConfigDisk),
    opt("efidisk0", Kind::Property(&pr::EFI_DISK), "Volume of UEFI variables.").needs(P::VmConfigDisk),
    opt("tpmstate0", Kind::Property(&pr::TPM_STATE), "Volume of the TPM's state.").needs(P::VmConfigDisk),
    opt("cdrom", Kind::Property(&pr::IDE), "Another name for ide2.").needs(P::VmConfigCdrom),
    opt("scsihw", Kind::Word(SCSI_CONTROLLERS), "SCSI controller.").default("lsi").needs(P::VmConfigHwType),
    opt("boot", Kind::Property(&pr::BOOT), "Boot order.").needs(P::VmConfigDisk),
    opt("bootdisk", Kind::Format(&f::BOOT_DISK), "Disk to boot from; use boot.").needs(P::VmConfigDisk),
    opt("vmstatestorage", Kind::Format(&f::STORAGE_ID), "Storage for saved states.").needs(P::VmConfigDisk),
    many("virtiofs", 10, Kind::Property(&pr::VIRTIOFS), "A host folder shown to the guest.").needs(P::VmConfigDisk),
    // network and cloud-init
    many("net", 32, Kind::Property(&pr::NET), "A network card.").needs(P::VmConfigNetwork),
    many("ipconfig", 32, Kind::Property(&pr::IP_CONFIG), "Addresses of a card, for cloud-init.").needs(P::VmConfigNetwork),
    opt("nameserver", Kind::List(&f::ADDRESS), "DNS servers, for cloud-init.").needs(P::VmConfigNetwork),
    opt("searchdomain", Kind::TEXT, "DNS search domain, for cloud-init.").needs(P::VmConfigNetwork),
    opt("sshkeys", Kind::Format(&f::URL_ENCODED), "Public SSH keys, percent-encoded, for cloud-init.").needs(P::VmConfigNetwork),
    opt("ciuser", Kind::TEXT, "User to make, for cloud-init.").needs(P::VmConfigCloudinit),
    opt("cipassword", Kind::Secret { max: 1024 }, "Password of that user, for cloud-init.").needs(P::VmConfigCloudinit),
    opt("citype", Kind::Word(&["configdrive2", "nocloud", "opennebula"]), "Form of the cloud-init drive.").needs(P::VmConfigCloudinit),
    opt("ciupgrade", Kind::Boolean, "Upgrade packages at first boot.").default("1").needs(P::VmConfigCloudinit),
    opt("cicustom", Kind::Property(&pr::CI_CUSTOM), "Cloud-init files of one's own.").needs(P::VmConfigCloudinit),
    // other devices
    many("serial", 4, Kind::Format(&f::SERIAL_PORT), "A serial port.").needs(P::VmConfigHwType),
    many("parallel", 3, Kind::Format(&f::PARALLEL_PORT), "A parallel port of the host.").needs(P::VmConfigHwType).root_only(),
    many("usb", 14, Kind::Property(&pr::USB), "A USB device.").needs(P::VmConfigHwType),
    many("hostpci", 16, Kind::Property(&pr::HOST_PCI), "A PCI device of the host.").needs(P::VmConfigHwType),
    opt("audio0", Kind::Property(&pr::AUDIO), "A sound card.").needs(P::VmConfigHwType),
    opt("vga", Kind::Property(&pr::VGA), "Display adapter.").needs(P::VmConfigHwType),
    opt("rng0", Kind::Property(&pr::RNG), "Random number generator.").needs(P::VmConfigHwType),
    opt("watchdog", Kind::Property(&pr::WATCHDOG), "Watchdog.").needs(P::VmConfigHwType),
    opt("tablet", Kind::Boolean, "USB tablet as pointer.").default("1").needs(P::VmConfigHwType),
    opt("keyboard", Kind::Word(KEYBOARDS), "Keyboard layout of the console.").needs(P::VmConfigHwType),
    opt("spice_enhancements", Kind::Property(&pr::SPICE), "Extras of the SPICE console.").needs(P::VmConfigOptions),
    opt("agent", Kind::Property(&pr::AGENT), "Guest agent.").needs(P::VmConfigOptions),
    opt("hotplug", Kind::Format(&f::HOTPLUG), "What may be plugged while running.").default("network,disk,usb").needs(P::VmConfigOptions),
    // about the guest
    opt("name", Kind::Format(&f::DNS_NAME), "Name.").needs(P::VmConfigOptions),
    opt("description", Kind::text(8192), "Free text.").needs(P::VmConfigOptions),
    opt("tags", Kind::List(&f::TAG), "Tags.").needs(P::VmConfigOptions),
    opt("onboot", Kind::Boolean, "Start with the node.").default("0").needs(P::VmConfigOptions),
    opt("startup", Kind::Format(&f::STARTUP), "Order and delays of start and shutdown.").needs(P::VmConfigOptions),
    opt("autostart", Kind::Boolean, "Restart after a crash; has no effect.").default("0").needs(P::VmConfigOptions),
    opt("protection", Kind::Boolean, "Refuse removal of the guest and its disks.").default("0").needs(P::VmConfigOptions),
    opt("template", Kind::Boolean, "The guest is a template.").default("0").needs(P::VmAllocate),
    opt("lock", Kind::Word(LOCKS), "Lock the guest.").root_only(),
    opt("hookscript", Kind::Format(&f::VOLUME_ID), "Script to run at steps of the guest's life.").root_only(),
    opt("migrate_downtime", Kind::number_from(0.0), "Longest pause at migration, in seconds.").default("0.1").needs(P::VmConfigOptions),
    opt("migrate_speed", Kind::COUNT, "Fastest migration, in MB/s.").default("0").needs(P::VmConfigOptions),
];

/// Of create only.
pub(super) const CREATE_OPTIONS: &[Param] = &[
    opt("archive", Kind::text(255), "Backup to restore from."),
    opt("bwlimit", Kind::COUNT, "Fastest disk I/O, in KiB/s."),
    opt("force", Kind::Boolean, "Overwrite a guest that exists.").requires("archive"),
    opt("ha-managed", Kind::Boolean, "Make it highly available.").default("0"),
    opt("import-working-storage", Kind::Format(&f::STORAGE_ID), "Storage for files while importing."),
    opt("live-restore", Kind::Boolean, "Start at once and restore in the background."),
    opt("pool", Kind::Format(&f::POOL_ID), "Add it to this pool."),
    opt("start", Kind::Boolean, "Start it when it is made.").default("0"),
    opt("storage", Kind::Format(&f::STORAGE_ID), "Default storage."),
    opt("unique", Kind::Boolean, "Give new addresses to its cards.").requires("archive"),
];

/// Of config changes only.
pub(super) const CHANGE_OPTIONS: &[Param] = &[
    opt("delete", Kind::List(&f::CONFIG_ID), "Settings to remove."),
    opt("digest", Kind::text(40), "Refuse if the configuration has another digest."),
    opt("force", Kind::Boolean, "Destroy volumes that are removed.").requires("delete"),
    opt("revert", Kind::List(&f::CONFIG_ID), "Pending changes to take back."),
    opt("skiplock", Kind::Boolean, "Ignore locks.").root_only(),
];

/// Of asynchronous config changes only.
pub(super) const ASYNC_OPTIONS: &[Param] = &[
    opt("background_delay", Kind::between(1, 30), "Answer nothing instead of a task id if it ends within this many seconds."),
    opt("import-working-storage", Kind::Format(&f::STORAGE_ID), "Storage for files while importing."),
];

/// Every setting that a guest's configuration may hold, in the order of the table.
pub fn vm_options() -> &'static [Param] {
    VM_OPTIONS
}
