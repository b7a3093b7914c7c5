//! The host's side of a network card.

use super::line::{Switch, options};
use super::option::Options;

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
        /// The kernel moves the packets (virtio cards only).
        vhost: bool,
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
            Self::Tap { id, source, queues, vhost } => {
                let options = Options::new().set("type", "tap").set("id", &**id).maybe("vhost", vhost.then_some(true));
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

options! {
    Netdev = "-netdev";
}
