//! From a spec to settings.

use gpve_core::types::{Accel, Origin, StartupOrder, VmSpec};

use super::parts::{Pairs, flag, shown};
use super::{Definition, SPELLING, VmConfig, board, cloud_init, device, disk, nic, processors, spelling, words};

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
    // What an earlier version kept beside the spec comes first: a setting that has its place by now overrules it.
    for (key, value) in spec.other.iter().filter(|(k, _)| k.as_str() != SPELLING) {
        c.set(key.as_str(), value.as_str());
    }
    let name = definition.name.as_ref().map(|n| ("name".to_owned(), n.to_string()));
    let groups = [options(spec), upkeep(spec), processors::pairs(spec), board::pairs(spec), device::pairs(spec), cloud_init::pairs(spec)];
    for (key, value) in name.into_iter().chain(groups.into_iter().flatten()).chain(drives_and_cards(spec)) {
        c.set(key, value);
    }
    c
}

fn options(spec: &VmSpec) -> Pairs {
    let tags: Vec<&str> = spec.tags.iter().map(|t| t.as_str()).collect();
    let single = [
        ("description", spec.description.as_ref().map(|v| v.as_str().to_owned())),
        ("tags", (!tags.is_empty()).then(|| tags.join(";"))),
        ("tablet", spec.tablet.map(flag)),
        ("acpi", spec.acpi.map(flag)),
        ("reboot", spec.reboot.map(flag)),
        ("kvm", spec.accel.map(|a| flag(a != Accel::Tcg))),
        ("keyboard", shown(spec.keyboard.as_ref())),
        ("bios", shown(spec.bios.as_ref())),
        ("ostype", shown(spec.os_type.as_ref())),
        ("scsihw", shown(spec.scsi_controller.as_ref())),
        ("args", (!spec.args.is_empty()).then(|| words::join_words(spec.args.iter().map(|a| a.as_str())))),
    ];
    single.into_iter().filter_map(|(k, v)| Some((k.to_owned(), v?))).collect()
}

fn upkeep(spec: &VmSpec) -> Pairs {
    let startup = |s: StartupOrder| {
        let parts = [("order", s.order), ("up", s.up), ("down", s.down)];
        let parts: Vec<String> = parts.into_iter().filter_map(|(k, v)| Some(format!("{k}={}", v?))).collect();
        parts.join(",")
    };
    let single = [
        ("onboot", spec.on_boot.map(flag)),
        ("startup", spec.startup.map(startup)),
        ("autostart", spec.autostart.map(flag)),
        ("protection", spec.protection.map(flag)),
        ("template", spec.template.then(|| flag(true))),
        ("lock", shown(spec.lock.as_ref())),
        ("hookscript", shown(spec.hook_script.as_ref())),
        ("migrate_downtime", spec.migration.downtime_ms.map(|ms| words::thousandths(ms.into()))),
        ("migrate_speed", shown(spec.migration.speed_mb.as_ref())),
        ("vmstatestorage", shown(spec.state_storage.as_ref())),
        ("meta", spec.origin.as_ref().map(origin)),
    ];
    single.into_iter().filter_map(|(k, v)| Some((k.to_owned(), v?))).collect()
}

fn origin(origin: &Origin) -> String {
    let parts = [
        origin.qemu.as_ref().map(|version| format!("creation-qemu={version}")),
        origin.created.map(|time| format!("ctime={}", time.secs())),
    ];
    parts.into_iter().flatten().collect::<Vec<_>>().join(",")
}

fn drives_and_cards(spec: &VmSpec) -> Pairs {
    let disks = spec.disks.values().map(|d| (d.name.to_string(), disk::render(d)));
    let cards = spec.networks.values().map(|n| (n.name.to_string(), nic::render(n)));
    let unused = spec.unused.iter().map(|(n, volume)| (format!("unused{n}"), volume.to_string()));
    disks.chain(cards).chain(unused).collect()
}
