use std::fs::File;
use std::io;

use gpve_core::types::{ByteSize, DiskFormat};

use super::{qcow2, vmdk};

/// Bytes at a position: a file, or memory for tests and the fuzzer.
pub trait ReadAt {
    /// Fills `buffer` from `offset` on.
    ///
    /// # Errors
    /// [`io::ErrorKind::UnexpectedEof`] when there are fewer bytes.
    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()>;

    /// How many bytes there are.
    ///
    /// # Errors
    /// What the system says.
    fn size(&self) -> io::Result<u64>;
}

impl ReadAt for File {
    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        std::os::unix::fs::FileExt::read_exact_at(self, buffer, offset)
    }

    fn size(&self) -> io::Result<u64> {
        let metadata = self.metadata()?;
        // A block device's metadata has no length; its end has.
        if metadata.is_file() { Ok(metadata.len()) } else { Ok(rustix::fs::seek(self, rustix::fs::SeekFrom::End(0))?) }
    }
}

impl ReadAt for [u8] {
    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        let start = usize::try_from(offset).map_err(|_| io::ErrorKind::UnexpectedEof)?;
        let end = start.checked_add(buffer.len()).ok_or(io::ErrorKind::UnexpectedEof)?;
        buffer.copy_from_slice(self.get(start..end).ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }

    fn size(&self) -> io::Result<u64> {
        Ok(self.len() as u64)
    }
}

/// What an image says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageHeader {
    /// The size of the disk that a guest sees.
    pub virtual_size: ByteSize,
    /// Other files it names.
    pub references: Vec<Reference>,
}

impl ImageHeader {
    /// The image it reads through, if it has one.
    pub fn backing(&self) -> Option<&Reference> {
        self.references.iter().find(|reference| reference.kind == ReferenceKind::Backing)
    }
}

/// Another file that an image names. Whoever wrote the image chose the name: it is never opened as it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reference {
    /// What the other file is to the image.
    pub kind: ReferenceKind,
    /// The name, as it stands in the image.
    pub target: String,
    /// The other file's format, if the image says.
    pub format: Option<String>,
}

/// What a referenced file is to the image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReferenceKind {
    /// It is read where the image has no data of its own.
    Backing,
    /// It holds the image's data (qcow2).
    DataFile,
    /// It holds a part of the image's data (vmdk).
    Extent,
}

impl ReferenceKind {
    /// Its name in messages.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Backing => "a backing file",
            Self::DataFile => "a data file",
            Self::Extent => "an extent file",
        }
    }
}

/// Why a header cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum HeaderError {
    /// The file cannot be read.
    #[error("cannot read the image's header")]
    Read(#[from] io::Error),
    /// The bytes are not of this format.
    #[error("this is not a {0} image")]
    OtherFormat(DiskFormat),
    /// The bytes are of this format and wrong.
    #[error("this {format} image is malformed: {what}")]
    Malformed {
        /// The format.
        format: DiskFormat,
        /// What is wrong.
        what: &'static str,
    },
}

/// Reads the header of an image that is said to be of `format`; the format is never guessed.
///
/// # Errors
/// [`HeaderError`].
pub fn read_header(image: &(impl ReadAt + ?Sized), format: DiskFormat) -> Result<ImageHeader, HeaderError> {
    match format {
        DiskFormat::Raw => Ok(ImageHeader { virtual_size: ByteSize::from_bytes(image.size()?), references: Vec::new() }),
        DiskFormat::Qcow2 => qcow2::read(image),
        DiskFormat::Vmdk => vmdk::read(image),
    }
}
