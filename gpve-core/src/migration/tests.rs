use serde_json::json;

use super::*;
use crate::ports::ContentKind;

fn spec(value: serde_json::Value) -> VmSpec {
    let mut all = json!({ "memory": { "size": "64Mi" } });
    all.as_object_mut().unwrap().extend(value.as_object().unwrap().clone());
    serde_json::from_value(all).unwrap()
}

fn disk(slot: &str, volume: &str) -> serde_json::Value {
    json!({ "name": slot, "source": { "volume": { "volume": volume } } })
}

fn cdrom(slot: &str, source: serde_json::Value) -> serde_json::Value {
    json!({ "name": slot, "source": source, "media": "cdrom" })
}

fn state(place: &str, format: DiskFormat) -> VolumeState {
    VolumeState {
        size: ByteSize::from_gib(1),
        format,
        owner: Some(100u32.try_into().unwrap()),
        place: place.to_owned(),
        base: None,
        has_clones: false,
        is_replicated: false,
    }
}

fn world(volumes: &[(&str, VolumeState)]) -> World {
    let kinds =
        [("local", "dir"), ("thin", "lvmthin"), ("tank", "zfspool"), ("ceph", "rbd"), ("share", "nfs"), ("plain", "lvm"), ("own", "x")];
    World {
        storages: kinds.map(|(id, kind)| (id.parse().unwrap(), StorageFacts::of_kind(kind))).into(),
        volumes: volumes.iter().map(|(id, state)| (id.parse().unwrap(), state.clone())).collect(),
        efi_variables: Some("528Ki".parse().unwrap()),
    }
}

fn wish(live: bool) -> Wish {
    Wish { live, with_local_disks: true, ..Wish::to("other".parse().unwrap()) }
}

fn guest(current: &VmSpec, is_running: bool) -> Guest<'_> {
    Guest { vmid: 100u32.try_into().unwrap(), is_running, lock: None, current, asked: None, snapshots: Vec::new() }
}

fn snapshot<'g>(name: &str, spec: &'g VmSpec, memory: Option<&str>) -> SnapshotOf<'g> {
    SnapshotOf { name: name.parse().unwrap(), spec, memory: memory.map(|id| id.parse().unwrap()) }
}

fn why(refused: Result<Plan, Refusals>) -> Vec<String> {
    refused.unwrap_err().0.iter().map(ToString::to_string).collect()
}

/// Volume, storage and way of each move.
fn ways(plan: &Plan) -> Vec<(String, String, Way)> {
    plan.moves.iter().map(|one| (one.volume.to_string(), one.to.to_string(), one.way)).collect()
}

fn mirror(slot: &str) -> Way {
    Way::Mirror { slot: slot.parse().unwrap(), onto_replica: false }
}

