//! The firmware of a UEFI guest, opened for it: its code, and its variables, which begin as the firmware's template.

use std::fs::File;
use std::io::{self, Read as _};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use gpve_core::error::{Error, ErrorKind, Result};
use gpve_core::types::DiskFormat;

use super::OP;
use crate::qemu::argv::compose::FirmwareFiles;

/// Where packages put UEFI firmware: PVE's, Debian's for PCs and for ARM.
const DIRECTORIES: [&str; 3] = ["/usr/share/pve-edk2-firmware", "/usr/share/OVMF", "/usr/share/AAVMF"];

/// A template is at most as large as ARM's.
const LARGEST: u64 = 64 << 20;

/// A volume is blank if it begins with so many zeros: a firmware volume's header stands before them.
const HEADER: usize = 4096;

/// The file `name` of an installed firmware.
pub(super) fn find(name: &str) -> Result<PathBuf> {
    let there = DIRECTORIES.iter().map(|directory| Path::new(directory).join(name)).find(|path| path.is_file());
    there.ok_or_else(|| {
        let message = format!("bios: the UEFI firmware {name} is in none of {}; on Debian: apt install ovmf", DIRECTORIES.join(", "));
        Error::new(ErrorKind::FailedPrecondition, OP, message)
    })
}

/// What the variables of a firmware begin as.
pub(super) fn template(files: FirmwareFiles) -> Result<Vec<u8>> {
    let Some(name) = files.variables else { return Ok(Vec::new()) };
    let path = find(name)?;
    let read = || -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        File::open(&path)?.take(LARGEST).read_to_end(&mut bytes)?;
        Ok(bytes)
    };
    read().map_err(|error| super::fault::io(OP, path.display(), &error))
}

/// Variables for one run, in a file of the guest's own directory.
pub(super) fn temporary(path: &Path, template: &[u8]) -> io::Result<File> {
    std::fs::write(path, template)?;
    File::options().read(true).write(true).open(path)
}

/// Writes the template into a volume that has never been used. One that holds anything is left as it is.
pub(super) fn begin(path: &Path, format: DiskFormat, template: &[u8]) -> io::Result<()> {
    if format != DiskFormat::Raw {
        return Ok(());
    }
    let file = File::options().read(true).write(true).open(path)?;
    let mut header = [0; HEADER];
    let read = file.read_at(&mut header, 0)?;
    if header[..read].iter().any(|byte| *byte != 0) {
        return Ok(());
    }
    file.write_all_at(template, 0)?;
    file.sync_data()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_blank_volume_begins_as_the_template_and_a_used_one_stays() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("vars.raw");
        std::fs::write(&path, vec![0; 2 * HEADER]).unwrap();
        begin(&path, DiskFormat::Raw, b"template").unwrap();
        begin(&path, DiskFormat::Raw, b"another!").unwrap();
        assert!(std::fs::read(&path).unwrap().starts_with(b"template\0"));
        assert_eq!(std::fs::metadata(&path).unwrap().len(), 2 * HEADER as u64);
    }
}
