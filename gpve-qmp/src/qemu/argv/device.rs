//! Devices of the machine: the same value makes a `-device` at start and a `device_add` later.

use std::borrow::Cow;

use serde_json::{Map, Value, json};

use super::line::Switch;
use super::option::{Options, Prop};

/// A device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Device {
    driver: Cow<'static, str>,
    options: Options,
}

impl Device {
    /// A device of this kind without properties.
    #[must_use]
    pub fn new(driver: impl Into<Cow<'static, str>>) -> Self {
        let driver = driver.into();
        Self { options: Options::implied("driver", &*driver), driver }
    }

    /// Its kind.
    #[must_use]
    pub fn driver(&self) -> &str {
        &self.driver
    }

    /// Sets a property.
    #[must_use]
    pub fn set(mut self, key: &'static str, value: impl Into<Prop>) -> Self {
        self.options = self.options.set(key, value);
        self
    }

    /// Sets a property if there is a value.
    #[must_use]
    pub fn maybe(mut self, key: &'static str, value: Option<impl Into<Prop>>) -> Self {
        self.options = self.options.maybe(key, value);
        self
    }

    /// Puts it at an address; `None` is a board whose devices find their own place.
    #[must_use]
    pub fn at(self, address: Option<Address>) -> Self {
        match address {
            Some(Address { bus, slot }) => self.set("bus", bus.name()).set("addr", format!("{slot:#x}")),
            None => self,
        }
    }

    /// The arguments of `device_add`.
    #[must_use]
    pub fn to_json(&self) -> Value {
        Value::Object(self.options.to_json())
    }
}

impl Switch for Device {
    const FLAG: &'static str = "-device";
    fn operand(&self) -> Option<String> {
        Some(self.options.to_string())
    }
}

/// A PCI bus of PVE's layout.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum PciBus {
    /// The root of a PCI Express board.
    Pcie,
    /// `pci.N`; `pci.0` is the root of a PCI board, the others hang on bridges.
    Pci(u8),
}

impl PciBus {
    /// QEMU's id of the bus.
    #[must_use]
    pub fn name(self) -> String {
        match self {
            Self::Pcie => "pcie.0".to_owned(),
            Self::Pci(number) => format!("pci.{number}"),
        }
    }
}

/// A slot on a PCI bus.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Address {
    /// The bus.
    pub bus: PciBus,
    /// The slot, 1 to 31.
    pub slot: u8,
}

/// An object without a place in the machine: an I/O thread, memory, a source of random bytes, a throttle group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Object {
    kind: &'static str,
    options: Options,
    /// Properties that are structures, which only JSON can say.
    structures: Map<String, Value>,
}

impl Object {
    /// An object of this kind and id.
    #[must_use]
    pub fn new(kind: &'static str, id: impl Into<Prop>) -> Self {
        Self { kind, options: Options::implied("qom-type", kind).set("id", id), structures: Map::new() }
    }

    /// A thread that a disk's I/O runs in.
    #[must_use]
    pub fn io_thread(id: String) -> Self {
        Self::new("iothread", id)
    }

    /// Limits of a disk's I/O; empty ones can be set later.
    #[must_use]
    pub fn throttle_group(id: String, limits: Map<String, Value>) -> Self {
        Self::new("throttle-group", id).structure("limits", json!(limits))
    }

    /// Sets a property.
    #[must_use]
    pub fn set(mut self, key: &'static str, value: impl Into<Prop>) -> Self {
        self.options = self.options.set(key, value);
        self
    }

    /// Sets a property if there is a value.
    #[must_use]
    pub fn maybe(mut self, key: &'static str, value: Option<impl Into<Prop>>) -> Self {
        self.options = self.options.maybe(key, value);
        self
    }

    /// Sets a property that is a structure.
    #[must_use]
    pub fn structure(mut self, key: &str, value: Value) -> Self {
        self.structures.insert(key.to_owned(), value);
        self
    }

    /// Its kind.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        self.kind
    }

    /// The arguments of `object-add`.
    #[must_use]
    pub fn to_json(&self) -> Value {
        let mut members = self.options.to_json();
        members.extend(self.structures.clone());
        Value::Object(members)
    }
}

impl Switch for Object {
    const FLAG: &'static str = "-object";
    fn operand(&self) -> Option<String> {
        Some(if self.structures.is_empty() { self.options.to_string() } else { self.to_json().to_string() })
    }
}
