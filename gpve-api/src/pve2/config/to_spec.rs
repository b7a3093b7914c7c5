//! From settings to a spec.

use gpve_core::error::Error;
use gpve_core::types::{
    Accel, AgentSpec, Ballooning, BootDevice, BootOrder, MachineKind, MachineSpec, MemMib, PropertyKey, PropertyValue, RawArg, RngSpec,
    SerialPort, StartupOrder, VmSpec,
};

use crate::pve2::property::PropertyString;
use crate::route::split_list;
use crate::routes::properties as forms;

use super::{Definition, Problems, VmConfig, disk, nic, spelling, words};

/// Memory of a guest that says nothing about it, in MiB.
const DEFAULT_MEMORY: u64 = 512;

/// What `config` defines, its spelling included.
pub(super) fn define(config: &VmConfig) -> Result<Definition, Error> {
    let mut definition = meaning(config)?;
    spelling::remember(config, &mut definition);
    Ok(definition)
}

/// What `config` means, without its spelling.
pub(super) fn meaning(config: &VmConfig) -> Result<Definition, Error> {
    let mut problems = Problems::default();
    let memory = MemMib::try_from(DEFAULT_MEMORY).map_err(|e| Error::internal("vm.config", e.to_string()))?;
    let mut definition = Definition { name: None, spec: VmSpec::of(memory) };
    for (key, value) in config.iter() {
        let kept = match setting(key, value, &mut definition, &mut problems) {
            Ok(Known::Done) => continue,
            Ok(Known::Keep) => keep(key, value, &mut definition.spec),
            Err(why) => Err(why),
        };
        if let Err(why) = kept {
            problems.field(key, why);
        }
    }
    problems.into_result()?;
    Ok(definition)
}

/// What became of a setting.
enum Known {
    /// It is in the spec.
    Done,
    /// The spec has no place for it: keep it beside.
    Keep,
}

fn keep(key: &str, value: &str, spec: &mut VmSpec) -> Result<(), String> {
    let key: PropertyKey = key.parse().map_err(|e| format!("{e}"))?;
    let value = PropertyValue::try_from(value.to_owned()).map_err(|e| e.to_string())?;
    spec.other.insert(key, value);
    Ok(())
}

fn parse<T: std::str::FromStr<Err: std::fmt::Display>>(value: &str) -> Result<T, String> {
    value.parse().map_err(|e: T::Err| e.to_string())
}

fn setting(key: &str, value: &str, d: &mut Definition, problems: &mut Problems) -> Result<Known, String> {
    let spec = &mut d.spec;
    let flag = value == "1";
    match key {
        "name" => d.name = Some(parse(value)?),
        "description" => spec.description = Some(PropertyValue::try_from(value.to_owned()).map_err(|e| e.to_string())?),
        "tags" => spec.tags = split_list(value).map(parse).collect::<Result<_, _>>()?,
        "onboot" => spec.on_boot = Some(flag),
        "protection" => spec.protection = Some(flag),
        "template" => spec.template = flag,
        "tablet" => spec.tablet = Some(flag),
        "acpi" => spec.acpi = Some(flag),
        "reboot" => spec.reboot = Some(flag),
        "kvm" => spec.accel = Some(if flag { Accel::Auto } else { Accel::Tcg }),
        "keyboard" => spec.keyboard = Some(parse(value)?),
        "bios" => spec.bios = Some(parse(value)?),
        "ostype" => spec.os_type = Some(parse(value)?),
        "scsihw" => spec.scsi_controller = Some(parse(value)?),
        "startup" => spec.startup = Some(startup(value)?),
        "agent" => spec.agent = Some(agent(value)?),
        "rng0" => spec.rng = Some(rng(value)?),
        "args" => spec.args = arguments(value)?,
        "memory" | "balloon" | "shares" => memory(key, value, spec)?,
        "sockets" | "cores" | "vcpus" | "cpulimit" | "cpuunits" | "numa" | "cpu" => cpu(key, value, spec)?,
        "boot" | "vga" | "machine" | "smbios1" | "vmgenid" => return board(key, value, spec),
        _ => return device(key, value, spec, problems),
    }
    Ok(Known::Done)
}

