//! Every textual type: what `Display` prints parses back, serde uses the same door, and nothing dangerous gets in.

use std::fmt::{Debug, Display};
use std::str::FromStr;

use proptest::prelude::*;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::ports::{ContentKind, Key};
use crate::types::*;

/// Holds for any text, valid or not.
fn one_door<T>(text: &str) -> Option<String>
where
    T: FromStr + Display + Serialize + DeserializeOwned + PartialEq + Debug,
    T::Err: Debug,
{
    let json = serde_json::Value::String(text.to_owned());
    let Ok(value) = text.parse::<T>() else {
        assert!(serde_json::from_value::<T>(json).is_err(), "serde takes {text:?}, FromStr does not");
        return None;
    };
    let shown = value.to_string();
    assert_eq!(shown.parse::<T>().ok().as_ref(), Some(&value), "{shown:?} does not parse back");
    let stored = serde_json::to_value(&value).unwrap();
    assert_eq!(serde_json::from_value::<T>(stored).ok().as_ref(), Some(&value), "{text:?} does not survive serde");
    assert_eq!(serde_json::from_value::<T>(json).ok(), Some(value), "FromStr takes {text:?}, serde does not");
    Some(shown)
}

/// [`one_door`], and the text is safe as an argv element and inside a QEMU option.
fn safe_id<T>(text: &str)
where
    T: FromStr + Display + Serialize + DeserializeOwned + PartialEq + Debug,
    T::Err: Debug,
{
    let Some(shown) = one_door::<T>(text) else { return };
    assert!(!shown.starts_with('-'), "{shown:?} would be an option");
    assert!(!shown.contains("..") && !shown.contains([',', '\n', '\0', '=', ' ', '\'', '"']), "{shown:?} is not safe");
}

/// Texts of every kind that somebody could send: nearly right ones, and others.
fn texts() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => "[a-zA-Z0-9]{1,8}([-_.+@~/:!][a-zA-Z0-9]{1,6}){0,3}",
        2 => "[-a-zA-Z0-9_.+@~/:!,=]{0,20}",
        1 => "\\PC{0,12}",
        1 => any::<String>(),
        1 => "[a-z0-9]{60,70}",
        1 => Just("a..b".to_owned()),
        1 => Just("a\0b".to_owned()),
        1 => Just("a\nb".to_owned()),
    ]
}

/// Texts of one type's shape, and others.
fn like(shape: &'static str) -> impl Strategy<Value = String> {
    prop_oneof![3 => shape, 1 => texts()]
}

