//! `key=value` texts of a configuration file, and how Proxmox VE words what is wrong with them.

use std::collections::BTreeMap;

use crate::route::{Format, Kind, PropertyFormat, PropertyKey, boolean};

use super::check::refusal;

/// Checks a text against its form.
pub(super) fn check(form: &'static PropertyFormat, text: &str) -> Result<(), String> {
    let (parts, unknown) = parts(form, text)?;
    let not_defined = "property is not defined in schema and the schema does not allow additional properties";
    let mut wrong: BTreeMap<&str, String> = unknown.into_iter().map(|key| (key, not_defined.to_owned())).collect();
    for key in form.keys.iter().filter(|k| k.alias_of.is_none()) {
        match parts.get(key.name) {
            Some(value) => drop(problem(key, value).map(|why| wrong.insert(key.name, why))),
            None if !key.optional => drop(wrong.insert(key.name, "property is missing and it is not optional".to_owned())),
            None => {}
        }
    }
    if wrong.is_empty() {
        return processor(form, &parts);
    }
    let lines: Vec<String> = wrong.iter().map(|(key, why)| format!("{key}: {why}")).collect();
    Err(format!("format error\n{}", lines.join("\n")))
}

type Parts = BTreeMap<&'static str, String>;

/// The parts of a text, and the keys that its form does not have.
fn parts<'t>(form: &'static PropertyFormat, text: &'t str) -> Result<(Parts, Vec<&'t str>), String> {
    let mut parts = Parts::new();
    let mut unknown = Vec::new();
    let twice = |key: &str| format!("duplicate key in comma-separated list property: {key}");
    let mut put = |key: &'static str, value: &str, named: &str| match parts.insert(key, value.to_owned()) {
        Some(_) => Err(twice(named)),
        None => Ok(()),
    };
    for part in text.split(',').filter(|p| !p.trim().is_empty()) {
        match part.split_once('=') {
            Some((key, value)) if !key.is_empty() && !value.is_empty() => {
                if let Some((model, mac)) = form.key_alias
                    && let Some(word) = form.alias_words().iter().find(|w| **w == key)
                {
                    put(model, word, key)?;
                    put(mac, value, key)?;
                    continue;
                }
                match form.key(key) {
                    Some(known) => put(known.name, value, key)?,
                    None => unknown.push(key),
                }
            }
            Some(_) => return Err("missing key in comma-separated list property".to_owned()),
            None => {
                let default = form.default_key.ok_or("value without key, but schema does not define a default key")?;
                put(default, part, default)?;
            }
        }
    }
    Ok((parts, unknown))
}

/// A processor's model and flags are checked after its form, and refused in words of their own.
fn processor(form: &'static PropertyFormat, parts: &Parts) -> Result<(), String> {
    for key in form.keys {
        let Kind::Format(format) = key.kind else { continue };
        let Some(value) = parts.get(key.name).filter(|v| is_of_processors(format) && !(format.check)(v)) else { continue };
        return Err(refusal(format.name, format.what, value));
    }
    Ok(())
}

fn is_of_processors(format: &Format) -> bool {
    matches!(format.name, "pve-cpu-model" | "cpu-flags")
}

/// What is wrong with the value of one key.
fn problem(key: &PropertyKey, value: &str) -> Option<String> {
    let failed = |name: &str| Some(format!("type check ('{name}') failed - got '{value}'"));
    match &key.kind {
        Kind::Boolean => {
            if boolean(value).is_some() {
                None
            } else {
                failed("boolean")
            }
        }
        Kind::Integer { min, max } => match value.parse::<i64>() {
            Ok(n) => bounds(n < *min, n > *max, min, max),
            Err(_) => failed("integer"),
        },
        Kind::Number { min, max } => match value.parse::<f64>() {
            Ok(n) if n.is_finite() => bounds(n < *min, n > *max, min, max),
            _ => failed("number"),
        },
        Kind::Word(words) if words.contains(&value) => None,
        Kind::Word(words) => Some(format!("value '{value}' does not have a value in the enumeration '{}'", words.join(", "))),
        Kind::Text { max, .. } if value.chars().count() > *max => Some(format!("value may only be {max} characters long")),
        Kind::Format(format) if value.chars().count() > format.max => Some(format!("value may only be {} characters long", format.max)),
        Kind::Format(format) if is_of_processors(format) || (format.check)(value) => None,
        Kind::Format(format) if format.pattern.is_some() || format.name == "pve-usb-device" => {
            Some("value does not match the regex pattern".to_owned())
        }
        Kind::Format(format) => Some(format!("invalid format - {}\n", refusal(format.name, format.what, value))),
        _ => None,
    }
}

fn bounds<N: std::fmt::Display>(below: bool, above: bool, min: &N, max: &N) -> Option<String> {
    if below {
        return Some(format!("value must have a minimum value of {min}"));
    }
    above.then(|| format!("value must have a maximum value of {max}"))
}
