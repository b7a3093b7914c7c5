//! The nodes of a disk: from top to bottom a throttle filter, the format, the file. In JSON only, where nothing has to
//! be escaped.

use std::path::{Path, PathBuf};

use gpve_core::types::{Aio, CacheMode, Discard, DiskFormat, DiskOptions, Media};
pub use gpve_core::types::{CephMonitor, IoUring, IscsiUnit, RbdImage, StorageTraits};
use serde_json::{Value, json};

use super::line::Switch;

/// How QEMU opens an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FileSource {
    /// By its path.
    Path(PathBuf),
    /// By a descriptor that it was given, as `/dev/fdset/N`.
    Descriptor(u32),
    /// From a Ceph cluster.
    Rbd(RbdImage),
    /// From an iSCSI target.
    Iscsi(IscsiUnit),
}

/// An image and what it is based on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Image {
    /// Layout of its bytes.
    pub format: DiskFormat,
    /// Its file.
    pub file: FileSource,
    /// The file is a block device.
    pub is_device: bool,
    /// Opened read-only.
    pub read_only: bool,
    /// The guest sees this many bytes of it; absent: all.
    pub size: Option<u64>,
    /// What is known of its storage.
    pub storage: StorageTraits,
    /// The image that it is based on.
    pub backing: Option<Box<Image>>,
}

impl Image {
    /// An image in a file.
    #[must_use]
    pub fn file(format: DiskFormat, path: &Path) -> Self {
        Self::at(format, FileSource::Path(path.into()))
    }

    /// An image somewhere.
    #[must_use]
    pub fn at(format: DiskFormat, file: FileSource) -> Self {
        Self { format, file, is_device: false, read_only: false, size: None, storage: StorageTraits::default(), backing: None }
    }
}

/// Id of the throttle filter, which the device is connected to. `label` names the disk, usually its slot.
#[must_use]
pub fn top_node(label: &str) -> String {
    format!("drive-{label}")
}

/// Id of the format node, which holds snapshots.
#[must_use]
pub fn format_node(label: &str) -> String {
    format!("format-{label}")
}

/// Id of the file node.
#[must_use]
pub fn file_node(label: &str) -> String {
    format!("file-{label}")
}

/// What the image that a disk is based on is called.
#[must_use]
pub fn base_label(label: &str) -> String {
    format!("{label}-b")
}

/// Id of a disk's throttle group.
#[must_use]
pub fn throttle_group(label: &str) -> String {
    format!("throttle-{}", top_node(label))
}

/// The nodes of one disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Blockdev(Value);

impl Blockdev {
    /// The nodes of the disk called `label`; `default_aio` is for disks that ask for no mode.
    #[must_use]
    pub fn new(label: &str, image: &Image, options: &DiskOptions, default_aio: Aio) -> Self {
        Self::of(label, image, &Behaviour::of_disk(image, options, default_aio))
    }

    /// The nodes of the firmware's variables. The guest writes them byte by byte, so they are cached: uncached, a boot
    /// takes minutes on Ceph.
    #[must_use]
    pub fn firmware_variables(label: &str, image: &Image, default_aio: Aio) -> Self {
        let behaviour = Behaviour { direct: false, no_flush: false, aio: default_aio.as_str(), discard: "ignore", detect_zeroes: "on" };
        Self::of(label, image, &behaviour)
    }

    /// The node of the firmware's code.
    #[must_use]
    pub fn firmware_code(node: &str, file: &FileSource) -> Self {
        let filename = match file {
            FileSource::Descriptor(set) => format!("/dev/fdset/{set}"),
            FileSource::Path(path) => path.to_string_lossy().into_owned(),
            FileSource::Rbd(_) | FileSource::Iscsi(_) => String::new(),
        };
        let file = json!({"driver": "file", "filename": filename, "read-only": true});
        Self(json!({"driver": "raw", "node-name": node, "read-only": true, "file": file}))
    }

    fn of(label: &str, image: &Image, behaviour: &Behaviour) -> Self {
        let mut top = behaviour.node("throttle", image.read_only);
        top["node-name"] = json!(top_node(label));
        top["throttle-group"] = json!(throttle_group(label));
        top["file"] = behaviour.image(image, label);
        // The filter caches nothing.
        if let Some(members) = top.as_object_mut() {
            members.remove("cache");
        }
        Self(top)
    }

    /// The arguments of `blockdev-add`.
    #[must_use]
    pub fn to_json(&self) -> &Value {
        &self.0
    }
}

impl Switch for Blockdev {
    const FLAG: &'static str = "-blockdev";
    fn operand(&self) -> Option<String> {
        Some(self.0.to_string())
    }
}

/// Whether the guest sees a disk's write cache: writes are safe only once flushed.
#[must_use]
pub fn has_write_cache(options: &DiskOptions) -> bool {
    !matches!(options.cache, Some(CacheMode::Writethrough | CacheMode::Directsync))
}

/// Whether a disk's files are opened past the host's cache (`O_DIRECT`). CD-ROM images are shared by guests and never
/// written: they are cached.
#[must_use]
pub fn is_direct(options: &DiskOptions, storage: StorageTraits) -> bool {
    match options.cache {
        None => options.media != Some(Media::Cdrom) && !storage.is_cached,
        Some(cache) => matches!(cache, CacheMode::None | CacheMode::Directsync),
    }
}

