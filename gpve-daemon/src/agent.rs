//! The machine under a node.

mod host;

pub use host::LinuxHost;
