//! Reading and writing `key=value` texts of settings.

use std::fmt::Display;
use std::str::FromStr;

use crate::pve2::property::PropertyString;
use crate::route::PropertyFormat;

/// The parts of `text`.
pub(super) fn read(format: &'static PropertyFormat, text: &str) -> Result<PropertyString, String> {
    PropertyString::parse(format, text).map_err(|e| e.to_string())
}

/// A value, whole.
pub(super) fn parse<T: FromStr<Err: Display>>(value: &str) -> Result<T, String> {
    value.parse().map_err(|e: T::Err| e.to_string())
}

/// One part, if it is there.
pub(super) fn one<T: FromStr<Err: Display>>(parts: &PropertyString, key: &str) -> Result<Option<T>, String> {
    parts.get(key).map(|v| v.parse().map_err(|e: T::Err| format!("{key}: {e}"))).transpose()
}

/// One part that must be there.
pub(super) fn required<T: FromStr<Err: Display>>(parts: &PropertyString, key: &str) -> Result<T, String> {
    one(parts, key)?.ok_or_else(|| format!("{key}: required key is missing"))
}

/// One part without `key=` in front of its name in errors: a list joined by `;`.
pub(super) fn list<T: FromStr<Err: Display>>(parts: &PropertyString, key: &str) -> Result<Vec<T>, String> {
    let items = parts.get(key).unwrap_or_default().split(';').filter(|item| !item.is_empty());
    items.map(|item| item.parse().map_err(|e: T::Err| format!("{key}: {e}"))).collect()
}

/// The text of the parts that are there, in Proxmox VE's order. A part that the form does not have is left out.
pub(super) fn write(format: &'static PropertyFormat, pairs: impl IntoIterator<Item = (&'static str, Option<String>)>) -> String {
    let mut parts = PropertyString::new(format);
    for (key, value) in pairs.into_iter().filter_map(|(k, v)| Some((k, v?))) {
        let _ = parts.set(key, &value);
    }
    parts.to_string()
}

/// A value as text, if there is one.
pub(super) fn shown<T: Display>(value: Option<&T>) -> Option<String> {
    value.map(ToString::to_string)
}

/// A switch as `1` or `0`.
pub(super) fn flag(value: bool) -> String {
    u8::from(value).to_string()
}

/// Settings by name.
pub(super) type Pairs = Vec<(String, String)>;

/// The number behind `stem` in a setting's name (`usb3`), as Proxmox VE writes it.
pub(super) fn number_of(key: &str, stem: &str) -> Option<u8> {
    let digits = key.strip_prefix(stem)?;
    let plain = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit()) && (digits == "0" || !digits.starts_with('0'));
    plain.then(|| digits.parse().ok()).flatten()
}
