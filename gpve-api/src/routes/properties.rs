//! Forms of the `key=value` texts that hold a guest's devices and settings.

use crate::route::{Kind, PropertyFormat, PropertyKey};

use super::forms as f;

const fn opt(name: &'static str, kind: Kind) -> PropertyKey {
    PropertyKey::optional(name, kind)
}

const fn req(name: &'static str, kind: Kind) -> PropertyKey {
    PropertyKey::required(name, kind)
}

const fn form(name: &'static str, keys: &'static [PropertyKey], default_key: Option<&'static str>) -> PropertyFormat {
    PropertyFormat { name, keys, default_key, key_alias: None }
}

const FORMATS: Kind = Kind::Word(&["raw", "qcow", "qed", "qcow2", "vmdk", "cloop"]);
const RATE: Kind = Kind::number_from(0.0);
const SECONDS: Kind = Kind::at_least(1);

/// Keys of every drive, with room for those of one bus behind them.
macro_rules! drive {
    ($name:literal, $($extra:expr),* $(,)?) => {
        form(
            $name,
            &[
                req("file", Kind::Format(&f::VOLUME_OR_PATH)),
                PropertyKey::alias("volume", "file"),
                opt("media", Kind::Word(&["cdrom", "disk"])),
                opt("snapshot", Kind::Boolean),
                opt("shared", Kind::Boolean),
                opt("cache", Kind::Word(&["none", "writethrough", "writeback", "unsafe", "directsync"])),
                opt("format", FORMATS),
                opt("size", Kind::Format(&f::DISK_SIZE)),
                opt("backup", Kind::Boolean),
                opt("replicate", Kind::Boolean),
                opt("rerror", Kind::Word(&["ignore", "report", "stop"])),
                opt("werror", Kind::Word(&["enospc", "ignore", "report", "stop"])),
                opt("aio", Kind::Word(&["native", "threads", "io_uring"])),
                opt("discard", Kind::Word(&["ignore", "on"])),
                opt("detect_zeroes", Kind::Boolean),
                opt("serial", Kind::Format(&SERIAL_NUMBER)),
                opt("import-from", Kind::Format(&f::VOLUME_OR_ABSOLUTE)),
                opt("mbps", RATE),
                opt("mbps_rd", RATE),
                opt("mbps_wr", RATE),
                opt("mbps_max", RATE),
                opt("mbps_rd_max", RATE),
                opt("mbps_wr_max", RATE),
                opt("bps", Kind::COUNT),
                opt("bps_rd", Kind::COUNT),
                opt("bps_wr", Kind::COUNT),
                opt("bps_max_length", SECONDS),
                opt("bps_rd_max_length", SECONDS),
                PropertyKey::alias("bps_rd_length", "bps_rd_max_length"),
                opt("bps_wr_max_length", SECONDS),
                PropertyKey::alias("bps_wr_length", "bps_wr_max_length"),
                opt("iops", Kind::COUNT),
                opt("iops_rd", Kind::COUNT),
                opt("iops_wr", Kind::COUNT),
                opt("iops_max", Kind::COUNT),
                opt("iops_rd_max", Kind::COUNT),
                opt("iops_wr_max", Kind::COUNT),
                opt("iops_max_length", SECONDS),
                opt("iops_rd_max_length", SECONDS),
                PropertyKey::alias("iops_rd_length", "iops_rd_max_length"),
                opt("iops_wr_max_length", SECONDS),
                PropertyKey::alias("iops_wr_length", "iops_wr_max_length"),
                $($extra,)*
            ],
            Some("file"),
        )
    };
}

static SERIAL_NUMBER: crate::route::Format = f::URL_ENCODED.max(60);
static MODEL_NAME: crate::route::Format = f::URL_ENCODED.max(120);

pub(crate) static IDE: PropertyFormat =
    drive!("IdeDrive", opt("ssd", Kind::Boolean), opt("wwn", Kind::Format(&f::WWN)), opt("model", Kind::Format(&MODEL_NAME)));
