//! The real program over in-memory ports (`--sim`), as clients see it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test ends at the first surprise")]
#![allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "the daemon under test is a process of its own")]

mod access;
mod client;
mod cloud_init;
mod config;
mod console;
mod ctl;
mod host_guest;
mod http;
mod input;
mod life;
#[path = "../../../gpve/tests/it/life.rs"]
mod machines;
mod native;
mod support;
