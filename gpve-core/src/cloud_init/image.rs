//! The image of a CD-ROM with a few small files: ISO 9660, with Rock Ridge's names for Linux and Joliet's for Windows.
//!
//! A disc has its directories twice, because Joliet's are a tree of their own; both name the same files. In order: 16 empty
//! sectors, the two volume descriptors and their end, the path tables, the directories, the files. Each directory fits in a
//! sector. Numbers stand in both byte orders, mostly. Dates are fixed, so that equal files make an equal image.

use std::collections::BTreeMap;

const SECTOR: usize = 2048;
/// The first volume descriptor's place.
const DESCRIPTORS_AT: usize = 16;
/// Four path tables of a sector each come after three descriptors.
const TABLES_AT: usize = DESCRIPTORS_AT + 3;
const DIRECTORIES_AT: usize = TABLES_AT + 4;
/// Drives read ahead: empty sectors at the end, as everybody leaves them.
const PADDING: usize = 150;
/// 2000-01-01 00:00:00 UTC, in a directory and in a descriptor.
const SHORT_DATE: [u8; 7] = [100, 1, 1, 0, 0, 0, 0];
const LONG_DATE: &[u8; 17] = b"2000010100000000\0";
/// A directory that anybody may read, and a file.
const DIRECTORY_MODE: u32 = 0o040_555;
const FILE_MODE: u32 = 0o100_444;
const DIRECTORY_FLAG: u8 = 2;

/// Which tree a directory is of.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Names {
    /// The names of 1988, and beside them Rock Ridge's.
    Plain,
    Joliet,
}

/// A directory; the first is the root.
struct Directory<'f> {
    parent: usize,
    name: &'f str,
    entries: BTreeMap<&'f str, Entry>,
}

#[derive(Clone, Copy)]
enum Entry {
    Directory(usize),
    File(usize),
}

/// The image of a disc called `label` with `files`: paths of plain names, and bytes.
pub(super) fn of(label: &str, files: &[(&'static str, Vec<u8>)]) -> Vec<u8> {
    let disc = Disc { label, files, directories: directories(files) };
    let mut image = vec![0; DESCRIPTORS_AT * SECTOR];
    for names in [Names::Plain, Names::Joliet] {
        image.extend(disc.descriptor(names));
    }
    image.extend(sectors(b"\xffCD001\x01".to_vec()));
    for names in [Names::Plain, Names::Joliet] {
        for little in [true, false] {
            image.extend(sectors(disc.path_table(names, little)));
        }
    }
    for names in [Names::Plain, Names::Joliet] {
        for number in 0..disc.directories.len() {
            image.extend(sectors(disc.records(names, number)));
        }
    }
    for (_, bytes) in files {
        image.extend(sectors(bytes.clone()));
    }
    image.resize(image.len() + PADDING * SECTOR, 0);
    image
}

fn directories<'f>(files: &'f [(&'static str, Vec<u8>)]) -> Vec<Directory<'f>> {
    let mut all = vec![Directory { parent: 0, name: "", entries: BTreeMap::new() }];
    for (number, (path, _)) in files.iter().enumerate() {
        let (folders, name) = path.rsplit_once('/').unwrap_or(("", path));
        let mut at = 0;
        for folder in folders.split('/').filter(|f| !f.is_empty()) {
            at = match all[at].entries.get(folder) {
                Some(Entry::Directory(there)) => *there,
                _ => {
                    let new = all.len();
                    all[at].entries.insert(folder, Entry::Directory(new));
                    all.push(Directory { parent: at, name: folder, entries: BTreeMap::new() });
                    new
                }
            };
        }
        all[at].entries.insert(name, Entry::File(number));
    }
    all
}

struct Disc<'f> {
    label: &'f str,
    files: &'f [(&'static str, Vec<u8>)],
    directories: Vec<Directory<'f>>,
}

impl Disc<'_> {
    /// Where a directory is.
    fn place(&self, names: Names, directory: usize) -> usize {
        let before = if names == Names::Joliet { self.directories.len() } else { 0 };
        DIRECTORIES_AT + before + directory
    }

    /// Where a file begins. One without bytes has a place like all others.
    fn file_place(&self, file: usize) -> usize {
        let before: usize = self.files[..file].iter().map(|(_, bytes)| bytes.len().div_ceil(SECTOR)).sum();
        DIRECTORIES_AT + 2 * self.directories.len() + before
    }

    fn descriptor(&self, names: Names) -> Vec<u8> {
        let joliet = names == Names::Joliet;
        let text = |text: &str, length: usize| if joliet { padded(ucs2(text), length, b"\0 ") } else { padded(text.into(), length, b" ") };
        let table = |nth: usize| TABLES_AT + nth + if joliet { 2 } else { 0 };
        let mut out = vec![if joliet { 2 } else { 1 }];
        out.extend(b"CD001\x01\0");
        out.extend(text("LINUX", 32));
        out.extend(text(self.label, 32));
        out.extend([0; 8]);
        out.extend(both_32(self.file_place(self.files.len()) + PADDING));
        // Joliet's level 3: all names of 64 characters.
        out.extend(padded(if joliet { b"%/E".to_vec() } else { Vec::new() }, 32, b"\0"));
        out.extend([both_16(1), both_16(1), both_16(SECTOR)].concat());
        out.extend(both_32(self.path_table(names, true).len()));
        out.extend([low(table(0)).to_le_bytes(), [0; 4], low(table(1)).to_be_bytes(), [0; 4]].concat());
        out.extend(record(&[0], self.place(names, 0), SECTOR, DIRECTORY_FLAG, &[]));
        for length in [128, 128, 128, 128, 37, 37, 37] {
            out.extend(text("", length));
        }
        out.extend([LONG_DATE.as_slice(), LONG_DATE, b"0000000000000000\0", b"0000000000000000\0"].concat());
        out.push(1);
        sectors(out)
    }

    /// Directories with their parents, each after its parent and in the order of names.
    fn path_table(&self, names: Names, little: bool) -> Vec<u8> {
        let mut out = Vec::new();
        for (number, directory) in self.directories.iter().enumerate() {
            let name = if number == 0 { vec![0] } else { written(names, directory.name, true) };
            let (place, parent) = (low(self.place(names, number)), low(directory.parent + 1));
            out.extend([byte(name.len()), 0]);
            out.extend(if little { place.to_le_bytes() } else { place.to_be_bytes() });
            out.extend(if little { [byte(parent as usize), 0] } else { [0, byte(parent as usize)] });
            out.extend(&name);
            out.resize(out.len().next_multiple_of(2), 0);
        }
        out
    }

    fn records(&self, names: Names, number: usize) -> Vec<u8> {
        let directory = &self.directories[number];
        let folders = |d: &Directory<'_>| d.entries.values().filter(|e| matches!(e, Entry::Directory(_))).count();
        let rock = |mode: u32, links: usize, more: Vec<u8>| {
            if names == Names::Plain { [attributes(mode, links), more].concat() } else { Vec::new() }
        };
        // What says that there are Rock Ridge's entries, and which.
        let first =
            if number == 0 { [b"SP\x07\x01\xbe\xef\0".as_slice(), b"ER\x12\x01\x0a\0\0\x01RRIP_1991A"].concat() } else { Vec::new() };
        let own = if names == Names::Plain { [first, attributes(DIRECTORY_MODE, 2 + folders(directory))].concat() } else { Vec::new() };
        let parent = rock(DIRECTORY_MODE, 2 + folders(&self.directories[directory.parent]), Vec::new());
        let mut out = record(&[0], self.place(names, number), SECTOR, DIRECTORY_FLAG, &own);
        out.extend(record(&[1], self.place(names, directory.parent), SECTOR, DIRECTORY_FLAG, &parent));
        let mut entries: Vec<_> = directory.entries.iter().map(|(name, entry)| (name, *entry)).collect();
        entries.sort_by_key(|(name, entry)| written(names, name, matches!(entry, Entry::Directory(_))));
        for (name, entry) in entries {
            let (is_directory, place, length, mode, links) = match entry {
                Entry::Directory(there) => (true, self.place(names, there), SECTOR, DIRECTORY_MODE, 2 + folders(&self.directories[there])),
                Entry::File(file) => (false, self.file_place(file), self.files[file].1.len(), FILE_MODE, 1),
            };
            let alias = [&[b'N', b'M', byte(name.len() + 5), 1, 0], name.as_bytes()].concat();
            let flag = if is_directory { DIRECTORY_FLAG } else { 0 };
            out.extend(record(&written(names, name, is_directory), place, length, flag, &rock(mode, links, alias)));
        }
        out
    }
}