proptest! {
    #[test]
    fn names_are_safe(text in texts()) {
        safe_id::<StorageId>(&text);
        safe_id::<VolumeName>(&text);
        safe_id::<NodeName>(&text);
        safe_id::<GuestName>(&text);
        safe_id::<Namespace>(&text);
        safe_id::<SnapName>(&text);
        safe_id::<Tag>(&text);
        safe_id::<BridgeName>(&text);
        safe_id::<IfName>(&text);
        safe_id::<FieldManager>(&text);
        safe_id::<OperationId>(&text);
        safe_id::<TaskKind>(&text);
        safe_id::<CpuModel>(&text);
        safe_id::<Keyboard>(&text);
        safe_id::<DiskSerial>(&text);
        safe_id::<PropertyKey>(&text);
        safe_id::<DiskModelName>(&text);
        safe_id::<Wwn>(&text);
        safe_id::<UsbId>(&text);
        safe_id::<UsbPort>(&text);
        safe_id::<MappingId>(&text);
        safe_id::<MdevType>(&text);
        safe_id::<RomFile>(&text);
        safe_id::<HvVendorId>(&text);
        safe_id::<BootLetters>(&text);
        safe_id::<SharedMemoryName>(&text);
        safe_id::<QemuVersion>(&text);
        one_door::<RawArg>(&text);
        one_door::<ScsiVendor>(&text);
        one_door::<ScsiProduct>(&text);
        one_door::<SmbiosText>(&text);
        one_door::<StartDate>(&text);
        one_door::<ParallelPort>(&text);
        one_door::<CloudInitText>(&text);
        safe_id::<DnsServer>(&text);
        one_door::<SshKeys>(&text);
        one_door::<Key>(&text);
    }

    #[test]
    fn volume_ids_are_safe(text in like("[a-z]{1,5}:[0-9]{3}/(vm|base)-[0-9]{3}-disk-[0-9](\\.qcow2)?")) {
        safe_id::<VolumeId>(&text);
    }

    #[test]
    fn volume_names_stay_inside_their_storage(text in like("[-a-z./]{0,12}")) {
        if let Ok(name) = text.parse::<VolumeName>() {
            let path = std::path::Path::new(name.as_str());
            prop_assert!(path.components().all(|c| matches!(c, std::path::Component::Normal(_))), "{:?}", name);
            prop_assert!(!name.as_str().split('/').any(|part| part.starts_with(['-', '.'])));
        }
    }

    #[test]
    fn user_ids_are_safe(text in like("[a-z]{1,6}@(pam|pve)(![a-z]{1,4})?")) {
        safe_id::<UserId>(&text);
    }

    #[test]
    fn machine_versions_are_safe(text in like("[0-9]{1,2}(\\.[0-9]{0,2}){0,2}(\\+pve[0-9])?")) {
        safe_id::<MachineVersion>(&text);
    }

    #[test]
    fn slots_and_cards_are_safe(text in like("(scsi|virtio|ide|sata|nvme|net)[0-9]{1,3}")) {
        safe_id::<DiskSlot>(&text);
        safe_id::<NicIndex>(&text);
        safe_id::<BootDevice>(&text);
    }

    #[test]
    fn mac_addresses_are_unicast_and_print_as_proxmox_does(text in like("([0-9a-fA-F]{2}:){5}[0-9a-fA-F]{2}")) {
        safe_id::<MacAddr>(&text);
        if let Ok(mac) = text.parse::<MacAddr>() {
            prop_assert_eq!(mac.octets()[0] & 1, 0);
            prop_assert_eq!(mac.to_string(), text.to_uppercase());
        }
    }

    #[test]
    fn made_mac_addresses_are_local_and_unicast(random in any::<[u8; 3]>()) {
        let mac = MacAddr::local(random);
        prop_assert_eq!(mac.octets()[0] & 3, 2);
        prop_assert_eq!(mac.to_string().parse::<MacAddr>(), Ok(mac));
    }

    #[test]
    fn cpu_flags_name_a_feature(text in like("[-+][a-z0-9]{1,6}([-_.][a-z0-9]{1,4}){0,2}")) {
        one_door::<CpuFlag>(&text);
        if let Ok(flag) = text.parse::<CpuFlag>() {
            prop_assert_eq!(flag.on, text.starts_with('+'));
            prop_assert!(!flag.name().starts_with(['-', '+']) && !flag.name().contains("..") && !flag.name().contains(','));
        }
    }

    #[test]
    fn device_names_of_the_host_are_safe(
        usb in like("[0-9a-f]{3,4}:[0-9a-f]{4}"), port in like("[0-9]{1,2}-[0-9](\\.[0-9]){0,2}"),
        pci in like("([0-9a-f]{4}:)?[0-9a-f]{2}:[0-9a-f]{2}(\\.[0-9a-f])?"), number in like("0x[0-9a-f]{4}"),
        wwn in like("0x[0-9a-fA-F]{16}"), serial in like("[A-Z]{1,4}(%[0-9A-F]{2}){0,3}"),
    ) {
        safe_id::<UsbId>(&usb);
        safe_id::<UsbPort>(&port);
        one_door::<PciAddress>(&pci);
        one_door::<PciNumber>(&number);
        safe_id::<Wwn>(&wwn);
        safe_id::<DiskSerial>(&serial);
    }

    #[test]
    fn lists_of_numbers_print_as_they_are_written(text in like("[0-9]{1,3}(-[0-9]{1,3})?([;,][0-9]{1,3}(-[0-9]{1,3})?){0,3}")) {
        one_door::<CpuSet>(&text);
        one_door::<NumberSet>(&text);
        one_door::<Hotplug>(&text);
    }

    #[test]
    fn address_settings_have_one_door(
        four in like("([0-9]{1,3}\\.){3}[0-9]{1,3}/[0-9]{1,2}"), six in like("([0-9a-f]{1,4}:){1,3}:[0-9a-f]{1,4}/[0-9]{1,3}"),
        bits in like("host|[0-9]{1,3}"), features in like("(network|disk|cpu|usb|1|0)(,(memory|cloudinit|disk)){0,2}"),
    ) {
        one_door::<Ip4Setting>(&four);
        one_door::<Ip6Setting>(&six);
        one_door::<PhysBits>(&bits);
        one_door::<Hotplug>(&features);
    }

    #[test]
    fn words_are_the_only_values_of_their_types(text in texts()) {
        safe_id::<DiskBus>(&text);
        safe_id::<DiskFormat>(&text);
        safe_id::<CacheMode>(&text);
        safe_id::<Aio>(&text);
        safe_id::<Discard>(&text);
        safe_id::<Media>(&text);
        safe_id::<NicModel>(&text);
        safe_id::<MachineKind>(&text);
        safe_id::<Firmware>(&text);
        safe_id::<Accel>(&text);
        safe_id::<OsType>(&text);
        safe_id::<ScsiController>(&text);
        safe_id::<Vga>(&text);
        safe_id::<GuestPhase>(&text);
        safe_id::<ContentKind>(&text);
    }

    #[test]
    fn task_ids_survive_their_text_form(
        node in "[a-z][a-z0-9]{0,8}", serial in any::<u64>(), secs in 0u64..=0xffff_ffff,
        kind in "[a-z]{1,12}", id in "[a-z0-9-]{0,12}", user in "[a-z]{1,6}@pam",
    ) {
        let start = Timestamp::from_secs(secs);
        let upid = Upid { node: node.parse().unwrap(), serial, start, kind: kind.parse().unwrap(), id, user: user.parse().unwrap() };
        let text = upid.to_string();
        prop_assert_eq!(text.split(':').count(), 9, "{}", text);
        prop_assert_eq!(text.parse::<Upid>().ok(), Some(upid));
        safe_id::<Upid>(&text);
    }

    #[test]
    fn task_ids_are_read_only_in_their_exact_form(text in like("UPID:[a-z]{1,4}:[0-9A-F]{7,9}:[0-9A-F]{8}:[0-9A-Fa-f]{8}:[a-z]{2,5}:[0-9./]{0,3}:root@pam:?")) {
        safe_id::<Upid>(&text);
        if let Ok(upid) = text.parse::<Upid>() {
            prop_assert_eq!(upid.to_string(), text);
        }
    }

    #[test]
    fn property_values_are_any_text_without_nul(text in any::<String>()) {
        let taken = PropertyValue::try_from(text.clone()).is_ok();
        prop_assert_eq!(taken, !text.contains('\0') && text.len() <= PropertyValue::MAX_BYTES);
        prop_assert_eq!(serde_json::from_value::<PropertyValue>(text.into()).is_ok(), taken);
    }

    #[test]
    fn an_error_text_is_one_short_printable_line(text in any::<String>()) {
        let error = TextError::new(&text, "name", "anything");
        prop_assert!(error.to_string().chars().all(|c| !c.is_control()));
        prop_assert!(error.value.chars().count() <= 64 * 10 + 1);
    }
}

