//! One struct per switch of QEMU, except for disks ([`super::blockdev`]) and devices ([`super::device`]).

use gpve_core::types::CpuModel;

pub use super::console::{Audiodev, Chardev, ListeningSocket, Monitor, PeerSocket, Spice, Tpmdev, Vnc};
use super::line::{Switch, options};
pub use super::netdev::{Netdev, TapSource};
use super::option::{Options, Prop};

/// Declares switches that stand alone.
macro_rules! flags {
    ($($(#[$doc:meta])* $name:ident = $flag:literal;)*) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub struct $name;

        impl Switch for $name {
            const FLAG: &'static str = $flag;
            fn operand(&self) -> Option<String> {
                None
            }
        }
    )*};
}

flags! {
    /// No configuration files.
    NoUserConfig = "-no-user-config";
    /// No devices that nobody asked for.
    NoDefaults = "-nodefaults";
    /// Halted before the first instruction.
    Paused = "-S";
    /// A reset ends QEMU.
    NoReboot = "-no-reboot";
    /// What is written to any disk is forgotten.
    Snapshot = "-snapshot";
}

/// Declares switches with one text operand.
macro_rules! texts {
    ($($(#[$doc:meta])* $name:ident = $flag:literal;)*) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq)]
        pub struct $name(pub String);

        impl Switch for $name {
            const FLAG: &'static str = $flag;
            fn operand(&self) -> Option<String> {
                Some(self.0.clone())
            }
        }
    )*};
}

texts! {
    /// Keyboard layout of the VNC console.
    Keyboard = "-k";
    /// The kernel's command line; QEMU takes it as it is.
    Append = "-append";
    /// A file where QEMU writes its process number, removed when it ends.
    Pidfile = "-pidfile";
    /// A kernel to start without a boot loader.
    Kernel = "-kernel";
    /// Its initial RAM disk.
    Initrd = "-initrd";
    /// Where the console is shown; `none` leaves VNC alone.
    Display = "-display";
    /// A serial port of a board without `isa-serial` devices, as `chardev:ID`.
    Serial = "-serial";
    /// Firmware that is loaded as memory instead of from flash.
    Bios = "-bios";
    /// What happens when the guest does not feed its watchdog.
    WatchdogAction = "-watchdog-action";
}

options! {
    Name = "-name";
    Machine = "-machine";
    Accelerator = "-accel";
    Smp = "-smp";
    Memory = "-m";
    Numa = "-numa";
    Rtc = "-rtc";
    Boot = "-boot";
    Global = "-global";
    Smbios = "-smbios";
    Sandbox = "-sandbox";
    AddFd = "-add-fd";
    Action = "-action";
    Iscsi = "-iscsi";
}

/// The machine's name in process lists and window titles.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Name {
    /// The name.
    pub guest: String,
    /// Name the threads after what they do.
    pub debug_threads: bool,
}

impl Name {
    fn options(&self) -> Options {
        Options::implied("guest", &*self.guest).maybe("debug-threads", self.debug_threads.then_some(true))
    }
}

/// The board.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Machine {
    /// QEMU's name of the board (`q35`, `pc-i440fx-9.2`).
    pub kind: String,
    /// Properties.
    pub properties: Vec<(&'static str, Prop)>,
}

impl Machine {
    fn options(&self) -> Options {
        let properties = self.properties.iter().fold(Options::new(), |options, (key, value)| options.set(key, value.clone()));
        properties.set("type", &*self.kind)
    }
}

/// How processors are driven.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Accelerator {
    /// The kernel's.
    Kvm,
    /// QEMU's translator.
    Tcg,
}

impl Accelerator {
    /// QEMU's word for it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Kvm => "kvm",
            Self::Tcg => "tcg",
        }
    }

    fn options(self) -> Options {
        Options::implied("accel", self.as_str())
    }
}

/// The processor's model and features. QEMU's syntax has no escape here: every part is of a type without commas.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cpu {
    /// Model.
    pub model: CpuModel,
    /// Features and properties by name, each as QEMU spells it (`+aes`, `hv_time`, `kvm=off`).
    pub features: std::collections::BTreeMap<String, String>,
    /// Address bits, after the features.
    pub bits: Vec<String>,
}

impl Switch for Cpu {
    const FLAG: &'static str = "-cpu";
    fn operand(&self) -> Option<String> {
        let features = self.features.values().cloned();
        let parts = std::iter::once(self.model.to_string()).chain(features).chain(self.bits.iter().cloned());
        Some(parts.collect::<Vec<_>>().join(","))
    }
}

