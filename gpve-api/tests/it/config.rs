//! Configurations go to a spec and back without loss.

use gpve_api::pve2::config::{Definition, Edit, SPELLING, VmConfig, cloud_init_pending, default_boot, needs_root, pending};
use gpve_api::route::{Dialect, Given, Kind};
use gpve_api::routes::{router, vm_options};
use gpve_core::error::ErrorKind;
use gpve_core::types::{Accel, DiskSource, MacAddr, VmSpec};
use proptest::prelude::*;
use serde_json::json;

fn params(method: &str, path: &str, pairs: &[(&str, &str)]) -> gpve_api::route::Params {
    let matched = router(Dialect::Pve2).find(method, path).unwrap();
    matched.validate(pairs.iter().copied().collect::<Given>()).unwrap()
}

fn config(pairs: &[(&str, &str)]) -> VmConfig {
    let pairs: Vec<(&str, &str)> = pairs.iter().copied().chain([("vmid", "100")]).collect();
    VmConfig::from_params(&params("POST", "/nodes/pve/qemu", &pairs))
}

fn define(pairs: &[(&str, &str)]) -> Definition {
    config(pairs).define().unwrap()
}

fn edit(pairs: &[(&str, &str)]) -> Result<Edit, gpve_core::error::Error> {
    Edit::from_params(&params("PUT", "/nodes/pve/qemu/100/config", pairs))
}

/// What the recorded "rich" guest was made with.
const RICH: &[(&str, &str)] = &[
    ("name", "t2"),
    ("memory", "64"),
    ("cores", "1"),
    ("ide2", "local:iso/tiny.iso,media=cdrom,size=64K"),
    ("scsi0", "local:7641/vm-7641-disk-0.raw,size=1G"),
    ("virtio0", "st2:7641/vm-7641-disk-0.qcow2,size=1G"),
    ("net0", "virtio=BC:24:11:25:6C:E7,bridge=vmbr0"),
    ("description", "multi\nline ü"),
    ("tags", "b;a;B"),
    ("onboot", "1"),
    ("startup", "order=2,up=3"),
    ("agent", "enabled=1,fstrim_cloned_disks=1"),
    ("vga", "serial0"),
    ("serial0", "socket"),
    ("balloon", "32"),
    ("numa", "0"),
    ("hotplug", "network,disk,usb"),
    ("cpulimit", "1.5"),
    ("cpuunits", "200"),
    ("protection", "0"),
    ("tablet", "0"),
    ("kvm", "0"),
    ("boot", "order=scsi0;ide2"),
    ("smbios1", "uuid=184415ce-bc61-47ef-8732-4bd58c04fe54,family=QQ=="),
    ("vmgenid", "145ced86-d86d-4d9c-89dd-f875ea8e8e0d"),
    ("cpu", "x86-64-v2-AES,flags=+aes;-pcid,phys-bits=40"),
    ("machine", "pc-q35-9.2+pve1,viommu=intel"),
    ("numa0", "cpus=0,memory=64"),
    ("args", "-device 'a b'"),
    ("rng0", "/dev/urandom,max_bytes=1024"),
];

#[test]
fn a_rich_configuration_reads_back_as_it_was_written() {
    let written = config(RICH);
    let definition = written.define().unwrap();
    assert_eq!(VmConfig::of(&definition), written);
    assert_eq!(written.to_json()["tags"], "a;b");
    assert_eq!(definition.spec.accel, Some(Accel::Tcg));
    assert_eq!(definition.spec.args[1].as_str(), "a b");
}

/// Every setting of a guest with all of its parts, each part once, as Proxmox VE prints it.
fn every_setting() -> Vec<(&'static str, &'static str)> {
    include_str!("../golden/every-setting.conf").lines().map(|line| line.split_once(": ").unwrap()).collect()
}