fn memory(key: &str, value: &str, spec: &mut VmSpec) -> Result<(), String> {
    let mib = |text: &str| text.parse::<u64>().map_err(|e| e.to_string()).and_then(|n| MemMib::try_from(n).map_err(|e| e.to_string()));
    match key {
        "memory" => {
            let parts = PropertyString::parse(&forms::MEMORY, value).map_err(|e| e.to_string())?;
            spec.memory.size = mib(parts.get("current").unwrap_or_default())?;
        }
        "balloon" if value == "0" => spec.memory.ballooning = Ballooning::Off,
        "balloon" => spec.memory.ballooning = Ballooning::Min(mib(value)?),
        _ => spec.memory.shares = Some(parse(value)?),
    }
    Ok(())
}

fn cpu(key: &str, value: &str, spec: &mut VmSpec) -> Result<(), String> {
    let cpu = &mut spec.cpu;
    match key {
        "sockets" => cpu.sockets = parse(value)?,
        "cores" => cpu.cores = parse(value)?,
        "vcpus" => cpu.vcpus = Some(parse(value)?),
        "cpuunits" => cpu.units = Some(parse(value)?),
        "numa" => cpu.numa = value == "1",
        "cpulimit" => {
            let zero = value.chars().all(|c| c == '0' || c == '.');
            cpu.limit = if zero { None } else { Some(parse(value)?) };
        }
        _ => {
            let parts = PropertyString::parse(&forms::CPU, value).map_err(|e| e.to_string())?;
            cpu.model = parts.get("cputype").map(parse).transpose()?;
            let flags = parts.get("flags").unwrap_or_default();
            cpu.flags = flags.split(';').filter(|f| !f.is_empty()).map(parse).collect::<Result<_, _>>()?;
            cpu.hidden = parts.flag("hidden").unwrap_or(false);
        }
    }
    Ok(())
}

fn board(key: &str, value: &str, spec: &mut VmSpec) -> Result<Known, String> {
    match key {
        "boot" => {
            let parts = PropertyString::parse(&forms::BOOT, value.trim()).map_err(|e| e.to_string())?;
            if parts.get("legacy").is_some() {
                return Ok(Known::Keep);
            }
            // A device that this version has none of (usb0, hostpci0) keeps the whole text beside.
            let order: Result<Vec<BootDevice>, String> =
                parts.get("order").unwrap_or_default().split(';').filter(|d| !d.is_empty()).map(parse).collect();
            let Ok(order) = order else { return Ok(Known::Keep) };
            spec.boot = Some(BootOrder::new(order).map_err(|e| e.to_string())?);
        }
        "vga" => {
            let parts = PropertyString::parse(&forms::VGA, value).map_err(|e| e.to_string())?;
            match parts.get("type").unwrap_or("std").parse() {
                Ok(vga) => spec.vga = Some(vga),
                Err(_) => return Ok(Known::Keep),
            }
        }
        "machine" => return machine(value, spec),
        "smbios1" => {
            let parts = PropertyString::parse(&forms::SMBIOS, value).map_err(|e| e.to_string())?;
            spec.uuid = parts.get("uuid").map(parse).transpose()?;
        }
        // 1 asks for a new one, which is what happens to a guest without.
        _ if value == "1" => {}
        _ if value == "0" => return Ok(Known::Keep),
        _ => spec.generation_id = Some(parse(value)?),
    }
    Ok(Known::Done)
}

