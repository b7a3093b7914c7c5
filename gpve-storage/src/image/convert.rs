//! The arguments of `qemu-img convert`.

use std::path::{Path, PathBuf};

use gpve_core::types::{CephMonitor, DiskFormat, IscsiUnit, RbdImage, SnapName};
use gpve_exec::{Invocation, Tool};

use crate::location::{ImagePlace, Location};

/// One side of a copy, as `qemu-img` is told it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CopyEnd {
    /// A name beside the name of its format: a path, or QEMU's address of a network image.
    Named {
        /// The name; no option, so it does not start with `-`.
        name: String,
        /// Format.
        format: &'static str,
    },
    /// Options of block nodes; values with their commas doubled.
    Options(String),
}

/// A copy of an image into another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CopyCommand {
    /// What is read.
    pub source: CopyEnd,
    /// What is overwritten.
    pub target: CopyEnd,
    /// The source's state at this snapshot inside of it. A guest may run on the image: what a snapshot holds does not
    /// change under it.
    pub snapshot: Option<SnapName>,
    /// The target is there already and keeps its size and options; otherwise it becomes an image first.
    pub target_exists: bool,
    /// The target reads as zeroes: no zeroes are written to it. Only where it exists.
    pub target_is_zero: bool,
    /// The source is read past the host's cache.
    pub source_is_uncached: bool,
    /// The target is written past the host's cache.
    pub target_is_uncached: bool,
    /// At most this many KiB are copied in a second.
    pub limit_kib: Option<u64>,
}

impl CopyCommand {
    /// A copy of one volume over another, which exists. `initiator` is the name by which iSCSI targets know this host.
    pub fn between(source: &Location, target: &Location, initiator: Option<&str>) -> Self {
        Self {
            source: CopyEnd::of_source(source, initiator),
            target: CopyEnd::of_target(target, initiator),
            snapshot: source.snapshot.clone(),
            target_exists: true,
            target_is_zero: false,
            source_is_uncached: source.is_uncached,
            target_is_uncached: target.is_uncached,
            limit_kib: None,
        }
    }

    /// The program with its arguments. Prints its progress.
    pub fn invocation(&self) -> Invocation {
        let mut run = Invocation::new(Tool::QEMU_IMG).args(["convert", "-p"]);
        if self.target_exists {
            run = run.arg("-n");
        }
        if self.target_exists && self.target_is_zero {
            run = run.arg("--target-is-zero");
        }
        if let Some(snapshot) = &self.snapshot {
            run = run.arg("-U").arg("-l").option("snapshot.name=", snapshot.as_str());
        }
        for (flag, is_uncached) in [("-t", self.target_is_uncached), ("-T", self.source_is_uncached)] {
            run = if is_uncached { run.arg(flag).arg("none") } else { run };
        }
        if let Some(limit) = self.limit_kib {
            run = run.arg("-r").arg_value(format!("{limit}K"));
        }
        run = self.source.describe(run, "-f", "--image-opts");
        run = self.target.describe(run, "-O", "--target-image-opts");
        run.operand(self.source.operand()).operand(self.target.operand())
    }
}

impl CopyEnd {
    fn of_source(location: &Location, initiator: Option<&str>) -> Self {
        match &location.place {
            ImagePlace::File(path) | ImagePlace::Device(path) => Self::at_path(path, location),
            ImagePlace::Rbd(image) => Self::Named { name: ceph_address(image), format: location.format.as_str() },
            ImagePlace::Iscsi(unit) => Self::Options(iscsi_options(unit, initiator, location)),
        }
    }

    fn of_target(location: &Location, initiator: Option<&str>) -> Self {
        let (driver, path) = match &location.place {
            ImagePlace::File(path) => ("file", path),
            ImagePlace::Device(path) => ("host_device", path),
            ImagePlace::Rbd(_) | ImagePlace::Iscsi(_) => return Self::of_source(location, initiator),
        };
        if location.traits.keeps_clusters && location.format == DiskFormat::Qcow2 {
            let (format, file) = (location.format, escaped(&path.to_string_lossy()));
            return Self::Options(format!("discard-no-unref=true,driver={format},file.driver={driver},file.filename={file}"));
        }
        Self::at_path(path, location)
    }

    fn at_path(path: &Path, location: &Location) -> Self {
        // QEMU takes what stands before a colon for a protocol, unless a slash comes first.
        let path = if path.is_absolute() || path.starts_with(".") { path.to_owned() } else { PathBuf::from(".").join(path) };
        Self::Named { name: path.to_string_lossy().into_owned(), format: location.format.as_str() }
    }

    fn describe(&self, run: Invocation, format_flag: &'static str, options_flag: &'static str) -> Invocation {
        match self {
            Self::Named { format, .. } => run.arg(format_flag).arg(format),
            Self::Options(_) => run.arg(options_flag),
        }
    }

    fn operand(&self) -> &str {
        match self {
            Self::Named { name, .. } => name,
            Self::Options(options) => options,
        }
    }
}

