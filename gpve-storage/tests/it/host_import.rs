use std::path::{Path, PathBuf};
use std::time::Duration;

use gpve_core::error::ErrorKind;
use gpve_core::ports::{
    Cancel, CancelHandle, Ensured, ImportVolume, LogSink, OpCx, StoragePlugin as _, VolumeAccess, VolumeFilter, VolumeMode,
};
use gpve_core::testing::conformance::VolumeBytes as _;
use gpve_core::types::DiskFormat;

use crate::support::{Local, Qemu, cx, name, needs_qemu_img, qemu_img, size, vmid};

fn from(path: &Path, format: DiskFormat, to: DiskFormat) -> ImportVolume {
    let source = VolumeAccess::File { path: path.into(), format, read_only: true, backing: Vec::new() };
    ImportVolume { source, snapshot: None, name: name(&format!("100/vm-100-disk-0.{to}")), owner: vmid(100), format: to }
}

/// Images made by `qemu-img` outside every storage.
struct Outside(tempfile::TempDir);

impl Outside {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn image(&self, file: &str, options: &[&str], size: &str) -> PathBuf {
        let path = self.0.path().join(file);
        let args = [&["create", "-q"], options, &[path.to_str().unwrap(), size]].concat();
        qemu_img(&args);
        path
    }

    fn filled(&self) -> (PathBuf, Vec<u8>) {
        let bytes: Vec<u8> = (0..3 << 20).map(|i: u32| (i % 253) as u8).collect();
        let path = self.0.path().join("filled.raw");
        std::fs::write(&path, &bytes).unwrap();
        (path, bytes)
    }
}

#[tokio::test]
async fn every_format_that_is_read_is_imported_into_every_format_that_is_written() {
    needs_qemu_img!();
    let (local, outside) = (Local::new(), Outside::new());
    let (raw, bytes) = outside.filled();
    for source in [DiskFormat::Raw, DiskFormat::Qcow2, DiskFormat::Vmdk] {
        let path = outside.0.path().join(format!("source.{source}"));
        qemu_img(&["convert", "-f", "raw", "-O", source.as_str(), raw.to_str().unwrap(), path.to_str().unwrap()]);
        for target in [DiskFormat::Raw, DiskFormat::Qcow2] {
            let volume = local.importer().import(&cx(), &from(&path, source, target)).await.unwrap().into_inner();
            assert_eq!((volume.format, volume.size), (target, size("3Mi")), "{source} to {target}");
            let access = local.storage.attach(&cx(), volume.id.name(), VolumeMode::Read).await.unwrap();
            assert!(Qemu.read(&access, 0, bytes.len()).await == bytes, "{source} to {target}");
            local.storage.delete(&cx(), volume.id.name()).await.unwrap();
        }
    }
    let stream = outside.image("stream.vmdk", &["-f", "vmdk", "-o", "subformat=streamOptimized"], "1M");
    local.importer().import(&cx(), &from(&stream, DiskFormat::Vmdk, DiskFormat::Raw)).await.unwrap();
}

#[tokio::test]
async fn an_image_that_refers_to_other_files_is_refused() {
    needs_qemu_img!();
    let (local, outside) = (Local::new(), Outside::new());
    outside.filled();
    let qcow2 = |file, options: &[&str]| outside.image(file, &[&["-f", "qcow2", "-u"], options].concat(), "1M");
    let vmdk = |file, options: &[&str]| outside.image(file, &[&["-f", "vmdk"], options].concat(), "1M");
    let parent = vmdk("parent.vmdk", &[]);
    let child = ["-F", "vmdk", "-b", parent.to_str().unwrap()];
    let data_file = format!("data_file={}", outside.0.path().join("data.raw").display());
    let cases = [
        (qcow2("backed.qcow2", &["-F", "raw", "-b", "/etc/shadow"]), DiskFormat::Qcow2, "a backing file '/etc/shadow'"),
        (qcow2("relative.qcow2", &["-F", "raw", "-b", "filled.raw"]), DiskFormat::Qcow2, "a backing file 'filled.raw'"),
        (qcow2("like-ours.qcow2", &["-F", "raw", "-b", "../100/base-100-disk-0.raw"]), DiskFormat::Qcow2, "a backing file"),
        (qcow2("data.qcow2", &["-o", &data_file]), DiskFormat::Qcow2, "a data file"),
        (vmdk("flat.vmdk", &["-o", "subformat=monolithicFlat"]), DiskFormat::Vmdk, "an extent file 'flat-flat.vmdk'"),
        (vmdk("split.vmdk", &["-o", "subformat=twoGbMaxExtentSparse"]), DiskFormat::Vmdk, "an extent file 'split-s001.vmdk'"),
        (vmdk("child.vmdk", &child), DiskFormat::Vmdk, "a backing file"),
    ];
    for (path, format, why) in cases {
        let error = local.importer().import(&cx(), &from(&path, format, DiskFormat::Qcow2)).await.unwrap_err();
        assert_eq!(error.kind, ErrorKind::InvalidInput, "{}: {error:?}", path.display());
        assert!(error.message.contains(why), "{}: {}", path.display(), error.message);
    }
    assert_eq!(local.tree(), [""; 0], "a refused import leaves nothing");
}

