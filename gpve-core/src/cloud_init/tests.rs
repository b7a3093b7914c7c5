#![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

use proptest::prelude::*;
use serde_json::json;

use super::*;

fn spec(settings: serde_json::Value) -> VmSpec {
    serde_json::from_value(json!({
        "memory": {"size": "64Mi"},
        "networks": [
            {"name": "net0", "bridge": "vmbr0", "macAddress": "02:67:70:00:00:0A"},
            {"name": "net1", "bridge": "vmbr0", "macAddress": "02:67:70:00:00:0B"},
        ],
        "cloudInit": settings,
    }))
    .unwrap()
}

/// Everything that can be asked for.
fn full(kind: &str) -> VmSpec {
    spec(json!({
        "kind": kind,
        "user": "ubuntu",
        "password": "$5$saltsalt$hashhash",
        "sshKeys": "ssh-ed25519 AAAA one@home\n\n# not a key\nssh-rsa BBBB two\n",
        "nameservers": ["192.168.1.1", "192.168.1.2"],
        "searchDomain": "example.com lab.example.com",
        "upgrade": false,
        "addresses": {
            "0": {"ip": "192.168.1.100/24", "gateway": "192.168.1.1", "ip6": "2001:db8::5/64", "gateway6": "2001:db8::1"},
            "1": {"ip6": "auto"},
        },
    }))
}

fn named(name: &str) -> GuestName {
    name.parse().unwrap()
}

fn drive(spec: &VmSpec, name: &str, custom: &CustomFiles) -> Drive {
    Instance::of("100".parse().unwrap(), Some(&named(name)), spec, &HostDns::default()).drive(custom)
}

fn shown(drive: &Drive) -> String {
    let files = drive.files.iter().map(|(path, bytes)| format!("--- {path}\n{}", String::from_utf8_lossy(bytes)));
    format!("label {}\n{}", drive.label, files.collect::<String>())
}

/// Compares with `tests/golden/NAME`; `GPVE_BLESS=1` writes it.
fn golden(name: &str, text: &str) {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name);
    if std::env::var_os("GPVE_BLESS").is_some() {
        std::fs::write(&path, text).unwrap();
    }
    assert_eq!(text, std::fs::read_to_string(&path).unwrap_or_default(), "{} (GPVE_BLESS=1 writes it)", path.display());
}

#[test]
fn each_form_of_the_drive_has_the_files_that_its_reader_looks_for() {
    for kind in CloudInitKind::ALL {
        let drive = drive(&full(kind.as_str()), "rancher-manager-1", &CustomFiles::default());
        golden(&format!("cloud-init-{kind}.txt"), &shown(&drive));
    }
}

#[test]
fn a_guest_that_asks_for_nothing_gets_its_name_and_dhcp() {
    let text = shown(&drive(&spec(json!({})), "web", &CustomFiles::default()));
    golden("cloud-init-nothing.txt", &text);
    let mut windows = spec(json!({}));
    windows.os_type = Some(OsType::Win11);
    assert_eq!(drive(&windows, "web", &CustomFiles::default()).label, "config-2", "Windows reads OpenStack's form");
}

#[test]
fn names_are_resolved_as_on_the_host_where_nothing_else_is_asked() {
    let host = HostDns { servers: vec!["9.9.9.9".parse().unwrap()], search_domain: Some("lan".parse().unwrap()) };
    let (plain, full) = (spec(json!({})), full("nocloud"));
    let network = |spec: &VmSpec| Instance::of("100".parse().unwrap(), Some(&named("web")), spec, &host).dump(Part::Network);
    assert!(network(&plain).contains("- \"9.9.9.9\"") && network(&plain).contains("- \"lan\""), "{}", network(&plain));
    assert!(!network(&full).contains("9.9.9.9") && !network(&full).contains("lan\""), "{}", network(&full));
}

#[test]
fn a_full_host_name_keeps_its_own_domain() {
    let spec = full("nocloud");
    let user = |name| Instance::of("100".parse().unwrap(), Some(&named(name)), &spec, &HostDns::default()).dump(Part::User);
    assert!(user("web.corp.test").contains("hostname: \"web\"\n") && user("web.corp.test").contains("fqdn: \"web.corp.test\"\n"));
    assert!(user("web").contains("fqdn: \"web.example.com\"\n"), "{}", user("web"));
}

