//! QEMU's `key=value,key=value` syntax, with its own escaping, so that no value can add a key.

use std::fmt::{self, Write as _};

use serde_json::Value;

/// A property's value, typed as QEMU's JSON interfaces want it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Prop {
    /// Text; commas are escaped when it is written into a command line.
    Text(String),
    /// A number.
    Number(u64),
    /// `on` or `off`.
    Switch(bool),
}

impl Prop {
    /// The value for `device_add` and `object-add`.
    #[must_use]
    pub fn to_json(&self) -> Value {
        match self {
            Self::Text(text) => Value::from(text.as_str()),
            Self::Number(number) => Value::from(*number),
            Self::Switch(on) => Value::from(*on),
        }
    }
}

impl fmt::Display for Prop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => f.write_str(text),
            Self::Number(number) => number.fmt(f),
            Self::Switch(on) => f.write_str(if *on { "on" } else { "off" }),
        }
    }
}

impl From<&str> for Prop {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<String> for Prop {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl From<u64> for Prop {
    fn from(number: u64) -> Self {
        Self::Number(number)
    }
}

impl From<u32> for Prop {
    fn from(number: u32) -> Self {
        Self::Number(number.into())
    }
}

impl From<u16> for Prop {
    fn from(number: u16) -> Self {
        Self::Number(number.into())
    }
}

impl From<u8> for Prop {
    fn from(number: u8) -> Self {
        Self::Number(number.into())
    }
}

impl From<bool> for Prop {
    fn from(on: bool) -> Self {
        Self::Switch(on)
    }
}

/// Properties in the order they were set. Keys are literals: nothing from outside names a key.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Options {
    /// A leading value whose key is implied, with that key.
    implied: Option<(&'static str, String)>,
    props: Vec<(&'static str, Prop)>,
}

impl Options {
    /// No properties.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Begins with a value whose key is implied, such as a chardev's `backend`.
    #[must_use]
    pub fn implied(key: &'static str, value: impl Into<String>) -> Self {
        Self { implied: Some((key, value.into())), props: Vec::new() }
    }

    /// Adds a property.
    #[must_use]
    pub fn set(mut self, key: &'static str, value: impl Into<Prop>) -> Self {
        self.props.push((key, value.into()));
        self
    }

    /// Adds a property if there is a value.
    #[must_use]
    pub fn maybe(self, key: &'static str, value: Option<impl Into<Prop>>) -> Self {
        match value {
            Some(value) => self.set(key, value),
            None => self,
        }
    }

    /// The properties as JSON members, the implied one included.
    pub fn to_json(&self) -> serde_json::Map<String, Value> {
        let implied = self.implied.iter().map(|(key, value)| ((*key).to_owned(), Value::from(value.as_str())));
        implied.chain(self.props.iter().map(|(key, value)| ((*key).to_owned(), value.to_json()))).collect()
    }
}

impl fmt::Display for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut separator = "";
        if let Some((key, value)) = &self.implied {
            // A leading value with '=' in it would be read as a key and its value.
            if value.contains('=') {
                write!(f, "{key}=")?;
            }
            write_escaped(f, value)?;
            separator = ",";
        }
        for (key, value) in &self.props {
            write!(f, "{separator}{key}=")?;
            write_escaped(f, &value.to_string())?;
            separator = ",";
        }
        Ok(())
    }
}

/// Doubles commas, QEMU's only escape.
fn write_escaped(f: &mut fmt::Formatter<'_>, value: &str) -> fmt::Result {
    for c in value.chars() {
        if c == ',' {
            f.write_char(',')?;
        }
        f.write_char(c)?;
    }
    Ok(())
}
