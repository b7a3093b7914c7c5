//! The stores against the port's promises, a model, concurrency, crashes, full disks and old files.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests fail by panicking")]
#![allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "tests start, kill and mount; the library does not")]

mod conformance;
mod crash;
mod disk_error;
mod fixture;
mod format;
mod history;
mod host_disk;
mod linearizable;
mod model;
mod restart;
