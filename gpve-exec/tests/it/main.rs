//! Real programs through gpve-exec.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test may fail loudly")]

mod launch;
mod run;
mod support;
mod transcript;
