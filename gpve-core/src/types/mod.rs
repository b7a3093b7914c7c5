//! The vocabulary: small types with a private field, one fallible door and a `Display` that parses back.
//!
//! Pure data: no tokio, files, processes, sockets or clock. Every id is safe as an argv element and inside a QEMU
//! option: none starts with `-` or holds a comma, newline, NUL or `..`.

mod boot;
mod clock;
mod cloud_init;
mod confidential;
mod cpu;
mod device;
mod disk;
mod disk_options;
mod display;
mod id;
mod image_place;
mod machine;
mod memory;
mod meta;
mod net;
mod nic;
mod numa;
mod passthrough;
mod property;
mod ranges;
mod secret;
mod smbios;
mod task_id;
mod text;
mod throttle;
mod time;
mod unit;
mod upkeep;
mod usb;
mod vm;
mod vm_check;
mod vm_effect;
mod vm_resolve;
mod vm_status;

#[cfg(test)]
mod tests;

pub use boot::{BootDevice, BootLetters, BootOrder, DirectKernel, LegacyBoot};
pub use clock::{ClockSpec, StartDate};
pub use cloud_init::{
    CloudInitFiles, CloudInitKind, CloudInitPassword, CloudInitSpec, CloudInitText, DnsServer, Ip4Setting, Ip6Setting, IpConfig, SshKeys,
};
pub use confidential::{SevKind, SevSpec, TdxSpec};
pub use cpu::{CpuFlag, CpuLimit, CpuModel, CpuSpec, HvVendorId, PhysBits};
pub use device::{
    AgentSpec, Hotplug, HotplugFeature, ParallelPort, RngSpec, SerialPort, SharedMemory, SharedMemoryName, WatchdogAction, WatchdogModel,
    WatchdogSpec,
};
pub use disk::{DiskBus, DiskFormat, DiskSlot, DiskSource, DiskSpec, ImportSource};
pub use disk_options::{
    Aio, CacheMode, Discard, DiskModelName, DiskOptions, DiskSerial, EfiType, Media, MsCertificates, ReadError, ScsiProduct, ScsiVendor,
    TpmVersion, WriteError, Wwn,
};
pub use display::{AudioDevice, AudioDriver, AudioSpec, Clipboard, SpiceSpec, Vga, VideoStreaming};
pub use id::{
    BridgeName, FieldManager, GuestName, Namespace, NodeName, OperationId, SnapName, StorageId, Tag, UserId, Vmid, VolumeId, VolumeName,
};
pub use image_place::{CephMonitor, IoUring, IscsiUnit, RbdImage, StorageTraits};
pub use machine::{Arch, MachineKind, MachineSpec, MachineVersion, Viommu};
pub use memory::{Ballooning, Hugepages, MemorySpec};
pub use meta::{Labels, ObjectMeta};
pub use net::{IfName, MacAddr, Mtu, VlanTag};
pub use nic::{NicIndex, NicModel, NicSpec};
pub use numa::{NumaNode, NumaPolicy};
pub use passthrough::{HostPci, MappingId, MdevType, PciAddress, PciDriver, PciNumber, PciSource, RomFile, ShareCache, SharedFolder};
pub use property::{PropertyKey, PropertyValue};
pub use ranges::{CpuSet, NumberSet};
pub use secret::Secret;
pub use smbios::{SmbiosSpec, SmbiosText};
pub use task_id::{TaskKind, Upid};
pub use text::TextError;
pub use throttle::{Rate, Rates, Throttle};
pub use time::Timestamp;
pub use unit::{ByteSize, MemMib, Millicores};
pub use upkeep::{GuestLock, MigrationSpec, Origin, QemuVersion, StartupOrder};
pub use usb::{UsbDevice, UsbId, UsbPort, UsbSource};
pub use vm::{Accel, Firmware, Keyboard, OsType, RawArg, ScsiController, VmSpec};
pub use vm_resolve::{ResolvedDisk, ResolvedNic, ResolvedVm, VolumeFacts};
pub use vm_status::{Condition, GuestPhase, GuestUsage, VmStatus};
