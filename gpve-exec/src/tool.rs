use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use crate::ExecError;

/// Where programs are looked for, in this order. The caller's `PATH` is never read.
pub const DIRECTORIES: [&str; 4] = ["/usr/sbin", "/usr/bin", "/sbin", "/bin"];

/// A program by name, with the Debian package that brings it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tool {
    name: &'static str,
    package: &'static str,
}

macro_rules! tools {
    ($($constant:ident = $name:literal from $package:literal;)*) => {
        /// The programs that gpve itself uses.
        impl Tool {
            $(#[doc = concat!("`", $name, "` from the package `", $package, "`.")]
            pub const $constant: Self = Self::new($name, $package);)*
            /// Every program of this table, sorted by constant.
            pub const ALL: &[Self] = &[$(Self::$constant),*];
        }
    };
}

tools! {
    BLKID = "blkid" from "util-linux";
    BLOCKDEV = "blockdev" from "util-linux";
    BRIDGE = "bridge" from "iproute2";
    FSFREEZE = "fsfreeze" from "util-linux";
    IP = "ip" from "iproute2";
    LOSETUP = "losetup" from "mount";
    LSBLK = "lsblk" from "util-linux";
    LVCREATE = "lvcreate" from "lvm2";
    LVREMOVE = "lvremove" from "lvm2";
    LVS = "lvs" from "lvm2";
    MKFS_EXT4 = "mkfs.ext4" from "e2fsprogs";
    NFT = "nft" from "nftables";
    PRINTF = "printf" from "coreutils";
    PRLIMIT = "prlimit" from "util-linux";
    QEMU_IMG = "qemu-img" from "qemu-utils";
    QEMU_NBD = "qemu-nbd" from "qemu-utils";
    QEMU_STORAGE_DAEMON = "qemu-storage-daemon" from "qemu-system-common";
    QEMU_SYSTEM_X86_64 = "qemu-system-x86_64" from "qemu-system-x86";
    RBD = "rbd" from "ceph-common";
    SETPRIV = "setpriv" from "util-linux";
    SWTPM = "swtpm" from "swtpm";
    TC = "tc" from "iproute2";
    VGS = "vgs" from "lvm2";
    XORRISO = "xorriso" from "xorriso";
    ZFS = "zfs" from "zfsutils-linux";
    ZPOOL = "zpool" from "zfsutils-linux";
}

impl Tool {
    /// A program that gpve does not know: `name` is a file name without `/`, `package` what to install when it is missing.
    pub const fn new(name: &'static str, package: &'static str) -> Self {
        Self { name, package }
    }

    /// The program's file name.
    pub const fn name(self) -> &'static str {
        self.name
    }

    /// The Debian package that brings it.
    pub const fn package(self) -> &'static str {
        self.package
    }
}

impl fmt::Debug for Tool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

impl fmt::Display for Tool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

/// Finds programs: in [`DIRECTORIES`], unless the composition root named another file for one of them.
#[derive(Debug, Clone)]
pub struct Tools {
    directories: Cow<'static, [&'static str]>,
    overrides: BTreeMap<&'static str, PathBuf>,
}

impl Tools {
    /// The programs of this host.
    pub fn system() -> Self {
        Self { directories: Cow::Borrowed(&DIRECTORIES), overrides: BTreeMap::new() }
    }

    /// The same, but `tool` is the file at `path` (absolute).
    #[must_use]
    pub fn with(mut self, tool: Tool, path: impl Into<PathBuf>) -> Self {
        self.overrides.insert(tool.name, path.into());
        self
    }

    /// The file to execute for `tool`.
    ///
    /// # Errors
    /// [`ExecError::ToolMissing`] names the package to install.
    pub fn find(&self, tool: Tool) -> Result<PathBuf, ExecError> {
        let candidates = match self.overrides.get(tool.name) {
            Some(path) => vec![path.clone()],
            None => self.directories.iter().map(|directory| Path::new(directory).join(tool.name)).collect(),
        };
        let is_file_name = !tool.name.is_empty() && !tool.name.contains('/');
        candidates
            .iter()
            .find(|path| is_file_name && path.is_absolute() && is_executable(path))
            .cloned()
            .ok_or_else(|| ExecError::ToolMissing { tool, searched: candidates.clone() })
    }

    /// `PATH` for the programs themselves: some call others.
    pub(crate) fn path_variable(&self) -> String {
        self.directories.join(":")
    }
}

fn is_executable(path: &Path) -> bool {
    path.is_file() && rustix::fs::access(path, rustix::fs::Access::EXEC_OK).is_ok()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may fail loudly")]
    use super::*;

    #[test]
    fn a_missing_tool_names_its_package_and_where_it_was_looked_for() {
        let error = Tools::system().find(Tool::new("no-such-tool", "no-such-package")).unwrap_err();
        assert_eq!(
            error.to_string(),
            "no-such-tool is not installed (looked in /usr/sbin, /usr/bin, /sbin, /bin); install it with: apt install no-such-package"
        );
    }

    #[test]
    fn an_override_is_the_only_candidate() {
        let tools = Tools::system().with(Tool::PRINTF, "/bin/true");
        assert_eq!(tools.find(Tool::PRINTF).unwrap(), Path::new("/bin/true"));
        assert!(tools.clone().with(Tool::PRINTF, "/nowhere/printf").find(Tool::PRINTF).is_err());
        assert!(tools.with(Tool::PRINTF, "bin/true").find(Tool::PRINTF).is_err(), "a relative path is refused");
    }

    #[test]
    fn a_name_with_a_slash_is_no_tool() {
        assert!(Tools::system().find(Tool::new("../bin/true", "coreutils")).is_err());
        assert!(Tools::system().find(Tool::new("", "coreutils")).is_err());
    }

    #[test]
    fn the_table_is_sorted_and_has_no_tool_twice() {
        let names: Vec<_> = Tool::ALL.iter().map(|tool| tool.name()).collect();
        let mut sorted = names.clone();
        sorted.sort_unstable();
        sorted.dedup();
        assert_eq!(names, sorted);
    }
}
