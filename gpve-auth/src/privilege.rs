//! Privileges by their Proxmox VE names, and sets of them.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// No privilege has this name.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("invalid privilege '{0}'")]
pub struct UnknownPrivilege(pub String);

macro_rules! privileges {
    ($($variant:ident = $name:literal),+ $(,)?) => {
        /// What may be done, named as in Proxmox VE 9.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        #[repr(u8)]
        pub enum Privilege {
            $(#[doc = concat!("`", $name, "`")] $variant,)+
        }

        impl Privilege {
            /// Every privilege, in the order of their names.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// The name, such as `VM.PowerMgmt`.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)+
                }
            }
        }
    };
}

privileges! {
    DatastoreAllocate = "Datastore.Allocate",
    DatastoreAllocateSpace = "Datastore.AllocateSpace",
    DatastoreAllocateTemplate = "Datastore.AllocateTemplate",
    DatastoreAudit = "Datastore.Audit",
    GroupAllocate = "Group.Allocate",
    MappingAudit = "Mapping.Audit",
    MappingModify = "Mapping.Modify",
    MappingUse = "Mapping.Use",
    PermissionsModify = "Permissions.Modify",
    PoolAllocate = "Pool.Allocate",
    PoolAudit = "Pool.Audit",
    RealmAllocate = "Realm.Allocate",
    RealmAllocateUser = "Realm.AllocateUser",
    SdnAllocate = "SDN.Allocate",
    SdnAudit = "SDN.Audit",
    SdnUse = "SDN.Use",
    SysAccessNetwork = "Sys.AccessNetwork",
    SysAudit = "Sys.Audit",
    SysConsole = "Sys.Console",
    SysIncoming = "Sys.Incoming",
    SysModify = "Sys.Modify",
    SysPowerMgmt = "Sys.PowerMgmt",
    SysSyslog = "Sys.Syslog",
    UserModify = "User.Modify",
    VmAllocate = "VM.Allocate",
    VmAudit = "VM.Audit",
    VmBackup = "VM.Backup",
    VmClone = "VM.Clone",
    VmConfigCdrom = "VM.Config.CDROM",
    VmConfigCpu = "VM.Config.CPU",
    VmConfigCloudinit = "VM.Config.Cloudinit",
    VmConfigDisk = "VM.Config.Disk",
    VmConfigHwType = "VM.Config.HWType",
    VmConfigMemory = "VM.Config.Memory",
    VmConfigNetwork = "VM.Config.Network",
    VmConfigOptions = "VM.Config.Options",
    VmConsole = "VM.Console",
    VmGuestAgentAudit = "VM.GuestAgent.Audit",
    VmGuestAgentFileRead = "VM.GuestAgent.FileRead",
    VmGuestAgentFileSystemMgmt = "VM.GuestAgent.FileSystemMgmt",
    VmGuestAgentFileWrite = "VM.GuestAgent.FileWrite",
    VmGuestAgentUnrestricted = "VM.GuestAgent.Unrestricted",
    VmMigrate = "VM.Migrate",
    VmPowerMgmt = "VM.PowerMgmt",
    VmReplicate = "VM.Replicate",
    VmSnapshot = "VM.Snapshot",
    VmSnapshotRollback = "VM.Snapshot.Rollback",
}

impl FromStr for Privilege {
    type Err = UnknownPrivilege;

    fn from_str(s: &str) -> Result<Self, Self::Err> {
        Self::ALL.iter().copied().find(|p| p.name() == s).ok_or_else(|| UnknownPrivilege(s.to_owned()))
    }
}

impl fmt::Display for Privilege {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl TryFrom<String> for Privilege {
    type Error = UnknownPrivilege;

    fn try_from(s: String) -> Result<Self, Self::Error> {
        s.parse()
    }
}

impl From<Privilege> for String {
    fn from(p: Privilege) -> Self {
        p.name().to_owned()
    }
}

/// A set of privileges.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PrivilegeSet(u64);

impl PrivilegeSet {
    /// No privilege.
    pub const EMPTY: Self = Self(0);
    /// Every privilege.
    pub const ALL: Self = Self((1 << Privilege::ALL.len()) - 1);

    /// Whether `privilege` is in the set.
    pub const fn contains(self, privilege: Privilege) -> bool {
        self.0 & (1 << privilege as u8) != 0
    }

    /// The set with `privilege` in it.
    #[must_use]
    pub const fn with(self, privilege: Privilege) -> Self {
        Self(self.0 | 1 << privilege as u8)
    }

    /// What both sets hold.
    #[must_use]
    pub const fn intersection(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// Whether nothing is in the set.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The privileges, in the order of their names.
    pub fn iter(self) -> impl Iterator<Item = Privilege> {
        Privilege::ALL.iter().copied().filter(move |p| self.contains(*p))
    }
}

impl FromIterator<Privilege> for PrivilegeSet {
    fn from_iter<I: IntoIterator<Item = Privilege>>(privileges: I) -> Self {
        privileges.into_iter().fold(Self::EMPTY, Self::with)
    }
}