#[test]
fn each_reference_has_its_way() {
    let current = spec(json!({
        "disks": [
            disk("scsi2", "local:100/a.qcow2"), disk("scsi10", "thin:b"), disk("efidisk0", "thin:e"), disk("tpmstate0", "thin:t"),
            disk("sata0", "ceph:c"), cdrom("ide2", json!("empty")),
            cdrom("ide0", json!({ "volume": { "volume": "local:100/vm-100-cloudinit.qcow2" } })),
        ],
        "unused": { "0": "local:100/u.raw" },
    }));
    let mut asked = current.clone();
    asked.disks.insert("scsi3".parse().unwrap(), serde_json::from_value(disk("scsi3", "tank:p")).unwrap());
    let formats = [("thin:b", DiskFormat::Raw), ("thin:e", DiskFormat::Raw), ("thin:t", DiskFormat::Raw), ("tank:p", DiskFormat::Raw)];
    let mut volumes: Vec<_> = formats.map(|(id, format)| (id, state(id, format))).into();
    volumes.push(("local:100/a.qcow2", state("a", DiskFormat::Qcow2)));
    volumes.push(("local:100/u.raw", state("u", DiskFormat::Raw)));
    volumes.push(("local:100/vm-100-cloudinit.qcow2", state("i", DiskFormat::Qcow2)));
    let world = world(&volumes);
    let mut whole = Guest { asked: Some(&asked), ..guest(&current, true) };
    let live = plan(&whole, &world, &Wish { storages: "local:thin,tank".parse().unwrap(), ..wish(true) }).unwrap();
    let expected = [
        ("thin:e", "tank", mirror("efidisk0")),
        ("thin:b", "tank", mirror("scsi10")),
        ("local:100/a.qcow2", "thin", mirror("scsi2")),
        ("local:100/u.raw", "thin", Way::Copy),
        ("local:100/vm-100-cloudinit.qcow2", "thin", Way::Copy),
        ("tank:p", "tank", Way::Copy),
        ("thin:t", "tank", Way::Copy),
    ];
    assert_eq!(ways(&live), expected.map(|(volume, to, way)| (volume.to_owned(), to.to_owned(), way)));
    assert!(live.moves.iter().all(|one| one.to.as_ref() == "local" || one.format == DiskFormat::Raw));
    let sizes: Vec<_> = live.sizes.iter().map(|(slot, size)| (slot.to_string(), size.bytes())).collect();
    assert!(sizes.contains(&("efidisk0".to_owned(), 528 * 1024)) && sizes.contains(&("tpmstate0".to_owned(), 4 << 20)), "{sizes:?}");
    // Stopped, nothing is mirrored, and each stays on a storage of the same name.
    whole.is_running = false;
    let cold = plan(&whole, &world, &wish(false)).unwrap();
    assert!(!cold.is_live && cold.moves.iter().all(|one| one.way == Way::Copy && one.to == *one.volume.storage()));
    let with_snapshots: Vec<_> = cold.moves.iter().filter(|one| one.with_snapshots).map(|one| one.volume.to_string()).collect();
    assert_eq!(with_snapshots, ["local:100/a.qcow2"]);
}

#[test]
fn the_configuration_follows_the_volumes() {
    let current = spec(json!({ "disks": [disk("scsi0", "thin:a"), disk("scsi1", "ceph:c")], "unused": { "3": "local:100/u.raw" } }));
    let world = world(&[("thin:a", state("a", DiskFormat::Raw)), ("local:100/u.raw", state("u", DiskFormat::Raw))]);
    let plan = plan(&guest(&current, true), &world, &wish(true)).unwrap();
    let ids = [("thin:a", "tank:new"), ("local:100/u.raw", "local:100/v.raw")];
    let ids = ids.map(|(from, to)| (from.parse().unwrap(), to.parse().unwrap())).into();
    let after = plan.apply(&current, &ids, true);
    let moved = &after.disks[&"scsi0".parse().unwrap()];
    assert_eq!((moved.volume().unwrap().to_string().as_str(), moved.options.format), ("tank:new", Some(DiskFormat::Raw)));
    assert!(matches!(moved.source, crate::types::DiskSource::Volume { size: Some(size), .. } if size == ByteSize::from_gib(1)));
    assert_eq!(after.unused[&3].to_string(), "local:100/v.raw");
    // A snapshot's settings are only followed.
    let then = plan.apply(&current, &ids, false);
    let disk = &then.disks[&"scsi0".parse().unwrap()];
    assert_eq!((disk.volume().unwrap().to_string().as_str(), disk.options.format), ("tank:new", None));
    let left: Vec<_> = plan.leaves().map(ToString::to_string).collect();
    assert_eq!(left, ["thin:a", "local:100/u.raw"]);
}

#[test]
fn what_the_target_has_is_brought_up_to_date() {
    let current = spec(json!({ "disks": [disk("scsi0", "tank:a")], "unused": { "0": "tank:u" } }));
    let replicated = |id| VolumeState { is_replicated: true, ..state(id, DiskFormat::Raw) };
    let world = world(&[("tank:a", replicated("a")), ("tank:u", replicated("u"))]);
    let before = current.clone();
    let whole = Guest { snapshots: vec![snapshot("then", &before, None)], ..guest(&current, true) };
    let live = plan(&whole, &world, &Wish { storages: "thin".parse().unwrap(), ..wish(true) }).unwrap();
    let slot = "scsi0".parse().unwrap();
    let expected = [("tank:a", "tank", Way::Mirror { slot, onto_replica: true }), ("tank:u", "tank", Way::Replica)];
    assert_eq!(ways(&live), expected.map(|(volume, to, way)| (volume.to_owned(), to.to_owned(), way)));
    assert_eq!(live.leaves().count(), 0);
}