#[test]
fn every_setting_has_its_place_in_the_spec_and_is_shown_as_it_was_set() {
    let pairs = every_setting();
    let written = params("POST", "/nodes/pve/qemu", &[&[("vmid", "100")], pairs.as_slice()].concat());
    let definition = VmConfig::from_params(&written).define().unwrap();
    let shown = VmConfig::of(&definition);
    for (key, value) in &pairs {
        assert_eq!(shown.get(key), Some(*value), "{key}");
    }
    assert_eq!(shown.iter().count(), pairs.len());
    assert!(definition.spec.other.keys().all(|key| key.as_str() == SPELLING), "{:?}", definition.spec.other);
    assert!(definition.spec.disks.values().all(|d| d.options.other.is_empty()));
}

#[test]
fn every_setting_of_the_table_is_in_the_golden_file_with_every_part() {
    let pairs = every_setting();
    // Other names of other settings, and what stands for something else.
    let elsewhere = ["cdrom", "smp", "template", "nvme"];
    for option in gpve_api::routes::vm_options().iter().filter(|o| !elsewhere.contains(&o.name)) {
        let texts: Vec<&str> = pairs.iter().filter(|(key, _)| option.covers(key)).map(|(_, value)| *value).collect();
        assert!(!texts.is_empty(), "{} is not there", option.name);
        let Kind::Property(form) = option.kind else { continue };
        // Drives of every bus have most parts in common.
        let is_drive = form.default_key == Some("file");
        let texts = if is_drive { pairs.iter().map(|(_, value)| *value).collect() } else { texts };
        let plain = ["model", "macaddr", "import-from", "bps", "bps_rd", "bps_wr", "legacy", "mapping"];
        let parts = form.keys.iter().filter(|k| k.alias_of.is_none() && form.default_key != Some(k.name) && !plain.contains(&k.name));
        for part in parts {
            let there = texts.iter().any(|t| t.split(',').any(|p| p.starts_with(&format!("{}=", part.name))));
            assert!(there, "{} without {}", option.name, part.name);
        }
    }
}

#[test]
fn types_on_the_wire_follow_the_table() {
    let mut written = config(RICH);
    written.set("cipassword", "secret");
    written.set("snaptime", "1795204976");
    let shown = written.to_json();
    for (key, value) in [
        ("cores", json!(1)),
        ("numa", json!(0)),
        ("onboot", json!(1)),
        ("balloon", json!(32)),
        ("memory", json!("64")),
        ("cpulimit", json!("1.5")),
        ("agent", json!("enabled=1,fstrim_cloned_disks=1")),
        ("cipassword", json!("**********")),
        ("snaptime", json!(1_795_204_976)),
    ] {
        assert_eq!(shown[key], value, "{key}");
    }
}

#[test]
fn a_guest_that_says_nothing_shows_nothing() {
    let definition = define(&[]);
    assert_eq!(definition.spec.memory.size.get(), 512);
    assert_eq!(VmConfig::of(&definition), VmConfig::default());
}

#[test]
fn a_new_guest_gets_what_proxmox_ve_writes_at_create() {
    let ids = (uuid::Uuid::from_u128(1), uuid::Uuid::from_u128(2));
    let shown = |pairs: &[(&str, &str)]| VmConfig::of(&config(pairs).define_new(ids.0, ids.1).unwrap());
    let bare = shown(&[]);
    assert_eq!(
        bare.iter().collect::<Vec<_>>(),
        [("boot", " "), ("smbios1", "uuid=00000000-0000-0000-0000-000000000001"), ("vmgenid", "00000000-0000-0000-0000-000000000002")]
    );
    let some = shown(&[("scsi0", "local:1"), ("net0", "virtio,bridge=vmbr0"), ("smbios1", "family=QQ=="), ("vmgenid", "0")]);
    assert_eq!(some.get("boot"), Some("order=scsi0;net0"));
    assert_eq!(some.get("smbios1"), Some("uuid=00000000-0000-0000-0000-000000000001,family=QQ=="));
    assert_eq!(some.get("vmgenid"), Some("0"));
}

#[test]
fn spellings_vanish_once_the_spec_means_something_else() {
    let mut definition = define(&[("cores", "1"), ("agent", "enabled=1"), ("memory", "512")]);
    assert_eq!(VmConfig::of(&definition).get("cores"), Some("1"));
    definition.spec.cpu.cores = 4;
    definition.spec.agent = None;
    let shown = VmConfig::of(&definition);
    assert_eq!(shown.get("cores"), Some("4"));
    assert_eq!(shown.get("agent"), None);
    assert_eq!(shown.get(SPELLING), None);
}

