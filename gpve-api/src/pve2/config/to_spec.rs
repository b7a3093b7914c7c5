//! From settings to a spec.

use gpve_core::error::Error;
use gpve_core::types::{Accel, BootDevice, BootOrder, MemMib, Origin, PropertyKey, RawArg, StartupOrder, Timestamp, VmSpec};

use crate::route::split_list;
use crate::routes::properties as forms;

use super::board::free_text;
use super::parts::{number_of, one, parse, read};
use super::{Definition, Problems, VmConfig, board, cloud_init, device, disk, nic, processors, spelling, words};

/// What a guest is that says nothing: 512 MiB of memory.
pub(crate) fn default_spec() -> VmSpec {
    VmSpec::of(MemMib::DEFAULT)
}

/// What `config` defines, its spelling included.
pub(super) fn define(config: &VmConfig) -> Result<Definition, Error> {
    let mut definition = meaning(config)?;
    spelling::remember(config, &mut definition);
    Ok(definition)
}

/// What `config` means, without its spelling.
pub(super) fn meaning(config: &VmConfig) -> Result<Definition, Error> {
    let mut problems = Problems::default();
    let mut definition = Definition { name: None, spec: default_spec() };
    for (key, value) in config.iter() {
        let set = match setting(key, value, &mut definition, &mut problems) {
            Ok(false) => keep(key, value, &mut definition.spec),
            set => set.map(drop),
        };
        if let Err(why) = set {
            problems.field(key, why);
        }
    }
    problems.into_result()?;
    Ok(definition)
}

/// Keeps a setting that the spec has no place for.
fn keep(key: &str, value: &str, spec: &mut VmSpec) -> Result<(), String> {
    let key: PropertyKey = key.parse().map_err(|e| format!("{e}"))?;
    spec.other.insert(key, free_text(value)?);
    Ok(())
}

/// Sets one setting; false if the spec has no place for it.
fn setting(key: &str, value: &str, d: &mut Definition, problems: &mut Problems) -> Result<bool, String> {
    if key == "name" {
        d.name = Some(parse(value)?);
        return Ok(true);
    }
    let spec = &mut d.spec;
    Ok(option(key, value, spec)?
        || upkeep(key, value, spec)?
        || processors::set(key, value, spec)?
        || board::set(key, value, spec)?
        || device::set(key, value, spec)?
        || cloud_init::set(key, value, spec)?
        || drive_or_card(key, value, spec, problems)?)
}

fn option(key: &str, value: &str, spec: &mut VmSpec) -> Result<bool, String> {
    let flag = value == "1";
    match key {
        "description" => spec.description = Some(free_text(value)?),
        "tags" => spec.tags = split_list(value).map(parse).collect::<Result<_, _>>()?,
        "tablet" => spec.tablet = Some(flag),
        "acpi" => spec.acpi = Some(flag),
        "reboot" => spec.reboot = Some(flag),
        "kvm" => spec.accel = Some(if flag { Accel::Auto } else { Accel::Tcg }),
        "keyboard" => spec.keyboard = Some(parse(value)?),
        "bios" => spec.bios = Some(parse(value)?),
        "ostype" => spec.os_type = Some(parse(value)?),
        "scsihw" => spec.scsi_controller = Some(parse(value)?),
        "args" => spec.args = arguments(value)?,
        _ => return Ok(false),
    }
    Ok(true)
}

fn upkeep(key: &str, value: &str, spec: &mut VmSpec) -> Result<bool, String> {
    let flag = value == "1";
    match key {
        "onboot" => spec.on_boot = Some(flag),
        "startup" => spec.startup = Some(startup(value)?),
        "autostart" => spec.autostart = Some(flag),
        "protection" => spec.protection = Some(flag),
        "template" => spec.template = flag,
        "lock" => spec.lock = Some(parse(value)?),
        "hookscript" => spec.hook_script = Some(parse(value)?),
        "migrate_downtime" => spec.migration.downtime_ms = Some(milliseconds(value)?),
        "migrate_speed" => spec.migration.speed_mb = Some(parse(value)?),
        "vmstatestorage" => spec.state_storage = Some(parse(value)?),
        "meta" => {
            let parts = read(&forms::META, value)?;
            let created = one::<u64>(&parts, "ctime")?.map(Timestamp::from_secs);
            spec.origin = Some(Origin { qemu: one(&parts, "creation-qemu")?, created });
        }
        _ => return Ok(false),
    }
    Ok(true)
}

fn milliseconds(seconds: &str) -> Result<u32, String> {
    let ms = words::scaled(seconds, 1000).and_then(|ms| u32::try_from(ms).ok());
    ms.ok_or_else(|| format!("'{}' is too long", crate::route::shorten(seconds)))
}

fn drive_or_card(key: &str, value: &str, spec: &mut VmSpec, problems: &mut Problems) -> Result<bool, String> {
    if let Ok(slot) = key.parse() {
        if let Some(disk) = disk::parse(slot, value, problems) {
            spec.disks.insert(slot, disk);
        }
    } else if let Ok(index) = key.parse() {
        if let Some(card) = nic::parse(index, value, problems) {
            spec.networks.insert(index, card);
        }
    } else if let Some(n) = number_of(key, "unused") {
        spec.unused.insert(n, super::parts::required(&read(&forms::UNUSED, value)?, "file")?);
    } else {
        return Ok(false);
    }
    Ok(true)
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

fn arguments(value: &str) -> Result<Vec<RawArg>, String> {
    let split = words::split_words(value).ok_or("a quote does not end")?;
    split.into_iter().map(|w| parse(&w)).collect()
}

/// The boot order that a new guest without one gets, as Proxmox VE writes it into the configuration: the first disk, the
/// first CD-ROM, the first card.
pub fn default_boot(spec: &VmSpec) -> BootOrder {
    let drives = |cdrom: bool| spec.disks.values().filter(move |d| d.name.bus().is_drive() && d.is_cdrom() == cdrom);
    let first = |cdrom: bool| drives(cdrom).min_by_key(|d| d.name.bus().boot_rank()).map(|d| BootDevice::Disk(d.name));
    let net = spec.networks.keys().next().map(|n| BootDevice::Net(*n));
    BootOrder::new(first(false).into_iter().chain(first(true)).chain(net).collect()).unwrap_or_default()
}
