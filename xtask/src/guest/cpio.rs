use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

/// The kernel frees pages by this grain; the archive ends on one.
const BLOCK_BYTES: usize = 512;

/// Writes an archive in the `newc` format, which the kernel unpacks as its first file system. Needs no root: every file belongs to root
/// in the archive, and device nodes are only records.
pub(crate) struct Archive<W> {
    to: W,
    written_bytes: usize,
    entries: u32,
}

struct Entry<'a> {
    name: &'a str,
    mode: u32,
    device: (u32, u32),
    content: &'a [u8],
}

impl<W: Write> Archive<W> {
    pub(crate) fn new(to: W) -> Self {
        Self { to, written_bytes: 0, entries: 0 }
    }

    pub(crate) fn directory(&mut self, name: &str) -> io::Result<()> {
        self.entry(&Entry { name, mode: 0o040_755, device: (0, 0), content: &[] })
    }

    pub(crate) fn file(&mut self, name: &str, permissions: u32, content: &[u8]) -> io::Result<()> {
        self.entry(&Entry { name, mode: 0o100_000 | permissions, device: (0, 0), content })
    }

    /// Copies a file of this host with its permissions, following links.
    pub(crate) fn copy(&mut self, name: &str, from: &Path) -> io::Result<()> {
        let permissions = fs::metadata(from)?.permissions().mode() & 0o777;
        self.file(name, permissions, &fs::read(from)?)
    }

    pub(crate) fn link(&mut self, name: &str, to: &str) -> io::Result<()> {
        self.entry(&Entry { name, mode: 0o120_777, device: (0, 0), content: to.as_bytes() })
    }

    pub(crate) fn character_device(&mut self, name: &str, major: u32, minor: u32) -> io::Result<()> {
        self.entry(&Entry { name, mode: 0o020_600, device: (major, minor), content: &[] })
    }

    /// Writes the end mark.
    pub(crate) fn finish(mut self) -> io::Result<W> {
        self.entry(&Entry { name: "TRAILER!!!", mode: 0, device: (0, 0), content: &[] })?;
        self.pad(BLOCK_BYTES)?;
        Ok(self.to)
    }

    fn entry(&mut self, entry: &Entry<'_>) -> io::Result<()> {
        let too_large = |_| io::Error::new(io::ErrorKind::FileTooLarge, entry.name.to_owned());
        let size = u32::try_from(entry.content.len()).map_err(too_large)?;
        let name_size = u32::try_from(entry.name.len() + 1).map_err(too_large)?;
        self.entries += 1;
        // inode, mode, uid, gid, links, mtime, size, device of the file, device the node stands for, name size, checksum
        let fields = [self.entries, entry.mode, 0, 0, 1, 0, size, 0, 0, entry.device.0, entry.device.1, name_size, 0];
        let header = fields.iter().fold("070701".to_owned(), |header, field| format!("{header}{field:08X}"));
        for part in [header.as_bytes(), entry.name.as_bytes(), b"\0"] {
            self.write(part)?;
        }
        self.pad(4)?;
        self.write(entry.content)?;
        self.pad(4)
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.written_bytes += bytes.len();
        self.to.write_all(bytes)
    }

    fn pad(&mut self, grain_bytes: usize) -> io::Result<()> {
        let missing = self.written_bytes.next_multiple_of(grain_bytes) - self.written_bytes;
        self.write(&vec![0; missing])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::program::Program;

    #[test]
    fn busybox_reads_the_archive_back() {
        if crate::program::find("busybox").is_none() {
            println!("SKIP busybox_reads_the_archive_back: busybox is not installed");
            return;
        }
        let mut archive = Archive::new(Vec::new());
        archive.directory("bin").unwrap();
        archive.file("bin/init", 0o755, b"hello").unwrap();
        archive.link("init", "bin/init").unwrap();
        archive.character_device("console", 5, 1).unwrap();
        let bytes = archive.finish().unwrap();
        assert_eq!(bytes.len() % BLOCK_BYTES, 0);

        let path = std::env::temp_dir().join(format!("gpve-xtask-cpio-{}", std::process::id()));
        fs::write(&path, bytes).unwrap();
        let listed = Program::new("busybox").args(["cpio", "-tv", "-F"]).arg(&path).read();
        fs::remove_file(&path).unwrap();
        let listed = listed.unwrap();
        let lines: Vec<_> = listed.lines().map(|line| line.split_whitespace().collect::<Vec<_>>()).collect();
        let summary: Vec<_> = lines.iter().map(|fields| (fields[0], *fields.last().unwrap())).collect();
        assert_eq!(summary, [("drwxr-xr-x", "bin"), ("-rwxr-xr-x", "bin/init"), ("lrwxrwxrwx", "bin/init"), ("crw-------", "console")]);
    }
}
