//! The board and the level of its machine type: a guest keeps the hardware of the level it was made with, so what came
//! to a board later is there only from its level on.

use std::fmt;
use std::str::FromStr;

use gpve_core::types::{Arch, MachineKind, OsType, ResolvedVm};
use serde::{Deserialize, Serialize};

use super::compose::Facts;
use super::refusal::Refusal;

/// The oldest QEMU whose command line this is.
const OLDEST_QEMU: Level = Level::new(6, 0, 0);

/// Windows guests without a pin keep the board that they had before 5.2, which changed the ACPI paths of devices: to
/// Windows every card would be a new one, without its static address.
const UNPINNED_WINDOWS: Level = Level::new(5, 1, 0);

/// A level of a machine type: QEMU's version and PVE's revision of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Level {
    major: u16,
    minor: u16,
    revision: u16,
}

impl Level {
    /// `major.minor+pverevision`.
    #[must_use]
    pub const fn new(major: u16, minor: u16, revision: u16) -> Self {
        Self { major, minor, revision }
    }

    /// The newest revision that the hardware described here has.
    const fn newest_of(self) -> Self {
        Self { revision: u16::MAX, ..self }
    }

    fn number(self) -> (u16, u16) {
        (self.major, self.minor)
    }
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}

/// A text that is no version.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a version of QEMU, such as 10.0.2")]
pub struct NotAVersion;

impl FromStr for Level {
    type Err = NotAVersion;
    fn from_str(text: &str) -> Result<Self, NotAVersion> {
        let mut numbers = text.split('.').map(|part| part.parse::<u16>().map_err(|_| NotAVersion));
        let mut next = || numbers.next().unwrap_or(Err(NotAVersion));
        Ok(Self::new(next()?, next()?, 0))
    }
}

/// The board of one machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Board {
    /// Architecture of its processors.
    pub arch: Arch,
    /// Family.
    pub kind: MachineKind,
    /// Its level.
    pub level: Level,
    /// The level is part of its name: pinned by the guest or by its system.
    pinned: bool,
    /// Its cards have the boot ROMs of QEMU 0.12.
    pub has_old_roms: bool,
}

impl Board {
    /// The board of `vm` on a host.
    ///
    /// # Errors
    /// A QEMU that is too old for anything, or for the level that the machine is pinned to.
    pub fn of(vm: &ResolvedVm, host: &Facts) -> Result<Self, Refusal> {
        let qemu = host.qemu;
        if qemu < OLDEST_QEMU {
            return Err(Refusal::host("qemu", format!("QEMU {qemu} is too old: 6.0 is the first that can be used")));
        }
        let pin = vm.machine.version.as_ref();
        let arch = vm.arch.unwrap_or(host.arch);
        let kind = kind_for(vm, arch)?;
        let board =
            |level: Level, pinned| Self { arch, kind, level, pinned, has_old_roms: pin.is_some_and(|p| p.as_str().ends_with(".pxe")) };
        let Some(version) = pin else {
            let is_windows = windows_version(vm.os_type).is_some() && kind != MachineKind::Microvm;
            return Ok(if is_windows { board(origin_level(vm, qemu), true) } else { board(qemu.newest_of(), false) });
        };
        let number: Level =
            version.number().parse().map_err(|_| Refusal::setting("machine", format!("'{version}' is no version of QEMU")))?;
        if number.number() > qemu.number() {
            return Err(Refusal::host("machine", format!("QEMU {qemu} is too old for machine version {version}")));
        }
        let revision = version.revision().unwrap_or(0).try_into().unwrap_or(u16::MAX);
        Ok(board(Level { revision, ..number }, true))
    }

    /// Whether its level is at least `major.minor+pverevision`.
    #[must_use]
    pub fn is_at_least(&self, major: u16, minor: u16, revision: u16) -> bool {
        self.level >= Level::new(major, minor, revision)
    }

    /// QEMU's name of the board. PVE's revision is no part of it: QEMU itself knows only the number.
    #[must_use]
    pub fn name(&self) -> String {
        let (stem, alias) = match self.kind {
            MachineKind::Pc => ("pc-i440fx", "pc"),
            MachineKind::Q35 => ("pc-q35", "q35"),
            MachineKind::Virt => ("virt", "virt"),
            // Has no versions.
            MachineKind::Microvm => return "microvm".to_owned(),
        };
        if self.pinned { format!("{stem}-{}", self.level) } else { alias.to_owned() }
    }

    /// Whether it has PCI.
    #[must_use]
    pub fn has_pci(&self) -> bool {
        self.kind != MachineKind::Microvm
    }

    /// Whether its processors are x86.
    #[must_use]
    pub fn is_x86(&self) -> bool {
        self.arch == Arch::X86_64
    }
}

/// The family of the board: `pc` is the default of PCs, ARM has one of its own.
fn kind_for(vm: &ResolvedVm, arch: Arch) -> Result<MachineKind, Refusal> {
    match (arch, vm.machine.kind) {
        (Arch::Aarch64, MachineKind::Pc | MachineKind::Virt) => Ok(MachineKind::Virt),
        (Arch::Aarch64, kind) => Err(Refusal::setting("machine", format!("'{kind}' is no board for aarch64"))),
        (Arch::X86_64, MachineKind::Virt) => Err(Refusal::setting("machine", "'virt' is no board for x86_64")),
        (Arch::X86_64, kind) => Ok(kind),
    }
}

/// The level of an unpinned Windows guest: the QEMU it was made with, as far as this one has it.
fn origin_level(vm: &ResolvedVm, qemu: Level) -> Level {
    let made_with = vm.origin.as_ref().and_then(|origin| origin.qemu.as_ref()).and_then(|version| version.as_str().parse::<Level>().ok());
    made_with.map_or(UNPINNED_WINDOWS, |level| if level.number() > qemu.number() { Level { revision: 0, ..qemu } } else { level })
}

/// Windows' own version: 5 is XP and before, 6 Vista; none for other systems.
#[must_use]
pub fn windows_version(os: OsType) -> Option<u8> {
    match os {
        OsType::Wxp | OsType::W2k | OsType::W2k3 => Some(5),
        OsType::W2k8 | OsType::Wvista => Some(6),
        OsType::Win7 => Some(7),
        OsType::Win8 => Some(8),
        OsType::Win10 => Some(10),
        OsType::Win11 => Some(11),
        OsType::Other | OsType::L24 | OsType::L26 | OsType::Solaris => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_compare_by_version_then_revision() {
        let ten: Level = "10.0.2".parse().unwrap();
        assert_eq!(ten, Level::new(10, 0, 0));
        assert!(ten < Level::new(10, 0, 1) && ten > Level::new(9, 2, 1));
        assert!(ten.newest_of() > Level::new(10, 0, 7) && ten.newest_of() < Level::new(10, 1, 0));
        assert!("10".parse::<Level>().is_err() && "a.b".parse::<Level>().is_err());
    }
}
