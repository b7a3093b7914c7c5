//! One struct per switch of QEMU, except for disks ([`super::blockdev`]) and devices ([`super::device`]).

use std::path::{Path, PathBuf};

use gpve_core::types::{CpuFlag, CpuModel};

use super::line::Switch;
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
}

/// Declares switches that take properties.
macro_rules! options {
    ($($name:ident = $flag:literal;)*) => {$(
        impl Switch for $name {
            const FLAG: &'static str = $flag;
            fn operand(&self) -> Option<String> {
                Some(self.options().to_string())
            }
        }
    )*};
}

options! {
    Name = "-name";
    Machine = "-machine";
    Accelerator = "-accel";
    Smp = "-smp";
    Memory = "-m";
    Rtc = "-rtc";
    Boot = "-boot";
    Global = "-global";
    Smbios = "-smbios";
    Netdev = "-netdev";
    Chardev = "-chardev";
    Monitor = "-mon";
    Vnc = "-vnc";
    Sandbox = "-sandbox";
    AddFd = "-add-fd";
    Action = "-action";
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
    /// ACPI tables are there.
    pub acpi: bool,
    /// Switch the HPET off.
    pub no_hpet: bool,
    /// `microvm` only: a real-time clock, without which Linux starts in 1970.
    pub rtc: Option<bool>,
}

impl Machine {
    fn options(&self) -> Options {
        Options::new()
            .maybe("acpi", (!self.acpi).then_some(false))
            .maybe("hpet", self.no_hpet.then_some(false))
            .maybe("rtc", self.rtc)
            .set("type", &*self.kind)
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
    /// Refuse to start when a feature is missing.
    pub enforce: bool,
    /// Features switched on or off.
    pub flags: Vec<CpuFlag>,
    /// Properties as QEMU spells them (`hv_time`, `kvm=off`).
    pub properties: Vec<&'static str>,
}

impl Switch for Cpu {
    const FLAG: &'static str = "-cpu";
    fn operand(&self) -> Option<String> {
        let flags = self.flags.iter().map(|flag| (flag.name(), flag.to_string()));
        let properties = self.properties.iter().map(|property| (*property, (*property).to_owned()));
        let mut features: Vec<_> = flags.chain(properties).collect();
        features.sort_by(|a, b| a.0.cmp(b.0));
        let enforce = self.enforce.then(|| "enforce".to_owned());
        let parts = std::iter::once(self.model.to_string()).chain(enforce).chain(features.into_iter().map(|feature| feature.1));
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
pub struct Memory(pub u32);

impl Memory {
    fn options(self) -> Options {
        Options::implied("size", self.0.to_string())
    }
}

/// The real-time clock, for guests that keep it in local time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rtc {
    /// Make up for missed ticks.
    pub slew: bool,
    /// Local time instead of UTC.
    pub local_time: bool,
}

impl Rtc {
    fn options(self) -> Options {
        Options::new().maybe("driftfix", self.slew.then_some("slew")).maybe("base", self.local_time.then_some("localtime"))
    }
}

/// Booting, beyond each device's `bootindex`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Boot {
    /// Only devices with a `bootindex`.
    pub strict: bool,
    /// Milliseconds until the next attempt when nothing could be booted.
    pub reboot_timeout_ms: u32,
}

impl Boot {
    fn options(self) -> Options {
        Options::new().maybe("strict", self.strict.then_some(true)).set("reboot-timeout", self.reboot_timeout_ms)
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
    /// System UUID.
    pub uuid: String,
}

impl Smbios {
    fn options(&self) -> Options {
        Options::new().set("type", 1u8).set("uuid", &*self.uuid)
    }
}

/// How QEMU reaches a tap interface.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TapSource {
    /// It opens the interface of this name itself.
    Interface(String),
    /// It was given a descriptor for each queue: a number that it inherited or a name that `getfd` gave.
    Descriptors(Vec<String>),
}

/// The host's side of a network card.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Netdev {
    /// A tap interface that exists; QEMU neither makes it nor runs a script for it.
    Tap {
        /// Id, that of the card.
        id: String,
        /// The interface.
        source: TapSource,
        /// Packet queues, if more than one.
        queues: Option<u8>,
    },
    /// QEMU's own user-mode stack, behind NAT.
    User {
        /// Id, that of the card.
        id: String,
        /// Host name that its DHCP server hands out.
        hostname: String,
    },
}

impl Netdev {
    /// As switch operand and, with [`Options::to_json`], as arguments of `netdev_add`.
    #[must_use]
    pub fn options(&self) -> Options {
        match self {
            Self::Tap { id, source, queues } => {
                let options = Options::new().set("type", "tap").set("id", &**id);
                match source {
                    TapSource::Interface(name) => {
                        let options = options.set("ifname", &**name).set("script", "no").set("downscript", "no");
                        options.maybe("queues", *queues)
                    }
                    TapSource::Descriptors(names) if names.len() == 1 => options.set("fd", names.concat()),
                    TapSource::Descriptors(names) => options.set("fds", names.join(":")),
                }
            }
            Self::User { id, hostname } => Options::new().set("type", "user").set("id", &**id).set("hostname", &**hostname),
        }
    }
}

/// Where a socket that QEMU serves comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ListeningSocket {
    /// QEMU binds this path.
    Path(PathBuf),
    /// A listening socket that QEMU inherits under this number: it exists before QEMU does.
    Inherited(i32),
}

/// A character device: a socket that QEMU serves without waiting for a client, or a device of the host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Chardev {
    /// A unix socket.
    Socket {
        /// Id.
        id: String,
        /// The socket.
        socket: ListeningSocket,
        /// What passes is also appended to this file.
        log: Option<PathBuf>,
    },
    /// A serial device of the host.
    Host {
        /// Id.
        id: String,
        /// Its path.
        path: PathBuf,
    },
}

impl Chardev {
    fn options(&self) -> Options {
        match self {
            Self::Socket { id, socket, log } => {
                let options = Options::implied("backend", "socket").set("id", &**id);
                let options = match socket {
                    ListeningSocket::Path(path) => options.set("path", text(path)),
                    ListeningSocket::Inherited(number) => options.set("fd", number.to_string()),
                };
                let options = options.set("server", true).set("wait", false);
                options.maybe("logfile", log.as_deref().map(text)).maybe("logappend", log.is_some().then_some(true))
            }
            Self::Host { id, path } => Options::implied("backend", "serial").set("id", &**id).set("path", text(path)),
        }
    }
}

/// A QMP monitor on a chardev.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Monitor {
    /// The chardev.
    pub chardev: String,
}

impl Monitor {
    fn options(&self) -> Options {
        Options::new().set("chardev", &*self.chardev).set("mode", "control")
    }
}

/// The VNC server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Vnc {
    /// A unix socket that QEMU binds.
    pub socket: PathBuf,
}

impl Vnc {
    fn options(&self) -> Options {
        Options::implied("vnc", format!("unix:{}", text(&self.socket)))
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

/// A path as text. Every path that comes here was proven to be UTF-8 by [`super::compose`].
fn text(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}