#[test]
fn every_reason_is_said_at_once() {
    let current = spec(json!({
        "disks": [
            disk("scsi0", "thin:a"), disk("scsi1", "thin:other"), disk("scsi2", "local:100/gone.raw"), disk("scsi3", "none-such:x"),
            disk("scsi4", "own:x"), { "name": "scsi5", "source": { "host": "/dev/sdb" } },
            { "name": "scsi6", "source": { "host": "/dev/mapper/all" }, "shared": true },
            cdrom("ide0", json!({ "host": "/dev/cdrom" })),
            cdrom("ide2", json!({ "volume": { "volume": "local:iso/x.iso" } })),
        ],
        "usb": { "0": { "source": { "device": "1234:5678" } }, "1": { "source": { "mapping": "stick" } } },
        "hostPci": {}, "serials": { "1": { "device": "/dev/ttyS0" } },
    }));
    let then = spec(json!({ "disks": [disk("scsi0", "thin:a")] }));
    let other = VolumeState { owner: Some(101u32.try_into().unwrap()), ..state("o", DiskFormat::Raw) };
    let iso = VolumeState { owner: None, ..state("i", DiskFormat::Raw) };
    let own = VolumeState { has_clones: true, base: Some("base-99".to_owned()), ..state("x", DiskFormat::Raw) };
    let world = world(&[("thin:a", state("a", DiskFormat::Raw)), ("thin:other", other), ("own:x", own), ("local:iso/x.iso", iso)]);
    let whole = Guest { lock: Some("backup"), snapshots: vec![snapshot("then", &then, None)], ..guest(&current, true) };
    let mut all = why(plan(&whole, &world, &Wish { with_local_disks: false, live: false, ..wish(false) }));
    all.sort();
    let local = |volume: &str, why: &str| format!("can't migrate local disk '{volume}': {why}");
    let mut expected = vec![
        "VM is locked (backup)".to_owned(),
        "can't migrate running VM without --online".to_owned(),
        "can't migrate VM which uses local devices: usb0, serial1".to_owned(),
        "can't migrate running VM which uses mapped devices: usb1".to_owned(),
        "can't migrate local cdrom drive".to_owned(),
        "storage 'none-such' does not exist".to_owned(),
        local("thin:a", "online storage migration not possible if non-replicated snapshot exists"),
        local("thin:a", "can't live migrate attached local disks without with-local-disks option"),
        local("thin:other", "owned by other VM (owner = VM 101)"),
        local("local:100/gone.raw", "volume does not exist"),
        local("local:iso/x.iso", "local cdrom image"),
        local("own:x", "referenced by linked clone(s)"),
        local("own:x", "it's a clone of 'base-99'"),
        local("own:x", "can't live migrate attached local disks without with-local-disks option"),
        local("own:x", "storage type 'x' not supported"),
        local("/dev/sdb", "local file/device"),
    ];
    expected.sort();
    assert_eq!(all, expected);
}