#[test]
fn new_disks_have_sizes_formats_and_sources() {
    let spec = define(&[
        ("scsi0", "local:1,format=qcow2,iothread=1"),
        ("scsi1", "local:0.5"),
        ("ide2", "none,media=cdrom"),
        ("virtio0", "local:0,import-from=local:import/x.qcow2"),
    ])
    .spec;
    let source = |slot: &str| &spec.disks[&slot.parse().unwrap()].source;
    let DiskSource::New { size, format, .. } = source("scsi0") else { panic!() };
    assert_eq!((size.pve(), format.unwrap().to_string()), ("1G".to_owned(), "qcow2".to_owned()));
    let DiskSource::New { size, .. } = source("scsi1") else { panic!() };
    assert_eq!(size.pve(), "512M");
    assert_eq!(*source("ide2"), DiskSource::Empty);
    assert!(matches!(source("virtio0"), DiskSource::Import { .. }));
    let boot = |spec: &VmSpec| default_boot(spec).devices().iter().map(ToString::to_string).collect::<Vec<_>>();
    assert_eq!(boot(&spec), ["scsi0", "ide2"]);
    let both =
        define(&[("virtio0", "local:1"), ("ide1", "local:1"), ("sata2", "none,media=cdrom"), ("efidisk0", "local:1"), ("net3", "virtio")]);
    assert_eq!(boot(&both.spec), ["ide1", "sata2", "net3"], "buses in Proxmox VE's order");
}

#[test]
fn what_gpve_cannot_do_is_refused_by_field_and_impossible_volumes_by_message() {
    for (key, value, why) in [
        ("scsi0", "/etc/passwd", "unable to associate path '/etc/passwd' to any storage"),
        ("scsi0", "local:0,import-from=local:import/x.bin", "a format is never guessed"),
        ("net0", "virtio,trunks=5000", "trunks: "),
        ("usb0", "usb3=1", "usb0 needs either host or mapping"),
        ("hostpci0", "01:00.0,mapping=gpu", "hostpci0 needs either host or mapping"),
        ("smbios1", "base64=1,serial=A", "serial: 'A' is not base64"),
        ("scsi0", "local:1,mbps=1,bps=2", "both mbps and bps are given"),
        ("sockets", "300", "sockets"),
    ] {
        let refused = config(&[(key, value)]).define_new(uuid::Uuid::nil(), uuid::Uuid::nil()).unwrap_err();
        assert_eq!((refused.kind, refused.fields[0].field.as_str()), (ErrorKind::InvalidInput, key));
        assert!(format!("{} {}", key, refused.fields[0].reason).contains(why), "{refused:?}");
    }
    for name in ["-1", "iso/../../x", "100/../x"] {
        let refused = config(&[("ide2", &format!("local:{name},media=cdrom"))]).define().unwrap_err();
        assert_eq!(refused.message, format!("unable to parse directory volume name '{name}'"));
        assert!(refused.fields.is_empty());
    }
}

#[test]
fn an_edit_sets_deletes_and_keeps_addresses_and_sizes() {
    let now = define(RICH);
    let changed = edit(&[
        ("cores", "2"),
        ("delete", "tags,onboot,net7"),
        ("net0", "e1000,bridge=vmbr1"),
        ("scsi0", "local:7641/vm-7641-disk-0.raw,size=9T,cache=none"),
        ("description", ""),
    ])
    .unwrap();
    let change = changed.apply(&now, None).unwrap();
    let after = VmConfig::of(&change.definition);
    assert!(change.differs && change.destroy.is_empty());
    assert_eq!(after.get("cores"), Some("2"));
    assert_eq!((after.get("tags"), after.get("onboot"), after.get("description")), (None, None, None));
    assert_eq!(after.get("net0"), Some("e1000=BC:24:11:25:6C:E7,bridge=vmbr1"));
    assert_eq!(after.get("scsi0"), Some("local:7641/vm-7641-disk-0.raw,cache=none,size=1G"));
    assert!(!edit(&[("memory", "64")]).unwrap().apply(&now, None).unwrap().differs);
}

