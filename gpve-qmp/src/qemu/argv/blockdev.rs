//! The nodes of a disk: from top to bottom a throttle filter, the format, the file. In JSON only, where nothing has to
//! be escaped.

use std::path::{Path, PathBuf};

use gpve_core::types::{Aio, CacheMode, Discard, DiskFormat, DiskOptions};
use serde_json::{Value, json};

use super::line::Switch;

/// How QEMU opens the file of an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FileSource {
    /// By its path.
    Path(PathBuf),
    /// By a descriptor that it was given, as `/dev/fdset/N`.
    Descriptor(u32),
}

impl FileSource {
    /// The file name for QEMU.
    #[must_use]
    pub fn filename(&self) -> String {
        match self {
            Self::Path(path) => path.to_string_lossy().into_owned(),
            Self::Descriptor(set) => format!("/dev/fdset/{set}"),
        }
    }
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
    /// The image that it is based on.
    pub backing: Option<Box<Image>>,
}

impl Image {
    /// An image in a file.
    #[must_use]
    pub fn file(format: DiskFormat, path: &Path) -> Self {
        Self { format, file: FileSource::Path(path.into()), is_device: false, read_only: false, backing: None }
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
        let behaviour = Behaviour::of(image, options, default_aio);
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

/// Whether a disk's files are opened past the host's cache (`O_DIRECT`).
#[must_use]
pub fn is_direct(options: &DiskOptions) -> bool {
    matches!(options.cache, None | Some(CacheMode::None | CacheMode::Directsync))
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
    fn of(image: &Image, options: &DiskOptions, default_aio: Aio) -> Self {
        let discards = options.discard == Some(Discard::On) && !image.read_only;
        Self {
            direct: is_direct(options),
            no_flush: options.cache == Some(CacheMode::Unsafe),
            aio: options.aio.unwrap_or(default_aio).as_str(),
            discard: if discards { "unmap" } else { "ignore" },
            detect_zeroes: match (image.read_only, discards) {
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
        let mut file = self.node(if image.is_device { "host_device" } else { "file" }, image.read_only);
        file["filename"] = json!(image.file.filename());
        file["aio"] = json!(self.aio);
        file["node-name"] = json!(file_node(name));
        let mut format = self.node(image.format.as_str(), image.read_only);
        format["node-name"] = json!(format_node(name));
        format["file"] = file;
        match (&image.backing, image.format) {
            (Some(backing), _) => {
                let below = Self { discard: "ignore", detect_zeroes: "off", ..*self };
                format["backing"] = below.image(backing, &base_label(name));
            }
            // What an image's header names is never opened by itself: whoever wrote the image chose it.
            (None, DiskFormat::Qcow2) => format["backing"] = Value::Null,
            (None, DiskFormat::Raw | DiskFormat::Vmdk) => {}
        }
        format
    }
}
