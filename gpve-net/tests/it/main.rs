//! Integration tests of gpve-net.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::disallowed_methods, reason = "tests")]

mod frames;
mod host_bridge;
mod host_owner;
mod host_packets;
mod namespace;
mod user;
