//! Volume names of directory storages, in PVE's words, and the files they stand for.

use gpve_core::ports::ContentKind;
use gpve_core::types::{DiskFormat, Timestamp, Vmid, VolumeName};

/// A name that is no volume of a directory storage.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "'{0}' is no volume of a directory storage; names look like 100/vm-100-disk-0.qcow2, iso/NAME.iso, import/NAME.qcow2, \
     snippets/NAME, vztmpl/NAME.tar.zst or backup/NAME.vma.zst"
)]
pub struct UnknownName(String);

/// What a volume name stands for. The only way from a name to a path: [`relative`](Place::relative) holds checked parts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// A disk of a machine.
    Disk(DiskPlace),
    /// Any other file.
    File(FilePlace),
}

/// Where a disk is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DiskPlace {
    /// The guest it belongs to.
    pub vmid: Vmid,
    /// Its file.
    pub file: DiskFile,
    /// The base it was linked-cloned from.
    pub base: Option<(Vmid, DiskFile)>,
}

/// The file name of a disk: a name without white space, with a known ending.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DiskFile {
    name: String,
    format: &'static str,
}

/// Where another file is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FilePlace {
    /// What it is for.
    pub content: ContentKind,
    /// Its file name.
    pub file: String,
    /// A file packed inside it (`import/x.ova/disk.vmdk`).
    pub inner: Option<String>,
    /// PVE's word for what it is: `iso`, `snippet`, `tzst`, `vma.zst`, `qcow2`, `ova+vmdk`.
    pub format: String,
    /// The guest it belongs to.
    pub owner: Option<Vmid>,
}

/// Longest file name that Linux takes.
const FILE_NAME_BYTES_MAX: usize = 255;

impl DiskFile {
    const FORMATS: [&'static str; 4] = ["raw", "qcow2", "vmdk", "subvol"];

    /// Reads a file name.
    ///
    /// # Errors
    /// [`UnknownName`].
    pub fn parse(name: &str) -> Result<Self, UnknownName> {
        let format = Self::FORMATS.into_iter().find(|format| stem(name, format).is_some());
        match format {
            Some(format) if is_plain(name) && !name.contains(char::is_whitespace) => Ok(Self { name: name.to_owned(), format }),
            _ => Err(UnknownName(name.to_owned())),
        }
    }

    /// The `index`th disk of a guest.
    pub fn numbered(vmid: Vmid, index: u32, format: DiskFormat) -> Self {
        Self { name: format!("vm-{vmid}-disk-{index}.{format}"), format: format.as_str() }
    }

    /// The file name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// True for a template's disk, which is never written again.
    pub fn is_base(&self) -> bool {
        self.name.starts_with("base-")
    }

    /// The name it has as a template's disk.
    #[must_use]
    pub fn to_base(&self) -> Self {
        let rest = self.name.strip_prefix("vm-").unwrap_or(&self.name);
        if self.is_base() { self.clone() } else { Self { name: format!("base-{rest}"), format: self.format } }
    }

    /// The same name with another format.
    #[must_use]
    pub fn with_format(&self, format: DiskFormat) -> Self {
        let stem = stem(&self.name, self.format).unwrap_or(&self.name);
        Self { name: format!("{stem}.{format}"), format: format.as_str() }
    }

    /// PVE's word for its format, which may be `subvol`.
    pub fn format(&self) -> &'static str {
        self.format
    }

    /// Its format, unless it is a directory.
    pub fn disk_format(&self) -> Option<DiskFormat> {
        self.format.parse().ok()
    }

    /// The number of a disk called `vm-ID-disk-N` or `base-ID-disk-N`.
    pub fn index(&self, vmid: Vmid) -> Option<u32> {
        let rest = self.name.strip_prefix("vm-").or_else(|| self.name.strip_prefix("base-"))?;
        stem(rest, self.format)?.strip_prefix(&format!("{vmid}-disk-"))?.parse().ok()
    }
}

impl DiskPlace {
    /// A disk without a base.
    pub fn new(vmid: Vmid, file: DiskFile) -> Self {
        Self { vmid, file, base: None }
    }

    /// Its directory below the storage.
    pub fn directory(&self) -> String {
        format!("images/{}", self.vmid)
    }
}

impl FilePlace {
    /// A file of this content; its name's ending has to fit.
    ///
    /// # Errors
    /// [`UnknownName`].
    pub fn new(content: ContentKind, file: &str) -> Result<Self, UnknownName> {
        let refused = || UnknownName(format!("{content}/{file}"));
        if !is_plain(file) {
            return Err(refused());
        }
        let format = format_of(content, file).ok_or_else(refused)?;
        let owner = if content == ContentKind::Backup { Archive::parse(file).map(|archive| archive.vmid) } else { None };
        let owner = if content == ContentKind::Rootdir { file.parse().ok() } else { owner };
        Ok(Self { content, file: file.to_owned(), inner: None, format, owner })
    }

