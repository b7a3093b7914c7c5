use gpve_core::types::{ByteSize, DiskFormat, Timestamp};

use super::header::{HeaderError, ImageHeader, ReadAt, Reference, ReferenceKind};

const MAGIC: u32 = u32::from_be_bytes(*b"QFI\xfb");
/// Bytes of a version 2 header; version 3 has at least 104 and says how many.
const HEADER_V2_BYTES: usize = 72;
const HEADER_V3_BYTES: usize = 104;
/// QEMU's own limit on the name of a backing file.
const BACKING_NAME_BYTES_MAX: u32 = 1023;
/// Extensions of a header lie in the first cluster, at least 512 bytes; more than this many are no header of QEMU's.
const EXTENSIONS_MAX: usize = 64;
const EXTENSION_BACKING_FORMAT: u32 = 0xe279_2aca;
const EXTENSION_DATA_FILE: u32 = 0x4441_5441;
const INCOMPATIBLE_EXTERNAL_DATA: u64 = 1 << 2;
/// QEMU's own limit on snapshots of one image.
pub const SNAPSHOTS_MAX: u32 = 65_536;
/// QEMU's own limit on what a snapshot's entry holds besides its names.
const SNAPSHOT_EXTRA_BYTES_MAX: u32 = 1024;
const SNAPSHOT_ENTRY_BYTES: usize = 40;

fn malformed(what: &'static str) -> HeaderError {
    HeaderError::Malformed { format: DiskFormat::Qcow2, what }
}

/// Big-endian numbers at fixed places of a block.
struct Block<const N: usize>([u8; N]);

impl<const N: usize> Block<N> {
    fn read(image: &(impl ReadAt + ?Sized), offset: u64) -> Result<Self, HeaderError> {
        let mut bytes = [0; N];
        image.read_exact_at(&mut bytes, offset)?;
        Ok(Self(bytes))
    }

    fn number<const WIDTH: usize>(&self, at: usize) -> [u8; WIDTH] {
        std::array::from_fn(|i| self.0.get(at + i).copied().unwrap_or(0))
    }

    fn u16(&self, at: usize) -> u16 {
        u16::from_be_bytes(self.number(at))
    }

    fn u32(&self, at: usize) -> u32 {
        u32::from_be_bytes(self.number(at))
    }

    fn u64(&self, at: usize) -> u64 {
        u64::from_be_bytes(self.number(at))
    }
}

/// The header, checked as far as this crate uses it.
struct Header {
    fixed: Block<HEADER_V2_BYTES>,
    header_bytes: u64,
    cluster_bytes: u64,
    has_data_file: bool,
}

impl Header {
    fn read(image: &(impl ReadAt + ?Sized)) -> Result<Self, HeaderError> {
        let too_short = image.size()? < HEADER_V2_BYTES as u64;
        if too_short {
            return Err(HeaderError::OtherFormat(DiskFormat::Qcow2));
        }
        let fixed = Block::<HEADER_V2_BYTES>::read(image, 0)?;
        if fixed.u32(0) != MAGIC {
            return Err(HeaderError::OtherFormat(DiskFormat::Qcow2));
        }
        let cluster_bits = fixed.u32(20);
        if !(9..=21).contains(&cluster_bits) {
            return Err(malformed("its clusters are not 512 bytes to 2 MiB"));
        }
        let (header_bytes, has_data_file) = match fixed.u32(4) {
            2 => (HEADER_V2_BYTES as u64, false),
            3 => {
                let v3 = Block::<HEADER_V3_BYTES>::read(image, 0)?;
                (u64::from(v3.u32(100)), v3.u64(72) & INCOMPATIBLE_EXTERNAL_DATA != 0)
            }
            _ => return Err(malformed("its version is neither 2 nor 3")),
        };
        let cluster_bytes = 1 << cluster_bits;
        if header_bytes < HEADER_V2_BYTES as u64 || header_bytes > cluster_bytes {
            return Err(malformed("its header does not fit in a cluster"));
        }
        Ok(Self { fixed, header_bytes, cluster_bytes, has_data_file })
    }
}