/// Processors and how they are grouped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Smp {
    /// Plugged at start.
    pub vcpus: u16,
    /// Sockets.
    pub sockets: u8,
    /// Cores in each.
    pub cores: u16,
}

impl Smp {
    fn options(self) -> Options {
        Options::implied("cpus", self.vcpus.to_string())
            .set("sockets", self.sockets)
            .set("cores", self.cores)
            .set("maxcpus", u16::from(self.sockets) * self.cores)
    }
}

/// Memory in MiB.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Memory {
    /// What is there at start, but for what is plugged.
    pub size: u32,
    /// The most there can be once it is plugged, where it can be.
    pub most: Option<u64>,
}

impl Memory {
    /// Slots for memory that is plugged: as many as ACPI has.
    const SLOTS: u8 = 255;

    fn options(self) -> Options {
        let options = Options::implied("size", self.size.to_string());
        options.maybe("slots", self.most.map(|_| Self::SLOTS)).maybe("maxmem", self.most.map(|most| format!("{most}M")))
    }
}

/// A NUMA node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Numa {
    /// Its number.
    pub node: u8,
    /// First and last of its processors.
    pub cpus: Vec<(u16, u16)>,
    /// Its memory, an object.
    pub memory: String,
}

impl Numa {
    fn options(&self) -> Options {
        let options = Options::implied("type", "node").set("nodeid", self.node);
        let cpus = self.cpus.iter().fold(options, |options, range| options.set("cpus", range_text(*range)));
        cpus.set("memdev", &*self.memory)
    }
}

/// A range as QEMU writes it; a single number is no range.
pub(super) fn range_text((first, last): (u16, u16)) -> String {
    if first == last { first.to_string() } else { format!("{first}-{last}") }
}

/// The real-time clock.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rtc {
    /// Make up for missed ticks.
    pub slew: bool,
    /// What it shows at start; absent: UTC.
    pub base: Option<String>,
}

impl Rtc {
    fn options(&self) -> Options {
        Options::new().maybe("driftfix", self.slew.then_some("slew")).maybe("base", self.base.as_deref())
    }
}

/// Booting, beyond each device's `bootindex`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Boot {
    /// The firmware offers a menu.
    pub menu: bool,
    /// Only devices with a `bootindex`.
    pub strict: bool,
    /// Milliseconds until the next attempt when nothing could be booted.
    pub reboot_timeout_ms: u32,
}

impl Boot {
    fn options(self) -> Options {
        let options = Options::new().maybe("menu", self.menu.then_some(true)).maybe("strict", self.strict.then_some(true));
        options.set("reboot-timeout", self.reboot_timeout_ms)
    }
}

/// A default of every device of a kind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Global {
    /// Kind and property, as `KIND.PROPERTY`.
    pub property: &'static str,
    /// Its value.
    pub value: Prop,
}

impl Global {
    fn options(&self) -> Options {
        Options::new().set(self.property, self.value.clone())
    }
}

/// SMBIOS table 1.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Smbios {
    /// Fields with their values.
    pub fields: Vec<(&'static str, String)>,
}

impl Smbios {
    fn options(&self) -> Options {
        self.fields.iter().fold(Options::new().set("type", 1u8), |options, (key, value)| options.set(key, &**value))
    }
}

/// The name under which iSCSI targets know this host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Iscsi {
    /// Initiator name.
    pub initiator: String,
}

impl Iscsi {
    fn options(&self) -> Options {
        Options::new().set("initiator-name", &*self.initiator)
    }
}

/// QEMU's seccomp filter, as tight as it goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sandbox;

impl Sandbox {
    fn options(self) -> Options {
        ["obsolete", "elevateprivileges", "spawn", "resourcecontrol"]
            .into_iter()
            .fold(Options::implied("enable", "on"), |options, group| options.set(group, "deny"))
    }
}

/// An inherited descriptor that files named `/dev/fdset/SET` stand for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AddFd {
    /// Its number in QEMU.
    pub fd: i32,
    /// The set.
    pub set: u32,
}

impl AddFd {
    fn options(self) -> Options {
        Options::new().set("fd", self.fd.to_string()).set("set", self.set)
    }
}

/// What QEMU does when the guest does something final.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Action;

impl Action {
    fn options(self) -> Options {
        // The guest's own `panic=` setting decides; we only hear of it.
        Options::new().set("panic", "none")
    }
}