fn all_words<T>(all: &[T])
where
    T: FromStr + Display + Serialize + DeserializeOwned + PartialEq + Debug + Copy,
    T::Err: Debug + Display,
{
    for word in all {
        assert_eq!(word.to_string().parse::<T>().ok(), Some(*word));
        safe_id::<T>(&word.to_string());
    }
    let refused = "nonsense".parse::<T>().expect_err("nonsense is no word").to_string();
    for word in all {
        // The phases are too many for a message.
        assert!(refused.contains(&word.to_string()) || refused.contains("phases"), "{refused} does not name {word}");
    }
}

#[test]
fn every_word_parses_and_a_refusal_names_them_all() {
    all_words(DiskBus::ALL);
    all_words(DiskFormat::ALL);
    all_words(CacheMode::ALL);
    all_words(Aio::ALL);
    all_words(Discard::ALL);
    all_words(Media::ALL);
    all_words(NicModel::ALL);
    all_words(MachineKind::ALL);
    all_words(Firmware::ALL);
    all_words(Accel::ALL);
    all_words(OsType::ALL);
    all_words(ScsiController::ALL);
    all_words(Vga::ALL);
    all_words(Arch::ALL);
    all_words(Viommu::ALL);
    all_words(NumaPolicy::ALL);
    all_words(Hugepages::ALL);
    all_words(Clipboard::ALL);
    all_words(VideoStreaming::ALL);
    all_words(AudioDevice::ALL);
    all_words(AudioDriver::ALL);
    all_words(WatchdogModel::ALL);
    all_words(WatchdogAction::ALL);
    all_words(HotplugFeature::ALL);
    all_words(GuestLock::ALL);
    all_words(ReadError::ALL);
    all_words(WriteError::ALL);
    all_words(EfiType::ALL);
    all_words(MsCertificates::ALL);
    all_words(TpmVersion::ALL);
    all_words(SevKind::ALL);
    all_words(PciDriver::ALL);
    all_words(ShareCache::ALL);
    all_words(CloudInitKind::ALL);
    all_words(GuestPhase::ALL);
    all_words(&ContentKind::ALL);
}