    /// When a backup was made, by its name.
    pub fn created(&self) -> Option<Timestamp> {
        if self.content == ContentKind::Backup { Archive::parse(&self.file)?.created } else { None }
    }
}

impl Place {
    /// Reads a volume name.
    ///
    /// # Errors
    /// [`UnknownName`].
    pub fn parse(name: &str) -> Result<Self, UnknownName> {
        let refused = |_| UnknownName(name.to_owned());
        let parts: Vec<_> = name.split('/').collect();
        match parts.as_slice() {
            ["import", archive, inner] => packed(archive, inner).ok_or_else(|| UnknownName(name.to_owned())).map(Self::File),
            [first, file] => match content_of_prefix(first) {
                Some(content) => FilePlace::new(content, file).map(Self::File).map_err(refused),
                None => disk(first, file).map(|(vmid, file)| Self::Disk(DiskPlace::new(vmid, file))).map_err(refused),
            },
            [base_id, base_file, id, file] => {
                let base = disk(base_id, base_file).map_err(refused)?;
                let (vmid, file) = disk(id, file).map_err(refused)?;
                Ok(Self::Disk(DiskPlace { vmid, file, base: Some(base) }))
            }
            _ => Err(UnknownName(name.to_owned())),
        }
    }

    /// Reads a path below a storage: what [`relative`](Self::relative) gives, or that of a directory with a `/` behind it.
    ///
    /// # Errors
    /// [`UnknownName`].
    pub fn of_path(relative: &str) -> Result<Self, UnknownName> {
        let refused = |_| UnknownName(relative.to_owned());
        let relative = relative.strip_suffix('/').unwrap_or(relative);
        if let Some((id, file)) = relative.strip_prefix("images/").and_then(|rest| rest.split_once('/')) {
            let (vmid, file) = disk(id, file).map_err(refused)?;
            return Ok(Self::Disk(DiskPlace::new(vmid, file)));
        }
        let (directory, file) = relative.rsplit_once('/').ok_or_else(|| UnknownName(relative.to_owned()))?;
        let content = ContentKind::ALL.into_iter().find(|content| subdirectory(*content) == directory);
        let content = content.ok_or_else(|| UnknownName(relative.to_owned()))?;
        FilePlace::new(content, file).map(Self::File).map_err(refused)
    }

    /// Its volume name as text; unlike [`VolumeName`] it may hold a space.
    pub fn name(&self) -> String {
        match self {
            Self::Disk(DiskPlace { vmid, file, base: None }) => format!("{vmid}/{}", file.name),
            Self::Disk(DiskPlace { vmid, file, base: Some((base_id, base)) }) => {
                format!("{base_id}/{}/{vmid}/{}", base.name, file.name)
            }
            Self::File(FilePlace { content, file, inner: None, .. }) => format!("{content}/{file}"),
            Self::File(FilePlace { content, file, inner: Some(inner), .. }) => format!("{content}/{file}/{inner}"),
        }
    }

    /// Its volume name, unless it holds characters that gpve's volume names do not.
    pub fn volume_name(&self) -> Option<VolumeName> {
        self.name().parse().ok()
    }

    /// Its directory below the storage.
    pub fn directory(&self) -> String {
        match self {
            Self::Disk(disk) => disk.directory(),
            Self::File(file) => subdirectory(file.content).to_owned(),
        }
    }

    /// Its file name in [`directory`](Self::directory).
    pub fn file_name(&self) -> &str {
        match self {
            Self::Disk(disk) => disk.file.name(),
            Self::File(file) => &file.file,
        }
    }

    /// Its path below the storage.
    pub fn relative(&self) -> String {
        format!("{}/{}", self.directory(), self.file_name())
    }

    /// What it is for.
    pub fn content(&self) -> ContentKind {
        match self {
            Self::Disk(_) => ContentKind::Images,
            Self::File(file) => file.content,
        }
    }

    /// The guest it belongs to.
    pub fn owner(&self) -> Option<Vmid> {
        match self {
            Self::Disk(disk) => Some(disk.vmid),
            Self::File(file) => file.owner,
        }
    }
}

/// Where files of a content are below the storage.
pub const fn subdirectory(content: ContentKind) -> &'static str {
    match content {
        ContentKind::Images => "images",
        ContentKind::Iso => "template/iso",
        ContentKind::Backup => "dump",
        ContentKind::Snippets => "snippets",
        ContentKind::Rootdir => "private",
        ContentKind::Vztmpl => "template/cache",
        ContentKind::Import => "import",
    }
}