/// How all nodes of a disk behave.
struct Behaviour {
    direct: bool,
    no_flush: bool,
    aio: &'static str,
    discard: &'static str,
    detect_zeroes: &'static str,
}

impl Behaviour {
    fn of_disk(image: &Image, options: &DiskOptions, default_aio: Aio) -> Self {
        let discards = options.discard == Some(Discard::On);
        let direct = is_direct(options, image.storage);
        let is_cdrom = options.media == Some(Media::Cdrom);
        Self {
            direct,
            no_flush: options.cache == Some(CacheMode::Unsafe),
            aio: options.aio.unwrap_or_else(|| usual_aio(default_aio, image.storage.io_uring, direct)).as_str(),
            discard: if discards { "unmap" } else { "ignore" },
            detect_zeroes: match (is_cdrom || options.detect_zeroes == Some(false), discards) {
                (true, _) => "off",
                (false, true) => "unmap",
                (false, false) => "on",
            },
        }
    }

    fn node(&self, driver: &str, read_only: bool) -> Value {
        json!({
            "driver": driver, "read-only": read_only,
            "cache": {"direct": self.direct, "no-flush": self.no_flush},
            "discard": self.discard, "detect-zeroes": self.detect_zeroes,
        })
    }

    /// The format node and the file node of an image, and of those that it is based on. `name` ends their ids.
    fn image(&self, image: &Image, name: &str) -> Value {
        let mut file = self.file(image);
        file["node-name"] = json!(file_node(name));
        let mut format = self.node(image.format.as_str(), image.read_only);
        format["node-name"] = json!(format_node(name));
        format["file"] = file;
        if let Some(size) = image.size.filter(|_| image.format == DiskFormat::Raw) {
            format["size"] = json!(size);
        }
        if image.storage.keeps_clusters && image.format == DiskFormat::Qcow2 {
            format["discard-no-unref"] = json!(true);
        }
        match (&image.backing, image.format) {
            (Some(backing), _) => {
                let below = Self { discard: "ignore", detect_zeroes: "off", ..*self };
                format["backing"] = below.image(backing, &base_label(name));
            }
            // What an image's header names is never opened by itself: whoever wrote the image chose it.
            (None, DiskFormat::Qcow2) => format["backing"] = Value::Null,
            (None, _) => {}
        }
        format
    }

    fn file(&self, image: &Image) -> Value {
        let local = |filename: String| {
            let driver = match (image.storage.is_cdrom_drive, image.is_device) {
                (true, _) => "host_cdrom",
                (false, true) => "host_device",
                (false, false) => "file",
            };
            let mut node = self.node(driver, image.read_only);
            node["filename"] = json!(filename);
            node["aio"] = json!(self.aio);
            node
        };
        match &image.file {
            FileSource::Path(path) => local(path.to_string_lossy().into_owned()),
            FileSource::Descriptor(set) => local(format!("/dev/fdset/{set}")),
            FileSource::Rbd(rbd) => self.rbd(rbd, image.read_only),
            FileSource::Iscsi(unit) => {
                let mut node = self.node("iscsi", image.read_only);
                node["transport"] = json!("tcp");
                node["portal"] = json!(unit.portal);
                node["target"] = json!(unit.target);
                node["lun"] = json!(unit.lun);
                node
            }
        }
    }

    fn rbd(&self, image: &RbdImage, read_only: bool) -> Value {
        let mut node = self.node("rbd", read_only);
        node["pool"] = json!(image.pool);
        node["image"] = json!(image.image);
        if let Some(namespace) = &image.namespace {
            node["namespace"] = json!(namespace);
        }
        if !image.monitors.is_empty() {
            let port = |monitor: &CephMonitor| monitor.port.unwrap_or(CephMonitor::PORT).to_string();
            let monitors = image.monitors.iter().map(|monitor| json!({"host": monitor.host, "port": port(monitor)}));
            node["server"] = monitors.collect();
        }
        if let Some(snapshot) = &image.snapshot {
            node["snapshot"] = json!(snapshot.as_str());
        }
        if let Some(path) = &image.configuration {
            node["conf"] = json!(path.to_string_lossy());
        }
        match &image.user {
            Some(user) => {
                node["user"] = json!(user);
                node["auth-client-required"] = json!(["cephx"]);
            }
            None => node["auth-client-required"] = json!(["none"]),
        }
        node
    }
}

/// The I/O mode of a disk that asks for none: the host's usual one, unless the storage fails with it. Linux AIO blocks
/// when it goes through the host's cache.
fn usual_aio(usual: Aio, io_uring: IoUring, direct: bool) -> Aio {
    let trusted = match io_uring {
        IoUring::Always => true,
        IoUring::Direct => direct,
        IoUring::Never => false,
    };
    match usual {
        Aio::IoUring if trusted => Aio::IoUring,
        Aio::IoUring if direct => Aio::Native,
        Aio::IoUring => Aio::Threads,
        other => other,
    }
}
