//! Texts of the form `key=value,...` that hold most of a guest's settings: `local:1,format=qcow2`, `virtio=MAC,bridge=vmbr0`.

use std::collections::BTreeMap;

use thiserror::Error;

use crate::route::{PropertyFormat, PropertyKey, Value};

/// Most parts in one text; the longest form has 60 keys.
const MAX_PARTS: usize = 128;

/// What is wrong with a text, key by key.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("invalid format - {}", .0.join("; "))]
pub struct PropertyError(pub Vec<String>);

/// A parsed text: canonical keys (aliases resolved) to values (booleans as `1` or `0`).
///
/// Printing puts the default key first, then required keys, then the others, each by name: Proxmox VE's order. What was
/// parsed prints to a text that parses to the same.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PropertyString {
    format: &'static PropertyFormat,
    values: BTreeMap<&'static str, String>,
}

impl PartialEq for PropertyFormat {
    fn eq(&self, other: &Self) -> bool {
        std::ptr::eq(self.keys, other.keys)
    }
}

impl Eq for PropertyFormat {}

impl PropertyString {
    /// An empty text of `format`, to be filled with [`Self::set`].
    pub const fn new(format: &'static PropertyFormat) -> Self {
        Self { format, values: BTreeMap::new() }
    }

    /// Parses and checks `text`. Empty parts (a trailing comma) do not count.
    ///
    /// # Errors
    /// Everything that is wrong, not only the first.
    pub fn parse(format: &'static PropertyFormat, text: &str) -> Result<Self, PropertyError> {
        let mut parsed = Self::new(format);
        let mut bad = Vec::new();
        let parts: Vec<&str> = text.split(',').map(str::trim).filter(|p| !p.is_empty()).collect();
        if parts.len() > MAX_PARTS {
            return Err(PropertyError(vec![format!("more than {MAX_PARTS} parts")]));
        }
        for part in parts {
            if let Err(why) = parsed.add(part) {
                bad.push(why);
            }
        }
        for key in format.keys {
            let refused = bad.iter().any(|b: &String| b.starts_with(&format!("{}:", key.name)));
            if !key.optional && key.alias_of.is_none() && !refused && !parsed.values.contains_key(key.name) {
                bad.push(format!("{}: required key is missing", key.name));
            }
        }
        if bad.is_empty() { Ok(parsed) } else { Err(PropertyError(bad)) }
    }

    fn add(&mut self, part: &str) -> Result<(), String> {
        let Some((name, value)) = part.split_once('=') else {
            let default = self.format.default_key.ok_or_else(|| format!("'{part}' is no key=value"))?;
            return self.put(default, part);
        };
        if let Some((model, mac)) = self.format.key_alias
            && self.format.alias_words().contains(&name)
        {
            self.put(model, name)?;
            return self.put(mac, value);
        }
        self.put(name, value)
    }

    fn put(&mut self, name: &str, value: &str) -> Result<(), String> {
        let key = self.format.key(name).ok_or_else(|| format!("{name}: unknown key"))?;
        let value = checked(key, value)?;
        match self.values.insert(key.name, value) {
            Some(_) => Err(format!("{}: given twice", key.name)),
            None => Ok(()),
        }
    }

    /// The value of a canonical key.
    pub fn get(&self, key: &str) -> Option<&str> {
        self.values.get(key).map(String::as_str)
    }

    /// The value of a boolean key.
    pub fn flag(&self, key: &str) -> Option<bool> {
        self.get(key).map(|v| v == "1")
    }

    /// Takes a key out.
    pub fn take(&mut self, key: &str) -> Option<String> {
        self.values.remove(key)
    }

    /// Sets a key.
    ///
    /// # Errors
    /// When the format has no such key or refuses the value.
    pub fn set(&mut self, key: &str, value: &str) -> Result<(), PropertyError> {
        self.values.remove(key);
        self.put(key, value).map_err(|e| PropertyError(vec![e]))
    }

    /// Keys and values, by key.
    pub fn iter(&self) -> impl Iterator<Item = (&'static str, &str)> {
        self.values.iter().map(|(k, v)| (*k, v.as_str()))
    }

    /// Whether nothing is set.
    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }
}

fn checked(key: &PropertyKey, value: &str) -> Result<String, String> {
    if value.contains(['\n', '\r', '\0']) {
        return Err(format!("{}: must be one line", key.name));
    }
    match crate::route::check_text(&key.kind, value).map_err(|why| format!("{}: {why}", key.name))? {
        Value::Bool(v) => Ok(u8::from(v).to_string()),
        Value::Int(v) => Ok(v.to_string()),
        Value::Text(_) | Value::List(_) | Value::Secret(_) => Ok(value.to_owned()),
    }
}

impl std::fmt::Display for PropertyString {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut parts: Vec<String> = Vec::new();
        let mut done: Vec<&str> = Vec::new();
        if let Some((model, mac)) = self.format.key_alias
            && let (Some(m), Some(a)) = (self.get(model), self.get(mac))
        {
            parts.push(format!("{m}={a}"));
            done.extend([model, mac]);
        } else if let Some((key, value)) = self.format.default_key.and_then(|k| Some((k, self.get(k)?))) {
            parts.push(value.to_owned());
            done.push(key);
        }
        for required in [true, false] {
            let wanted = |k: &&str| self.format.key(k).is_some_and(|key| key.optional != required);
            for (key, value) in self.iter().filter(|(k, _)| !done.contains(k) && wanted(k)) {
                parts.push(format!("{key}={value}"));
            }
        }
        f.write_str(&parts.join(","))
    }
}