/// The name of the base in a linked clone's header: the reference that PVE writes, `../100/base-100-disk-0.qcow2`.
///
/// # Errors
/// [`UnknownName`] for every other reference: it leads out of the disks of this storage.
pub(super) fn parse_backing(target: &str) -> Result<(Vmid, DiskFile), UnknownName> {
    let refused = || UnknownName(target.to_owned());
    let (id, file) = target.strip_prefix("../").and_then(|rest| rest.split_once('/')).ok_or_else(refused)?;
    disk(id, file).map_err(|_| refused())
}

/// The reference to a base, for a linked clone's header.
pub(super) fn backing_reference(vmid: Vmid, file: &DiskFile) -> String {
    format!("../{vmid}/{}", file.name)
}

fn disk(id: &str, file: &str) -> Result<(Vmid, DiskFile), UnknownName> {
    let vmid = id.parse().map_err(|_| UnknownName(id.to_owned()))?;
    Ok((vmid, DiskFile::parse(file)?))
}

fn content_of_prefix(prefix: &str) -> Option<ContentKind> {
    prefix.parse().ok().filter(|content| *content != ContentKind::Images)
}

/// The parts of a backup's name, `vzdump-qemu-100-2026_11_20-12_00_00.vma.zst`.
struct Archive {
    vmid: Vmid,
    created: Option<Timestamp>,
}

impl Archive {
    fn parse(file: &str) -> Option<Self> {
        let rest = ["vzdump-qemu-", "vzdump-lxc-", "vzdump-openvz-"].into_iter().find_map(|prefix| file.strip_prefix(prefix))?;
        let (id, rest) = rest.split_once('-')?;
        let time = rest.split_once('.').map_or(rest, |(time, _)| time);
        Some(Self { vmid: id.parse().ok()?, created: archive_time(time) })
    }
}

fn archive_time(text: &str) -> Option<Timestamp> {
    let time = jiff::civil::DateTime::strptime("%Y_%m_%d-%H_%M_%S", text).ok()?;
    let zoned = time.to_zoned(jiff::tz::TimeZone::UTC).ok()?;
    Some(Timestamp::from_secs(u64::try_from(zoned.timestamp().as_second()).ok()?))
}

fn format_of(content: ContentKind, file: &str) -> Option<String> {
    let lower = file.to_ascii_lowercase();
    let ends = |endings: &[&'static str]| endings.iter().copied().find(|ending| stem(&lower, ending).is_some());
    match content {
        ContentKind::Images => None,
        ContentKind::Iso => ends(&["iso", "img"]).map(|_| "iso".to_owned()),
        ContentKind::Vztmpl => {
            let ending = ends(&["tar", "tar.gz", "tar.xz", "tar.zst", "tar.bz2"])?;
            Some(ending.strip_prefix("tar.").map_or("tar".to_owned(), |compressor| format!("t{compressor}")))
        }
        ContentKind::Snippets => Some("snippet".to_owned()),
        ContentKind::Rootdir => file.parse::<Vmid>().ok().map(|_| "subvol".to_owned()),
        ContentKind::Import => {
            ["ova", "ovf", "qcow2", "raw", "vmdk"].into_iter().find(|ending| stem(file, ending).is_some()).map(str::to_owned)
        }
        ContentKind::Backup => backup_format(file).map(str::to_owned),
    }
}

fn backup_format(file: &str) -> Option<&'static str> {
    const FORMATS: [&str; 11] = ["tgz", "tar", "tar.gz", "tar.lzo", "tar.zst", "tar.bz2", "vma", "vma.gz", "vma.lzo", "vma.zst", "vma.bz2"];
    FORMATS.into_iter().find(|format| stem(file, format).is_some())
}

/// A file inside an appliance archive: it is named, so that it can be shown, and not unpacked here.
fn packed(archive: &str, inner: &str) -> Option<FilePlace> {
    let outer = FilePlace::new(ContentKind::Import, archive).ok().filter(|place| place.format == "ova")?;
    let format = ["qcow2", "raw", "vmdk"].into_iter().find(|ending| stem(inner, ending).is_some())?;
    is_plain(inner).then(|| FilePlace { inner: Some(inner.to_owned()), format: format!("ova+{format}"), ..outer })
}

/// What stands before `.ending`, if something does.
fn stem<'a>(name: &'a str, ending: &str) -> Option<&'a str> {
    name.strip_suffix(ending)?.strip_suffix('.').filter(|stem| !stem.is_empty())
}

/// True for a file name that is safe anywhere: no separator, no control character, no leading `.` or `-`.
fn is_plain(name: &str) -> bool {
    !name.is_empty()
        && name.len() <= FILE_NAME_BYTES_MAX
        && !name.starts_with(['.', '-'])
        && !name.contains(|c: char| c == '/' || c.is_control())
}
