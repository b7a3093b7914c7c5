//! The vocabulary: small types with a private field, one fallible door and a `Display` that parses back.
//!
//! Pure data: no tokio, files, processes, sockets or clock. Every id is safe as an argv element and inside a QEMU
//! option: none starts with `-` or holds a comma, newline, NUL or `..`.

mod cpu;
mod disk;
mod id;
mod memory;
mod meta;
mod net;
mod nic;
mod property;
mod secret;
mod task_id;
mod text;
mod time;
mod unit;
mod vm;
mod vm_resolve;
mod vm_status;

#[cfg(test)]
mod tests;

pub use cpu::{CpuFlag, CpuLimit, CpuModel, CpuSpec};
pub use disk::{
    Aio, CacheMode, Discard, DiskBus, DiskFormat, DiskOptions, DiskSerial, DiskSlot, DiskSource, DiskSpec, ImportSource, Media,
};
pub use id::{
    BridgeName, FieldManager, GuestName, Namespace, NodeName, OperationId, SnapName, StorageId, Tag, UserId, Vmid, VolumeId, VolumeName,
};
pub use memory::{Ballooning, MemorySpec};
pub use meta::{Labels, ObjectMeta};
pub use net::{IfName, MacAddr, Mtu, VlanTag};
pub use nic::{NicIndex, NicModel, NicSpec};
pub use property::{PropertyKey, PropertyValue};
pub use secret::Secret;
pub use task_id::{TaskKind, Upid};
pub use text::TextError;
pub use time::Timestamp;
pub use unit::{ByteSize, MemMib, Millicores};
pub use vm::{
    Accel, AgentSpec, BootDevice, BootOrder, DirectKernel, Firmware, Keyboard, MachineKind, MachineSpec, MachineVersion, OsType, RawArg,
    RngSpec, ScsiController, SerialPort, StartupOrder, Vga, VmSpec,
};
pub use vm_resolve::{ResolvedDisk, ResolvedNic, ResolvedVm, VolumeFacts};
pub use vm_status::{Condition, GuestPhase, GuestUsage, VmStatus};
