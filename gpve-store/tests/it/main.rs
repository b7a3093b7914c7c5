//! The stores against the port's promises, a model, concurrency, crashes, full disks and old files.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests fail by panicking")]

mod conformance;
mod fixture;
