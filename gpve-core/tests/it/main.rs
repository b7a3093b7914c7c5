//! Integration tests of gpve-core.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests fail by panicking")]

mod bus;
mod clock;
mod golden;
mod lifecycle;