#[test]
fn names_have_the_limits_that_their_errors_tell() {
    fn limits<T: FromStr>(good: &[&str], bad: &[&str]) {
        for text in good {
            assert!(text.parse::<T>().is_ok(), "{text:?} is refused");
        }
        for text in bad {
            assert!(text.parse::<T>().is_err(), "{text:?} is taken");
        }
    }
    let (l15, l16, l63, l64) = (&"a".repeat(15), &"a".repeat(16), &"a".repeat(63), &"a".repeat(64));
    limits::<StorageId>(&["local", "local-zfs", "a"], &["", "1local", "-a", "a:b", "a/b", "a..b", "local "]);
    limits::<VolumeName>(
        &["100/vm-100-disk-0.qcow2", "iso/debian_12.iso", "base-1"],
        &["", "/a", "a/", "a//b", "../a", "a/../b", ".a", "a/.b", "a/-b", "a,b"],
    );
    limits::<VolumeId>(&["local:100/vm-100-disk-0.qcow2"], &["local", "local:", ":a", "a:b:c", "local:../x"]);
    limits::<NodeName>(&["pve1", "A", l63], &["", "-a", "a-", "a.b", "a_b", l64]);
    limits::<GuestName>(&["web", "web.example.com"], &["", ".", "a..b", "a.", "-a", "a b", "web_1"]);
    limits::<SnapName>(&["ab", "before-update_1"], &["a", "", "1a", "current", "a b", &"a".repeat(41)]);
    limits::<BridgeName>(&["vmbr0", l15], &["", "0br", l16, "a/b"]);
    limits::<IfName>(&["tap100i0", "0x", l15], &["", l16, "a b"]);
    limits::<UserId>(&["root@pam", "root@pam!ci"], &["root", "", "-r@pam", "a:b@pam", "a/b@pam"]);
    limits::<MachineVersion>(&["9.2", "9.2+pve1", "5.1.pxe", "5.1+pve0.pxe"], &["", "a", "9..2", ".9"]);
    limits::<BootDevice>(
        &["scsi0", "net1", "usb13", "hostpci15", "usb0"],
        &["efidisk0", "tpmstate0", "usb14", "hostpci16", "usb", "usb01", "hostpci+1"],
    );
    limits::<DiskSerial>(&["ABC", "A%20B", "%2C", l15], &["A%2", "A B", "A%00", "-a", &"%20".repeat(21), "%FF"]);
    limits::<CpuSet>(&["0", "0,5,8-11"], &["", "a", "5-3", "0;1", "0,,1", "99999"]);
    limits::<StartDate>(
        &["now", "2006-06-17", "2006-06-17T16:01:21", "2006-6-7T1:1:1"],
        &["", "later", "2006-06", "2006-06-17T16", "+6-1-1"],
    );
    limits::<PciAddress>(&["01:00.0", "0000:01:00", "00:f4.0"], &["01", "1:00.0", "01:00.10", "01:00.", "000:01:00.0", "01:00.g"]);
    limits::<NicIndex>(&["net0", "net31"], &["net32", "net", "net01", "eth0", "net+1"]);
    limits::<DiskSlot>(
        &["scsi0", "scsi30", "virtio15", "ide3", "sata5", "nvme7"],
        &["scsi31", "virtio16", "ide4", "sata6", "efidisk1", "tpmstate1", "scsi", "scsi00", "scsi-1", "hda"],
    );
}

