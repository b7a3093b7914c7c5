//! What is in a directory storage: looking, never changing.

use std::fs::File;
use std::os::unix::fs::MetadataExt as _;
use std::time::UNIX_EPOCH;

use gpve_core::error::{Error, ErrorKind};
use gpve_core::ports::{BackingFile, ContentKind, Volume, VolumeFilter};
use gpve_core::types::{ByteSize, DiskFormat, Timestamp, Vmid, VolumeId};
use rustix::fs::FileType;
use rustix::io::Errno;

use super::parse::{DiskFile, DiskPlace, FilePlace, Place, parse_backing, subdirectory};
use super::plugin::{Inner, VOLUMES_MAX};
use super::tool::Root;
use crate::fault::Fault;
use crate::image::{ImageFile, read_header};

/// A linked clone of a template made from a linked clone, and so on: QEMU slows down long before this.
const CHAIN_IMAGES_MAX: usize = 32;

impl Inner {
    /// Every volume that the filter wants, in name order.
    pub(super) fn scan(&self, filter: &VolumeFilter) -> Result<Vec<Volume>, Fault> {
        let root = self.tree.root()?;
        let mut volumes = Vec::new();
        for content in &self.config.content {
            if filter.content.is_some_and(|wanted| wanted != *content) {
                continue;
            }
            for place in self.places(&root, *content, filter.owner)? {
                if filter.owner.is_some() && place.owner() != filter.owner {
                    continue;
                }
                if volumes.len() == VOLUMES_MAX {
                    let text = format!("{} holds more than {VOLUMES_MAX} volumes", self.config.id);
                    return Err(Error::new(ErrorKind::ResourceExhausted, "volume.list", text).into());
                }
                // A volume deleted meanwhile is not there.
                volumes.extend(self.look_at(&root, place)?);
            }
        }
        volumes.sort_unstable_by(|a, b| a.id.name().cmp(b.id.name()));
        Ok(volumes)
    }

