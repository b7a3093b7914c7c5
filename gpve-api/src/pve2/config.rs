//! A guest's configuration in Proxmox VE's words, and its way to and from [`VmSpec`].
//!
//! The spec is what is stored; this is a view of it. What a spec cannot say (that `cores: 1` was written although it is the
//! default, the spelling of `agent`) is kept in the spec under [`SPELLING`], and used only while it still means the same.

mod board;
mod change;
mod cloud_init;
mod device;
mod disk;
mod from_spec;
mod nic;
mod parts;
mod pending;
mod processors;
mod spelling;
mod stored;
mod throttle;
mod to_spec;
mod words;

use std::collections::BTreeMap;

use gpve_core::control::{GuestObject, config_digest};
use gpve_core::error::{Error, ErrorKind, FieldError};
use gpve_core::types::{GuestName, VmSpec};
use serde_json::{Map, Value as Json};
use uuid::Uuid;

use crate::route::{Kind, Param, Params, Value};
use crate::routes::vm_options;

pub use change::{Change, Edit};
pub use pending::{PendingEntry, cloud_init_pending, pending};
pub use spelling::SPELLING;
pub(crate) use stored::{as_stored, replace_old_names};
pub use to_spec::default_boot;
pub(crate) use to_spec::default_spec;

/// Name and spec of a guest: what one configuration defines.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Definition {
    /// Name, if one was given.
    pub name: Option<GuestName>,
    /// Everything else.
    pub spec: VmSpec,
}

impl From<&GuestObject> for Definition {
    fn from(guest: &GuestObject) -> Self {
        Self { name: guest.name.clone(), spec: guest.spec().clone() }
    }
}

impl Definition {
    /// What the process of a running guest was started with; none for a guest that does not run.
    pub fn running(guest: &GuestObject) -> Option<Self> {
        let spec = guest.running.as_deref()?.clone();
        Some(Self { name: guest.name.clone(), spec })
    }

    /// The digest that answers show and that changes are checked against: that of the control plane.
    pub fn digest(&self) -> String {
        config_digest(self.name.as_ref(), &self.spec)
    }
}

/// Settings by name, as text.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct VmConfig(BTreeMap<String, String>);

/// Why a configuration that has the right form was refused.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Problems {
    fields: Vec<FieldError>,
    volume: Option<String>,
}

impl Problems {
    fn field(&mut self, name: &str, why: impl std::fmt::Display) {
        self.fields.push(FieldError { field: name.to_owned(), reason: why.to_string() });
    }

    /// A volume's name that no storage can have. Proxmox VE answers 500 without fields, and clients know the text.
    fn volume_name(&mut self, name: &str) {
        self.volume.get_or_insert_with(|| format!("unable to parse directory volume name '{}'", crate::route::shorten(name)));
    }

    fn into_result(self) -> Result<(), Error> {
        if !self.fields.is_empty() {
            return Err(Error::invalid("vm.config", self.fields));
        }
        self.volume.map_or(Ok(()), |message| Err(Error::new(ErrorKind::FailedPrecondition, "vm.config", message)))
    }
}

impl VmConfig {
    /// The guest settings among a request's checked parameters.
    pub fn from_params(params: &Params) -> Self {
        let settings = params.iter().filter(|(name, _)| option(name).is_some());
        let mut config = Self::default();
        for (name, value) in settings {
            config.set(name, stored::as_stored(name, &text_of(name, value)));
        }
        stored::replace_old_names(&mut config);
        config
    }

    /// Sets a setting as a request would: checked against the table, switches as `1` or `0`.
    ///
    /// # Errors
    /// An unknown setting, or a value that it does not take.
    pub fn put(&mut self, key: &str, value: &str) -> Result<(), Error> {
        let refused = |why: String| Error::field("vm.config", key, why);
        let param = option(key).ok_or_else(|| refused("is not a setting of a guest".to_owned()))?;
        let value = crate::route::check_text(&param.kind, value).map_err(refused)?;
        self.set(key, stored::as_stored(key, &text_of(key, &value)));
        stored::replace_old_names(self);
        Ok(())
    }

    /// The configuration that defines `definition`.
    pub fn of(definition: &Definition) -> Self {
        from_spec::render(definition)
    }

    /// What this configuration defines as a new guest. As Proxmox VE does, it writes a boot order, a system UUID and a
    /// generation id into it where the client gave none.
    ///
    /// # Errors
    /// As [`Self::define`].
    pub fn define_new(mut self, uuid: Uuid, generation_id: Uuid) -> Result<Definition, Error> {
        let smbios = self.get("smbios1").unwrap_or_default();
        if !smbios.contains("uuid=") {
            let separator = if smbios.is_empty() { "" } else { "," };
            self.set("smbios1", format!("uuid={uuid}{separator}{smbios}"));
        }
        if matches!(self.get("vmgenid"), None | Some("1")) {
            self.set("vmgenid", generation_id.to_string());
        }
        let mut definition = self.define()?;
        refuse_files_of_host(&definition.spec, None)?;
        if self.get("boot").is_none() {
            definition.spec.boot = Some(default_boot(&definition.spec));
        }
        Ok(definition)
    }