#[test]
fn numbers_have_limits_and_one_door() {
    for (n, taken) in [(0, false), (99, false), (100, true), (999_999_999, true), (1_000_000_000, false)] {
        assert_eq!(Vmid::try_from(n).is_ok(), taken, "{n}");
        assert_eq!(n.to_string().parse::<Vmid>().is_ok(), taken, "{n}");
        assert_eq!(serde_json::from_value::<Vmid>(n.into()).is_ok(), taken, "{n}");
    }
    for text in ["0100", "+100", "1e3", " 100", "100 ", "-100", "", "99999999999"] {
        assert!(text.parse::<Vmid>().is_err(), "{text:?} is taken");
    }
    assert_eq!((Vmid::MIN.next().map(Vmid::get), Vmid::MAX.next()), (Some(101), None));
    for (n, tag, mtu) in
        [(0, false, false), (1, true, true), (4094, true, true), (4095, false, true), (65_520, false, true), (65_521, false, false)]
    {
        assert_eq!((VlanTag::try_from(n).is_ok(), Mtu::try_from(n).is_ok()), (tag, mtu), "{n}");
        assert_eq!(serde_json::from_value::<VlanTag>(n.into()).is_ok(), tag, "{n}");
        assert_eq!(n.to_string().parse::<Mtu>().is_ok(), mtu, "{n}");
    }
}

#[test]
fn a_task_id_is_read_as_proxmox_writes_it() {
    let upid: Upid = "UPID:pve1:0000C530:001F2B3C:65A1B2C3:qmstart:100:root@pam:".parse().unwrap();
    assert_eq!((upid.node.as_str(), upid.kind.as_str(), upid.id.as_str()), ("pve1", "qmstart", "100"));
    assert_eq!((upid.serial, upid.start.secs()), (0x0000_C530_001F_2B3C, 0x65A1_B2C3));
    assert_eq!(upid.user.as_str(), "root@pam");
}

#[test]
fn a_boot_order_names_each_device_once() {
    assert!(serde_json::from_str::<BootOrder>(r#"["scsi0","net0"]"#).is_ok());
    for bad in [r#"["scsi0","scsi0"]"#, r#"["scsi99"]"#, r#"[""]"#] {
        assert!(serde_json::from_str::<BootOrder>(bad).is_err(), "{bad} is taken");
    }
}

#[test]
fn a_secret_is_never_printed() {
    let secret = Secret::new("hunter2");
    assert_eq!((format!("{secret:?}"), secret.to_string(), *secret.expose()), ("***".to_owned(), "***".to_owned(), "hunter2"));
}