pub(crate) static SATA: PropertyFormat = drive!("SataDrive", opt("ssd", Kind::Boolean), opt("wwn", Kind::Format(&f::WWN)));
pub(crate) static SCSI: PropertyFormat = drive!(
    "ScsiDrive",
    opt("ssd", Kind::Boolean),
    opt("wwn", Kind::Format(&f::WWN)),
    opt("iothread", Kind::Boolean),
    opt("ro", Kind::Boolean),
    opt("queues", Kind::at_least(2)),
    opt("scsiblock", Kind::Boolean),
    opt("product", Kind::Format(&f::SCSI_PRODUCT)),
    opt("vendor", Kind::Format(&f::SCSI_VENDOR)),
);
pub(crate) static VIRTIO: PropertyFormat = drive!("VirtioDrive", opt("iothread", Kind::Boolean), opt("ro", Kind::Boolean));
/// NVMe drives are an extension; they take what virtio drives take.
pub(crate) static NVME: PropertyFormat = drive!("NvmeDrive", opt("iothread", Kind::Boolean), opt("ro", Kind::Boolean));

pub(crate) static EFI_DISK: PropertyFormat = form(
    "EfiDisk",
    &[
        req("file", Kind::Format(&f::VOLUME_OR_PATH)),
        PropertyKey::alias("volume", "file"),
        opt("format", FORMATS),
        opt("size", Kind::Format(&f::DISK_SIZE)),
        opt("efitype", Kind::Word(&["2m", "4m"])),
        opt("pre-enrolled-keys", Kind::Boolean),
        opt("ms-cert", Kind::Word(&["2011", "2023", "2023w", "2023k"])),
        opt("import-from", Kind::Format(&f::VOLUME_OR_ABSOLUTE)),
    ],
    Some("file"),
);
pub(crate) static TPM_STATE: PropertyFormat = form(
    "TpmState",
    &[
        req("file", Kind::Format(&f::VOLUME_OR_PATH)),
        PropertyKey::alias("volume", "file"),
        opt("format", Kind::Word(&["raw", "qcow2", "vmdk"])),
        opt("size", Kind::Format(&f::DISK_SIZE)),
        opt("version", Kind::Word(&["v1.2", "v2.0"])),
        opt("import-from", Kind::Format(&f::VOLUME_OR_ABSOLUTE)),
    ],
    Some("file"),
);
pub(crate) static UNUSED: PropertyFormat =
    form("Unused", &[req("file", Kind::Format(&f::VOLUME_ID)), PropertyKey::alias("volume", "file")], Some("file"));

pub(crate) static NET: PropertyFormat = PropertyFormat {
    name: "Net",
    keys: &[
        req("model", Kind::Word(NIC_MODELS)),
        opt("macaddr", Kind::Format(&f::MAC)),
        opt("bridge", Kind::Format(&f::BRIDGE)),
        opt("firewall", Kind::Boolean),
        opt("link_down", Kind::Boolean),
        opt("mtu", Kind::between(1, 65520)),
        opt("queues", Kind::between(0, 64)),
        opt("rate", RATE),
        opt("tag", Kind::between(1, 4094)),
        opt("trunks", Kind::Format(&f::RANGES)),
    ],
    default_key: Some("model"),
    key_alias: Some(("model", "macaddr")),
};

const NIC_MODELS: &[&str] = &[
    "e1000", "e1000-82540em", "e1000-82544gc", "e1000-82545em", "e1000e", "i82551", "i82557b", "i82559er", "ne2k_isa", "ne2k_pci", "pcnet",
    "rtl8139", "virtio", "vmxnet3",
];

