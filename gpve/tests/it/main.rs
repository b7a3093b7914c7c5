//! The library as an embedder uses it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests fail by panicking")]

mod cloud_init;
mod hooks;
mod life;
mod machines;
mod pve;
mod support;
mod tpm;