fn iscsi_options(unit: &IscsiUnit, initiator: Option<&str>, location: &Location) -> String {
    let initiator = initiator.map(|name| format!("file.initiator-name={},", escaped(name))).unwrap_or_default();
    let (portal, target, format) = (escaped(&unit.portal), escaped(&unit.target), location.format);
    format!(
        "file.driver=iscsi,file.transport=tcp,{initiator}file.portal={portal},file.target={target},file.lun={},driver={format}",
        unit.lun
    )
}

/// A value among options.
fn escaped(value: &str) -> String {
    value.replace(',', ",,")
}

/// QEMU's address of a Ceph image: `rbd:POOL/IMAGE@SNAPSHOT:KEY=VALUE…`.
fn ceph_address(image: &RbdImage) -> String {
    let plain = |text: &str| text.replace('\\', "\\\\").replace(':', "\\:").replace('@', "\\@").replace('/', "\\/");
    let value = |text: &str| text.replace('\\', "\\\\").replace(':', "\\:");
    let namespace = image.namespace.as_deref().map(|name| format!("{}/", plain(name))).unwrap_or_default();
    let mut address = format!("rbd:{}/{namespace}{}", plain(&image.pool), plain(&image.image));
    let mut add = |text: String| address.push_str(&text);
    if let Some(snapshot) = &image.snapshot {
        add(format!("@{snapshot}"));
    }
    if let Some(file) = &image.configuration {
        add(format!(":conf={}", value(&file.to_string_lossy())));
    }
    if !image.monitors.is_empty() {
        let monitors: Vec<_> = image.monitors.iter().map(|monitor| value(&monitor_text(monitor))).collect();
        add(format!(":mon_host={}", monitors.join(";")));
        add(format!(":auth_supported={}", if image.user.is_some() { "cephx" } else { "none" }));
    }
    if let Some(user) = &image.user {
        add(format!(":id={}", value(user)));
    }
    if let Some(keyring) = &image.keyring {
        add(format!(":keyring={}", value(&keyring.to_string_lossy())));
    }
    address
}

fn monitor_text(monitor: &CephMonitor) -> String {
    let host = if monitor.host.contains(':') { format!("[{}]", monitor.host) } else { monitor.host.clone() };
    monitor.port.map_or_else(|| host.clone(), |port| format!("{host}:{port}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(command: &CopyCommand) -> String {
        let invocation = command.invocation();
        let words: Vec<_> = invocation.arguments().iter().map(|word| word.to_str().unwrap()).collect();
        words.join(" ")
    }

    fn file(path: &str, format: DiskFormat) -> Location {
        Location::new(ImagePlace::File(path.into()), format)
    }

    #[test]
    fn every_wish_has_its_switch() {
        let mut source = file("/a.qcow2", DiskFormat::Qcow2);
        source.snapshot = Some("then".parse().unwrap());
        let mut target = Location::new(ImagePlace::Device("/dev/zvol/p/v".into()), DiskFormat::Raw);
        target.is_uncached = true;
        let mut command = CopyCommand::between(&source, &target, None);
        command.target_is_zero = true;
        command.limit_kib = Some(1024);
        let expected = "convert -p -n --target-is-zero -U -l snapshot.name=then -t none -r 1024K -f qcow2 -O raw /a.qcow2 /dev/zvol/p/v";
        assert_eq!(words(&command), expected);
        // What becomes an image first is not known to be empty.
        command.target_exists = false;
        assert!(!words(&command).contains("--target-is-zero"));
    }

    #[test]
    fn no_name_is_taken_for_a_protocol_or_an_option() {
        let command = CopyCommand::between(&file("nbd:x.raw", DiskFormat::Raw), &file("-x.raw", DiskFormat::Raw), None);
        assert_eq!(words(&command), "convert -p -n -f raw -O raw ./nbd:x.raw ./-x.raw");
        let mut target = file("/a,b.qcow2", DiskFormat::Qcow2);
        target.traits.keeps_clusters = true;
        let command = CopyCommand::between(&file("/x", DiskFormat::Raw), &target, None);
        assert!(words(&command).ends_with("discard-no-unref=true,driver=qcow2,file.driver=file,file.filename=/a,,b.qcow2"));
    }

    #[test]
    fn an_address_of_ceph_says_who_asks() {
        let image = RbdImage {
            pool: "p".to_owned(),
            namespace: Some("n".to_owned()),
            image: "v@1".to_owned(),
            snapshot: Some("then".parse().unwrap()),
            monitors: vec![CephMonitor { host: "::1".to_owned(), port: Some(6789) }],
            configuration: None,
            user: Some("admin".to_owned()),
            keyring: Some("/etc/k:1".into()),
        };
        let expected = "rbd:p/n/v\\@1@then:mon_host=[\\:\\:1]\\:6789:auth_supported=cephx:id=admin:keyring=/etc/k\\:1";
        assert_eq!(ceph_address(&image), expected);
    }
}
