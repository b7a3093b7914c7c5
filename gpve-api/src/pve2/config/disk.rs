//! Drives: `local:1,format=qcow2`, `local:100/vm-100-disk-0.qcow2,size=1G`, `none,media=cdrom`.

use gpve_core::types::{
    ByteSize, DiskBus, DiskFormat, DiskOptions, DiskSlot, DiskSource, DiskSpec, EfiType, ImportSource, Media, PropertyKey, PropertyValue,
    StorageId, VolumeId, VolumeName,
};

use crate::pve2::property::PropertyString;
use crate::route::PropertyFormat;
use crate::routes::properties as forms;

use super::parts::{flag, one, shown};
use super::{Problems, throttle, words};

/// What `cdrom` stands for: the host's drive.
const HOST_CDROM: &str = "/dev/cdrom";

/// The form of a drive's text.
pub(super) fn form(bus: DiskBus) -> &'static PropertyFormat {
    match bus {
        DiskBus::Scsi => &forms::SCSI,
        DiskBus::Virtio => &forms::VIRTIO,
        DiskBus::Ide => &forms::IDE,
        DiskBus::Sata => &forms::SATA,
        DiskBus::Nvme => &forms::NVME,
        DiskBus::Efi => &forms::EFI_DISK,
        DiskBus::Tpm => &forms::TPM_STATE,
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
    let source = source(slot, &mut parts, problems)?;
    match options(&mut parts) {
        Ok(options) => Some(DiskSpec { name: slot, source, options }),
        Err(why) => {
            problems.field(&name, why);
            None
        }
    }
}

/// Size of a new volume that holds state of the board: what is asked for does not count, as in Proxmox VE.
fn state_size(slot: DiskSlot, parts: &PropertyString) -> Option<ByteSize> {
    match slot.bus() {
        DiskBus::Efi if parts.get("efitype") == Some(EfiType::FourMib.as_str()) => Some(ByteSize::from_kib(528)),
        DiskBus::Efi => Some(ByteSize::from_kib(128)),
        DiskBus::Tpm => Some(ByteSize::from_mib(4)),
        _ => None,
    }
}