pub(super) fn read(image: &(impl ReadAt + ?Sized)) -> Result<ImageHeader, HeaderError> {
    let header = Header::read(image)?;
    let mut references = Vec::new();
    let (backing_at, backing_bytes) = (header.fixed.u64(8), header.fixed.u32(16));
    if backing_at != 0 {
        if backing_bytes > BACKING_NAME_BYTES_MAX {
            return Err(malformed("the name of its backing file is too long"));
        }
        let target = text(image, backing_at, backing_bytes)?;
        references.push(Reference { kind: ReferenceKind::Backing, target, format: None });
    }
    read_extensions(image, &header, &mut references)?;
    if header.has_data_file && !references.iter().any(|reference| reference.kind == ReferenceKind::DataFile) {
        references.push(Reference { kind: ReferenceKind::DataFile, target: String::new(), format: None });
    }
    Ok(ImageHeader { virtual_size: ByteSize::from_bytes(header.fixed.u64(24)), references })
}

fn read_extensions(image: &(impl ReadAt + ?Sized), header: &Header, references: &mut Vec<Reference>) -> Result<(), HeaderError> {
    // They end where the backing file's name begins, or with the first cluster.
    let backing_at = header.fixed.u64(8);
    let end = if backing_at == 0 { header.cluster_bytes } else { backing_at.min(header.cluster_bytes) };
    let mut at = header.header_bytes;
    for _ in 0..EXTENSIONS_MAX {
        if at + 8 > end {
            return Ok(());
        }
        let extension = Block::<8>::read(image, at)?;
        let (kind, bytes) = (extension.u32(0), extension.u32(4));
        at += 8;
        if u64::from(bytes) > end - at {
            return Err(malformed("a header extension does not fit"));
        }
        match kind {
            0 => return Ok(()),
            EXTENSION_BACKING_FORMAT => {
                let format = text(image, at, bytes)?;
                if let Some(backing) = references.first_mut() {
                    backing.format = Some(format);
                }
            }
            EXTENSION_DATA_FILE => {
                references.push(Reference { kind: ReferenceKind::DataFile, target: text(image, at, bytes)?, format: None });
            }
            _ => {}
        }
        at += u64::from(bytes).next_multiple_of(8);
    }
    Err(malformed("it has too many header extensions"))
}

fn text(image: &(impl ReadAt + ?Sized), at: u64, bytes: u32) -> Result<String, HeaderError> {
    let mut buffer = vec![0; bytes as usize];
    image.read_exact_at(&mut buffer, at)?;
    Ok(String::from_utf8_lossy(&buffer).into_owned())
}

/// One internal snapshot of a qcow2 image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageSnapshot {
    /// Its name.
    pub name: String,
    /// When it was taken.
    pub taken: Timestamp,
}

/// The internal snapshots of a qcow2 image, in the order of its table.
///
/// # Errors
/// [`HeaderError`].
pub fn read_snapshots(image: &(impl ReadAt + ?Sized)) -> Result<Vec<ImageSnapshot>, HeaderError> {
    let header = Header::read(image)?;
    let (count, mut at) = (header.fixed.u32(60), header.fixed.u64(64));
    if count > SNAPSHOTS_MAX {
        return Err(malformed("it has more than 65536 snapshots"));
    }
    let mut snapshots = Vec::new();
    for _ in 0..count {
        let entry = Block::<SNAPSHOT_ENTRY_BYTES>::read(image, at)?;
        let (id_bytes, name_bytes, extra_bytes) = (entry.u16(12), entry.u16(14), entry.u32(36));
        if extra_bytes > SNAPSHOT_EXTRA_BYTES_MAX {
            return Err(malformed("a snapshot's entry is too long"));
        }
        let name_at = at + SNAPSHOT_ENTRY_BYTES as u64 + u64::from(extra_bytes) + u64::from(id_bytes);
        let name = text(image, name_at, u32::from(name_bytes))?;
        let taken = Timestamp::from_secs(u64::from(entry.u32(16)));
        snapshots.push(ImageSnapshot { name, taken });
        at = (name_at + u64::from(name_bytes)).next_multiple_of(8);
    }
    Ok(snapshots)
}
