//! Entries of `storage.cfg`, as far as they say where volumes are.

use std::path::{Path, PathBuf};

use gpve_core::error::{Error, Result};
use gpve_core::types::{CephMonitor, DiskFormat, IoUring, IscsiUnit, RbdImage, SnapName, StorageTraits, VolumeName};

use super::{ImagePlace, Location};
use crate::dir::Place;

const OP: &str = "volume.locate";

/// A storage as `storage.cfg` defines it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Definition {
    /// Files below a directory: `dir`, `nfs`, `cifs`, `cephfs`.
    Folder {
        /// The directory.
        path: PathBuf,
        /// It is Samba's, where io_uring fails.
        is_samba: bool,
        /// Snapshots of qcow2 images are files of their own, each based on the next.
        snapshots_as_chain: bool,
    },
    /// Subvolumes of btrfs for raw images, files for others.
    Btrfs {
        /// The directory.
        path: PathBuf,
    },
    /// Logical volumes; with qcow2 in them, snapshots are volumes of their own.
    Lvm {
        /// Volume group.
        group: String,
        /// Snapshots of qcow2 images are volumes of their own, each based on the next.
        snapshots_as_chain: bool,
    },
    /// Thin logical volumes.
    LvmThin {
        /// Volume group.
        group: String,
    },
    /// Volumes of ZFS on this host.
    Zfs {
        /// Pool or dataset.
        pool: String,
    },
    /// Images of a Ceph pool, opened by QEMU.
    Rbd(CephPool),
    /// Images of a Ceph pool, mapped by the kernel.
    KernelRbd {
        /// The pool.
        pool: CephPool,
        /// Id of the cluster.
        fsid: String,
    },
    /// Volumes of ZFS on another host, reached by iSCSI.
    ZfsOverIscsi {
        /// Host.
        portal: String,
        /// Target.
        target: String,
    },
}

/// A pool of a Ceph cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CephPool {
    /// Pool.
    pub pool: String,
    /// Namespace in it.
    pub namespace: Option<String>,
    /// Monitors; none where the node's own cluster is meant.
    pub monitors: Vec<CephMonitor>,
    /// Ceph's configuration file.
    pub configuration: Option<PathBuf>,
    /// User with the file of the key, where the cluster asks for one.
    pub user: Option<(String, PathBuf)>,
}

impl Definition {
    /// Reads an entry: `kind` is its type, `property` gives its other lines by name.
    ///
    /// # Errors
    /// A type that has no place for disks, a line that its type needs and that is missing, by field.
    pub fn parse<'t>(kind: &str, property: impl Fn(&str) -> Option<&'t str>) -> Result<Self> {
        let needed =
            |key: &str| property(key).map(str::to_owned).ok_or_else(|| Error::field(OP, key, format!("storage type '{kind}' needs it")));
        let is_set = |key: &str| property(key).is_some_and(|value| value != "0");
        let snapshots_as_chain = is_set("snapshot-as-volume-chain");
        Ok(match kind {
            "dir" | "nfs" | "cifs" | "cephfs" => {
                Self::Folder { path: needed("path")?.into(), is_samba: kind == "cifs", snapshots_as_chain }
            }
            "btrfs" => Self::Btrfs { path: needed("path")?.into() },
            "lvm" => Self::Lvm { group: needed("vgname")?, snapshots_as_chain },
            "lvmthin" => Self::LvmThin { group: needed("vgname")? },
            "zfspool" => Self::Zfs { pool: needed("pool")? },
            "rbd" => {
                let pool = CephPool {
                    pool: property("pool").unwrap_or("rbd").to_owned(),
                    namespace: property("namespace").map(str::to_owned),
                    monitors: property("monhost").map(monitors).unwrap_or_default(),
                    configuration: None,
                    user: None,
                };
                if is_set("krbd") { Self::KernelRbd { pool, fsid: needed("fsid")? } } else { Self::Rbd(pool) }
            }
            "zfs" => Self::ZfsOverIscsi { portal: needed("portal")?, target: needed("target")? },
            other => return Err(Error::field(OP, "type", format!("storage type '{other}' has no images that QEMU could open"))),
        })
    }

    /// Where a volume is, at a snapshot if one is named. `lun` is the unit that the target has for the volume, for
    /// storages behind iSCSI.
    ///
    /// # Errors
    /// A name that this storage cannot have, a snapshot that this storage cannot have, by field.
    pub fn locate(&self, name: &VolumeName, snapshot: Option<&SnapName>, lun: u32) -> Result<Location> {
        // What a linked clone is based on stands before it.
        let last = name.as_ref().rsplit('/').next().unwrap_or_default();
        match self {
            Self::Folder { path, is_samba, snapshots_as_chain } => {
                let traits = StorageTraits {
                    io_uring: if *is_samba { IoUring::Never } else { IoUring::Always },
                    keeps_clusters: *snapshots_as_chain,
                    ..StorageTraits::default()
                };
                Ok(Location { traits, ..in_folder(path, name, snapshot, *snapshots_as_chain)? })
            }
            Self::Btrfs { path } => btrfs(path, name, snapshot),
            Self::Lvm { group, snapshots_as_chain } => lvm(group, last, snapshot, *snapshots_as_chain),
            Self::LvmThin { group } => {
                let volume = snapshot.map_or_else(|| last.to_owned(), |snapshot| format!("snap_{last}_{snapshot}"));
                Ok(device(format!("/dev/{group}/{volume}"), DiskFormat::Raw, IoUring::Always))
            }
            Self::Zfs { pool } => {
                let device = device(format!("/dev/zvol/{pool}/{}", at(last, snapshot)), DiskFormat::Raw, IoUring::Always);
                Ok(Location { is_uncached: true, ..device })
            }
            Self::Rbd(pool) => Ok(Location::new(ImagePlace::Rbd(pool.image(last, snapshot)), DiskFormat::Raw)),
            Self::KernelRbd { pool, fsid } => {
                let namespace = pool.namespace.as_ref().map(|name| format!("{name}/")).unwrap_or_default();
                let path = format!("/dev/rbd-pve/{fsid}/{}/{namespace}{}", pool.pool, at(last, snapshot));
                Ok(device(path, DiskFormat::Raw, IoUring::Direct))
            }
            Self::ZfsOverIscsi { .. } if snapshot.is_some() => Err(no_snapshot(name)),
            Self::ZfsOverIscsi { portal, target } => {
                let unit = IscsiUnit { portal: portal.clone(), target: target.clone(), lun };
                Ok(Location::new(ImagePlace::Iscsi(unit), DiskFormat::Raw))
            }
        }
    }
}

