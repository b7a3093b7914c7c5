//! Texts as Proxmox VE stores them: drives and cards with their parts in order, old names replaced.

use gpve_core::types::ByteSize;

use crate::pve2::property::PropertyString;
use crate::route::Kind;

use super::{VmConfig, option, words};

/// The text that is stored for `value`, checked before: of drives and cards the canonical one, of all else the same.
pub(crate) fn as_stored(key: &str, value: &str) -> String {
    let form = match option(key).map(|p| p.kind) {
        Some(Kind::Property(form)) if !key.starts_with("unused") && form.default_key == Some("file") || form.key_alias.is_some() => form,
        _ => return value.to_owned(),
    };
    let Ok(mut parts) = PropertyString::parse(form, value) else { return value.to_owned() };
    for way in ["", "_rd", "_wr"] {
        let (plain, megabytes) = (format!("bps{way}"), format!("mbps{way}"));
        if let Some(n) = parts.get(&plain).and_then(|v| v.parse::<u64>().ok())
            && parts.get(&megabytes).is_none()
        {
            parts.take(&plain);
            let _ = parts.set(&megabytes, &words::decimal(n, 1 << 20));
        }
    }
    if let Some(size) = parts.get("size").and_then(words::size) {
        let _ = parts.set("size", &size_text(size));
    }
    parts.to_string()
}

/// A size with the largest unit up to T that divides it.
pub(crate) fn size_text(size: ByteSize) -> String {
    let units = [("T", 40), ("G", 30), ("M", 20), ("K", 10)];
    let fits = units.iter().find(|(_, shift)| size.bytes().is_multiple_of(1 << shift));
    fits.map_or_else(|| size.bytes().to_string(), |(unit, shift)| format!("{}{unit}", size.bytes() >> shift))
}

/// Replaces old names: `cdrom` is `ide2`, and `smp` processors are as many sockets of one core, unless sockets are given.
pub(crate) fn replace_old_names(config: &mut VmConfig) {
    if let Some(drive) = config.remove("cdrom") {
        config.set("ide2", drive);
    }
    if let Some(processors) = config.remove("smp")
        && config.get("sockets").is_none()
    {
        config.remove("cores");
        config.set("sockets", processors);
    }
}
