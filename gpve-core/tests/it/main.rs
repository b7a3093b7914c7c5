//! Integration tests of gpve-core.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests fail by panicking")]

mod bus;
mod clock;
mod control_apply;
mod control_audit;
mod control_guests;
mod control_idempotency;
mod control_mirror;
mod control_nodes;
mod control_restart;
mod control_together;
mod control_watch;
mod control_world;
mod fakes;
mod golden;
mod lifecycle;
mod node;
