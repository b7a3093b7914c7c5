//! The board: machine, firmware information, boot order, clock, encryption.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use gpve_core::types::{BootOrder, LegacyBoot, MachineKind, MachineSpec, PropertyValue, SevSpec, SmbiosSpec, SmbiosText, TdxSpec, VmSpec};
use uuid::Uuid;

use crate::pve2::property::PropertyString;
use crate::routes::properties as forms;

use super::parts::{Pairs, flag, list, one, parse, read, required, shown, write};

/// Sets one of these settings; false if `key` is none of them.
pub(super) fn set(key: &str, value: &str, spec: &mut VmSpec) -> Result<bool, String> {
    match key {
        "arch" => spec.arch = Some(parse(value)?),
        "machine" => spec.machine = Some(machine(value)?),
        "boot" => boot(value, spec)?,
        "bootdisk" => spec.legacy_boot.get_or_insert_default().disk = Some(parse(value)?),
        "smbios1" => smbios(value, spec)?,
        // 1 asks for a new one, which is what happens to a guest without.
        "vmgenid" if value == "1" => {}
        "vmgenid" if value == "0" => spec.generation_id = Some(Uuid::nil()),
        "vmgenid" => spec.generation_id = Some(parse(value)?),
        "localtime" => spec.clock.local_time = Some(value == "1"),
        "startdate" => spec.clock.start = Some(parse(value)?),
        "tdf" => spec.clock.drift_fix = Some(value == "1"),
        "freeze" => spec.freeze = Some(value == "1"),
        "amd-sev" => spec.sev = Some(sev(value)?),
        "intel-tdx" => spec.tdx = Some(tdx(value)?),
        _ => return Ok(false),
    }
    Ok(true)
}

fn machine(value: &str) -> Result<MachineSpec, String> {
    let parts = read(&forms::MACHINE, value)?;
    let name = parts.get("type").unwrap_or("pc");
    let versions = [("pc-q35-", MachineKind::Q35), ("pc-i440fx-", MachineKind::Pc), ("pc-", MachineKind::Pc), ("virt-", MachineKind::Virt)];
    let pinned = versions.iter().find_map(|(stem, kind)| Some((*kind, name.strip_prefix(stem)?)));
    let (kind, version) = match pinned {
        Some((kind, version)) => (kind, Some(parse(version)?)),
        None => (parse(name)?, None),
    };
    Ok(MachineSpec {
        version,
        viommu: one(&parts, "viommu")?,
        aw_bits: one(&parts, "aw-bits")?,
        enable_s3: parts.flag("enable-s3"),
        enable_s4: parts.flag("enable-s4"),
        ..MachineSpec::of(kind)
    })
}

fn machine_text(m: &MachineSpec) -> String {
    let name = match (m.kind, &m.version) {
        (MachineKind::Pc, Some(v)) => format!("pc-i440fx-{v}"),
        (MachineKind::Q35, Some(v)) => format!("pc-q35-{v}"),
        (MachineKind::Virt, Some(v)) => format!("virt-{v}"),
        (kind, _) => kind.to_string(),
    };
    let stored = |key: &str| m.other.iter().find(|(k, _)| k.as_str() == key).map(|(_, v)| v.as_str().to_owned());
    let parts = [
        ("type", Some(name)),
        ("viommu", shown(m.viommu.as_ref()).or_else(|| stored("viommu"))),
        ("aw-bits", shown(m.aw_bits.as_ref()).or_else(|| stored("aw-bits"))),
        ("enable-s3", m.enable_s3.map(flag).or_else(|| stored("enable-s3"))),
        ("enable-s4", m.enable_s4.map(flag).or_else(|| stored("enable-s4"))),
    ];
    write(&forms::MACHINE, parts)
}

fn boot(value: &str, spec: &mut VmSpec) -> Result<(), String> {
    let parts = read(&forms::BOOT, value.trim())?;
    if let Some(classes) = one(&parts, "legacy")? {
        spec.legacy_boot.get_or_insert_default().classes = Some(classes);
        return Ok(());
    }
    spec.boot = Some(BootOrder::new(list(&parts, "order")?).map_err(|e| e.to_string())?);
    Ok(())
}