impl CephPool {
    fn image(&self, image: &str, snapshot: Option<&SnapName>) -> RbdImage {
        let (user, keyring) = self.user.clone().unzip();
        RbdImage {
            pool: self.pool.clone(),
            namespace: self.namespace.clone(),
            image: image.to_owned(),
            snapshot: snapshot.cloned(),
            monitors: self.monitors.clone(),
            configuration: self.configuration.clone(),
            user,
            keyring,
        }
    }
}

/// Hosts with or without a port, separated by commas, semicolons or blanks; IPv6 addresses in brackets where they have a port.
fn monitors(list: &str) -> Vec<CephMonitor> {
    let one = |text: &str| {
        let (host, port) = match text.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
            Some((host, rest)) => (host, rest.strip_prefix(':')),
            None if text.matches(':').count() == 1 => text.split_once(':').map_or((text, None), |(host, port)| (host, Some(port))),
            None => (text, None),
        };
        CephMonitor { host: host.to_owned(), port: port.and_then(|port| port.parse().ok()) }
    };
    list.split([',', ';', ' ', '\t']).filter(|text| !text.is_empty()).map(one).collect()
}

fn in_folder(root: &Path, name: &VolumeName, snapshot: Option<&SnapName>, as_chain: bool) -> Result<Location> {
    let place = Place::parse(name.as_ref()).map_err(|error| Error::field(OP, "volume", error.to_string()))?;
    let path = root.join(place.relative());
    let format = format_of(name.as_ref());
    let mut location = Location::new(ImagePlace::File(path.clone()), format);
    match snapshot {
        None => {}
        Some(_) if format != DiskFormat::Qcow2 => return Err(no_snapshot(name)),
        Some(snapshot) if as_chain => {
            let file = path.file_name().and_then(|file| file.to_str()).unwrap_or_default();
            location.place = ImagePlace::File(path.with_file_name(format!("snap-{snapshot}-{file}")));
        }
        Some(snapshot) => location.snapshot = Some(snapshot.clone()),
    }
    Ok(location)
}

/// A raw image of btrfs is alone in a subvolume of its own, and so is each of its snapshots.
fn btrfs(root: &Path, name: &VolumeName, snapshot: Option<&SnapName>) -> Result<Location> {
    let mut location = in_folder(root, name, snapshot.filter(|_| format_of(name.as_ref()) != DiskFormat::Raw), false)?;
    if let (ImagePlace::File(path), true) = (&location.place, name.as_ref().ends_with(".raw")) {
        let stem = path.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
        location.place = ImagePlace::File(path.with_file_name(at(stem, snapshot)).join("disk.raw"));
    }
    Ok(Location { traits: StorageTraits { is_cached: true, ..StorageTraits::default() }, ..location })
}

fn lvm(group: &str, name: &str, snapshot: Option<&SnapName>, as_chain: bool) -> Result<Location> {
    let stem = name.strip_suffix(".qcow2");
    let volume = match (snapshot, stem) {
        (None, _) => name.to_owned(),
        (Some(snapshot), Some(stem)) => format!("snap_{stem}_{snapshot}.qcow2"),
        (Some(_), None) => return Err(no_snapshot(name)),
    };
    let mut location = device(format!("/dev/{group}/{volume}"), format_of(name), IoUring::Never);
    location.traits.keeps_clusters = as_chain;
    Ok(location)
}

fn device(path: String, format: DiskFormat, io_uring: IoUring) -> Location {
    let traits = StorageTraits { io_uring, ..StorageTraits::default() };
    Location { traits, ..Location::new(ImagePlace::Device(path.into()), format) }
}

fn at(name: &str, snapshot: Option<&SnapName>) -> String {
    snapshot.map_or_else(|| name.to_owned(), |snapshot| format!("{name}@{snapshot}"))
}

fn format_of(name: &str) -> DiskFormat {
    name.rsplit_once('.').and_then(|(_, ending)| ending.parse().ok()).unwrap_or(DiskFormat::Raw)
}

fn no_snapshot(name: impl std::fmt::Display) -> Error {
    Error::field(OP, "snapshot", format!("volume '{name}' has no snapshots that could be read on their own"))
}
