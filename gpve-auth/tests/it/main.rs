//! What gpve-auth promises, through its public interface.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a failed expectation is a failed test")]

mod access;
mod identity;
mod login;
mod sessions;
