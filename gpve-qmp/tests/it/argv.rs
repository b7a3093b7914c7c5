//! Golden command lines, each of which a real QEMU must also accept.
//!
//! `tests/golden/argv/NAME.json` is a machine, `NAME.args` its command line, one argument a line.
//! `UPDATE_GOLDEN=1` writes the latter anew.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use gpve_core::types::{DiskFormat, GuestName, ResolvedVm, Vga, VmSpec, Vmid, VolumeId};
use gpve_qmp::protocol::client::{Options, QmpClient};
use gpve_qmp::qemu::argv::blockdev::{FileSource, Image};
use gpve_qmp::qemu::argv::compose::{Facts, Host, KernelFiles, NicBackend, compose};
use gpve_qmp::qemu::argv::switches::{Accelerator, ListeningSocket, TapSource};
use proptest::prelude::*;
use qapi::qmp;
use serde::Deserialize;

use crate::real::{KillOnDrop, qemu_or_skip, wait_for_socket};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Case {
    vmid: u32,
    #[serde(default)]
    name: Option<GuestName>,
    accelerator: Accelerator,
    #[serde(default = "default_qemu")]
    qemu: String,
    #[serde(default)]
    kernel: Vec<String>,
    spec: VmSpec,
}

/// The newest that the tests can count on.
fn default_qemu() -> String {
    "10.0.2".to_owned()
}

impl Case {
    fn vm(&self) -> ResolvedVm {
        self.spec.resolve(Vmid::try_from(self.vmid).unwrap(), self.name.as_ref()).unwrap()
    }

    /// The whole command line, on a host with made-up paths.
    pub(crate) fn arguments(&self) -> Vec<String> {
        compose(&self.vm(), &self.host("/run/gpve/100".as_ref(), "/var/lib/gpve/images".as_ref())).unwrap().arguments
    }

    /// The host's side: sockets below `run`, images below `images`.
    fn host(&self, run: &Path, images: &Path) -> Host {
        let vm = self.vm();
        let image = |volume: &VolumeId, read_only| {
            let path = images.join(volume.name().to_string());
            let format = if path.extension().is_some_and(|e| e == "qcow2") { DiskFormat::Qcow2 } else { DiskFormat::Raw };
            Image { read_only, ..Image::file(format, &path) }
        };
        let disks = vm.disks.iter().filter_map(|(slot, disk)| {
            let read_only = disk.cdrom || disk.options.ro == Some(true);
            Some((*slot, image(disk.volume.as_ref()?, read_only)))
        });
        let nics = vm.networks.iter().map(|(index, nic)| {
            let interface = format!("tap{}i{}", vm.vmid, index.get());
            let tap = nic
                .spec
                .bridge
                .as_ref()
                .map(|_| NicBackend::Tap { source: TapSource::Interface(interface), mtu: nic.spec.mtu.map(u16::from) });
            (*index, tap.unwrap_or(NicBackend::User))
        });
        let socket = |name: &str| ListeningSocket::Path(run.join(name));
        let facts = Facts { qemu: self.qemu.parse().unwrap(), ..Facts::default() };
        Host {
            images: disks.collect(),
            nics: nics.collect(),
            agent: Some(socket("qga")),
            serials: vm.serials.keys().map(|number| (*number, socket(&format!("serial{number}")))).collect(),
            shared_memory: vm.shared_memory.as_ref().map(|_| run.join("shared-memory")),
            kernel: self.kernel.first().map(|kernel| KernelFiles { kernel: kernel.clone(), initrd: self.kernel.get(1).cloned() }),
            ..Host::new(facts, self.accelerator, socket("qmp"), run.join("vnc"), run.join("pid"))
        }
    }
}

fn golden(extension: &str) -> BTreeMap<String, PathBuf> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/argv");
    let paths = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    let paths = paths.filter(|path| path.extension().is_some_and(|found| found == extension));
    paths.map(|path| (path.file_stem().unwrap().to_str().unwrap().to_owned(), path)).collect()
}

