//! The virtual board.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::disk::words;
use super::property::{PropertyKey, PropertyValue};
use super::text::text_type;

words!(
    /// Architecture of the guest's processors.
    Arch, "architecture", "one of x86_64, aarch64", {
        /// 64-bit x86.
        X86_64 = "x86_64",
        /// 64-bit ARM.
        Aarch64 = "aarch64",
    }
);

words!(
    /// Family of the virtual board.
    MachineKind, "machine type", "one of pc, q35, virt, microvm", {
        /// Intel 440FX: PVE's default.
        Pc = "pc",
        /// Intel Q35, PCI Express.
        Q35 = "q35",
        /// QEMU's board for 64-bit ARM.
        Virt = "virt",
        /// QEMU's minimal board without PCI; an extension.
        Microvm = "microvm",
    }
);

text_type!(
    /// A machine version as QEMU names it (`9.2`), or PVE's with revision (`9.2+pve1`). Guests that were migrated from
    /// very old nodes have `.pxe` at the end.
    MachineVersion, "machine version", "digits and dots with an optional +pveN and an optional .pxe, such as 9.2",
    |s| {
        let numbered = s.strip_suffix(".pxe").unwrap_or(s);
        let (version, revision) = numbered.split_once('+').unwrap_or((numbered, "pve0"));
        let digits = |t: &str| !t.is_empty() && t.bytes().all(|b| b.is_ascii_digit());
        s.len() <= 24 && version.split('.').all(digits) && revision.strip_prefix("pve").is_some_and(digits)
    }
);

impl MachineVersion {
    /// QEMU's version without revision and suffix: `9.2`.
    pub fn number(&self) -> &str {
        let numbered = self.as_str().strip_suffix(".pxe").unwrap_or(self.as_str());
        numbered.split_once('+').map_or(numbered, |(number, _)| number)
    }

    /// PVE's revision, if one is written.
    pub fn revision(&self) -> Option<u32> {
        let numbered = self.as_str().strip_suffix(".pxe").unwrap_or(self.as_str());
        numbered.split_once("+pve").and_then(|(_, revision)| revision.parse().ok())
    }
}

words!(
    /// Kind of the virtual IOMMU.
    Viommu, "virtual IOMMU", "one of intel, virtio", {
        /// Intel VT-d; q35 only.
        Intel = "intel",
        /// virtio-iommu.
        Virtio = "virtio",
    }
);

/// The virtual board.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct MachineSpec {
    /// Family.
    pub kind: MachineKind,
    /// Pinned version; absent: the newest that QEMU has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<MachineVersion>,
    /// Virtual IOMMU; absent: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub viommu: Option<Viommu>,
    /// Address width of the virtual IOMMU in bits, 32 to 64.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub aw_bits: Option<u8>,
    /// Power state S3; absent: as the machine's version has it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub enable_s3: Option<bool>,
    /// Power state S4; absent: as the machine's version has it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub enable_s4: Option<bool>,
    /// Options that an earlier version stored without acting on them.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub other: BTreeMap<PropertyKey, PropertyValue>,
}

impl MachineSpec {
    /// A board of `kind` with every default.
    pub fn of(kind: MachineKind) -> Self {
        Self { kind, version: None, viommu: None, aw_bits: None, enable_s3: None, enable_s4: None, other: BTreeMap::new() }
    }
}
