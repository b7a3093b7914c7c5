use std::path::Path;

use gpve_core::types::{DiskFormat, SnapName, VolumeName};

use super::{Definition, ImagePlace, Location};

fn storage(kind: &str, lines: &[(&str, &'static str)]) -> Definition {
    Definition::parse(kind, |key| lines.iter().find(|(name, _)| *name == key).map(|(_, value)| *value)).unwrap()
}

fn locate(storage: &Definition, name: &str, snapshot: Option<&str>) -> Option<Location> {
    let (name, snapshot): (VolumeName, Option<SnapName>) = (name.parse().unwrap(), snapshot.map(|name| name.parse().unwrap()));
    storage.locate(&name, snapshot.as_ref(), 3).ok()
}

/// The file or device.
fn path(storage: &Definition, name: &str, snapshot: Option<&str>) -> String {
    match locate(storage, name, snapshot).map(|location| location.place) {
        Some(ImagePlace::File(path) | ImagePlace::Device(path)) => path.display().to_string(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn each_type_has_its_place_for_a_volume_and_for_its_snapshot() {
    let folder = storage("dir", &[("path", "/d")]);
    let chain = storage("nfs", &[("path", "/d"), ("snapshot-as-volume-chain", "1")]);
    let btrfs = storage("btrfs", &[("path", "/b")]);
    let (lvm, thin) = (storage("lvm", &[("vgname", "vg")]), storage("lvmthin", &[("vgname", "vg"), ("thinpool", "data")]));
    let zfs = storage("zfspool", &[("pool", "rpool/data")]);
    let mapped = storage("rbd", &[("pool", "p"), ("namespace", "n"), ("krbd", "1"), ("fsid", "f")]);
    for (storage, name, snapshot, expected) in [
        (&folder, "800/vm-800-disk-0.qcow2", None, "/d/images/800/vm-800-disk-0.qcow2"),
        (&folder, "800/vm-800-disk-0.qcow2", Some("one"), "/d/images/800/vm-800-disk-0.qcow2"),
        (&folder, "700/base-700-disk-0.qcow2/800/vm-800-disk-0.qcow2", None, "/d/images/800/vm-800-disk-0.qcow2"),
        (&folder, "iso/x.iso", None, "/d/template/iso/x.iso"),
        (&chain, "800/vm-800-disk-0.qcow2", Some("one"), "/d/images/800/snap-one-vm-800-disk-0.qcow2"),
        (&btrfs, "800/vm-800-disk-0.raw", None, "/b/images/800/vm-800-disk-0/disk.raw"),
        (&btrfs, "800/vm-800-disk-0.raw", Some("one"), "/b/images/800/vm-800-disk-0@one/disk.raw"),
        (&btrfs, "800/vm-800-disk-0.qcow2", None, "/b/images/800/vm-800-disk-0.qcow2"),
        (&lvm, "vm-800-disk-0", None, "/dev/vg/vm-800-disk-0"),
        (&lvm, "vm-800-disk-0.qcow2", Some("one"), "/dev/vg/snap_vm-800-disk-0_one.qcow2"),
        (&thin, "vm-800-disk-0", Some("one"), "/dev/vg/snap_vm-800-disk-0_one"),
        (&zfs, "base-700-disk-0/vm-800-disk-0", Some("one"), "/dev/zvol/rpool/data/vm-800-disk-0@one"),
        (&mapped, "base-700-disk-0/vm-800-disk-0", Some("one"), "/dev/rbd-pve/f/p/n/vm-800-disk-0@one"),
    ] {
        assert_eq!(path(storage, name, snapshot), expected);
    }
    let inside = locate(&folder, "800/vm-800-disk-0.qcow2", Some("one")).unwrap();
    assert_eq!(inside.snapshot.map(|name| name.to_string()).as_deref(), Some("one"));
}

#[test]
fn what_has_no_snapshots_of_its_own_is_refused() {
    for (storage, name) in [
        (storage("dir", &[("path", "/d")]), "800/vm-800-disk-0.raw"),
        (storage("lvm", &[("vgname", "vg")]), "vm-800-disk-0"),
        (storage("zfs", &[("portal", "h"), ("target", "iqn.t")]), "vm-800-disk-0"),
    ] {
        assert!(locate(&storage, name, None).is_some(), "{storage:?}");
        assert_eq!(locate(&storage, name, Some("one")), None, "{storage:?}");
    }
    assert_eq!(locate(&storage("dir", &[("path", "/d")]), "vm-800-disk-0", None), None);
}

#[test]
fn a_type_without_disks_or_without_its_line_is_refused() {
    for (kind, field) in [("pbs", "type"), ("dir", "path"), ("lvm", "vgname"), ("zfspool", "pool"), ("zfs", "portal")] {
        assert_eq!(Definition::parse(kind, |_| None).unwrap_err().fields[0].field, field);
    }
}

#[test]
fn monitors_are_read_with_and_without_ports() {
    let Definition::Rbd(pool) = storage("rbd", &[("monhost", "10.0.0.1; [fe80::1]:6789,mon.example:3301 ::1")]) else { panic!() };
    let all: Vec<_> = pool.monitors.iter().map(|monitor| (monitor.host.as_str(), monitor.port)).collect();
    assert_eq!(all, [("10.0.0.1", None), ("fe80::1", Some(6789)), ("mon.example", Some(3301)), ("::1", None)]);
    assert_eq!(pool.pool, "rbd");
}

#[test]
fn a_file_of_the_host_is_what_its_ending_says() {
    let of = |path: &str| Location::of_host(Path::new(path));
    assert_eq!(of("/tmp/a.vmdk").format, DiskFormat::Vmdk);
    assert_eq!(of("/usr/share/a.fd").format, DiskFormat::Raw);
    assert_eq!(of("/dev/sda").place, ImagePlace::Device("/dev/sda".into()));
}
