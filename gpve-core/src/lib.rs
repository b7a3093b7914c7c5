//! The gpve hexagon.
#![warn(missing_docs)]
pub mod error;
pub mod lifecycle;
pub mod patch;
pub mod ports;
pub mod types;
