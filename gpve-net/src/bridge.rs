//! Linux bridges.

mod backend;
mod link;
mod netlink;
#[cfg(test)]
mod tests;

pub use backend::{LinuxBridge, Missing, NetConfig};
