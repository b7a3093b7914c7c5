//! Which values Proxmox VE takes from a configuration file, and how it words what it does not.
//!
//! A file is checked less than a request: types and named forms, no bounds and no lists of words.

use std::borrow::Cow;

use crate::pve2::config::option;
use crate::route::{Format, Kind, boolean, split_list};
use crate::routes::properties as forms;

use super::parse::is_blank;
use super::property;

/// A setting that only nodes write.
fn of_nodes(key: &str) -> Option<Kind> {
    Some(match key {
        "meta" => Kind::Property(&forms::META),
        "runningmachine" => Kind::Property(&forms::MACHINE),
        "parent" => Kind::Format(&crate::routes::CONFIG_ID),
        "vmstate" => Kind::Format(&crate::routes::VOLUME_ID),
        "snaptime" => Kind::COUNT,
        "runningcpu" | "running-nets-host-mtu" | "digest" => Kind::TEXT,
        _ => return None,
    })
}

fn kind(key: &str) -> Option<Kind> {
    // What is an extension of gpve is unknown to a file of Proxmox VE.
    of_nodes(key).or_else(|| option(key).filter(|p| p.name != "nvme").map(|p| p.kind))
}

/// Whether Proxmox VE knows a setting.
pub(super) fn is_known(key: &str) -> bool {
    kind(key).is_some()
}

/// The value as it is kept.
pub(super) fn value(key: &str, value: &str) -> Result<String, String> {
    let kind = kind(key).ok_or_else(|| format!("unknown setting '{key}'"))?;
    if value.contains(['\n', '\r']) {
        return Err("property contains a line feed".to_owned());
    }
    let failed = |name: &str| Err(format!("type check ('{name}') failed - got '{value}'"));
    match kind {
        Kind::Boolean => boolean(value).map_or_else(|| failed("boolean"), |v| Ok(u8::from(v).to_string())),
        Kind::Integer { .. } if digits(value) => Ok(without_zeroes(value).to_owned()),
        Kind::Integer { .. } => failed("integer"),
        Kind::Number { .. } if value.split_once('.').map_or_else(|| digits(value), |(a, b)| digits(a) && digits(b)) => Ok(value.to_owned()),
        Kind::Number { .. } => failed("number"),
        Kind::Property(form) => property::check(form, value).map(|()| value.to_owned()),
        Kind::List(format) => split_list(value).try_for_each(|item| in_form(format, item)).map(|()| value.to_owned()),
        // A form that is only a pattern is checked in requests, not in files.
        Kind::Format(format) if format.pattern.is_none() => in_form(format, value).map(|()| value.to_owned()),
        _ => Ok(unquoted(value).unwrap_or(value).to_owned()),
    }
}

/// What stands in quotes, where a value does.
fn unquoted(value: &str) -> Option<&str> {
    value.strip_prefix('"').and_then(|v| v.strip_suffix('"'))
}

/// A value as [`value`] reads it back: texts that reading would shorten are put in quotes.
pub(super) fn printed<'v>(key: &str, value: &'v str) -> Cow<'v, str> {
    let loses_quotes = key != "args"
        && match kind(key) {
            Some(Kind::Format(format)) => format.pattern.is_some(),
            Some(kind) => !matches!(kind, Kind::Boolean | Kind::Integer { .. } | Kind::Number { .. } | Kind::Property(_) | Kind::List(_)),
            None => false,
        };
    let shortened = unquoted(value).is_some() || value.is_empty() || value != " " && value.trim_matches(is_blank) != value;
    if loses_quotes && shortened { Cow::Owned(format!("\"{value}\"")) } else { Cow::Borrowed(value) }
}

/// The one setting of the section of backups.
pub(super) fn fleecing(key: &str, value: &str) -> Result<String, String> {
    if key != "fleecing-images" {
        return Err(format!("unknown setting '{key}'"));
    }
    split_list(value).try_for_each(|item| in_form(&crate::routes::VOLUME_ID, item)).map(|()| value.to_owned())
}

fn digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit())
}

fn without_zeroes(text: &str) -> &str {
    let rest = text.trim_start_matches('0');
    if rest.is_empty() { "0" } else { rest }
}

fn in_form(format: &Format, text: &str) -> Result<(), String> {
    if (format.check)(text) { Ok(()) } else { Err(refusal(format.name, format.what, text)) }
}

/// The words in which Proxmox VE refuses a text of a named form.
pub(super) fn refusal(name: &str, what: &str, text: &str) -> String {
    match name {
        "dns-name" => "value does not look like a valid DNS name".to_owned(),
        "pve-configid" => format!("invalid configuration ID '{text}'"),
        "pve-volume-id" | "pve-volume-id-or-qm-path" | "pve-volume-id-or-absolute-path" => format!("unable to parse volume ID '{text}'"),
        "pve-storage-id" => format!("storage ID '{text}' contains illegal characters"),
        "urlencoded" => format!("invalid urlencoded string: {text}"),
        "address" => "value does not look like a valid address".to_owned(),
        "pve-tag-list" => "invalid characters in tag".to_owned(),
        "pve-hotplug-features" => {
            let known = ["network", "disk", "cpu", "memory", "usb", "cloudinit"];
            format!("invalid hotplug feature '{}'", split_list(text).find(|w| !known.contains(w)).unwrap_or(text))
        }
        "pve-cpuset" => "unable to parse cpuset option".to_owned(),
        "pve-cpu-model" => match text.strip_prefix("custom-") {
            Some(_) => format!("invalid custom CPU model '{text}'"),
            None => format!("Built-in cputype '{text}' is not defined (missing 'custom-' prefix?)"),
        },
        "cpu-flags" => format!("VM-specific CPU flags must be a subset of: {}", crate::routes::cpu_flags().join(", ")),
        "pve-ipv4-config" => "value does not look like a valid ipv4 network configuration".to_owned(),
        "pve-ipv6-config" => "value does not look like a valid ipv6 network configuration".to_owned(),
        "pve-startup-order" => "unable to parse startup options".to_owned(),
        "pve-qm-bootdisk" => format!("invalid boot disk '{text}'"),
        "mac-addr" => "value does not look like a valid unicast MAC address".to_owned(),
        "ipv4" => "value does not look like a valid IPv4 address".to_owned(),
        "ipv6" => "value does not look like a valid IPv6 address".to_owned(),
        _ => format!("'{text}' is not {what}"),
    }
}
