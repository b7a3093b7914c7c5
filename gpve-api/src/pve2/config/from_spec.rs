//! From a spec to settings.

use gpve_core::types::{Accel, Ballooning, MachineKind, SerialPort, VmSpec};

use super::{Definition, SPELLING, VmConfig, disk, nic, spelling, words};

/// The settings that define `definition`, in the spelling they were written in.
pub(super) fn render(definition: &Definition) -> VmConfig {
    let mut config = plain(definition);
    spelling::recall(definition, &mut config);
    config
}

/// The settings that define `definition`, each in its plain spelling; what equals a default is left out where the spec
/// does not tell it from absence.
pub(super) fn plain(definition: &Definition) -> VmConfig {
    let spec = &definition.spec;
    let mut c = VmConfig::default();
    let mut put = |key: &str, value: Option<String>| {
        if let Some(value) = value {
            c.set(key, value);
        }
    };
    let flag = |v: bool| u8::from(v).to_string();
    put("name", definition.name.as_ref().map(ToString::to_string));
    put("description", spec.description.as_ref().map(|v| v.as_str().to_owned()));
    let tags: Vec<&str> = spec.tags.iter().map(|t| t.as_str()).collect();
    put("tags", (!tags.is_empty()).then(|| tags.join(";")));
    put("onboot", spec.on_boot.map(flag));
    put("protection", spec.protection.map(flag));
    put("template", spec.template.then(|| flag(true)));
    put("tablet", spec.tablet.map(flag));
    put("acpi", spec.acpi.map(flag));
    put("reboot", spec.reboot.map(flag));
    put("kvm", spec.accel.map(|a| flag(a != Accel::Tcg)));
    put("keyboard", spec.keyboard.as_ref().map(ToString::to_string));
    put("bios", spec.bios.map(|v| v.to_string()));
    put("ostype", spec.os_type.map(|v| v.to_string()));
    put("scsihw", spec.scsi_controller.map(|v| v.to_string()));
    put("vga", spec.vga.map(|v| v.to_string()));
    put("args", (!spec.args.is_empty()).then(|| words::join_words(spec.args.iter().map(|a| a.as_str()))));
    put("boot", spec.boot.as_ref().map(boot));
    put("smbios1", spec.uuid.map(|v| format!("uuid={v}")));
    put("vmgenid", spec.generation_id.map(|v| v.to_string()));
    for (key, value) in processors(spec).into_iter().chain(memory(spec)).chain(options(spec)).chain(devices(spec)) {
        put(&key, Some(value));
    }
    for (key, value) in spec.other.iter().filter(|(k, _)| k.as_str() != SPELLING) {
        put(key.as_str(), Some(value.as_str().to_owned()));
    }
    c
}

type Pairs = Vec<(String, String)>;

fn boot(order: &gpve_core::types::BootOrder) -> String {
    let devices: Vec<String> = order.devices().iter().map(ToString::to_string).collect();
    // Proxmox VE writes one blank for a guest that has nothing to boot from.
    if devices.is_empty() { " ".to_owned() } else { format!("order={}", devices.join(";")) }
}

fn processors(spec: &VmSpec) -> Pairs {
    let cpu = &spec.cpu;
    let mut pairs = Pairs::new();
    let mut put = |key: &str, value: String| pairs.push((key.to_owned(), value));
    if cpu.sockets != 1 {
        put("sockets", cpu.sockets.to_string());
    }
    if cpu.cores != 1 {
        put("cores", cpu.cores.to_string());
    }
    if cpu.numa {
        put("numa", "1".to_owned());
    }
    if let Some(v) = cpu.vcpus {
        put("vcpus", v.to_string());
    }
    if let Some(v) = cpu.limit {
        put("cpulimit", v.to_string());
    }
    if let Some(v) = cpu.units {
        put("cpuunits", v.to_string());
    }
    let flags: Vec<String> = cpu.flags.iter().map(ToString::to_string).collect();
    let parts = [
        cpu.model.as_ref().map(ToString::to_string),
        (!flags.is_empty()).then(|| format!("flags={}", flags.join(";"))),
        cpu.hidden.then(|| "hidden=1".to_owned()),
    ];
    let text = parts.into_iter().flatten().collect::<Vec<_>>().join(",");
    if !text.is_empty() {
        put("cpu", text);
    }
    pairs
}

fn memory(spec: &VmSpec) -> Pairs {
    let balloon = match spec.memory.ballooning {
        Ballooning::On => None,
        Ballooning::Off => Some("0".to_owned()),
        Ballooning::Min(mib) => Some(mib.get().to_string()),
    };
    let shares = spec.memory.shares.map(|v| v.to_string());
    let all = [("memory", Some(spec.memory.size.get().to_string())), ("balloon", balloon), ("shares", shares)];
    all.into_iter().filter_map(|(k, v)| Some((k.to_owned(), v?))).collect()
}

fn options(spec: &VmSpec) -> Pairs {
    let mut pairs = Pairs::new();
    if let Some(a) = spec.agent {
        let extras = [(a.fstrim_cloned_disks, ",fstrim_cloned_disks=1"), (!a.freeze_fs, ",freeze-fs=0"), (a.isa, ",type=isa")];
        let extras: String = extras.into_iter().filter(|(on, _)| *on).map(|(_, text)| text).collect();
        pairs.push(("agent".to_owned(), format!("{}{extras}", u8::from(a.enabled))));
    }
    if let Some(s) = spec.startup {
        let parts = [("order", s.order), ("up", s.up), ("down", s.down)];
        let parts: Vec<String> = parts.into_iter().filter_map(|(k, v)| Some(format!("{k}={}", v?))).collect();
        pairs.push(("startup".to_owned(), parts.join(",")));
    }
    if let Some(r) = &spec.rng {
        let extras = [("max_bytes", r.max_bytes), ("period", r.period_ms)];
        let extras: String = extras.into_iter().filter_map(|(k, v)| Some(format!(",{k}={}", v?))).collect();
        pairs.push(("rng0".to_owned(), format!("{}{extras}", r.source)));
    }
    if let Some(m) = &spec.machine {
        let name = match (m.kind, &m.version) {
            (MachineKind::Pc, Some(v)) => format!("pc-i440fx-{v}"),
            (MachineKind::Q35, Some(v)) => format!("pc-q35-{v}"),
            (kind, _) => kind.to_string(),
        };
        let extras: String = m.other.iter().map(|(k, v)| format!(",{k}={}", v.as_str())).collect();
        pairs.push(("machine".to_owned(), name + &extras));
    }
    pairs
}

fn devices(spec: &VmSpec) -> Pairs {
    let disks = spec.disks.values().map(|d| (d.name.to_string(), disk::render(d)));
    let cards = spec.networks.values().map(|n| (n.name.to_string(), nic::render(n)));
    let unused = spec.unused.iter().map(|(n, volume)| (format!("unused{n}"), volume.to_string()));
    let serials = spec.serials.iter().map(|(n, port)| {
        let text = match port {
            SerialPort::Socket => "socket".to_owned(),
            SerialPort::Device(path) => path.display().to_string(),
        };
        (format!("serial{n}"), text)
    });
    disks.chain(cards).chain(unused).chain(serials).collect()
}
