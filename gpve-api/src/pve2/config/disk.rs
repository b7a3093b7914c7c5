//! Drives: `local:1,format=qcow2`, `local:100/vm-100-disk-0.qcow2,size=1G`, `none,media=cdrom`.

use gpve_core::types::{
    DiskBus, DiskFormat, DiskOptions, DiskSlot, DiskSource, DiskSpec, ImportSource, Media, PropertyKey, PropertyValue, StorageId, VolumeId,
    VolumeName,
};

use crate::pve2::property::PropertyString;
use crate::route::PropertyFormat;
use crate::routes::properties as forms;

use super::{Problems, words};

/// The form of a drive's text.
pub(super) fn form(bus: DiskBus) -> &'static PropertyFormat {
    match bus {
        DiskBus::Scsi => &forms::SCSI,
        DiskBus::Virtio => &forms::VIRTIO,
        DiskBus::Ide => &forms::IDE,
        DiskBus::Sata => &forms::SATA,
        DiskBus::Nvme => &forms::NVME,
    }
}

/// Parses the drive in `slot`; what is wrong goes to `problems`.
pub(super) fn parse(slot: DiskSlot, text: &str, problems: &mut Problems) -> Option<DiskSpec> {
    let name = slot.to_string();
    let mut parts = match PropertyString::parse(form(slot.bus()), text) {
        Ok(parts) => parts,
        Err(e) => {
            problems.field(&name, e);
            return None;
        }
    };
    let source = source(&name, &mut parts, problems)?;
    match options(&mut parts) {
        Ok(options) => Some(DiskSpec { name: slot, source, options }),
        Err(why) => {
            problems.field(&name, why);
            None
        }
    }
}

fn source(name: &str, parts: &mut PropertyString, problems: &mut Problems) -> Option<DiskSource> {
    let file = parts.take("file").unwrap_or_default();
    let import = parts.take("import-from");
    let size = parts.take("size").and_then(|s| words::size(&s));
    let format = || parts.get("format").and_then(|f| f.parse::<DiskFormat>().ok());
    if file == "none" {
        return Some(DiskSource::Empty);
    }
    if file == "cdrom" {
        problems.field(name, "the host's CD-ROM drive cannot be used; give a volume, or 'none'");
        return None;
    }
    if file.starts_with('/') {
        problems.field(name, format!("unable to associate path '{}' to any storage", crate::route::shorten(&file)));
        return None;
    }
    let (storage, rest) = file.split_once(':')?;
    let storage: StorageId = storage.parse().map_err(|e| problems.field(name, e)).ok()?;
    if rest == "cloudinit" {
        problems.field(name, "cloud-init drives cannot be made yet");
        return None;
    }
    if let Some(size) = words::gibibytes(rest) {
        let format = format();
        // The format of a new volume shows in its name.
        parts.take("format");
        let Some(from) = import else { return Some(DiskSource::New { storage, size, format }) };
        let (from, source_format) = import_source(&from).map_err(|why| problems.field(name, why)).ok()?;
        return Some(DiskSource::Import { storage, from, source_format, format });
    }
    if import.is_some() {
        problems.field(name, "import-from needs STORAGE:0 as the volume");
        return None;
    }
    match rest.parse::<VolumeName>() {
        Ok(volume) => Some(DiskSource::Volume { volume: VolumeId::new(storage, volume), size }),
        Err(_) => {
            problems.volume_name(rest);
            None
        }
    }
}

fn import_source(text: &str) -> Result<(ImportSource, DiskFormat), String> {
    let extension = text.rsplit_once('.').map(|(_, e)| e.to_ascii_lowercase()).unwrap_or_default();
    let format = match extension.as_str() {
        "raw" | "img" => DiskFormat::Raw,
        "qcow2" => DiskFormat::Qcow2,
        "vmdk" => DiskFormat::Vmdk,
        _ => return Err("import-from: the name must end in .raw, .img, .qcow2 or .vmdk, because a format is never guessed".to_owned()),
    };
    let source = if text.starts_with('/') {
        ImportSource::File(text.into())
    } else {
        ImportSource::Volume(text.parse().map_err(|e| format!("import-from: {e}"))?)
    };
    Ok((source, format))
}