fn machine(value: &str, spec: &mut VmSpec) -> Result<Known, String> {
    let mut parts = PropertyString::parse(&forms::MACHINE, value).map_err(|e| e.to_string())?;
    let kind = parts.take("type").unwrap_or_else(|| "pc".to_owned());
    let (kind, version) = if let Some(v) = kind.strip_prefix("pc-q35-") {
        (MachineKind::Q35, Some(v))
    } else if let Some(v) = kind.strip_prefix("pc-i440fx-").or_else(|| kind.strip_prefix("pc-")) {
        (MachineKind::Pc, Some(v))
    } else {
        (parse(&kind)?, None)
    };
    let mut machine = MachineSpec { kind, version: version.map(parse).transpose()?, other: Default::default() };
    for (key, value) in parts.iter() {
        let value = PropertyValue::try_from(value.to_owned()).map_err(|e| e.to_string())?;
        machine.other.insert(parse(key)?, value);
    }
    spec.machine = Some(machine);
    Ok(Known::Done)
}

fn device(key: &str, value: &str, spec: &mut VmSpec, problems: &mut Problems) -> Result<Known, String> {
    if let Ok(slot) = key.parse() {
        if let Some(disk) = disk::parse(slot, value, problems) {
            spec.disks.insert(slot, disk);
        }
    } else if let Ok(index) = key.parse() {
        if let Some(card) = nic::parse(index, value, problems) {
            spec.networks.insert(index, card);
        }
    } else if let Some(n) = number_of(key, "unused") {
        let parts = PropertyString::parse(&forms::UNUSED, value).map_err(|e| e.to_string())?;
        spec.unused.insert(n, parse(parts.get("file").unwrap_or_default())?);
    } else if let Some(n) = number_of(key, "serial") {
        let port = if value == "socket" { SerialPort::Socket } else { SerialPort::Device(value.into()) };
        spec.serials.insert(n, port);
    } else {
        return Ok(Known::Keep);
    }
    Ok(Known::Done)
}

fn number_of(key: &str, stem: &str) -> Option<u8> {
    key.strip_prefix(stem)?.parse().ok()
}

fn startup(value: &str) -> Result<StartupOrder, String> {
    let mut order = StartupOrder::default();
    for part in value.split(',').filter(|p| !p.is_empty()) {
        match part.split_once('=').unwrap_or(("order", part)) {
            ("up", n) => order.up = Some(parse(n)?),
            ("down", n) => order.down = Some(parse(n)?),
            (_, n) => order.order = Some(parse(n)?),
        }
    }
    Ok(order)
}

fn agent(value: &str) -> Result<AgentSpec, String> {
    let parts = PropertyString::parse(&forms::AGENT, value).map_err(|e| e.to_string())?;
    Ok(AgentSpec {
        enabled: parts.flag("enabled").unwrap_or(false),
        fstrim_cloned_disks: parts.flag("fstrim_cloned_disks").unwrap_or(false),
        freeze_fs: parts.flag("freeze-fs").unwrap_or(true),
        isa: parts.get("type") == Some("isa"),
    })
}

fn rng(value: &str) -> Result<RngSpec, String> {
    let parts = PropertyString::parse(&forms::RNG, value).map_err(|e| e.to_string())?;
    Ok(RngSpec {
        source: parts.get("source").unwrap_or_default().to_owned(),
        max_bytes: parts.get("max_bytes").map(parse).transpose()?,
        period_ms: parts.get("period").map(parse).transpose()?,
    })
}

fn arguments(value: &str) -> Result<Vec<RawArg>, String> {
    let split = words::split_words(value).ok_or("a quote does not end")?;
    split.into_iter().map(|w| parse(&w)).collect()
}

/// The boot order that a new guest without one gets, as Proxmox VE writes it into the configuration: the first disk, the
/// first CD-ROM, the first card.
pub fn default_boot(spec: &VmSpec) -> BootOrder {
    let first = |cdrom: bool| spec.disks.values().find(|d| d.is_cdrom() == cdrom).map(|d| BootDevice::Disk(d.name));
    let net = spec.networks.keys().next().map(|n| BootDevice::Net(*n));
    BootOrder::new(first(false).into_iter().chain(first(true)).chain(net).collect()).unwrap_or_default()
}