fn boot_pairs(spec: &VmSpec) -> [(&'static str, Option<String>); 2] {
    let legacy = spec.legacy_boot.as_ref();
    let order = |order: &BootOrder| {
        let devices: Vec<String> = order.devices().iter().map(ToString::to_string).collect();
        // Proxmox VE writes one blank for a guest that has nothing to boot from.
        if devices.is_empty() { " ".to_owned() } else { format!("order={}", devices.join(";")) }
    };
    let classes = || legacy.and_then(|l: &LegacyBoot| shown(l.classes.as_ref()));
    [("boot", spec.boot.as_ref().map(order).or_else(classes)), ("bootdisk", legacy.and_then(|l| shown(l.disk.as_ref())))]
}

fn smbios(value: &str, spec: &mut VmSpec) -> Result<(), String> {
    let parts = read(&forms::SMBIOS, value)?;
    spec.uuid = one(&parts, "uuid")?;
    let encoded = parts.flag("base64") == Some(true);
    let text = |key: &str| parts.get(key).filter(|v| !v.is_empty()).map(|v| smbios_text(key, v, encoded)).transpose();
    spec.smbios = SmbiosSpec {
        manufacturer: text("manufacturer")?,
        product: text("product")?,
        version: text("version")?,
        serial: text("serial")?,
        sku: text("sku")?,
        family: text("family")?,
    };
    Ok(())
}

fn smbios_text(key: &str, value: &str, encoded: bool) -> Result<SmbiosText, String> {
    let plain = if encoded {
        let bytes = STANDARD.decode(value).map_err(|_| format!("{key}: '{}' is not base64", crate::route::shorten(value)))?;
        String::from_utf8(bytes).map_err(|_| format!("{key}: is not UTF-8 text"))?
    } else {
        value.to_owned()
    };
    plain.parse().map_err(|e| format!("{key}: {e}"))
}

fn smbios_pair(spec: &VmSpec) -> Option<String> {
    let s = &spec.smbios;
    let texts = [
        ("manufacturer", &s.manufacturer),
        ("product", &s.product),
        ("version", &s.version),
        ("serial", &s.serial),
        ("sku", &s.sku),
        ("family", &s.family),
    ];
    // Plain text may only hold what base64 holds.
    let fits = |t: &SmbiosText| t.as_str().chars().all(|c| c.is_ascii_alphanumeric() || "+/=".contains(c));
    let encode = texts.iter().filter_map(|(_, t)| t.as_ref()).any(|t| !fits(t));
    let shape = |t: &SmbiosText| if encode { STANDARD.encode(t.as_str()) } else { t.to_string() };
    let mut parts = PropertyString::new(&forms::SMBIOS);
    let texts = texts.into_iter().filter_map(|(key, text)| Some((key, shape(text.as_ref()?))));
    let rest = [("uuid", shown(spec.uuid.as_ref())), ("base64", encode.then(|| flag(true)))];
    for (key, value) in texts.chain(rest.into_iter().filter_map(|(k, v)| Some((k, v?)))) {
        let _ = parts.set(key, &value);
    }
    (!parts.is_empty()).then(|| parts.to_string())
}

fn sev(value: &str) -> Result<SevSpec, String> {
    let parts = read(&forms::SEV, value)?;
    Ok(SevSpec {
        kind: required(&parts, "type")?,
        no_debug: parts.flag("no-debug"),
        no_key_sharing: parts.flag("no-key-sharing"),
        allow_smt: parts.flag("allow-smt"),
        kernel_hashes: parts.flag("kernel-hashes"),
    })
}

fn tdx(value: &str) -> Result<TdxSpec, String> {
    let parts = read(&forms::TDX, value)?;
    Ok(TdxSpec {
        attestation: parts.flag("attestation").unwrap_or(false),
        vsock_cid: one(&parts, "vsock-cid")?,
        vsock_port: one(&parts, "vsock-port")?,
    })
}

/// These settings of a spec.
pub(super) fn pairs(spec: &VmSpec) -> Pairs {
    let sev = |s: &SevSpec| {
        let parts = [
            ("type", Some(s.kind.to_string())),
            ("no-debug", s.no_debug.map(flag)),
            ("no-key-sharing", s.no_key_sharing.map(flag)),
            ("allow-smt", s.allow_smt.map(flag)),
            ("kernel-hashes", s.kernel_hashes.map(flag)),
        ];
        write(&forms::SEV, parts)
    };
    let tdx = |t: &TdxSpec| {
        let parts = [
            ("type", Some("tdx".to_owned())),
            ("attestation", Some(flag(t.attestation))),
            ("vsock-cid", shown(t.vsock_cid.as_ref())),
            ("vsock-port", shown(t.vsock_port.as_ref())),
        ];
        write(&forms::TDX, parts)
    };
    let generation = |id: Uuid| if id.is_nil() { "0".to_owned() } else { id.to_string() };
    let single = [
        ("arch", shown(spec.arch.as_ref())),
        ("machine", spec.machine.as_ref().map(machine_text)),
        ("smbios1", smbios_pair(spec)),
        ("vmgenid", spec.generation_id.map(generation)),
        ("localtime", spec.clock.local_time.map(flag)),
        ("startdate", shown(spec.clock.start.as_ref())),
        ("tdf", spec.clock.drift_fix.map(flag)),
        ("freeze", spec.freeze.map(flag)),
        ("amd-sev", spec.sev.as_ref().map(sev)),
        ("intel-tdx", spec.tdx.as_ref().map(tdx)),
    ];
    single.into_iter().chain(boot_pairs(spec)).filter_map(|(k, v)| Some((k.to_owned(), v?))).collect()
}

/// A text that the vocabulary has no type for.
pub(super) fn free_text(value: &str) -> Result<PropertyValue, String> {
    PropertyValue::try_from(value.to_owned()).map_err(|e| e.to_string())
}
