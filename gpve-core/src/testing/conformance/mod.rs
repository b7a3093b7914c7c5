//! One suite per port: plain async functions that return nothing and panic with a sentence when a promise is broken.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a suite is a test: it panics with a sentence that says which promise was broken"
)]

mod guest;
mod hooks;
mod network;
mod node;
mod storage;
mod store;

pub use guest::{GuestFixture, guest};
pub use hooks::{HooksFixture, hooks};
pub use network::{NetworkFixture, network};
pub use node::{NodeFixture, node};
pub use storage::{RawFiles, StorageFixture, VolumeBytes, storage};
pub use store::{StoreFixture, store};