#[test]
fn every_change_of_what_is_asked_is_a_new_instance_and_nothing_else_is() {
    let id = |spec: &VmSpec, custom: &CustomFiles| drive(spec, "web", custom).files[0].1.clone();
    let (none, base) = (CustomFiles::default(), full("nocloud"));
    let mut other = base.clone();
    other.description = Some(crate::types::PropertyValue::try_from("new".to_owned()).unwrap());
    assert_eq!(id(&base, &none), id(&other, &none), "a description is no matter of the guest's");
    let mut user = base.clone();
    user.cloud_init.user = Some("admin".parse().unwrap());
    let mut address = base.clone();
    address.cloud_init.addresses.clear();
    let vendor = CustomFiles { vendor: Some(b"#cloud-config\n".to_vec()), ..CustomFiles::default() };
    let ids = [id(&base, &none), id(&user, &none), id(&address, &none), id(&base, &vendor)];
    assert_eq!(ids.iter().collect::<std::collections::BTreeSet<_>>().len(), ids.len());
}

#[test]
fn files_of_ones_own_stand_in_for_generated_ones() {
    let custom = CustomFiles {
        meta: Some(b"instance-id: mine\n".to_vec()),
        network: Some(b"version: 2\n".to_vec()),
        user: Some(b"#cloud-config\n".to_vec()),
        vendor: Some(b"#vendor\n".to_vec()),
    };
    let drive = drive(&full("nocloud"), "web", &custom);
    let all: Vec<(&str, &[u8])> = drive.files.iter().map(|(path, bytes)| (*path, bytes.as_slice())).collect();
    let wanted: [(&str, &[u8]); 4] = [
        ("meta-data", b"instance-id: mine\n"),
        ("network-config", b"version: 2\n"),
        ("user-data", b"#cloud-config\n"),
        ("vendor-data", b"#vendor\n"),
    ];
    assert_eq!(all, wanted);
}

#[test]
fn a_dump_tells_no_secret() {
    let mut spec = full("nocloud");
    let dump = |spec: &VmSpec, part| Instance::of("100".parse().unwrap(), None, spec, &HostDns::default()).dump(part);
    assert!(dump(&spec, Part::User).contains("password: \"**********\""));
    for part in [Part::User, Part::Network, Part::Meta] {
        assert!(!dump(&spec, part).contains("hashhash"));
    }
    spec.cloud_init.files.user = Some("local:snippets/user.yaml".parse().unwrap());
    assert_eq!(dump(&spec, Part::User), "# the file 'local:snippets/user.yaml' stands here\n");
    let real = shown(&drive(&full("nocloud"), "vm-100", &CustomFiles::default()));
    let meta = dump(&full("nocloud"), Part::Meta);
    assert!(real.contains(&meta), "the instance id is the real one, not that of the masked data");
}

#[test]
fn a_password_is_hashed_before_anything_can_hold_it() {
    let of = |text: &str| CloudInitPassword::try_from(text.to_owned()).unwrap();
    let (first, second) = (of("secret canary"), of("another canary"));
    assert!(first.expose().starts_with("$5$") && !first.expose().contains("canary"), "{}", first.expose());
    let salt = |hash: &CloudInitPassword| hash.expose().split('$').nth(3).unwrap().to_owned();
    assert_ne!(salt(&first), salt(&second), "each has a salt of its own");
    assert_eq!(first, of("secret canary"), "a repeated request is the same request");
    for (hash, clear, good) in
        [(first.expose(), "secret canary", true), (second.expose(), "another canary", true), (first.expose(), "other", false)]
    {
        let verified = sha_crypt::PasswordVerifier::<str>::verify_password(&sha_crypt::ShaCrypt::SHA256, clear.as_bytes(), hash);
        assert_eq!(verified.is_ok(), good, "{clear}");
    }
    for hash in ["$5$salt$sum", "$6$rounds=5000$salt$sum", "$y$j9T$salt$sum", "$2b$12$saltandsum"] {
        assert_eq!(of(hash).expose(), hash, "a hash stays");
    }
    for clear in ["$5$", "$5$x", "$money$is$nice", "$6$salt$with space", "$1"] {
        assert_ne!(of(clear).expose(), clear, "{clear} is no hash");
    }
}

