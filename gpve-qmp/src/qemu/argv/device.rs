//! Devices of the machine: the same value makes a `-device` at start and a `device_add` later.

use serde_json::Value;

use super::line::Switch;
use super::option::{Options, Prop};

/// A device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Device {
    driver: &'static str,
    options: Options,
}

impl Device {
    /// A device of this kind without properties.
    #[must_use]
    pub fn new(driver: &'static str) -> Self {
        Self { driver, options: Options::implied("driver", driver) }
    }

    /// Its kind.
    #[must_use]
    pub fn driver(&self) -> &'static str {
        self.driver
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

/// An object without a place in the machine: an I/O thread, a source of random bytes, a throttle group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Object {
    /// A thread that a disk's I/O runs in.
    IoThread {
        /// Id.
        id: String,
    },
    /// Random bytes from a file of the host.
    RngFile {
        /// Id.
        id: String,
        /// The file.
        filename: String,
    },
    /// Limits of a disk's I/O, none at first.
    ThrottleGroup {
        /// Id.
        id: String,
    },
}

impl Object {
    /// The arguments of `object-add`.
    #[must_use]
    pub fn to_json(&self) -> Value {
        match self {
            Self::IoThread { id } => serde_json::json!({"qom-type": "iothread", "id": id}),
            Self::RngFile { id, filename } => serde_json::json!({"qom-type": "rng-random", "id": id, "filename": filename}),
            Self::ThrottleGroup { id } => serde_json::json!({"qom-type": "throttle-group", "id": id, "limits": {}}),
        }
    }
}

impl Switch for Object {
    const FLAG: &'static str = "-object";
    fn operand(&self) -> Option<String> {
        let implied = |kind: &str| Options::implied("qom-type", kind);
        Some(match self {
            Self::IoThread { id } => implied("iothread").set("id", &**id).to_string(),
            Self::RngFile { id, filename } => implied("rng-random").set("filename", &**filename).set("id", &**id).to_string(),
            // Nested properties have no other form.
            Self::ThrottleGroup { .. } => self.to_json().to_string(),
        })
    }
}
