//! Devices beside drives and cards.

use gpve_core::types::{
    AgentSpec, AudioSpec, HostPci, PciSource, RngSpec, SerialPort, SharedFolder, SpiceSpec, UsbDevice, UsbSource, VmSpec, WatchdogSpec,
};

use crate::routes::properties as forms;

use super::parts::{Pairs, flag, list, number_of, one, parse, read, required, shown, write};

/// Sets one of these settings; false if `key` is none of them.
pub(super) fn set(key: &str, value: &str, spec: &mut VmSpec) -> Result<bool, String> {
    match key {
        "agent" => spec.agent = Some(agent(value)?),
        "rng0" => spec.rng = Some(rng(value)?),
        "vga" => {
            let parts = read(&forms::VGA, value)?;
            spec.vga = one(&parts, "type")?;
            spec.vga_memory_mib = one(&parts, "memory")?;
            spec.clipboard = one(&parts, "clipboard")?;
        }
        "spice_enhancements" => {
            let parts = read(&forms::SPICE, value)?;
            spec.spice = Some(SpiceSpec { folder_sharing: parts.flag("foldersharing"), video_streaming: one(&parts, "videostreaming")? });
        }
        "audio0" => {
            let parts = read(&forms::AUDIO, value)?;
            spec.audio = Some(AudioSpec { device: required(&parts, "device")?, driver: one(&parts, "driver")? });
        }
        "watchdog" => {
            let parts = read(&forms::WATCHDOG, value)?;
            spec.watchdog = Some(WatchdogSpec { model: required(&parts, "model")?, action: one(&parts, "action")? });
        }
        "hotplug" => spec.hotplug = Some(parse(value)?),
        _ => return numbered(key, value, spec),
    }
    Ok(true)
}

fn numbered(key: &str, value: &str, spec: &mut VmSpec) -> Result<bool, String> {
    if let Some(n) = number_of(key, "serial") {
        let port = if value == "socket" { SerialPort::Socket } else { SerialPort::Device(value.into()) };
        spec.serials.insert(n, port);
    } else if let Some(n) = number_of(key, "parallel") {
        spec.parallels.insert(n, parse(value)?);
    } else if let Some(n) = number_of(key, "usb") {
        spec.usb.insert(n, usb(value)?);
    } else if let Some(n) = number_of(key, "hostpci") {
        spec.host_pci.insert(n, host_pci(value)?);
    } else if let Some(n) = number_of(key, "virtiofs") {
        spec.shared_folders.insert(n, shared_folder(value)?);
    } else {
        return Ok(false);
    }
    Ok(true)
}

fn agent(value: &str) -> Result<AgentSpec, String> {
    let parts = read(&forms::AGENT, value)?;
    Ok(AgentSpec {
        enabled: parts.flag("enabled").unwrap_or(false),
        fstrim_cloned_disks: parts.flag("fstrim_cloned_disks").unwrap_or(false),
        freeze_fs: parts.flag("freeze-fs").unwrap_or(true),
        isa: parts.get("type") == Some("isa"),
    })
}

fn rng(value: &str) -> Result<RngSpec, String> {
    let parts = read(&forms::RNG, value)?;
    Ok(RngSpec {
        source: parts.get("source").unwrap_or_default().to_owned(),
        max_bytes: one(&parts, "max_bytes")?,
        period_ms: one(&parts, "period")?,
    })
}

fn usb(value: &str) -> Result<UsbDevice, String> {
    let parts = read(&forms::USB, value)?;
    let source = match (parts.get("host"), one(&parts, "mapping")?) {
        (None, Some(mapping)) => UsbSource::Mapping(mapping),
        (Some(host), None) if host.eq_ignore_ascii_case("spice") => UsbSource::Spice,
        (Some(host), None) if host.contains(':') => UsbSource::Device(parse(&host.replace("0x", ""))?),
        (Some(host), None) => UsbSource::Port(parse(host)?),
        _ => return Err("needs either host or mapping".to_owned()),
    };
    Ok(UsbDevice { source, usb3: parts.flag("usb3") })
}

fn usb_text(usb: &UsbDevice) -> String {
    let (host, mapping) = match &usb.source {
        UsbSource::Device(id) => (Some(id.to_string()), None),
        UsbSource::Port(port) => (Some(port.to_string()), None),
        UsbSource::Mapping(mapping) => (None, Some(mapping.to_string())),
        UsbSource::Spice => (Some("spice".to_owned()), None),
    };
    write(&forms::USB, [("host", host), ("mapping", mapping), ("usb3", usb.usb3.map(flag))])
}

fn host_pci(value: &str) -> Result<HostPci, String> {
    let parts = read(&forms::HOST_PCI, value)?;
    let source = match (parts.get("host"), one(&parts, "mapping")?) {
        (None, Some(mapping)) => PciSource::Mapping(mapping),
        (Some(_), None) => PciSource::Devices(list(&parts, "host")?),
        _ => return Err("needs either host or mapping".to_owned()),
    };
    Ok(HostPci {
        mdev: one(&parts, "mdev")?,
        pcie: parts.flag("pcie"),
        rombar: parts.flag("rombar"),
        romfile: one(&parts, "romfile")?,
        x_vga: parts.flag("x-vga"),
        legacy_igd: parts.flag("legacy-igd"),
        driver: one(&parts, "driver")?,
        vendor_id: one(&parts, "vendor-id")?,
        device_id: one(&parts, "device-id")?,
        sub_vendor_id: one(&parts, "sub-vendor-id")?,
        sub_device_id: one(&parts, "sub-device-id")?,
        ..HostPci::of(source)
    })
}