    /// What this configuration defines.
    ///
    /// # Errors
    /// Every setting that gpve cannot do, by field; or a volume name that no storage can have.
    pub fn define(&self) -> Result<Definition, Error> {
        to_spec::define(self)
    }

    /// A setting.
    pub fn get(&self, key: &str) -> Option<&str> {
        self.0.get(key).map(String::as_str)
    }

    /// Sets a setting.
    pub fn set(&mut self, key: impl Into<String>, value: impl Into<String>) {
        self.0.insert(key.into(), value.into());
    }

    /// Takes a setting out.
    pub fn remove(&mut self, key: &str) -> Option<String> {
        self.0.remove(key)
    }

    /// Settings by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(k, v)| (k.as_str(), v.as_str()))
    }

    /// The settings as an answer shows them: booleans and integers as numbers, all else as text, passwords masked.
    pub fn to_json(&self) -> Map<String, Json> {
        self.iter().map(|(key, value)| (key.to_owned(), typed(key, value))).collect()
    }
}

/// A client may name a device of the host; a file there has to be in a storage. One that an imported guest has stays.
fn refuse_files_of_host(spec: &VmSpec, before: Option<&VmSpec>) -> Result<(), Error> {
    let mut problems = Problems::default();
    for (slot, disk) in &spec.disks {
        let there = before.is_some_and(|b| b.disks.get(slot).is_some_and(|d| d.source == disk.source));
        if let Some(path) = disk.host_path().filter(|path| !there && !path.starts_with("/dev")) {
            let path = crate::route::shorten(&path.to_string_lossy());
            problems.field(&slot.to_string(), format!("unable to associate path '{path}' to any storage"));
        }
    }
    problems.into_result()
}

/// The text of a checked value.
fn text_of(key: &str, value: &Value) -> String {
    match (key, value) {
        ("tags", Value::List(tags)) => join_tags(tags),
        (_, Value::List(items)) => items.join(" "),
        (_, Value::Bool(v)) => u8::from(*v).to_string(),
        (_, Value::Int(v)) => v.to_string(),
        (_, Value::Text(v) | Value::Secret(v)) => v.clone(),
    }
}

/// The table's entry for a setting.
pub(crate) fn option(name: &str) -> Option<&'static Param> {
    let options = || vm_options().iter();
    options().find(|p| p.indexes == 0 && p.name == name).or_else(|| options().find(|p| p.indexes > 0 && p.covers(name)))
}

/// A setting's value as JSON of the type that Proxmox VE answers with.
pub fn typed(key: &str, value: &str) -> Json {
    match option(key).map(|p| p.kind) {
        Some(Kind::Boolean | Kind::Integer { .. }) => value.parse::<i64>().map_or_else(|_| value.into(), Json::from),
        Some(Kind::Secret { .. }) => "**********".into(),
        None if key == "snaptime" => value.parse::<i64>().map_or_else(|_| value.into(), Json::from),
        _ => value.into(),
    }
}

fn join_tags(tags: &[String]) -> String {
    let mut tags: Vec<String> = tags.iter().map(|t| t.to_ascii_lowercase()).collect();
    tags.sort_unstable();
    tags.dedup();
    tags.join(";")
}

/// Whether a configuration asks for something on the host that only `root@pam` may: a device, a path. Names the setting.
pub fn needs_root(config: &VmConfig) -> Option<&str> {
    let host_thing = |key: &str, value: &str| {
        let stem = key.trim_end_matches(|c: char| c.is_ascii_digit());
        let given = |name: &str| value.split(',').any(|p| p.strip_prefix(name).is_some_and(|v| v.starts_with("=/")));
        match stem {
            "serial" => value != "socket",
            "usb" => !value.contains("mapping=") && !value.to_ascii_lowercase().contains("spice"),
            "hostpci" => !value.contains("mapping="),
            "scsi" | "virtio" | "sata" | "ide" | "nvme" | "efidisk" | "tpmstate" => {
                value.starts_with('/')
                    || value.split(',').any(|part| matches!(part, "cdrom" | "file=cdrom"))
                    || given("file")
                    || given("volume")
                    || given("import-from")
            }
            _ => false,
        }
    };
    config.iter().find(|(key, value)| host_thing(key, value)).map(|(key, _)| key)
}