#[test]
fn an_image_is_the_same_for_the_same_files_and_small() {
    for kind in CloudInitKind::ALL {
        let drive = drive(&full(kind.as_str()), "web", &CustomFiles::default());
        let image = drive.image().unwrap();
        assert_eq!(image, drive.clone().image().unwrap());
        assert!(image.len() < 512 * 1024 && image.len().is_multiple_of(2048), "{}", image.len());
        assert_eq!(&image[16 * 2048..16 * 2048 + 6], b"\x01CD001");
        assert_eq!(&image[16 * 2048 + 40..16 * 2048 + 40 + drive.label.len()], drive.label.as_bytes());
        for (_, bytes) in &drive.files {
            assert!(image.chunks(2048).any(|sector| sector.starts_with(&bytes[..bytes.len().min(2048)])), "a file begins on a sector");
        }
    }
    let large = CustomFiles { user: Some(vec![b'#'; 5 << 20]), ..CustomFiles::default() };
    let error = drive(&full("nocloud"), "web", &large).image().unwrap_err();
    assert_eq!(error.kind, crate::error::ErrorKind::InvalidInput, "{error:?}");
}

/// What a client may give where any text is taken: quotes, newlines, and what YAML and shells act on.
fn hostile() -> impl Strategy<Value = String> {
    prop_oneof![
        "\\PC{1,40}",
        "[\"'\\\\$`{}\\[\\]:#&*!|>%@,;\\- \u{85}\u{2028}\u{feff}\u{ffff}\u{1f600}]{1,30}",
        Just("x\"\nruncmd: [reboot]\n\"".to_owned()),
        Just("'; reboot; '".to_owned()),
    ]
}

/// A field of a document, read as cloud-init reads it.
fn field(yaml: &str, name: &str) -> serde_json::Value {
    let document: serde_json::Value = serde_saphyr::from_str(yaml).unwrap_or_else(|e| panic!("{e}\n{yaml}"));
    document[name].clone()
}

proptest! {
    #[test]
    fn a_quoted_value_is_one_line_and_reads_back(text in hostile()) {
        let quoted = quote::yaml(&text);
        prop_assert!(quoted.bytes().all(|b| (b' '..=b'~').contains(&b)), "{quoted}");
        prop_assert_eq!(field(&format!("a: {quoted}\nb: 1\n"), "a"), text.clone());
        let words = quote::shell(&text);
        prop_assert_eq!(words.replace(r"'\''", "").matches('\'').count(), 2, "one word: {}", words);
    }

    #[test]
    fn no_value_says_more_than_a_value(user in hostile(), key in hostile(), domain in hostile()) {
        let mut spec = full("nocloud");
        spec.cloud_init.user = user.parse().ok();
        spec.cloud_init.search_domain = domain.parse().ok();
        spec.cloud_init.ssh_keys = format!("ssh-rsa {key}").parse().ok();
        let host = HostDns::default();
        let instance = Instance::of("100".parse().unwrap(), None, &spec, &host);
        let data = instance.dump(Part::User);
        if let Some(user) = &spec.cloud_init.user {
            prop_assert_eq!(field(&data, "user"), user.as_str());
        }
        prop_assert_eq!(field(&data, "runcmd"), serde_json::Value::Null);
        let keys: Vec<&str> = instance.keys().collect();
        prop_assert_eq!(field(&data, "ssh_authorized_keys"), json!(keys));
        let network = instance.dump(Part::Network);
        prop_assert_eq!(field(&network, "config").as_array().map(Vec::len), Some(3), "{}", network);
        let mut old = spec.clone();
        old.cloud_init.kind = Some(CloudInitKind::Configdrive2);
        let lines = Instance::of("100".parse().unwrap(), None, &old, &host).dump(Part::Network).lines().count();
        prop_assert!(lines <= 20, "a domain is no line of its own");
    }
}
