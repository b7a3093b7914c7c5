//! Network backends for gpve: Linux bridges with tap interfaces through netlink, and user-mode networking.
//!
//! # Map
//! - [`LinuxBridge`]: plugs guests' cards into the bridges of this host. Needs root (`CAP_NET_ADMIN`).
//! - [`UserNet`]: QEMU's own user-mode stack, which needs nothing.
//! - [`detect`]: whichever this process can use.
//! - [`Tap`]: tap interfaces, made and opened.
//!
//! # Invariants
//! - A port's interface exists whole and down, or not at all; what a failed attach made is removed.
//! - A tap belongs to the user that QEMU runs as: nobody else but root can read a guest's frames through it.
//! - The host takes no part in a guest's network by itself: its side of a port has no IPv6 address.
//! - Only this crate's `port` module has `unsafe` code: four ioctls that no crate wraps without making devices on the side.
//!
//! # Example
//! ```
//! use gpve_core::ports::OpCx;
//! use gpve_net::{NetConfig, detect};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), gpve_core::error::Error> {
//! let found = detect(NetConfig::default()).await;
//! if let Some(reason) = &found.limited_because {
//!     println!("user-mode networking only: {reason}");
//! }
//! for bridge in found.backend.bridges(&OpCx::background()).await? {
//!     println!("{} mtu {}", bridge.name, bridge.mtu);
//! }
//! # Ok(())
//! # }
//! ```

mod bridge;
mod detect;
mod port;
mod user;

pub use bridge::{LinuxBridge, Missing, NetConfig};
pub use detect::{Detected, detect};
pub use port::Tap;
pub use user::UserNet;

/// The README's program, which tests compile.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
