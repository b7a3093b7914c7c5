//! QEMU's command line, typed: one struct per switch, each written with QEMU's own escaping, so that no value from
//! outside can become a switch, a key or a second value.
//!
//! [`compose`](compose::compose) turns a resolved machine and the host's side of it into the whole line; the same
//! [`Device`](device::Device)s and [`Blockdev`](blockdev::Blockdev)s are plugged into a running machine.

pub mod blockdev;
pub mod board;
pub mod compose;
mod console;
pub mod device;
pub mod layout;
pub mod line;
mod netdev;
pub mod option;
pub mod refusal;
pub mod switches;