pub(crate) static AGENT: PropertyFormat = form(
    "Agent",
    &[
        req("enabled", Kind::Boolean),
        opt("fstrim_cloned_disks", Kind::Boolean),
        opt("freeze-fs", Kind::Boolean),
        PropertyKey::alias("freeze-fs-on-backup", "freeze-fs"),
        PropertyKey::alias("guest-fsfreeze", "freeze-fs"),
        opt("type", Kind::Word(&["virtio", "isa"])),
    ],
    Some("enabled"),
);
pub(crate) static MEMORY: PropertyFormat = form("Memory", &[req("current", Kind::at_least(16))], Some("current"));
pub(crate) static MACHINE: PropertyFormat = form(
    "Machine",
    &[
        opt("type", Kind::Format(&f::MACHINE_TYPE)),
        opt("viommu", Kind::Word(&["intel", "virtio"])),
        opt("enable-s3", Kind::Boolean),
        opt("enable-s4", Kind::Boolean),
        opt("aw-bits", Kind::Number { min: 32.0, max: 64.0 }),
    ],
    Some("type"),
);
pub(crate) static CPU: PropertyFormat = form(
    "Cpu",
    &[
        opt("cputype", Kind::Format(&f::CPU_TYPE)),
        opt("flags", Kind::Format(&f::CPU_FLAGS)),
        opt("hidden", Kind::Boolean),
        opt("hv-vendor-id", Kind::Format(&f::HV_VENDOR)),
        opt("phys-bits", Kind::Format(&f::PHYS_BITS)),
        opt("guest-phys-bits", Kind::between(32, 64)),
        opt("reported-model", Kind::Format(&f::CPU_TYPE)),
        opt("level", Kind::COUNT),
    ],
    Some("cputype"),
);
pub(crate) static VGA: PropertyFormat = form(
    "Vga",
    &[opt("type", Kind::Word(VGA_TYPES)), opt("memory", Kind::between(4, 512)), opt("clipboard", Kind::Word(&["vnc"]))],
    Some("type"),
);

const VGA_TYPES: &[&str] =
    &["cirrus", "qxl", "qxl2", "qxl3", "qxl4", "none", "serial0", "serial1", "serial2", "serial3", "std", "virtio", "virtio-gl", "vmware"];

pub(crate) static BOOT: PropertyFormat =
    form("Boot", &[opt("legacy", Kind::Format(&f::BOOT_LEGACY)), opt("order", Kind::Format(&f::BOOT_DEVICES))], Some("legacy"));
pub(crate) static RNG: PropertyFormat = form(
    "Rng",
    &[
        req("source", Kind::Word(&["/dev/urandom", "/dev/random", "/dev/hwrng"])),
        opt("max_bytes", Kind::between(0, u32::MAX as i64)),
        opt("period", Kind::between(0, u32::MAX as i64)),
    ],
    Some("source"),
);
pub(crate) static SMBIOS: PropertyFormat = form(
    "Smbios",
    &[
        opt("base64", Kind::Boolean),
        opt("family", Kind::Format(&f::SMBIOS_TEXT)),
        opt("manufacturer", Kind::Format(&f::SMBIOS_TEXT)),
        opt("product", Kind::Format(&f::SMBIOS_TEXT)),
        opt("serial", Kind::Format(&f::SMBIOS_TEXT)),
        opt("sku", Kind::Format(&f::SMBIOS_TEXT)),
        opt("uuid", Kind::Format(&f::UUID)),
        opt("version", Kind::Format(&f::SMBIOS_TEXT)),
    ],
    None,
);
pub(crate) static IP_CONFIG: PropertyFormat = form(
    "IpConfig",
    &[
        opt("gw", Kind::Format(&f::IPV4)),
        opt("gw6", Kind::Format(&f::IPV6)),
        opt("ip", Kind::Format(&f::IPV4_CONFIG)),
        opt("ip6", Kind::Format(&f::IPV6_CONFIG)),
    ],
    None,
);
/// Written by nodes, not by clients.
pub(crate) static META: PropertyFormat = form("Meta", &[opt("creation-qemu", Kind::text(24)), opt("ctime", Kind::COUNT)], None);
pub(crate) static CI_CUSTOM: PropertyFormat = form(
    "CiCustom",
    &[
        opt("meta", Kind::Format(&f::VOLUME_ID)),
        opt("network", Kind::Format(&f::VOLUME_ID)),
        opt("user", Kind::Format(&f::VOLUME_ID)),
        opt("vendor", Kind::Format(&f::VOLUME_ID)),
    ],
    None,
);
pub(crate) static WATCHDOG: PropertyFormat = form(
    "Watchdog",
    &[
        req("model", Kind::Word(&["i6300esb", "ib700"])),
        opt("action", Kind::Word(&["reset", "shutdown", "poweroff", "pause", "debug", "none"])),
    ],
    Some("model"),
);
pub(crate) static AUDIO: PropertyFormat = form(
    "Audio",
    &[req("device", Kind::Word(&["ich9-intel-hda", "intel-hda", "AC97"])), opt("driver", Kind::Word(&["spice", "none"]))],
    None,
);
pub(crate) static IVSHMEM: PropertyFormat =
    form("Ivshmem", &[req("size", Kind::at_least(1)), opt("name", Kind::Format(&f::IVSHMEM_NAME))], None);