fn options(parts: &mut PropertyString) -> Result<DiskOptions, String> {
    let mut word = |key: &str| parts.take(key);
    let flag = |text: Option<String>| text.map(|v| v == "1");
    let mut options = DiskOptions {
        media: word("media").and_then(|v| v.parse().ok()),
        cache: word("cache").and_then(|v| v.parse().ok()),
        aio: word("aio").and_then(|v| v.parse().ok()),
        discard: word("discard").and_then(|v| v.parse().ok()),
        iothread: flag(word("iothread")),
        ssd: flag(word("ssd")),
        ro: flag(word("ro")),
        backup: flag(word("backup")),
        replicate: flag(word("replicate")),
        ..DiskOptions::default()
    };
    // A serial number or format outside the vocabulary is kept as it is.
    if let Some(serial) = parts.get("serial").and_then(|v| v.parse().ok()) {
        options.serial = Some(serial);
        parts.take("serial");
    }
    if let Some(format) = parts.get("format").and_then(|v| v.parse().ok()) {
        options.format = Some(format);
        parts.take("format");
    }
    for (key, value) in parts.iter() {
        let key: PropertyKey = key.parse().map_err(|e| format!("{key}: {e}"))?;
        let value = PropertyValue::try_from(value.to_owned()).map_err(|e| format!("{key}: {e}"))?;
        options.other.insert(key, value);
    }
    Ok(options)
}

/// The text of a drive.
pub(super) fn render(disk: &DiskSpec) -> String {
    let mut parts = PropertyString::new(form(disk.name.bus()));
    let o = &disk.options;
    let flag = |v: bool| u8::from(v).to_string();
    let mut pairs: Vec<(&str, Option<String>)> = vec![
        ("media", o.media.map(|v: Media| v.to_string())),
        ("cache", o.cache.map(|v| v.to_string())),
        ("aio", o.aio.map(|v| v.to_string())),
        ("discard", o.discard.map(|v| v.to_string())),
        ("iothread", o.iothread.map(flag)),
        ("ssd", o.ssd.map(flag)),
        ("ro", o.ro.map(flag)),
        ("backup", o.backup.map(flag)),
        ("replicate", o.replicate.map(flag)),
        ("serial", o.serial.as_ref().map(ToString::to_string)),
        ("format", o.format.map(|v| v.to_string())),
    ];
    pairs.extend(o.other.iter().map(|(k, v)| (k.as_str(), Some(v.as_str().to_owned()))));
    match &disk.source {
        DiskSource::Empty => pairs.push(("file", Some("none".to_owned()))),
        DiskSource::Volume { volume, size } => {
            pairs.push(("file", Some(volume.to_string())));
            pairs.push(("size", size.map(|s| s.pve())));
        }
        DiskSource::New { storage, size, format } => {
            pairs.push(("file", Some(format!("{storage}:{}", thousandth_gib(size.bytes())))));
            pairs.push(("format", format.map(|f| f.to_string())));
        }
        DiskSource::Import { storage, from, format, .. } => {
            let from = match from {
                ImportSource::Volume(volume) => volume.to_string(),
                ImportSource::File(path) => path.display().to_string(),
            };
            pairs.push(("file", Some(format!("{storage}:0"))));
            pairs.push(("import-from", Some(from)));
            pairs.push(("format", format.map(|f| f.to_string())));
        }
    }
    for (key, value) in pairs.into_iter().filter_map(|(k, v)| Some((k, v?))) {
        // An option that this bus does not have (a spec of the native API may say so) is left out of the view.
        let _ = parts.set(key, &value);
    }
    parts.to_string()
}

/// Bytes as a decimal number of GiB that [`words::gibibytes`] reads back.
fn thousandth_gib(bytes: u64) -> String {
    let (whole, rest) = (bytes >> 30, bytes & ((1 << 30) - 1));
    if rest == 0 {
        return whole.to_string();
    }
    // Rounded down in the ninth decimal, so that rounding up to whole KiB gives the same size again.
    let decimals = u128::from(rest) * 1_000_000_000 / (1 << 30);
    format!("{whole}.{decimals:09}").trim_end_matches('0').trim_end_matches('.').to_owned()
}