/// A name as a tree writes it.
fn written(names: Names, name: &str, is_directory: bool) -> Vec<u8> {
    if names == Names::Joliet {
        return ucs2(name);
    }
    let plain = |c: char| if c.is_ascii_alphanumeric() || c == '.' { c.to_ascii_uppercase() } else { '_' };
    let name: String = name.chars().map(plain).collect();
    match (is_directory, name.contains('.')) {
        (true, _) => name,
        (false, true) => format!("{name};1"),
        (false, false) => format!("{name}.;1"),
    }
    .into_bytes()
}

fn record(name: &[u8], place: usize, length: usize, flags: u8, system_use: &[u8]) -> Vec<u8> {
    let mut out = vec![0, 0];
    out.extend([both_32(place), both_32(length)].concat());
    out.extend(SHORT_DATE);
    out.extend([flags, 0, 0]);
    out.extend(both_16(1));
    out.push(byte(name.len()));
    out.extend(name);
    out.resize(out.len().next_multiple_of(2), 0);
    out.extend(system_use);
    out.resize(out.len().next_multiple_of(2), 0);
    out[0] = byte(out.len());
    out
}

/// Rock Ridge's mode, links and owner.
fn attributes(mode: u32, links: usize) -> Vec<u8> {
    let numbers = [both_32(mode as usize), both_32(links), both_32(0), both_32(0)].concat();
    [b"PX\x24\x01".to_vec(), numbers].concat()
}

fn sectors(mut bytes: Vec<u8>) -> Vec<u8> {
    bytes.resize(bytes.len().next_multiple_of(SECTOR), 0);
    bytes
}

fn padded(mut bytes: Vec<u8>, length: usize, with: &[u8]) -> Vec<u8> {
    bytes.extend(with.iter().copied().cycle().take(length.saturating_sub(bytes.len())));
    bytes
}

fn ucs2(text: &str) -> Vec<u8> {
    text.encode_utf16().flat_map(u16::to_be_bytes).collect()
}

/// The image is of a few MiB and its names are short: every number fits where it goes.
fn low(number: usize) -> u32 {
    number as u32
}

fn byte(number: usize) -> u8 {
    number as u8
}

fn both_32(number: usize) -> Vec<u8> {
    [low(number).to_le_bytes(), low(number).to_be_bytes()].concat()
}

fn both_16(number: usize) -> Vec<u8> {
    let number = number as u16;
    [number.to_le_bytes(), number.to_be_bytes()].concat()
}