pub(crate) static NUMA: PropertyFormat = form(
    "Numa",
    &[
        req("cpus", Kind::Format(&f::RANGES)),
        opt("hostnodes", Kind::Format(&f::RANGES)),
        opt("memory", RATE),
        opt("policy", Kind::Word(&["preferred", "bind", "interleave"])),
    ],
    None,
);
pub(crate) static USB: PropertyFormat = form(
    "Usb",
    &[opt("host", Kind::Format(&f::USB_HOST)), opt("mapping", Kind::Format(&f::CONFIG_ID)), opt("usb3", Kind::Boolean)],
    Some("host"),
);
pub(crate) static HOST_PCI: PropertyFormat = form(
    "HostPci",
    &[
        opt("host", Kind::Format(&f::PCI_HOST)),
        opt("mapping", Kind::Format(&f::CONFIG_ID)),
        opt("rombar", Kind::Boolean),
        opt("romfile", Kind::Format(&f::FILE_NAME)),
        opt("pcie", Kind::Boolean),
        opt("x-vga", Kind::Boolean),
        opt("legacy-igd", Kind::Boolean),
        opt("mdev", Kind::text(256)),
        opt("driver", Kind::Word(&["vfio", "keep"])),
        opt("vendor-id", Kind::Format(&f::PCI_NUMBER)),
        opt("device-id", Kind::Format(&f::PCI_NUMBER)),
        opt("sub-vendor-id", Kind::Format(&f::PCI_NUMBER)),
        opt("sub-device-id", Kind::Format(&f::PCI_NUMBER)),
    ],
    Some("host"),
);
pub(crate) static VIRTIOFS: PropertyFormat = form(
    "Virtiofs",
    &[
        req("dirid", Kind::Format(&f::CONFIG_ID)),
        opt("cache", Kind::Word(&["auto", "always", "metadata", "never"])),
        opt("direct-io", Kind::Boolean),
        opt("expose-acl", Kind::Boolean),
        opt("expose-xattr", Kind::Boolean),
    ],
    Some("dirid"),
);
pub(crate) static SEV: PropertyFormat = form(
    "Sev",
    &[
        req("type", Kind::Word(&["std", "es", "snp"])),
        opt("no-debug", Kind::Boolean),
        opt("no-key-sharing", Kind::Boolean),
        opt("allow-smt", Kind::Boolean),
        opt("kernel-hashes", Kind::Boolean),
    ],
    Some("type"),
);
pub(crate) static TDX: PropertyFormat = form(
    "Tdx",
    &[req("type", Kind::Word(&["tdx"])), opt("attestation", Kind::Boolean), opt("vsock-cid", Kind::COUNT), opt("vsock-port", Kind::COUNT)],
    Some("type"),
);
pub(crate) static SPICE: PropertyFormat =
    form("Spice", &[opt("foldersharing", Kind::Boolean), opt("videostreaming", Kind::Word(&["off", "all", "filter"]))], None);
