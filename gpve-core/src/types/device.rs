//! Small devices of a virtual machine: ports, random numbers, watchdog, agent, hotplug.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::disk::words;
use super::text::{TextError, serde_as_text, text_type};

/// A serial port of the guest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum SerialPort {
    /// A UNIX socket of the host; what consoles use.
    Socket,
    /// A device of the host (`/dev/ttyS0`); for the administrator only.
    Device(PathBuf),
}

text_type!(
    /// A parallel port of the host; for the administrator only.
    ParallelPort, "parallel port", "/dev/parportN or /dev/usb/lpN",
    |s| {
        let digits = |t: &str| (1..=3).contains(&t.len()) && t.bytes().all(|b| b.is_ascii_digit());
        ["/dev/parport", "/dev/usb/lp"].iter().any(|stem| s.strip_prefix(stem).is_some_and(digits))
    }
);

impl ParallelPort {
    /// How many a guest may have: `parallel0` to `parallel2`.
    pub const COUNT: u8 = 3;
}

/// The guest agent's channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct AgentSpec {
    /// The channel exists.
    pub enabled: bool,
    /// Trim after cloning or moving a disk.
    pub fstrim_cloned_disks: bool,
    /// Freeze file systems at backup and snapshot.
    pub freeze_fs: bool,
    /// The channel is an ISA serial port instead of virtio.
    pub isa: bool,
}

impl Default for AgentSpec {
    fn default() -> Self {
        Self { enabled: true, fstrim_cloned_disks: false, freeze_fs: true, isa: false }
    }
}

/// A virtual random number generator.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RngSpec {
    /// `/dev/urandom`, `/dev/random` or `/dev/hwrng`.
    pub source: String,
    /// Bytes per period; absent 1024; 0 means no limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_bytes: Option<u32>,
    /// Period in milliseconds; absent 1000.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub period_ms: Option<u32>,
}

words!(
    /// Model of the watchdog.
    WatchdogModel, "watchdog", "one of i6300esb, ib700", {
        /// Intel 6300ESB, PCI.
        I6300esb = "i6300esb",
        /// iBASE 700, ISA.
        Ib700 = "ib700",
    }
);

words!(
    /// What happens when the guest does not feed the watchdog.
    WatchdogAction, "watchdog action", "one of reset, shutdown, poweroff, pause, debug, none", {
        /// Reset.
        Reset = "reset",
        /// Orderly shutdown.
        Shutdown = "shutdown",
        /// Power off.
        Poweroff = "poweroff",
        /// Pause.
        Pause = "pause",
        /// A line in QEMU's log.
        Debug = "debug",
        /// Nothing.
        None = "none",
    }
);

/// The watchdog.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct WatchdogSpec {
    /// Model.
    pub model: WatchdogModel,
    /// What happens; absent: QEMU's default, a reset.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub action: Option<WatchdogAction>,
}

text_type!(
    /// The name of memory shared between guests.
    SharedMemoryName, "name of shared memory", "letters, digits and '-', not starting with '-', at most 64 characters",
    |s| !s.is_empty() && s.len() <= 64 && !s.starts_with('-') && s.chars().all(|c| c.is_ascii_alphanumeric() || c == '-')
);

/// Memory shared between guests (ivshmem).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SharedMemory {
    /// Its size in MiB, from 1.
    pub size_mib: u32,
    /// Guests that give the same name share it; absent: the guest's number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<SharedMemoryName>,
}

words!(
    /// What may be plugged in and out while a guest runs.
    HotplugFeature, "hotplug feature", "one of network, disk, cpu, memory, usb, cloudinit", {
        /// Network cards.
        Network = "network",
        /// Disks.
        Disk = "disk",
        /// Processors.
        Cpu = "cpu",
        /// Memory.
        Memory = "memory",
        /// USB devices.
        Usb = "usb",
        /// Data of cloud-init.
        Cloudinit = "cloudinit",
    }
);

/// Which hotplug features a guest has. Text form is the features joined by commas, or `0` for none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hotplug(Vec<HotplugFeature>);

impl Hotplug {
    /// Whether it has `feature`.
    pub fn has(&self, feature: HotplugFeature) -> bool {
        self.0.contains(&feature)
    }
}

impl Default for Hotplug {
    /// PVE's: network, disk and USB.
    fn default() -> Self {
        Self(vec![HotplugFeature::Network, HotplugFeature::Disk, HotplugFeature::Usb])
    }
}

impl std::str::FromStr for Hotplug {
    type Err = TextError;
    fn from_str(s: &str) -> Result<Self, TextError> {
        let refused = || {
            TextError::new(s, "hotplug", "network, disk, cpu, memory, usb and cloudinit joined by ','; 0 for none; 1 for network,disk,usb")
        };
        match s {
            "0" => return Ok(Self(Vec::new())),
            "1" => return Ok(Self::default()),
            _ => {}
        }
        let mut features = Vec::new();
        for word in s.split(',').map(str::trim).filter(|w| !w.is_empty()) {
            let feature = word.parse().map_err(|_| refused())?;
            if !features.contains(&feature) {
                features.push(feature);
            }
        }
        if features.is_empty() { Err(refused()) } else { Ok(Self(features)) }
    }
}

impl std::fmt::Display for Hotplug {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.0.is_empty() {
            return f.write_str("0");
        }
        f.write_str(&self.0.iter().map(|feature| feature.as_str()).collect::<Vec<_>>().join(","))
    }
}

serde_as_text!(Hotplug);
