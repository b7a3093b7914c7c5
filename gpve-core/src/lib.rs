//! The gpve hexagon.
#![warn(missing_docs)]
pub mod bus;
pub mod clock;
pub mod error;
pub mod lifecycle;
pub mod node;
pub mod patch;
pub mod ports;
pub mod saga;
mod sagas;
#[cfg(feature = "testing")]
pub mod testing;
pub mod types;
