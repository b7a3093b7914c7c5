//! What a QEMU can do, read from its own `query-qmp-schema`. Versions are never compared: distributions backport
//! and leave out.

use std::collections::HashMap;

use serde::Deserialize;

use super::client::QmpClient;
use super::error::QmpError;

/// Deepest path of nested arguments followed; QEMU's deepest is near ten.
const MAX_DEPTH: usize = 16;

/// An index over one QEMU binary's schema; ask it per connection, or once per binary and keep it.
#[derive(Debug, Clone, Default)]
pub struct Schema {
    entries: HashMap<Box<str>, Entry>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(tag = "meta-type", rename_all = "kebab-case")]
enum Entry {
    Command {
        #[serde(rename = "arg-type")]
        arg_type: Box<str>,
        #[serde(default, rename = "allow-oob")]
        allow_oob: bool,
        #[serde(default)]
        features: Box<[Box<str>]>,
    },
    Event {},
    Object {
        members: Box<[Member]>,
        #[serde(default)]
        variants: Box<[Variant]>,
    },
    Alternate {
        members: Box<[AlternateMember]>,
    },
    Enum {
        values: Box<[Box<str>]>,
    },
    Array {
        #[serde(rename = "element-type")]
        element_type: Box<str>,
    },
    /// Built-in types, and kinds of a later QEMU.
    #[serde(other)]
    Leaf,
}

#[derive(Debug, Clone, Deserialize)]
struct Member {
    name: Box<str>,
    #[serde(rename = "type")]
    type_name: Box<str>,
}

#[derive(Debug, Clone, Deserialize)]
struct Variant {
    #[serde(rename = "type")]
    type_name: Box<str>,
}

#[derive(Debug, Clone, Deserialize)]
struct AlternateMember {
    #[serde(rename = "type")]
    type_name: Box<str>,
}

impl Schema {
    /// Asks a QEMU. About 0.3 MiB of answer and a few milliseconds: once per binary is enough.
    ///
    /// # Errors
    /// As [`QmpClient::execute`].
    pub async fn query(client: &QmpClient) -> Result<Self, QmpError> {
        let nothing = serde_json::Value::Object(serde_json::Map::new());
        client.raw("query-qmp-schema", &nothing).returning().send().await.map(Self::index)
    }

    /// Reads the answer of a `query-qmp-schema` kept as JSON text.
    ///
    /// # Errors
    /// The text is not such an answer.
    pub fn parse(json: &str) -> Result<Self, serde_json::Error> {
        serde_json::from_str(json).map(Self::index)
    }

    fn index(entries: Vec<Named>) -> Self {
        Self { entries: entries.into_iter().map(|named| (named.name, named.entry)).collect() }
    }

    /// Whether there is such a command.
    #[must_use]
    pub fn has_command(&self, name: &str) -> bool {
        matches!(self.entries.get(name), Some(Entry::Command { .. }))
    }

    /// Whether there is such an event.
    #[must_use]
    pub fn has_event(&self, name: &str) -> bool {
        matches!(self.entries.get(name), Some(Entry::Event {}))
    }

    /// Whether the command may be executed out of band.
    #[must_use]
    pub fn command_allows_out_of_band(&self, name: &str) -> bool {
        matches!(self.entries.get(name), Some(Entry::Command { allow_oob: true, .. }))
    }

    /// Whether the command declares a feature, QEMU's mark for a change that the types do not show.
    #[must_use]
    pub fn command_has_feature(&self, name: &str, feature: &str) -> bool {
        match self.entries.get(name) {
            Some(Entry::Command { features, .. }) => features.iter().any(|known| **known == *feature),
            _ => false,
        }
    }

    /// Whether the command takes the argument at `path`: names joined by `/`, through unions and lists, such as
    /// `file/cache/direct` of `blockdev-add`.
    #[must_use]
    pub fn command_has_arg(&self, command: &str, path: &str) -> bool {
        !self.command_arg_types(command, path).is_empty()
    }

    /// Whether the command's argument at `path` is an enumeration with this value: `("blockdev-add", "driver",
    /// "rbd")` tells whether this QEMU was built with Ceph.
    #[must_use]
    pub fn enum_has_value(&self, command: &str, path: &str, value: &str) -> bool {
        self.command_arg_types(command, path).iter().any(|name| self.type_has_value(name, value, 0))
    }

    /// The types that the argument may have; several where union branches name different ones.
    fn command_arg_types(&self, command: &str, path: &str) -> Vec<&str> {
        let Some(Entry::Command { arg_type, .. }) = self.entries.get(command) else { return Vec::new() };
        let mut types = vec![&**arg_type];
        for name in path.split('/').take(MAX_DEPTH) {
            let mut found = Vec::new();
            for type_name in types {
                self.members_named(type_name, name, 0, &mut found);
            }
            found.sort_unstable();
            found.dedup();
            types = found;
        }
        types
    }

    fn members_named<'a>(&'a self, type_name: &str, name: &str, depth: usize, found: &mut Vec<&'a str>) {
        if depth > MAX_DEPTH {
            return;
        }
        match self.entries.get(type_name) {
            Some(Entry::Object { members, variants }) => {
                found.extend(members.iter().filter(|member| *member.name == *name).map(|member| &*member.type_name));
                for variant in variants {
                    self.members_named(&variant.type_name, name, depth + 1, found);
                }
            }
            Some(Entry::Alternate { members }) => {
                for member in members {
                    self.members_named(&member.type_name, name, depth + 1, found);
                }
            }
            Some(Entry::Array { element_type }) => self.members_named(element_type, name, depth + 1, found),
            _ => {}
        }
    }

    fn type_has_value(&self, type_name: &str, value: &str, depth: usize) -> bool {
        if depth > MAX_DEPTH {
            return false;
        }
        match self.entries.get(type_name) {
            Some(Entry::Enum { values }) => values.iter().any(|known| **known == *value),
            Some(Entry::Array { element_type }) => self.type_has_value(element_type, value, depth + 1),
            Some(Entry::Alternate { members }) => members.iter().any(|member| self.type_has_value(&member.type_name, value, depth + 1)),
            _ => false,
        }
    }
}

#[derive(Deserialize)]
struct Named {
    name: Box<str>,
    #[serde(flatten)]
    entry: Entry,
}

#[cfg(test)]
mod tests;