#[test]
fn a_removed_disk_becomes_unused_and_a_removed_unused_one_is_destroyed() {
    let now = define(RICH);
    let removed = edit(&[("delete", "virtio0,ide2")]).unwrap().apply(&now, None).unwrap();
    let shown = VmConfig::of(&removed.definition);
    assert_eq!(shown.get("unused0"), Some("st2:7641/vm-7641-disk-0.qcow2"));
    assert_eq!((shown.get("ide2"), removed.destroy.len()), (None, 0), "an image in a CD-ROM drive belongs to nobody");
    let back = edit(&[("scsi5", "st2:7641/vm-7641-disk-0.qcow2")]).unwrap().apply(&removed.definition, None).unwrap();
    assert_eq!(VmConfig::of(&back.definition).get("unused0"), None);
    let gone = edit(&[("delete", "unused0")]).unwrap().apply(&removed.definition, None).unwrap();
    assert_eq!(gone.update.patch.paths().collect::<Vec<_>>(), ["unused.0"], "the node destroys what leaves the list");
    let forced = edit(&[("delete", "virtio0"), ("force", "1")]).unwrap().apply(&now, None).unwrap();
    assert_eq!(forced.destroy[0].to_string(), "st2:7641/vm-7641-disk-0.qcow2");
}

#[test]
fn edits_that_make_no_sense_are_refused_like_proxmox_ve_refuses_them() {
    assert_eq!(edit(&[]).unwrap_err().message, "no options specified");
    assert_eq!(edit(&[("delete", "nosuch")]).unwrap_err().fields[0].reason, "unknown option 'nosuch'");
    assert_eq!(edit(&[("delete", "digest")]).unwrap_err().fields[0].field, "delete");
    assert_eq!(edit(&[("delete", "cores"), ("cores", "2")]).unwrap_err().fields[0].field, "delete");
    let now = define(RICH);
    let good = now.digest();
    assert_eq!(good.len(), 40);
    assert!(edit(&[("digest", &good), ("cores", "2")]).unwrap().apply(&now, None).is_ok());
    let stale = edit(&[("digest", "zz"), ("cores", "2")]).unwrap().apply(&now, None).unwrap_err();
    assert_eq!((stale.kind, stale.message.as_str()), (ErrorKind::Conflict, "checksum mismatch (file change by other user?)"));
}

#[test]
fn pending_changes_stand_beside_what_is_in_force_and_can_be_taken_back() {
    let running = define(&[("cores", "2"), ("onboot", "1"), ("memory", "64")]);
    let asked = edit(&[("cores", "4"), ("delete", "onboot"), ("name", "x1")]).unwrap().apply(&running, None).unwrap().definition;
    let entries = pending(&asked, Some(&running));
    let shown: Vec<serde_json::Value> = entries.iter().map(|e| serde_json::to_value(e).unwrap()).collect();
    assert!(shown.contains(&json!({"key": "cores", "value": 2, "pending": 4})));
    assert!(shown.contains(&json!({"key": "onboot", "value": 1, "delete": 1})));
    assert!(shown.contains(&json!({"key": "name", "pending": "x1"})));
    assert!(shown.contains(&json!({"key": "memory", "value": "64"})));
    assert_eq!(shown.last().unwrap()["key"], "digest");
    let back = edit(&[("revert", "cores,onboot,name")]).unwrap().apply(&asked, Some(&running)).unwrap();
    assert_eq!(VmConfig::of(&back.definition), VmConfig::of(&running));
}

#[test]
fn every_setting_is_roots_or_not() {
    let is_roots = |key: &str, value: &str| {
        let stem = key.trim_end_matches(|c: char| c.is_ascii_digit());
        let param = vm_options().iter().find(|p| p.name == if p.indexes > 0 { stem } else { key });
        param.unwrap_or_else(|| panic!("{key} is in no table")).root_only || needs_root(&config(&[(key, value)])).is_some()
    };
    let roots: Vec<_> = every_setting().into_iter().filter(|(key, value)| is_roots(key, value)).map(|(key, _)| key).collect();
    assert_eq!(roots, ["arch", "args", "hookscript", "hostpci0", "ide1", "ivshmem", "lock", "parallel0", "scsi2", "usb0", "usb1"]);
}

