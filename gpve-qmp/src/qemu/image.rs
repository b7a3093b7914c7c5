//! Opening volumes here, so that a QEMU without rights of its own can use them: it gets descriptors, never a path that
//! it could open by itself.

use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{FileTypeExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use gpve_core::ports::VolumeAccess;
use gpve_core::types::{DiskFormat, DiskOptions};
use rustix::fs::OFlags;

use super::argv::blockdev::{FileSource, Image, StorageTraits, is_direct};

/// Longest chain of images, each based on the next; a linked clone of a linked clone is three. Names of QEMU's nodes
/// hold 31 bytes, which ends there.
pub const MAX_CHAIN: usize = 8;

/// Why a volume cannot be opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ImageError {
    /// The system refused.
    #[error("{} cannot be opened", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What it said.
        source: io::Error,
    },
    /// The file system cannot read past the host's cache.
    #[error("{} is on a file system without direct access; use cache=writeback", path.display())]
    NotDirect {
        /// The file.
        path: PathBuf,
    },
    /// Not what it should be.
    #[error("{} is neither a regular file nor a block device", path.display())]
    NotAnImage {
        /// The file.
        path: PathBuf,
    },
    /// More than [`MAX_CHAIN`] images.
    #[error("{} is based on {below} images, one on the other; at most 7 are allowed", path.display())]
    TooLong {
        /// The uppermost file.
        path: PathBuf,
        /// Images below it.
        below: usize,
    },
    /// A volume of a storage that has no files.
    #[error("the volume has no file that QEMU could open")]
    NoFile,
}

/// One opened image of a chain.
#[derive(Debug)]
pub struct OpenedFile {
    /// The descriptor.
    pub descriptor: OwnedFd,
    /// Layout of its bytes.
    pub format: DiskFormat,
    /// A block device.
    pub is_device: bool,
    /// Opened read-only.
    pub read_only: bool,
}

/// How a volume is opened. QEMU takes a descriptor only if it was opened as QEMU itself would have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OpenMode {
    /// Nothing is written.
    pub read_only: bool,
    /// Past the host's cache.
    pub direct: bool,
}

impl OpenMode {
    /// That of a disk with these options; a CD-ROM is never written.
    #[must_use]
    pub fn of(options: &DiskOptions, cdrom: bool) -> Self {
        Self { read_only: cdrom || options.ro == Some(true), direct: is_direct(options, StorageTraits::default()) }
    }
}

/// How a file or block device of the host is opened that is on no storage; `format` is what it is said to hold.
///
/// # Errors
/// [`ImageError::Io`], [`ImageError::NotAnImage`].
pub fn of_host(path: &Path, format: Option<DiskFormat>) -> Result<VolumeAccess, ImageError> {
    let fault = |source| ImageError::Io { path: path.to_owned(), source };
    let kind = std::fs::metadata(path).map_err(fault)?.file_type();
    match (kind.is_block_device(), kind.is_file()) {
        (true, _) => Ok(VolumeAccess::Block { path: path.to_owned(), read_only: false }),
        (false, true) => {
            let format = format.unwrap_or(DiskFormat::Raw);
            Ok(VolumeAccess::File { path: path.to_owned(), format, read_only: false, backing: Vec::new() })
        }
        (false, false) => Err(ImageError::NotAnImage { path: path.to_owned() }),
    }
}

/// Whether a path leads to a CD-ROM drive: the kernel's name for one begins with `sr`.
#[must_use]
pub fn is_cdrom_drive(path: &Path) -> bool {
    let device = std::fs::canonicalize(path).ok();
    device.is_some_and(|device| device.file_name().is_some_and(|name| name.to_string_lossy().starts_with("sr")))
}

/// Opens a volume and everything that it is based on, top first. Only the top is ever written.
///
/// # Errors
/// [`ImageError`].
pub fn open_chain(access: &VolumeAccess, mode: OpenMode) -> Result<Vec<OpenedFile>, ImageError> {
    match access {
        VolumeAccess::File { path, backing, .. } if backing.len() >= MAX_CHAIN => {
            Err(ImageError::TooLong { path: path.clone(), below: backing.len() })
        }
        VolumeAccess::File { path, format, read_only: only_read, backing } => {
            let top = open(path, *format, mode.only_reading(*only_read));
            let below = backing.iter().map(|file| open(&file.path, file.format, mode.only_reading(true)));
            std::iter::once(top).chain(below).collect()
        }
        VolumeAccess::Block { path, read_only: only_read } => Ok(vec![open(path, DiskFormat::Raw, mode.only_reading(*only_read))?]),
        VolumeAccess::Memory { .. } => Err(ImageError::NoFile),
    }
}

/// The images of a chain as nodes for QEMU, `sets` naming each one's descriptor there; `None` for an empty chain.
#[must_use]
pub fn nodes(shapes: impl DoubleEndedIterator<Item = (Shape, u32)>) -> Option<Image> {
    shapes.rev().fold(None, |below, (shape, set)| {
        let Shape { format, is_device, read_only } = shape;
        Some(Image { is_device, read_only, backing: below.map(Box::new), ..Image::at(format, FileSource::Descriptor(set)) })
    })
}

/// What is to be said of an image besides its descriptor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shape {
    /// Layout of its bytes.
    pub format: DiskFormat,
    /// A block device.
    pub is_device: bool,
    /// Opened read-only.
    pub read_only: bool,
}

impl OpenedFile {
    /// The descriptor, and what is to be said of it.
    #[must_use]
    pub fn into_parts(self) -> (OwnedFd, Shape) {
        let Self { descriptor, format, is_device, read_only } = self;
        (descriptor, Shape { format, is_device, read_only })
    }
}

impl OpenMode {
    fn only_reading(self, only: bool) -> Self {
        Self { read_only: self.read_only || only, ..self }
    }
}

fn open(path: &Path, format: DiskFormat, mode: OpenMode) -> Result<OpenedFile, ImageError> {
    let fault = |source: io::Error| match source.kind() {
        io::ErrorKind::InvalidInput if mode.direct => ImageError::NotDirect { path: path.to_owned() },
        _ => ImageError::Io { path: path.to_owned(), source },
    };
    // A pipe would wait for its other end, a terminal would become ours.
    let mut flags = OFlags::NONBLOCK | OFlags::NOCTTY;
    flags.set(OFlags::DIRECT, mode.direct);
    let flags = i32::try_from(flags.bits()).unwrap_or_default();
    let options = std::fs::OpenOptions::new().read(true).write(!mode.read_only).custom_flags(flags).open(path);
    let file = options.map_err(fault)?;
    let kind = file.metadata().map_err(fault)?.file_type();
    if !kind.is_file() && !kind.is_block_device() {
        return Err(ImageError::NotAnImage { path: path.to_owned() });
    }
    Ok(OpenedFile { descriptor: file.into(), format, is_device: kind.is_block_device(), read_only: mode.read_only })
}

#[cfg(test)]
mod tests;
