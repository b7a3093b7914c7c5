//! Monitor, consoles and channels: what somebody outside of the guest connects to.

use std::path::{Path, PathBuf};

use super::line::{Switch, options};
use super::option::Options;

/// Where a socket that QEMU serves comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ListeningSocket {
    /// QEMU binds this path.
    Path(PathBuf),
    /// A listening socket that QEMU inherits under this number: it exists before QEMU does.
    Inherited(i32),
}

/// A connection to another program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PeerSocket {
    /// QEMU connects to this path.
    Path(PathBuf),
    /// A connected socket that QEMU inherits under this number: the other program ends with it.
    Inherited(i32),
}

/// A character device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Chardev {
    /// A unix socket that QEMU serves without waiting for a client.
    Socket {
        /// Id.
        id: String,
        /// The socket.
        socket: ListeningSocket,
        /// What passes is also appended to this file.
        log: Option<PathBuf>,
    },
    /// A unix socket with another program at its end.
    Client {
        /// Id.
        id: String,
        /// The connection.
        socket: PeerSocket,
    },
    /// A port of the host.
    Host {
        /// Id.
        id: String,
        /// Whether it is driven as a parallel port, else as a serial one.
        is_parallel: bool,
        /// Its path.
        path: PathBuf,
    },
    /// A channel of the SPICE viewer.
    Spice {
        /// Id.
        id: String,
        /// Kind of the channel; `spicevmc` for those that SPICE knows itself.
        backend: &'static str,
        /// Name of the channel.
        name: &'static str,
    },
    /// QEMU itself as SPICE's agent, so that VNC has a clipboard.
    ClipboardAgent {
        /// Id.
        id: String,
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
            Self::Client { id, socket } => {
                let options = Options::implied("backend", "socket").set("id", &**id);
                match socket {
                    PeerSocket::Path(path) => options.set("path", text(path)),
                    PeerSocket::Inherited(number) => options.set("fd", number.to_string()),
                }
            }
            Self::Host { id, is_parallel, path } => {
                let backend = if *is_parallel { "parallel" } else { "serial" };
                Options::implied("backend", backend).set("id", &**id).set("path", text(path))
            }
            Self::Spice { id, backend, name } => Options::implied("backend", *backend).set("id", &**id).set("name", *name),
            Self::ClipboardAgent { id } => {
                Options::implied("backend", "qemu-vdagent").set("id", &**id).set("name", &**id).set("clipboard", true)
            }
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

/// The SPICE server, encrypted only.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Spice {
    /// TCP port.
    pub port: u16,
    /// Address of the host.
    pub address: String,
    /// When moving pictures are sent as video.
    pub video: Option<&'static str>,
}

impl Spice {
    fn options(&self) -> Options {
        let options = Options::new().set("tls-port", self.port).set("addr", &*self.address).set("tls-ciphers", "HIGH");
        options.set("seamless-migration", true).maybe("streaming-video", self.video)
    }
}

/// Where sound goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Audiodev {
    /// Driver.
    pub driver: &'static str,
    /// Id.
    pub id: String,
}

impl Audiodev {
    fn options(&self) -> Options {
        Options::implied("driver", self.driver).set("id", &*self.id)
    }
}

/// A TPM that another program emulates behind a chardev.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tpmdev {
    /// Id.
    pub id: &'static str,
    /// The chardev.
    pub chardev: &'static str,
}

impl Tpmdev {
    fn options(&self) -> Options {
        Options::implied("type", "emulator").set("id", self.id).set("chardev", self.chardev)
    }
}

options! {
    Chardev = "-chardev";
    Monitor = "-mon";
    Vnc = "-vnc";
    Spice = "-spice";
    Audiodev = "-audiodev";
    Tpmdev = "-tpmdev";
}

/// A path as text. Every path that comes here was proven to be UTF-8 by [`super::compose`].
fn text(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}