#[test]
fn things_of_the_host_are_for_root() {
    assert_eq!(needs_root(&config(RICH)), None);
    for (key, value) in
        [("serial1", "/dev/ttyS0"), ("usb0", "host=1-2"), ("hostpci0", "0000:01:00.0"), ("scsi0", "local:0,import-from=/root/x.raw")]
    {
        assert_eq!(needs_root(&config(&[(key, value)])), Some(key));
    }
    assert_eq!(needs_root(&config(&[("usb0", "spice"), ("hostpci0", "mapping=gpu")])), None);
}

#[test]
fn a_native_spec_shows_and_reads_back() {
    let mut spec = VmSpec::of(1024_u64.try_into().unwrap());
    spec.cpu.cores = 2;
    let definition = Definition { name: Some("web.example".parse().unwrap()), spec };
    let again = VmConfig::of(&definition).define().unwrap();
    assert_eq!(VmConfig::of(&again), VmConfig::of(&definition));
    assert_eq!(again.spec.cpu, definition.spec.cpu);
}

fn drive() -> impl Strategy<Value = String> {
    let file = prop_oneof![
        "local:[0-9]{1,2}",
        "local:0\\.[0-9]{1,3}",
        "st2:100/vm-100-disk-[0-9]\\.(raw|qcow2)",
        Just("none,media=cdrom".to_owned())
    ];
    let options = prop_oneof![
        "", ",cache=writeback", ",discard=on,ssd=1", ",iops=100,mbps=1\\.5", ",backup=0,replicate=0", ",serial=A_b-1", ",aio=native"
    ];
    (file, options).prop_map(|(f, o)| f + &o)
}

fn card() -> impl Strategy<Value = String> {
    let model = prop_oneof!["virtio", "e1000", "virtio=BC:24:11:00:00:0[0-9]", "vmxnet3=02:00:00:00:00:01"];
    let options = prop_oneof![
        "", ",bridge=vmbr0", ",bridge=vmbr0,tag=5,trunks=1-3;7", ",bridge=vmbr1,firewall=0,link_down=1", ",queues=4,mtu=1,rate=12\\.5"
    ];
    (model, options).prop_map(|(m, o)| m + &o)
}

