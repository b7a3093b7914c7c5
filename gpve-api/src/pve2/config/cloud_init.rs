//! What cloud-init sets up.

use gpve_core::types::{CloudInitFiles, CloudInitPassword, CloudInitSpec, IpConfig, VmSpec};

use crate::route::split_list;
use crate::routes::properties as forms;

use super::parts::{Pairs, flag, number_of, one, parse, read, shown, write};

/// Sets one of these settings; false if `key` is none of them.
pub(super) fn set(key: &str, value: &str, spec: &mut VmSpec) -> Result<bool, String> {
    let ci = &mut spec.cloud_init;
    match key {
        "citype" => ci.kind = Some(parse(value)?),
        "ciuser" => ci.user = Some(parse(value)?),
        "cipassword" => ci.password = Some(CloudInitPassword::try_from(value.to_owned()).map_err(|e| e.to_string())?),
        "ciupgrade" => ci.upgrade = Some(value == "1"),
        "sshkeys" => ci.ssh_keys = Some(parse(&percent_decoded(value)?)?),
        "nameserver" => ci.nameservers = split_list(value).map(parse).collect::<Result<_, _>>()?,
        "searchdomain" => ci.search_domain = Some(parse(value)?),
        "cicustom" => {
            let parts = read(&forms::CI_CUSTOM, value)?;
            ci.files = CloudInitFiles {
                meta: one(&parts, "meta")?,
                network: one(&parts, "network")?,
                user: one(&parts, "user")?,
                vendor: one(&parts, "vendor")?,
            };
        }
        _ => match number_of(key, "ipconfig") {
            Some(n) => drop(ci.addresses.insert(n, addresses(value)?)),
            None => return Ok(false),
        },
    }
    Ok(true)
}

/// Whether a setting is one of these.
pub(super) fn is_setting(key: &str) -> bool {
    let single = ["cicustom", "cipassword", "citype", "ciupgrade", "ciuser", "nameserver", "searchdomain", "sshkeys"];
    single.contains(&key) || number_of(key, "ipconfig").is_some()
}

fn addresses(value: &str) -> Result<IpConfig, String> {
    let parts = read(&forms::IP_CONFIG, value)?;
    Ok(IpConfig { ip: one(&parts, "ip")?, gateway: one(&parts, "gw")?, ip6: one(&parts, "ip6")?, gateway6: one(&parts, "gw6")? })
}

/// These settings of a spec.
pub(super) fn pairs(spec: &VmSpec) -> Pairs {
    let ci: &CloudInitSpec = &spec.cloud_init;
    let files = |f: &CloudInitFiles| {
        let parts = [
            ("meta", shown(f.meta.as_ref())),
            ("network", shown(f.network.as_ref())),
            ("user", shown(f.user.as_ref())),
            ("vendor", shown(f.vendor.as_ref())),
        ];
        write(&forms::CI_CUSTOM, parts)
    };
    let servers: Vec<&str> = ci.nameservers.iter().map(|s| s.as_str()).collect();
    let single = [
        ("citype", shown(ci.kind.as_ref())),
        ("ciuser", shown(ci.user.as_ref())),
        ("cipassword", ci.password.as_ref().map(|p| p.expose().to_owned())),
        ("ciupgrade", ci.upgrade.map(flag)),
        ("sshkeys", ci.ssh_keys.as_ref().map(|keys| percent_encoded(keys.as_str()))),
        ("nameserver", (!servers.is_empty()).then(|| servers.join(" "))),
        ("searchdomain", shown(ci.search_domain.as_ref())),
        ("cicustom", Some(files(&ci.files)).filter(|t| !t.is_empty())),
    ];
    let text = |c: &IpConfig| {
        let parts = [
            ("ip", shown(c.ip.as_ref())),
            ("gw", shown(c.gateway.as_ref())),
            ("ip6", shown(c.ip6.as_ref())),
            ("gw6", shown(c.gateway6.as_ref())),
        ];
        write(&forms::IP_CONFIG, parts)
    };
    let cards = ci.addresses.iter().map(|(n, c)| (format!("ipconfig{n}"), text(c)));
    single.into_iter().filter_map(|(k, v)| Some((k.to_owned(), v?))).chain(cards).collect()
}

fn percent_decoded(text: &str) -> Result<String, String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        let hex = (*first == b'%').then(|| after.get(..2).and_then(|h| std::str::from_utf8(h).ok())).flatten();
        match hex.and_then(|h| u8::from_str_radix(h, 16).ok()) {
            Some(byte) => {
                bytes.push(byte);
                rest = &after[2..];
            }
            None => {
                bytes.push(*first);
                rest = after;
            }
        }
    }
    String::from_utf8(bytes).map_err(|_| "is not percent-encoded UTF-8".to_owned())
}

fn percent_encoded(text: &str) -> String {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-_.!~*'()".contains(&b);
    text.bytes().map(|b| if plain(b) { char::from(b).to_string() } else { format!("%{b:02X}") }).collect()
}