fn source(slot: DiskSlot, parts: &mut PropertyString, problems: &mut Problems) -> Option<DiskSource> {
    let name = &slot.to_string();
    let file = parts.take("file").unwrap_or_default();
    let import = parts.take("import-from");
    let size = parts.take("size").and_then(|s| words::size(&s));
    let format = || parts.get("format").and_then(|f| f.parse::<DiskFormat>().ok());
    if file == "none" {
        return Some(DiskSource::Empty);
    }
    if file == "cdrom" {
        return Some(DiskSource::Host(HOST_CDROM.into()));
    }
    if file.starts_with('/') {
        return Some(DiskSource::Host(file.into()));
    }
    let (storage, rest) = file.split_once(':')?;
    let storage: StorageId = storage.parse().map_err(|e| problems.field(name, e)).ok()?;
    if rest == "cloudinit" {
        let format = format();
        parts.take("format");
        // It is a CD-ROM, whether that is said or not.
        return match parts.set("media", Media::Cdrom.as_str()) {
            Ok(()) => Some(DiskSource::CloudInit { storage, format }),
            Err(why) => {
                problems.field(name, why);
                None
            }
        };
    }
    if let Some(asked) = words::gibibytes(rest) {
        let size = state_size(slot, parts).unwrap_or(asked);
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
    let throttle = throttle::take(parts)?;
    let mut options = DiskOptions {
        media: one(parts, "media")?,
        cache: one(parts, "cache")?,
        aio: one(parts, "aio")?,
        discard: one(parts, "discard")?,
        detect_zeroes: parts.flag("detect_zeroes"),
        iothread: parts.flag("iothread"),
        queues: one(parts, "queues")?,
        scsiblock: parts.flag("scsiblock"),
        ssd: parts.flag("ssd"),
        ro: parts.flag("ro"),
        snapshot: parts.flag("snapshot"),
        backup: parts.flag("backup"),
        replicate: parts.flag("replicate"),
        shared: parts.flag("shared"),
        rerror: one(parts, "rerror")?,
        werror: one(parts, "werror")?,
        wwn: one(parts, "wwn")?,
        vendor: one(parts, "vendor")?,
        product: one(parts, "product")?,
        efi_type: one(parts, "efitype")?,
        pre_enrolled_keys: parts.flag("pre-enrolled-keys"),
        ms_cert: one(parts, "ms-cert")?,
        tpm_version: one(parts, "version")?,
        throttle,
        // A serial number, model or format outside the vocabulary is kept as it is.
        serial: parts.get("serial").and_then(|v| v.parse().ok()),
        model: parts.get("model").and_then(|v| v.parse().ok()),
        format: parts.get("format").and_then(|v| v.parse().ok()),
        ..DiskOptions::default()
    };
    for (key, _) in pairs(&options) {
        parts.take(&key);
    }
    for (key, value) in parts.iter() {
        let key: PropertyKey = key.parse().map_err(|e| format!("{key}: {e}"))?;
        let value = PropertyValue::try_from(value.to_owned()).map_err(|e| format!("{key}: {e}"))?;
        options.other.insert(key, value);
    }
    Ok(options)
}

/// The parts that say `o`.
fn pairs(o: &DiskOptions) -> Vec<(String, String)> {
    let single = [
        ("media", shown(o.media.as_ref())),
        ("cache", shown(o.cache.as_ref())),
        ("aio", shown(o.aio.as_ref())),
        ("discard", shown(o.discard.as_ref())),
        ("detect_zeroes", o.detect_zeroes.map(flag)),
        ("iothread", o.iothread.map(flag)),
        ("queues", shown(o.queues.as_ref())),
        ("scsiblock", o.scsiblock.map(flag)),
        ("ssd", o.ssd.map(flag)),
        ("ro", o.ro.map(flag)),
        ("snapshot", o.snapshot.map(flag)),
        ("backup", o.backup.map(flag)),
        ("replicate", o.replicate.map(flag)),
        ("shared", o.shared.map(flag)),
        ("rerror", shown(o.rerror.as_ref())),
        ("werror", shown(o.werror.as_ref())),
        ("serial", shown(o.serial.as_ref())),
        ("wwn", shown(o.wwn.as_ref())),
        ("model", shown(o.model.as_ref())),
        ("vendor", shown(o.vendor.as_ref())),
        ("product", shown(o.product.as_ref())),
        ("efitype", shown(o.efi_type.as_ref())),
        ("pre-enrolled-keys", o.pre_enrolled_keys.map(flag)),
        ("ms-cert", shown(o.ms_cert.as_ref())),
        ("version", shown(o.tpm_version.as_ref())),
        ("format", shown(o.format.as_ref())),
    ];
    let other = o.other.iter().map(|(k, v)| (k.to_string(), v.as_str().to_owned()));
    let single = single.into_iter().filter_map(|(k, v)| Some((k.to_owned(), v?)));
    other.chain(single).chain(throttle::pairs(&o.throttle)).collect()
}

/// The text of a drive.
pub(super) fn render(disk: &DiskSpec) -> String {
    let mut parts = PropertyString::new(form(disk.name.bus()));
    let mut all = pairs(&disk.options);
    let mut put = |key: &str, value: Option<String>| all.extend(value.map(|v| (key.to_owned(), v)));
    match &disk.source {
        DiskSource::Empty => put("file", Some("none".to_owned())),
        DiskSource::Host(path) => put("file", Some(path.display().to_string())),
        DiskSource::Volume { volume, size } => {
            put("file", Some(volume.to_string()));
            put("size", size.map(ByteSize::pve));
        }
        DiskSource::New { storage, size, format } => {
            put("file", Some(format!("{storage}:{}", thousandth_gib(size.bytes()))));
            put("format", shown(format.as_ref()));
        }
        DiskSource::CloudInit { storage, format } => {
            put("file", Some(format!("{storage}:cloudinit")));
            put("format", shown(format.as_ref()));
        }
        DiskSource::Import { storage, from, format, .. } => {
            let from = match from {
                ImportSource::Volume(volume) => volume.to_string(),
                ImportSource::File(path) => path.display().to_string(),
            };
            put("file", Some(format!("{storage}:0")));
            put("import-from", Some(from));
            put("format", shown(format.as_ref()));
        }
    }
    for (key, value) in all {
        // An option that this bus does not have (a spec of the native API may say so) is left out of the view.
        let _ = parts.set(&key, &value);
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
