use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use async_trait::async_trait;
use gpve_core::ports::{CreateVolume, Ensured, OpCx, StoragePlugin, Volume, VolumeAccess, VolumeClones, VolumeImport, VolumeSnapshots};
use gpve_core::testing::conformance::VolumeBytes;
use gpve_core::types::{ByteSize, DiskFormat, Vmid, VolumeName};
use gpve_exec::{System, Tool, Tools};
use gpve_storage::{DirConfig, DirStorage};

/// Says loudly that a test did not run.
macro_rules! needs_qemu_img {
    () => {
        if !$crate::support::has_qemu_img() {
            println!("SKIP {}: qemu-img is missing: apt install qemu-utils", module_path!());
            return;
        }
    };
}
pub(crate) use needs_qemu_img;

pub(crate) fn has_qemu_img() -> bool {
    Tools::system().find(Tool::QEMU_IMG).is_ok()
}

/// A storage `local` in a directory of its own.
pub(crate) struct Local {
    pub(crate) directory: tempfile::TempDir,
    pub(crate) storage: DirStorage,
}

impl Local {
    pub(crate) fn new() -> Self {
        Self::with(|config| config)
    }

    pub(crate) fn with(change: impl FnOnce(DirConfig) -> DirConfig) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let config = change(DirConfig::new("local".parse().unwrap(), directory.path()));
        let storage = DirStorage::new(config, Arc::new(System::new(Tools::system()))).unwrap();
        Self { directory, storage }
    }

    /// Another plugin on the same directory, as another process would have.
    pub(crate) fn again(&self) -> DirStorage {
        storage_at(self.directory.path())
    }

    pub(crate) fn snapshots(&self) -> &dyn VolumeSnapshots {
        self.storage.snapshots().unwrap()
    }

    pub(crate) fn clones(&self) -> &dyn VolumeClones {
        self.storage.clones().unwrap()
    }

    pub(crate) fn importer(&self) -> &dyn VolumeImport {
        StoragePlugin::import(&self.storage).unwrap()
    }

    pub(crate) fn path(&self, relative: &str) -> PathBuf {
        self.directory.path().join(relative)
    }

    /// Writes a file with its directories.
    pub(crate) fn file(&self, relative: &str, bytes: &[u8]) -> PathBuf {
        let path = self.path(relative);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, bytes).unwrap();
        path
    }

    pub(crate) async fn disk(&self, owner: u32, size: &str, format: DiskFormat) -> Volume {
        let owner = vmid(owner);
        let name = self.storage.free_name(&cx(), owner, format, &[]).await.unwrap();
        let request = CreateVolume { name, owner, format, size: size.parse().unwrap() };
        let Ensured::Made(volume) = self.storage.create(&cx(), &request).await.unwrap() else { panic!("it was there") };
        volume
    }

    /// Every path below the storage but gpve's lock files, sorted.
    pub(crate) fn tree(&self) -> Vec<String> {
        let mut found = Vec::new();
        walk(self.directory.path(), self.directory.path(), &mut found);
        found.retain(|path| !(path.starts_with(".gpve-") && path.ends_with(".lock")));
        found.sort();
        found
    }
}

/// A storage `local` at `directory`.
pub(crate) fn storage_at(directory: &Path) -> DirStorage {
    let config = DirConfig::new("local".parse().unwrap(), directory);
    DirStorage::new(config, Arc::new(System::new(Tools::system()))).unwrap()
}

fn walk(root: &Path, directory: &Path, found: &mut Vec<String>) {
    for entry in std::fs::read_dir(directory).unwrap() {
        let entry = entry.unwrap();
        found.push(entry.path().strip_prefix(root).unwrap().to_str().unwrap().to_owned());
        if entry.file_type().unwrap().is_dir() {
            walk(root, &entry.path(), found);
        }
    }
}

pub(crate) fn cx() -> OpCx {
    OpCx::background()
}

pub(crate) fn vmid(number: u32) -> Vmid {
    Vmid::try_from(number).unwrap()
}

pub(crate) fn name(text: &str) -> VolumeName {
    text.parse().unwrap()
}

pub(crate) fn size(text: &str) -> ByteSize {
    text.parse().unwrap()
}

/// Runs a program of the test's own and gives what it printed.
pub(crate) fn run(program: &str, args: &[&str]) -> String {
    let output = Command::new(program).args(args).output().unwrap();
    assert!(output.status.success(), "{program} {args:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

pub(crate) fn qemu_img(args: &[&str]) -> String {
    run("qemu-img", args)
}

/// Bytes of images as a guest sees them, through `qemu-io` and `qemu-img`.
pub(crate) struct Qemu;

#[async_trait]
impl VolumeBytes for Qemu {
    async fn write(&self, access: &VolumeAccess, offset: u64, bytes: &[u8]) {
        let (path, format) = file(access);
        let pattern = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(pattern.path(), bytes).unwrap();
        let command = format!("write -s {} {offset} {}", pattern.path().display(), bytes.len());
        let printed = run("qemu-io", &["-f", format, "-c", &command, path]);
        assert!(printed.contains("wrote"), "{printed}");
    }

    async fn read(&self, access: &VolumeAccess, offset: u64, len: usize) -> Vec<u8> {
        let (path, format) = file(access);
        let flat = tempfile::NamedTempFile::new().unwrap();
        qemu_img(&["convert", "-f", format, "-O", "raw", path, flat.path().to_str().unwrap()]);
        let all = std::fs::read(flat.path()).unwrap();
        let start = usize::try_from(offset).unwrap();
        // A raw copy of a file that is no whole number of sectors is longer than it.
        all[start..start + len].to_vec()
    }
}

fn file(access: &VolumeAccess) -> (&str, &'static str) {
    match access {
        VolumeAccess::File { path, format, .. } => (path.to_str().unwrap(), format.as_str()),
        VolumeAccess::Block { .. } | VolumeAccess::Memory { .. } => panic!("a directory storage gives files, not {access:?}"),
    }
}