    /// The volume at a place; `None` if there is none.
    pub(super) fn look_at(&self, root: &Root, place: Place) -> Result<Option<Volume>, Fault> {
        match root.open(&place, false) {
            Ok(file) => self.describe(place, &file),
            Err(error) if is_absent(&error) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// The files of one content, by name only. Links, directories and names that are no volumes are passed over.
    pub(super) fn places(&self, root: &Root, content: ContentKind, owner: Option<Vmid>) -> Result<Vec<Place>, Fault> {
        if content == ContentKind::Images {
            return self.disk_places(root, owner).map(|disks| disks.into_iter().map(Place::Disk).collect());
        }
        let entries = root.entries(subdirectory(content))?.into_iter().filter(|entry| entry.kind == FileType::RegularFile);
        Ok(entries.filter_map(|entry| FilePlace::new(content, &entry.name).ok().map(Place::File)).collect())
    }

    fn disk_places(&self, root: &Root, owner: Option<Vmid>) -> Result<Vec<DiskPlace>, Fault> {
        let images = subdirectory(ContentKind::Images);
        let guests = match owner {
            Some(owner) => vec![owner],
            None => root.entries(images)?.into_iter().filter_map(|entry| entry.name.parse().ok()).collect(),
        };
        let mut disks = Vec::new();
        for vmid in guests {
            let entries = match root.entries(&format!("{images}/{vmid}")) {
                // A file with a number for a name, or a link.
                Err(error) if is_absent(&error) => continue,
                entries => entries?,
            };
            let files = entries.into_iter().filter(|entry| entry.kind == FileType::RegularFile);
            disks.extend(files.filter_map(|entry| DiskFile::parse(&entry.name).ok().map(|file| DiskPlace::new(vmid, file))));
        }
        Ok(disks)
    }

    fn describe(&self, place: Place, file: &File) -> Result<Option<Volume>, Fault> {
        let metadata = file.metadata()?;
        let mut size = ByteSize::from_bytes(metadata.len());
        let (place, format, parent) = match place {
            Place::Disk(disk) => {
                let Some(format) = disk.file.disk_format() else { return Ok(None) };
                let (disk, parent) = match read_header(file, format) {
                    Ok(header) => {
                        size = header.virtual_size;
                        let base = header.backing().and_then(|backing| parse_backing(&backing.target).ok());
                        let parent = base.clone().map(|(vmid, file)| Place::Disk(DiskPlace::new(vmid, file)));
                        (DiskPlace { base, ..disk }, parent)
                    }
                    // One broken image must not hide the others.
                    Err(error) => {
                        tracing::warn!(storage = %self.config.id, volume = %disk.file.name(), %error, "unreadable image");
                        (DiskPlace { base: None, ..disk }, None)
                    }
                };
                (Place::Disk(disk), format, parent)
            }
            Place::File(file) => {
                let format = if file.content == ContentKind::Import { file.format.parse().ok() } else { None };
                (Place::File(file), format.unwrap_or(DiskFormat::Raw), None)
            }
        };
        // A name with a space or the like is a file of somebody else's.
        let Some(name) = place.volume_name() else { return Ok(None) };
        let made = metadata.created().ok().and_then(|at| at.duration_since(UNIX_EPOCH).ok());
        let made = made.map(|since| Timestamp::from_secs(since.as_secs()));
        let named = if let Place::File(file) = &place { file.created() } else { None };
        let id = |place: &Place| place.volume_name().map(|name| VolumeId::new(self.config.id.clone(), name));
        Ok(Some(Volume {
            id: VolumeId::new(self.config.id.clone(), name),
            content: place.content(),
            format,
            size,
            used: ByteSize::from_bytes(metadata.blocks().saturating_mul(512)),
            owner: place.owner(),
            parent: parent.as_ref().and_then(id),
            created: named.or(made),
        }))
    }

    /// A disk with everything it reads through, all opened beneath the storage. `writable` concerns the disk alone.
    pub(super) fn open_chain(&self, root: &Root, disk: &DiskPlace, writable: bool) -> Result<(ImageFile, Vec<BackingFile>), Fault> {
        let mut file = root.open(&Place::Disk(disk.clone()), writable)?;
        let mut format = disk_format(disk)?;
        let mut next = self.backing_of(&file, format, disk)?;
        let mut image = ImageFile::new(file, format);
        let mut backing = Vec::new();
        while let Some(below) = next {
            if backing.len() + 1 >= CHAIN_IMAGES_MAX {
                let text = format!("{} reads through more than {CHAIN_IMAGES_MAX} images", disk.file.name());
                return Err(Error::new(ErrorKind::ResourceExhausted, "volume.open", text).into());
            }
            let place = Place::Disk(below.clone());
            file = root.open(&place, false)?;
            format = disk_format(&below)?;
            next = self.backing_of(&file, format, &below)?;
            backing.push(BackingFile { path: self.tree.host_path(&place), format });
            image = image.over(file, format);
        }
        Ok((image, backing))
    }

    fn backing_of(&self, file: &File, format: DiskFormat, disk: &DiskPlace) -> Result<Option<DiskPlace>, Fault> {
        let header = read_header(file, format)?;
        let Some(reference) = header.references.first() else { return Ok(None) };
        let base = header.backing().and_then(|backing| parse_backing(&backing.target).ok());
        match base {
            Some((vmid, base)) if header.references.len() == 1 && base.is_base() => Ok(Some(DiskPlace::new(vmid, base))),
            _ => {
                let text = format!(
                    "{} refers to '{}' as {}; only bases of this storage are allowed",
                    disk.file.name(),
                    reference.target.escape_default(),
                    reference.kind.as_str()
                );
                Err(Error::new(ErrorKind::FailedPrecondition, "volume.open", text).into())
            }
        }
    }

    /// A linked clone of `base`, if there is any.
    pub(super) fn child_of(&self, root: &Root, base: &DiskPlace) -> Result<Option<Place>, Fault> {
        for disk in self.disk_places(root, None)? {
            let Ok(file) = root.open(&Place::Disk(disk.clone()), false) else { continue };
            let Some(format) = disk.file.disk_format() else { continue };
            let Ok(header) = read_header(&file, format) else { continue };
            let parent = header.backing().and_then(|backing| parse_backing(&backing.target).ok());
            if parent.is_some_and(|(vmid, file)| vmid == base.vmid && file == base.file) {
                return Ok(Some(Place::Disk(DiskPlace { base: Some((base.vmid, base.file.clone())), ..disk })));
            }
        }
        Ok(None)
    }
}

/// The format by the name's ending; a container's directory has none.
pub(super) fn disk_format(disk: &DiskPlace) -> Result<DiskFormat, Fault> {
    let refused = || Error::precondition("volume.open", format!("{} is a directory, not an image", disk.file.name()));
    Ok(disk.file.disk_format().ok_or_else(refused)?)
}

/// True when the name is not there, or is there as something that is no volume.
pub(super) fn is_absent(error: &std::io::Error) -> bool {
    matches!(Errno::from_io_error(error), Some(Errno::NOENT | Errno::NOTDIR | Errno::LOOP))
}