#[test]
fn storages_have_to_be_there_and_to_hold_disks() {
    let current = spec(json!({ "disks": [disk("scsi0", "thin:a"), cdrom("ide2", json!({ "volume": { "volume": "share:iso/x.iso" } }))] }));
    let mut world = world(&[("thin:a", state("a", DiskFormat::Raw))]);
    let refused =
        |world: &World, map: &str| why(plan(&guest(&current, false), world, &Wish { storages: map.parse().unwrap(), ..wish(false) }));
    assert_eq!(refused(&world, "thin:nowhere"), ["storage 'nowhere' does not exist"]);
    let facts = |world: &mut World, id: &str, change: fn(&mut StorageFacts)| change(world.storages.get_mut(&id.parse().unwrap()).unwrap());
    facts(&mut world, "share", |facts| facts.contents = [ContentKind::Iso].into());
    assert!(plan(&guest(&current, false), &world, &wish(false)).is_ok(), "images of CD-ROMs need no place for disks");
    facts(&mut world, "tank", |facts| facts.contents = [ContentKind::Rootdir].into());
    assert_eq!(refused(&world, "tank"), ["content type 'images' is not available on storage 'tank'"]);
    facts(&mut world, "share", |facts| facts.on_target = false);
    facts(&mut world, "thin", |facts| facts.is_enabled = false);
    let both = ["storage 'share' is not available on node 'other'", "storage 'thin' is disabled"];
    assert_eq!(refused(&world, "1"), both);
}

#[test]
fn what_only_a_snapshot_has_counts_too() {
    let current = spec(json!({ "disks": [disk("scsi0", "thin:a")] }));
    let then = spec(json!({ "disks": [disk("scsi0", "thin:a"), cdrom("ide2", json!({ "host": "/dev/cdrom" }))] }));
    let volumes = [("thin:a", state("a", DiskFormat::Raw)), ("thin:m", state("m", DiskFormat::Raw))];
    let whole = Guest { snapshots: vec![snapshot("then", &then, Some("thin:m"))], ..guest(&current, false) };
    let reasons = why(plan(&whole, &world(&volumes), &wish(false)));
    let expected = [
        "can't migrate local disk 'thin:a': non-migratable snapshot exists",
        "can't migrate local cdrom drive (referenced in snapshot - then)",
    ];
    assert_eq!(reasons, expected);
    // The memory goes with what can keep snapshots.
    let current = spec(json!({ "disks": [disk("scsi0", "tank:a")] }));
    let whole = Guest { snapshots: vec![snapshot("then", &current, Some("thin:m"))], ..guest(&current, false) };
    let plan = plan(&whole, &world(&[("tank:a", state("a", DiskFormat::Raw)), volumes[1].clone()]), &wish(false)).unwrap();
    let moved: Vec<_> = plan.moves.iter().map(|one| (one.volume.to_string(), one.with_snapshots)).collect();
    assert_eq!(moved, [("tank:a".to_owned(), true), ("thin:m".to_owned(), false)]);
}

#[test]
fn one_volume_with_two_names_is_refused() {
    let current = spec(json!({ "disks": [disk("scsi0", "tank:a"), disk("scsi1", "plain:a")] }));
    let world = world(&[("tank:a", state("same", DiskFormat::Raw)), ("plain:a", state("same", DiskFormat::Raw))]);
    assert_eq!(why(plan(&guest(&current, false), &world, &wish(false))), ["detected not supported aliased volumes: 'plain:a', 'tank:a'"]);
}

#[test]
fn a_stopped_guest_is_forced_past_its_devices() {
    let current = spec(json!({ "usb": { "0": { "source": { "device": "1234:5678" } } } }));
    let forced = |running| plan(&guest(&current, running), &World::default(), &Wish { force: true, ..wish(true) });
    assert!(forced(false).is_ok());
    assert_eq!(why(forced(true)), ["can't migrate VM which uses local devices: usb0"]);
}

#[test]
fn a_map_of_storages_is_read_and_refused() {
    let map: StorageMap = "aa:bb,cc,dd:ee".parse().unwrap();
    let of = |id: &str| map.of(&id.parse().unwrap()).to_string();
    assert_eq!([of("aa"), of("dd"), of("xx")], ["bb", "ee", "cc"]);
    assert_eq!("1".parse::<StorageMap>().unwrap(), StorageMap::default());
    for bad in ["aa,bb", "aa:bb,aa:cc", "aa:", "a b", "1,aa", "aa:bb:cc"] {
        assert!(bad.parse::<StorageMap>().is_err(), "{bad}");
    }
}
