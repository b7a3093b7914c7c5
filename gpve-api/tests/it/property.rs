//! `key=value` texts parse, print back and refuse.

use gpve_api::pve2::property::PropertyString;
use gpve_api::route::{Format, Kind, PropertyFormat};
use gpve_api::routes::vm_options;
use proptest::prelude::*;

fn form(option: &str) -> &'static PropertyFormat {
    match vm_options().iter().find(|p| p.name == option && matches!(p.kind, Kind::Property(_))).unwrap().kind {
        Kind::Property(format) => format,
        _ => unreachable!(),
    }
}

fn parse(option: &str, text: &str) -> Result<PropertyString, String> {
    PropertyString::parse(form(option), text).map_err(|e| e.to_string())
}

fn printed(option: &str, text: &str) -> String {
    parse(option, text).unwrap().to_string()
}

#[test]
fn texts_print_in_proxmox_ves_order() {
    assert_eq!(printed("scsi", "local:1,format=qcow2,iothread=on"), "local:1,format=qcow2,iothread=1");
    assert_eq!(
        printed("scsi", "size=1G,media=disk,iothread=no,volume=local:9170/vm-9170-disk-0.qcow2,format=qcow2"),
        "local:9170/vm-9170-disk-0.qcow2,format=qcow2,iothread=0,media=disk,size=1G"
    );
    assert_eq!(printed("net", "bridge=vmbr0,virtio=BC:24:11:25:6C:E7,firewall=1"), "virtio=BC:24:11:25:6C:E7,bridge=vmbr0,firewall=1");
    assert_eq!(printed("net", "model=e1000,bridge=vmbr0"), "e1000,bridge=vmbr0");
    assert_eq!(printed("ide", "file=local:iso/a.iso,media=cdrom,"), "local:iso/a.iso,media=cdrom");
    assert_eq!(printed("agent", "enabled=1,fstrim_cloned_disks=1"), "1,fstrim_cloned_disks=1");
    assert_eq!(printed("numa", "policy=bind,memory=64,cpus=0-1"), "cpus=0-1,memory=64,policy=bind");
}

#[test]
fn every_problem_is_named_with_its_key() {
    let refused = parse("scsi", "local:1,cache=bad,bogus=1,iops=x,cache=none").unwrap_err();
    for part in ["cache: 'bad' is not one of: none, writethrough", "bogus: unknown key", "iops: 'x' is not an integer"] {
        assert!(refused.contains(part), "{refused}");
    }
    assert!(parse("scsi", "format=raw").unwrap_err().contains("file: required key is missing"));
    assert!(parse("net", "virtio,model=e1000").unwrap_err().contains("model: given twice"));
    assert!(parse("net", "virtio=zz").unwrap_err().contains("macaddr: 'zz' is not a unicast MAC address"));
    assert!(parse("numa", "0-1").unwrap_err().contains("'0-1' is no key=value"));
    assert!(parse("unused", "x").unwrap_err().contains("unable to parse volume ID"));
    assert!(parse("scsi", &"cache=none,".repeat(200)).unwrap_err().contains("more than 128 parts"));
}

