//! The exact arguments that `qemu-img` gets.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use gpve_core::types::DiskFormat;
use gpve_exec::{ExecError, Invocation, Output, Runner, Status};
use gpve_storage::image::{Conversion, ImageFile, NewImage, Preallocation, QemuImg, SnapshotAction};

use crate::support::{cx, size};

/// Runs nothing; keeps the arguments with descriptors called by their order of opening.
#[derive(Debug, Default)]
struct Listener(Mutex<Vec<String>>);

#[async_trait]
impl Runner for Listener {
    async fn run(&self, invocation: Invocation) -> Result<Output, ExecError> {
        let words: Vec<_> = invocation.arguments().iter().map(|word| word.to_str().unwrap().to_owned()).collect();
        self.0.lock().unwrap().push(words.join(" "));
        Ok(Output { tool: invocation.tool(), status: Status::Exited(0), stdout: Vec::new(), stderr: Vec::new(), elapsed: Duration::ZERO })
    }
}

#[tokio::test]
async fn every_format_is_said_and_every_file_is_a_descriptor() {
    let listener = Arc::new(Listener::default());
    let tool = QemuImg::new(Arc::clone(&listener) as Arc<dyn Runner>);
    let file = || tempfile::tempfile().unwrap();
    let (disk, base, lowest, target) = (file(), file(), file(), file());
    let path = |file: &std::fs::File| format!("/proc/{}/fd/{}", std::process::id(), std::os::fd::AsRawFd::as_raw_fd(file));
    let names = [(path(&disk), "DISK"), (path(&base), "BASE"), (path(&lowest), "LOWEST"), (path(&target), "TARGET")];

    let preallocated = NewImage { size: size("1Gi"), preallocation: Preallocation::Metadata, backing: None };
    tool.create(&target, &preallocated).await.unwrap();
    let backing = Some(("../100/base-100-disk-0.raw".to_owned(), DiskFormat::Raw));
    tool.create(&target, &NewImage { backing, preallocation: Preallocation::Off, ..preallocated }).await.unwrap();
    let image = ImageFile::new(disk, DiskFormat::Qcow2).over(base, DiskFormat::Qcow2).over(lowest, DiskFormat::Raw);
    let snapshot = "before".parse().unwrap();
    for snapshot in [None, Some(&snapshot)] {
        let conversion = Conversion { source: &image, snapshot, target: &target, format: DiskFormat::Raw };
        tool.convert(&cx(), &conversion).await.unwrap();
    }
    tool.resize(&image, size("2Gi")).await.unwrap();
    for action in [SnapshotAction::Take, SnapshotAction::Apply, SnapshotAction::Delete] {
        tool.snapshot(&image, action, &snapshot).await.unwrap();
    }

    let heard = listener.0.lock().unwrap().join("\n") + "\n";
    let heard = names.iter().fold(heard, |heard, (path, name)| heard.replace(path, name));
    let golden = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/qemu-img/arguments.txt");
    assert_eq!(heard, std::fs::read_to_string(golden).unwrap());
}