fn host_pci_text(pci: &HostPci) -> String {
    let (host, mapping) = match &pci.source {
        PciSource::Devices(devices) => (Some(devices.iter().map(ToString::to_string).collect::<Vec<_>>().join(";")), None),
        PciSource::Mapping(mapping) => (None, Some(mapping.to_string())),
    };
    let parts = [
        ("host", host),
        ("mapping", mapping),
        ("mdev", shown(pci.mdev.as_ref())),
        ("pcie", pci.pcie.map(flag)),
        ("rombar", pci.rombar.map(flag)),
        ("romfile", shown(pci.romfile.as_ref())),
        ("x-vga", pci.x_vga.map(flag)),
        ("legacy-igd", pci.legacy_igd.map(flag)),
        ("driver", shown(pci.driver.as_ref())),
        ("vendor-id", shown(pci.vendor_id.as_ref())),
        ("device-id", shown(pci.device_id.as_ref())),
        ("sub-vendor-id", shown(pci.sub_vendor_id.as_ref())),
        ("sub-device-id", shown(pci.sub_device_id.as_ref())),
    ];
    write(&forms::HOST_PCI, parts)
}

fn shared_folder(value: &str) -> Result<SharedFolder, String> {
    let parts = read(&forms::VIRTIOFS, value)?;
    Ok(SharedFolder {
        mapping: required(&parts, "dirid")?,
        cache: one(&parts, "cache")?,
        direct_io: parts.flag("direct-io"),
        expose_acl: parts.flag("expose-acl"),
        expose_xattr: parts.flag("expose-xattr"),
    })
}

fn shared_folder_text(folder: &SharedFolder) -> String {
    let parts = [
        ("dirid", Some(folder.mapping.to_string())),
        ("cache", shown(folder.cache.as_ref())),
        ("direct-io", folder.direct_io.map(flag)),
        ("expose-acl", folder.expose_acl.map(flag)),
        ("expose-xattr", folder.expose_xattr.map(flag)),
    ];
    write(&forms::VIRTIOFS, parts)
}

/// These settings of a spec.
pub(super) fn pairs(spec: &VmSpec) -> Pairs {
    let agent = |a: AgentSpec| {
        let extras = [(a.fstrim_cloned_disks, ",fstrim_cloned_disks=1"), (!a.freeze_fs, ",freeze-fs=0"), (a.isa, ",type=isa")];
        let extras: String = extras.into_iter().filter(|(on, _)| *on).map(|(_, text)| text).collect();
        format!("{}{extras}", u8::from(a.enabled))
    };
    let rng = |r: &RngSpec| {
        let extras = [("max_bytes", r.max_bytes), ("period", r.period_ms)];
        let extras: String = extras.into_iter().filter_map(|(k, v)| Some(format!(",{k}={}", v?))).collect();
        format!("{}{extras}", r.source)
    };
    let vga = [
        ("type", shown(spec.vga.as_ref())),
        ("memory", shown(spec.vga_memory_mib.as_ref())),
        ("clipboard", shown(spec.clipboard.as_ref())),
    ];
    let spice = |s: SpiceSpec| {
        write(&forms::SPICE, [("foldersharing", s.folder_sharing.map(flag)), ("videostreaming", shown(s.video_streaming.as_ref()))])
    };
    let audio = |a: AudioSpec| write(&forms::AUDIO, [("device", Some(a.device.to_string())), ("driver", shown(a.driver.as_ref()))]);
    let watchdog = |w: WatchdogSpec| write(&forms::WATCHDOG, [("model", Some(w.model.to_string())), ("action", shown(w.action.as_ref()))]);
    let single = [
        ("agent", spec.agent.map(agent)),
        ("rng0", spec.rng.as_ref().map(rng)),
        ("vga", Some(write(&forms::VGA, vga)).filter(|t| !t.is_empty())),
        ("spice_enhancements", spec.spice.map(spice).filter(|t| !t.is_empty())),
        ("audio0", spec.audio.map(audio)),
        ("watchdog", spec.watchdog.map(watchdog)),
        ("hotplug", shown(spec.hotplug.as_ref())),
    ];
    let single = single.into_iter().filter_map(|(k, v)| Some((k.to_owned(), v?)));
    single.chain(numbered_pairs(spec)).collect()
}

fn numbered_pairs(spec: &VmSpec) -> Pairs {
    let serial = |port: &SerialPort| match port {
        SerialPort::Socket => "socket".to_owned(),
        SerialPort::Device(path) => path.display().to_string(),
    };
    let serials = spec.serials.iter().map(|(n, port)| (format!("serial{n}"), serial(port)));
    let parallels = spec.parallels.iter().map(|(n, port)| (format!("parallel{n}"), port.to_string()));
    let usb = spec.usb.iter().map(|(n, usb)| (format!("usb{n}"), usb_text(usb)));
    let pci = spec.host_pci.iter().map(|(n, pci)| (format!("hostpci{n}"), host_pci_text(pci)));
    let folders = spec.shared_folders.iter().map(|(n, folder)| (format!("virtiofs{n}"), shared_folder_text(folder)));
    serials.chain(parallels).chain(usb).chain(pci).chain(folders).collect()
}