#[tokio::test]
async fn a_format_is_never_guessed() {
    needs_qemu_img!();
    let (local, outside) = (Local::new(), Outside::new());
    let hostile = outside.image("hostile.raw", &["-f", "qcow2", "-u", "-F", "raw", "-b", "/etc/shadow"], "1M");
    let bytes = std::fs::read(&hostile).unwrap();
    let copy = local.importer().import(&cx(), &from(&hostile, DiskFormat::Raw, DiskFormat::Raw)).await.unwrap().into_inner();
    let access = local.storage.attach(&cx(), copy.id.name(), VolumeMode::Read).await.unwrap();
    assert!(Qemu.read(&access, 0, bytes.len()).await == bytes, "raw bytes stay raw bytes, whatever they look like");
    let (raw, _) = outside.filled();
    for format in [DiskFormat::Qcow2, DiskFormat::Vmdk] {
        let error = local.importer().import(&cx(), &from(&raw, format, DiskFormat::Qcow2)).await.unwrap_err();
        assert_eq!(error.kind, ErrorKind::InvalidInput, "{error:?}");
        assert!(error.message.contains(&format!("this is not a {format} image")), "{}", error.message);
    }
}

#[tokio::test]
async fn a_failed_import_leaves_nothing() {
    needs_qemu_img!();
    let (local, outside) = (Local::new(), Outside::new());
    // The header is whole, the data is not.
    let (raw, _) = outside.filled();
    let torn = outside.0.path().join("torn.qcow2");
    qemu_img(&["convert", "-f", "raw", "-O", "qcow2", "-o", "cluster_size=64k", raw.to_str().unwrap(), torn.to_str().unwrap()]);
    let file = std::fs::OpenOptions::new().write(true).open(&torn).unwrap();
    std::os::unix::fs::FileExt::write_all_at(&file, &[0xff; 4096], 0x40000).unwrap();
    std::os::unix::fs::FileExt::write_all_at(&file, &[0x77; 512], 0x30000).unwrap();
    let absent = outside.0.path().join("absent.raw");
    let directory = outside.0.path().to_path_buf();
    for (path, format) in [(torn, DiskFormat::Qcow2), (absent, DiskFormat::Raw), (directory, DiskFormat::Raw)] {
        let done = local.importer().import(&cx(), &from(&path, format, DiskFormat::Qcow2)).await;
        assert!(done.is_err(), "{}", path.display());
        assert!(!local.tree().iter().any(|left| left.contains("100")), "{:?}", local.tree());
    }
    let relative = from(Path::new("filled.raw"), DiskFormat::Raw, DiskFormat::Raw);
    assert_eq!(local.importer().import(&cx(), &relative).await.unwrap_err().kind, ErrorKind::InvalidInput);
}

/// Cancels the task as soon as it reports progress.
struct CancelAtProgress(CancelHandle);

impl LogSink for CancelAtProgress {
    fn line(&self, text: &str) {
        assert!(text.starts_with("transferred "), "{text}");
        self.0.cancel();
    }
}

fn task(cancel: Cancel, log: impl LogSink + 'static) -> OpCx {
    let upid = "UPID:test:00000001:00000001:00000001:import:100:root@pam:".parse().unwrap();
    OpCx::task(upid, cancel, std::sync::Arc::new(log))
}

#[tokio::test]
async fn a_cancelled_import_ends_at_once_and_leaves_nothing() {
    needs_qemu_img!();
    let (local, outside) = (Local::new(), Outside::new());
    let large = outside.image("large.raw", &["-f", "raw", "-o", "preallocation=full"], "256M");
    let (handle, cancel) = CancelHandle::new();
    let cx = task(cancel, CancelAtProgress(handle));
    let request = from(&large, DiskFormat::Raw, DiskFormat::Qcow2);
    let imported = tokio::time::timeout(Duration::from_secs(60), local.importer().import(&cx, &request)).await.expect("it ends");
    match imported {
        Err(error) => assert_eq!(error.kind, ErrorKind::Cancelled, "{error:?}"),
        Ok(done) => panic!("the import was not cancelled: {done:?}"),
    }
    assert!(!local.tree().iter().any(|left| left.contains("vm-100") || left.contains(".part")), "{:?}", local.tree());
}

struct Lines(std::sync::Arc<std::sync::Mutex<Vec<String>>>);

impl LogSink for Lines {
    fn line(&self, text: &str) {
        self.0.lock().unwrap().push(text.to_owned());
    }
}

#[tokio::test]
async fn an_import_tells_its_progress_and_is_found_when_it_is_repeated() {
    needs_qemu_img!();
    let (local, outside) = (Local::new(), Outside::new());
    let (raw, _) = outside.filled();
    let lines = std::sync::Arc::default();
    let cx = task(Cancel::never(), Lines(std::sync::Arc::clone(&lines)));
    let request = from(&raw, DiskFormat::Raw, DiskFormat::Qcow2);
    let Ensured::Made(made) = local.importer().import(&cx, &request).await.unwrap() else { panic!("it was there") };
    assert_eq!(lines.lock().unwrap().last().map(String::as_str), Some("transferred 100 %"));
    assert_eq!(local.importer().import(&cx, &request).await.unwrap(), Ensured::Already(made));
    assert_eq!(local.storage.list(&cx, &VolumeFilter::default()).await.unwrap().len(), 1);
}