/// A good value for a form, by its name.
fn good_value(format: &'static Format) -> BoxedStrategy<String> {
    match format.name {
        "pve-volume-id" | "pve-volume-id-or-qm-path" | "pve-volume-id-or-absolute-path" => {
            "local:[0-9]{1,3}(/vm-1[0-9]{2}-disk-[0-9]\\.raw)?".boxed()
        }
        "disk-size" => "[1-9][0-9]{0,2}[KMGT]?".boxed(),
        "urlencoded" => "[A-Za-z0-9_-]{1,20}".boxed(),
        "mac-addr" => "BC:24:11(:[0-9A-F]{2}){3}".boxed(),
        "pve-bridge-id" => "vmbr[0-9]{1,3}".boxed(),
        "ranges" => "[0-9]-[0-9](;[0-9]{1,2}){0,3}".boxed(),
        "wwn" => "0x[0-9a-f]{16}".boxed(),
        "scsi-product" | "scsi-vendor" => "[A-Z0-9]{1,8}".boxed(),
        "machine-type" => "(pc|q35|pc-q35-9\\.[0-2](\\+pve1)?)".boxed(),
        "pve-cpu-model" => "(host|kvm64|EPYC-v2|custom-mine)".boxed(),
        "cpu-flags" => "[+-]aes(;[+-]pcid)?".boxed(),
        "hv-vendor-id" => "[A-Za-z]{1,12}".boxed(),
        "pve-phys-bits" => "(host|40)".boxed(),
        "boot-legacy" => "[acdn]{1,4}".boxed(),
        "pve-qm-bootdev-list" => "scsi[0-9](;net[0-9])?".boxed(),
        "smbios-text" => "[A-Za-z0-9+/]{1,20}={0,2}".boxed(),
        "uuid" => "[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}".boxed(),
        "ipv4" => "10\\.0\\.0\\.[1-9]".boxed(),
        "ipv6" => "fd00::[1-9]".boxed(),
        "pve-ipv4-config" => "(dhcp|10\\.0\\.0\\.[1-9]/24)".boxed(),
        "pve-ipv6-config" => "(auto|dhcp|fd00::[1-9]/64)".boxed(),
        "ivshmem-name" | "pve-configid" | "file-name" => "[a-z][a-z0-9]{1,8}".boxed(),
        "pve-usb-device" => "(spice|046d:c52b|1-2\\.3)".boxed(),
        "pci-id" => "0[0-9]:0[0-9]\\.[0-7]".boxed(),
        "pci-number" => "0x[0-9a-f]{4}".boxed(),
        other => panic!("no strategy for the form {other}"),
    }
}

fn value_of(kind: &Kind) -> BoxedStrategy<String> {
    match kind {
        Kind::Boolean => "(0|1|on|off|yes|no|True|FALSE)".boxed(),
        Kind::Integer { min, max } => ((*min).max(0)..=(*max).min(1 << 20)).prop_map(|n| n.to_string()).boxed(),
        Kind::Number { min, max } => (min.max(0.0)..=max.min(1e6)).prop_map(|n| format!("{n:.2}")).boxed(),
        Kind::Word(words) => proptest::sample::select(words.to_vec()).prop_map(str::to_owned).boxed(),
        Kind::Format(format) => good_value(format),
        Kind::Text { .. } | Kind::Secret { .. } | Kind::List(_) | Kind::Property(_) | Kind::Array(_) => "[a-z]{1,8}".boxed(),
    }
}

/// Every form of the table, with any of its keys in any order.
fn any_text() -> BoxedStrategy<(&'static PropertyFormat, String)> {
    let forms: Vec<&'static PropertyFormat> =
        vm_options().iter().filter_map(|p| if let Kind::Property(f) = p.kind { Some(f) } else { None }).collect();
    proptest::sample::select(forms)
        .prop_flat_map(|format| {
            let keys: Vec<_> = format.keys.iter().filter(|k| k.alias_of.is_none()).collect();
            let parts: Vec<BoxedStrategy<Option<String>>> = keys
                .iter()
                .map(|k| {
                    let name = k.name;
                    let there = if k.optional { proptest::bool::weighted(0.3).boxed() } else { Just(true).boxed() };
                    (there, value_of(&k.kind)).prop_map(move |(there, v)| there.then(|| format!("{name}={v}"))).boxed()
                })
                .collect();
            (Just(format), parts.prop_map(|p| p.into_iter().flatten().collect::<Vec<_>>()).prop_shuffle())
        })
        .prop_map(|(format, parts)| (format, parts.join(",")))
        .boxed()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn whatever_parses_prints_to_a_text_that_parses_to_the_same((format, text) in any_text()) {
        let first = PropertyString::parse(format, &text).map_err(|e| TestCaseError::fail(format!("{text}: {e}")))?;
        let again = PropertyString::parse(format, &first.to_string()).map_err(|e| TestCaseError::fail(format!("{first}: {e}")))?;
        prop_assert_eq!(&again, &first);
        prop_assert_eq!(again.to_string(), first.to_string());
    }

    #[test]
    fn no_text_makes_the_parser_fail_otherwise_than_by_refusing(text in "\\PC{0,120}", which in 0_usize..8) {
        let option = ["scsi", "net", "agent", "cpu", "boot", "machine", "numa", "unused"][which];
        if let Ok(parsed) = parse(option, &text) {
            prop_assert_eq!(PropertyString::parse(form(option), &parsed.to_string()).unwrap(), parsed);
        }
    }
}