fn case(path: &Path) -> Case {
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

#[test]
fn command_lines_are_as_recorded() {
    let mut wrong = Vec::new();
    for (name, path) in golden("json") {
        let case = case(&path);
        let line = case.arguments().iter().map(|argument| format!("{argument}\n")).collect::<String>();
        let recorded = path.with_extension("args");
        if std::env::var_os("UPDATE_GOLDEN").is_some() {
            std::fs::write(&recorded, &line).unwrap();
        }
        if std::fs::read_to_string(&recorded).unwrap_or_default() != line {
            wrong.push(format!("{name}:\n{line}"));
        }
    }
    assert!(wrong.is_empty(), "not as recorded (UPDATE_GOLDEN=1 records anew):\n{}", wrong.join("\n"));
}

/// A socket is there a moment before anybody listens on it.
async fn connect(socket: &std::path::Path) -> Option<QmpClient> {
    let listening = async {
        loop {
            match QmpClient::connect(socket, Options::default()).await {
                Ok(client) => return client,
                Err(_) => tokio::task::yield_now().await,
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(20), listening).await.ok()
}

#[tokio::test]
async fn a_real_qemu_accepts_every_recorded_machine() {
    let Some(binary) = qemu_or_skip("a_real_qemu_accepts_every_recorded_machine") else { return };
    for (name, path) in golden("json") {
        let mut case = case(&path);
        // What this host may lack: a bridge, KVM, a kernel to start, QEMU's SPICE modules.
        case.accelerator = Accelerator::Tcg;
        case.spec.kernel = None;
        case.spec.vga = case.spec.vga.filter(|vga| *vga != Vga::Qxl);
        case.spec.networks.values_mut().for_each(|nic| nic.bridge = None);
        let dir = tempfile::tempdir().unwrap();
        let host = case.host(dir.path(), dir.path());
        make_images(&host);
        let mut command = std::process::Command::new(&binary);
        command.args(compose(&case.vm(), &host).unwrap().arguments).stdin(std::process::Stdio::null());
        let mut qemu = KillOnDrop(command.spawn().unwrap());
        let socket = dir.path().join("qmp");
        wait_for_socket(&mut qemu, &socket).unwrap_or_else(|status| panic!("{name}: QEMU ended with {status}"));
        let client = connect(&socket).await.unwrap_or_else(|| panic!("{name}: QEMU does not listen"));
        assert!(!client.execute(&qmp::query_status {}).await.unwrap().running, "{name}");
        let disks = client.execute(&qmp::query_block {}).await.unwrap().len();
        assert!(disks >= host.images.len(), "{name}: {disks} disks");
        client.execute(&qmp::quit {}).await.unwrap();
        tokio::time::timeout(Duration::from_secs(20), client.closed()).await.unwrap();
    }
}

fn make_images(host: &Host) {
    for image in host.images.values() {
        let FileSource::Path(path) = &image.file else { continue };
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        let format = format!("{}", image.format);
        let made = std::process::Command::new("qemu-img").args(["create", "-q", "-f", &format]).arg(path).arg("1M").status();
        assert!(made.unwrap().success());
    }
}

proptest! {
    /// Whatever stands in a value, it stays one value.
    #[test]
    fn no_value_adds_a_key(cmdline in "[^\\x00\\r\\n]{0,60}", socket in "[^\\x00\\r\\n/]{1,40}", source in "[^\\x00\\r\\n]{0,40}") {
        let case: Case = serde_json::from_str(
            r#"{"vmid": 100, "accelerator": "tcg", "kernel": ["k"], "spec": {"memory": {"size": "64Mi"}, "serials": {"0": "socket"},
                "kernel": {"kernel": "/k", "cmdline": "x"}, "rng": {"source": "/dev/urandom"}}}"#).unwrap();
        let mut vm = case.vm();
        let plain = compose(&vm, &case.host("/r".as_ref(), "/i".as_ref())).unwrap().arguments;
        vm.kernel.as_mut().unwrap().cmdline = format!("x{cmdline}");
        vm.rng.as_mut().unwrap().source = source;
        let run = PathBuf::from("/r").join(socket);
        let line = compose(&vm, &case.host(&run, "/i".as_ref())).unwrap().arguments;
        prop_assert_eq!(plain.len(), line.len(), "no argument is added");
        let is_raw = |flag: &String| flag == "-append" || flag == "-pidfile";
        for (at, (before, after)) in plain.iter().zip(&line).enumerate().filter(|(at, _)| *at == 0 || !is_raw(&plain[at - 1])) {
            prop_assert_eq!(keys(before), keys(after), "argument {}", at);
        }
    }
}

/// The keys of `key=value,...` as QEMU reads it: a doubled comma is no separator.
fn keys(argument: &str) -> Vec<String> {
    let mut parts = vec![String::new()];
    let mut chars = argument.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            ',' if chars.peek() == Some(&',') => {
                chars.next();
                parts.last_mut().unwrap().push(',');
            }
            ',' => parts.push(String::new()),
            _ => parts.last_mut().unwrap().push(c),
        }
    }
    let key = |part: &String| part.split_once('=').map(|(key, _)| key.to_owned());
    // A leading value without a key has the implied one, written out where the value holds '='.
    parts
        .iter()
        .enumerate()
        .map(|(at, part)| key(part).unwrap_or_else(|| format!("{at}")))
        .map(|key| if key == "vnc" { "0".into() } else { key })
        .collect()
}

#[test]
fn line_breaks_and_nul_never_become_arguments() {
    for bad in ["a\0b", "a\nb", "a\rb"] {
        let rng = r#"{"vmid": 100, "accelerator": "tcg", "spec": {"memory": {"size": "64Mi"}, "rng": {"source": "/dev/random"}}}"#;
        let case: Case = serde_json::from_str(rng).unwrap();
        let mut vm = case.vm();
        vm.rng.as_mut().unwrap().source = bad.to_owned();
        let error = compose(&vm, &case.host("/r".as_ref(), "/i".as_ref())).unwrap_err();
        assert_eq!(error.to_string(), "-object: the value holds a NUL byte or a line break");
    }
}
