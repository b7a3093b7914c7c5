//! Hands on the bytes of a volume.

use std::fs::OpenOptions;
use std::os::unix::fs::FileExt;

use async_trait::async_trait;

use crate::ports::VolumeAccess;
use crate::types::DiskFormat;

/// Reads and writes an attached volume's bytes, as the guest sees them.
#[async_trait]
pub trait VolumeBytes: Send + Sync {
    /// Writes `bytes` at `offset`. Panics if it cannot.
    async fn write(&self, access: &VolumeAccess, offset: u64, bytes: &[u8]);

    /// Reads `len` bytes at `offset`. Panics if it cannot.
    async fn read(&self, access: &VolumeAccess, offset: u64, len: usize) -> Vec<u8>;
}

/// Raw files and block devices, opened directly. A storage that also makes other formats needs hands of its own
/// (`qemu-io`, say).
#[derive(Debug, Clone, Copy)]
pub struct RawFiles;

#[async_trait]
impl VolumeBytes for RawFiles {
    async fn write(&self, access: &VolumeAccess, offset: u64, bytes: &[u8]) {
        let file = OpenOptions::new().write(true).open(path(access)).expect("an attached volume can be opened to write");
        file.write_all_at(bytes, offset).expect("an attached volume can be written");
    }

    async fn read(&self, access: &VolumeAccess, offset: u64, len: usize) -> Vec<u8> {
        let file = OpenOptions::new().read(true).open(path(access)).expect("an attached volume can be opened to read");
        let mut bytes = vec![0; len];
        file.read_exact_at(&mut bytes, offset).expect("an attached volume can be read");
        bytes
    }
}

fn path(access: &VolumeAccess) -> &std::path::Path {
    match access {
        VolumeAccess::File { path, format: DiskFormat::Raw, .. } | VolumeAccess::Block { path, .. } => path,
        VolumeAccess::File { format, .. } => panic!("RawFiles cannot read {format}: give the fixture hands of its own"),
        VolumeAccess::Memory { .. } => panic!("RawFiles cannot read memory: give the fixture hands of its own"),
    }
}