fn any_setting() -> impl Strategy<Value = (String, String)> {
    let word = |key: &'static str, values: &'static str| values.prop_map(move |v| (key.to_owned(), v)).boxed();
    prop_oneof![
        4 => ("(scsi([0-9]|1[0-9]|30)|sata[0-5]|ide[0-3])", drive()),
        2 => ("net([0-9]|31)", card()),
        1 => word("cores", "[1-9]"),
        1 => word("sockets", "[1-4]"),
        1 => word("memory", "(64|512|current=1024)"),
        1 => word("balloon", "(0|32)"),
        1 => word("agent", "(0|1|enabled=1,type=isa|1,freeze-fs=0)"),
        1 => word("boot", "(order=scsi0;net0|cdn|order=)"),
        1 => word("vga", "(std|qxl2|virtio,memory=64|serial1)"),
        1 => word("machine", "(q35|pc|pc-i440fx-9\\.0|pc-q35-9\\.2\\+pve1,viommu=virtio)"),
        1 => word("cpu", "(host|cputype=kvm64|host,hidden=1,flags=\\+aes)"),
        1 => word("cpulimit", "(0|0\\.5|2|1\\.250)"),
        1 => word("startup", "(order=1|2|up=5,order=3|order=1,down=60)"),
        1 => word("vmgenid", "(0|1)"),
        1 => word("tags", "(a|b;a|x,y z)"),
        1 => word("args", "(-no-hpet|-cpu host|-x 'a b' \"c\")"),
        1 => word("serial0", "(socket|/dev/ttyS1)"),
        1 => word("description", "[a-zü \\n]{1,30}"),
        1 => word("numa0", "cpus=0-1,memory=64"),
        1 => word("kvm", "[01]"),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(600))]

    #[test]
    fn any_accepted_configuration_reads_back_as_it_was_written(settings in proptest::collection::vec(any_setting(), 0..12)) {
        let mut written = VmConfig::default();
        for (key, value) in settings {
            written.set(key, value);
        }
        let given: Given = written.iter().map(|(k, v)| (k.to_owned(), v.to_owned())).chain([("vmid".to_owned(), "100".to_owned())]).collect();
        let params = router(Dialect::Pve2).find("POST", "/nodes/pve/qemu").unwrap().validate(given).unwrap();
        let written = VmConfig::from_params(&params);
        let definition = written.define().unwrap();
        let shown = VmConfig::of(&definition);
        prop_assert_eq!(&shown, &written);
        // Stored as JSON and read again, it is the same.
        let stored: VmSpec = serde_json::from_str(&serde_json::to_string(&definition.spec).unwrap()).unwrap();
        prop_assert_eq!(VmConfig::of(&Definition { name: definition.name.clone(), spec: stored }), written);
    }

    #[test]
    fn any_card_keeps_its_address_when_only_options_change(last in 0_u8..255) {
        let mac = MacAddr::local([1, 2, last]);
        let now = define(&[("net0", &format!("virtio={mac},bridge=vmbr0"))]);
        let change = edit(&[("net0", "virtio,bridge=vmbr0,firewall=1")]).unwrap().apply(&now, None).unwrap();
        let shown = VmConfig::of(&change.definition);
        prop_assert_eq!(shown.get("net0").unwrap(), format!("virtio={mac},bridge=vmbr0,firewall=1"));
    }
}

#[test]
fn a_cloud_init_drive_is_asked_for_by_its_storage_and_shown_by_its_name() {
    use gpve_core::types::DiskFormat;
    let slot = "ide2".parse().unwrap();
    for text in ["local:cloudinit", "file=local:cloudinit,", "local:cloudinit,media=cdrom"] {
        let asked = define(&[("ide2", text)]);
        assert!(matches!(&asked.spec.disks[&slot].source, DiskSource::CloudInit { format: None, .. }), "{text}: {asked:?}");
        assert!(asked.spec.disks[&slot].is_cdrom() && asked.spec.check().is_empty(), "{text}");
        assert!(VmConfig::of(&asked).get("ide2").unwrap().starts_with("local:cloudinit"));
    }
    let raw = define(&[("ide2", "local:cloudinit,format=raw")]);
    assert!(matches!(&raw.spec.disks[&slot].source, DiskSource::CloudInit { format: Some(DiskFormat::Raw), .. }));
    let made = define(&[("ide2", "local:100/vm-100-cloudinit.qcow2,media=cdrom")]);
    assert_eq!(made.spec.cloud_init_drive("100".parse().unwrap()).map(|(slot, _)| slot), Some(slot));
    assert_eq!(made.spec.cloud_init_drive("101".parse().unwrap()), None, "it is another guest's");
}

#[test]
fn no_answer_and_no_spec_has_a_password_in_clear() {
    let running = define(&[("ciuser", "ubuntu"), ("cipassword", "canary one"), ("cores", "2")]);
    let edit = edit(&[("cipassword", "canary two"), ("ipconfig0", "ip=dhcp")]).unwrap();
    let asked = edit.apply(&running, None).unwrap().definition;
    let entries = serde_json::to_value(cloud_init_pending(&asked, Some(&running))).unwrap();
    let wanted = json!([
        {"key": "cipassword", "value": "**********", "pending": "**********"},
        {"key": "ciuser", "value": "ubuntu"},
        {"key": "ipconfig0", "pending": "ip=dhcp"},
    ]);
    assert_eq!(entries, wanted);
    let stored = serde_json::to_string(&asked.spec).unwrap();
    assert!(!stored.contains("canary") && stored.contains("$5$"), "{stored}");
    assert_eq!(VmConfig::of(&asked).to_json()["cipassword"], "**********");
}
