use gpve_core::types::{ByteSize, DiskFormat};

use super::header::{HeaderError, ImageHeader, ReadAt, Reference, ReferenceKind};

const SECTOR_BYTES: u64 = 512;
const MAGIC_SPARSE: &[u8; 4] = b"KDMV";
const MAGIC_ESX: &[u8; 4] = b"COWD";
/// Where QEMU looks for the text of a sparse image, whatever its header says.
const DESCRIPTOR_SECTOR: u64 = 1;
/// How much text QEMU reads there; what lies behind has no effect.
const DESCRIPTOR_BYTES_MAX: u64 = 20 * SECTOR_BYTES;
/// An image split in 2 GiB pieces has one extent for each; 1,024 are 2 TiB.
const EXTENTS_MAX: usize = 1024;

fn malformed(what: &'static str) -> HeaderError {
    HeaderError::Malformed { format: DiskFormat::Vmdk, what }
}

/// Two kinds are read: a sparse image, whose header comes first and whose text names its parent if it has one, and
/// a bare text that names its extents in other files.
pub(super) fn read(image: &(impl ReadAt + ?Sized)) -> Result<ImageHeader, HeaderError> {
    let mut magic = [0; 4];
    if image.size()? < SECTOR_BYTES && image.size()? < 21 {
        return Err(HeaderError::OtherFormat(DiskFormat::Vmdk));
    }
    image.read_exact_at(&mut magic, 0)?;
    match &magic {
        MAGIC_SPARSE => sparse(image),
        MAGIC_ESX => Err(malformed("it is of the old ESX kind, which is not supported")),
        _ => described(image),
    }
}

fn sparse(image: &(impl ReadAt + ?Sized)) -> Result<ImageHeader, HeaderError> {
    let mut header = [0; 44];
    image.read_exact_at(&mut header, 0)?;
    let number = |at: usize| u64::from_le_bytes(std::array::from_fn(|i| header.get(at + i).copied().unwrap_or(0)));
    let (capacity, descriptor_at, descriptor_sectors) = (number(12), number(28), number(36));
    let mut references = Vec::new();
    // QEMU reads the text at a fixed place, other programs where the header says; either may name a parent.
    for sector in [DESCRIPTOR_SECTOR, descriptor_at] {
        let parsed = Descriptor::parse(&descriptor(image, sector)?);
        references.extend(parsed.parent);
        // Without a capacity of its own the header is a wrapper and the text's extents are the disk.
        if capacity == 0 {
            references.extend(parsed.extents);
        }
    }
    references.dedup();
    let virtual_size = capacity.checked_mul(SECTOR_BYTES).ok_or(malformed("its capacity overflows"))?;
    if capacity == 0 && references.is_empty() && descriptor_sectors == 0 {
        return Err(malformed("it has no capacity"));
    }
    Ok(ImageHeader { virtual_size: ByteSize::from_bytes(virtual_size), references })
}

fn described(image: &(impl ReadAt + ?Sized)) -> Result<ImageHeader, HeaderError> {
    let text = descriptor(image, 0)?;
    if !text.trim_start().starts_with("# Disk DescriptorFile") {
        return Err(HeaderError::OtherFormat(DiskFormat::Vmdk));
    }
    let parsed = Descriptor::parse(&text);
    if parsed.extents.is_empty() {
        return Err(malformed("it names no extent"));
    }
    let virtual_size = parsed.sectors.checked_mul(SECTOR_BYTES).ok_or(malformed("its capacity overflows"))?;
    let references = parsed.extents.into_iter().chain(parsed.parent).collect();
    Ok(ImageHeader { virtual_size: ByteSize::from_bytes(virtual_size), references })
}

fn descriptor(image: &(impl ReadAt + ?Sized), sector: u64) -> Result<String, HeaderError> {
    let at = sector.saturating_mul(SECTOR_BYTES);
    let bytes = image.size()?.saturating_sub(at).min(DESCRIPTOR_BYTES_MAX);
    let mut buffer = vec![0; usize::try_from(bytes).map_err(|_| malformed("its text is too long"))?];
    image.read_exact_at(&mut buffer, at)?;
    Ok(String::from_utf8_lossy(&buffer).into_owned())
}

/// What the text of an image names.
#[derive(Default)]
struct Descriptor {
    parent: Option<Reference>,
    extents: Vec<Reference>,
    sectors: u64,
}

impl Descriptor {
    fn parse(text: &str) -> Self {
        let mut found = Self::default();
        // QEMU finds the parent by searching the bytes, not by lines, so this does too.
        if let Some((_, rest)) = text.split_once("parentFileNameHint") {
            let target = rest.split('"').nth(1).unwrap_or_default().to_owned();
            found.parent = Some(Reference { kind: ReferenceKind::Backing, target, format: Some("vmdk".to_owned()) });
        }
        for line in text.split(['\n', '\0']).filter(|line| is_extent(line)).take(EXTENTS_MAX) {
            let sectors = line.split_whitespace().nth(1).and_then(|n| n.parse::<u64>().ok()).unwrap_or(0);
            found.sectors = found.sectors.saturating_add(sectors);
            if let Some(target) = line.split('"').nth(1) {
                found.extents.push(Reference { kind: ReferenceKind::Extent, target: target.to_owned(), format: None });
            }
        }
        found
    }
}

fn is_extent(line: &str) -> bool {
    ["RW ", "RDONLY ", "NOACCESS "].iter().any(|access| line.starts_with(access))
}
