//! The gpve hexagon: what guests are, what can be done with them, and how it is done safely. Everything that touches the
//! world is an adapter behind one of the [`ports`].
//!
//! | module | what |
//! | --- | --- |
//! | [`types`] | vocabulary: ids, sizes, the spec of a virtual machine |
//! | [`ports`] | traits that adapters implement, and the data that passes through |
//! | [`lifecycle`] | phases of guests: pure, total |
//! | [`saga`] | work in steps that a crash cannot tear apart |
//! | [`node`] | the engine of one host |
//! | [`control`] | decides for many hosts |
//! | [`patch`] | changes of a spec as data |
//! | [`cloud_init`] | what cloud-init reads in a guest: pure |
//! | [`bus`], [`clock`] | events in process, the system's time |
//! | `testing` | fakes and conformance suites (feature `testing`) |
//!
//! Invariants: vocabulary and lifecycle are pure; time comes through [`ports::Clock`]; state is durable before it is
//! announced; every error at the boundary is an [`error::Error`] with a kind.
//!
//! ```
//! use gpve_core::types::{ByteSize, MemMib, VmSpec};
//!
//! let spec = VmSpec::of("8Gi".parse::<MemMib>()?);
//! assert_eq!(spec.memory.size.bytes(), ByteSize::from_gib(8));
//! assert_eq!(spec.resolve("100".parse()?, None)?.name.as_str(), "vm-100");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

/// The attribute that implementations of the ports carry, so that they need no other dependency.
pub use async_trait::async_trait;

pub mod bus;
pub mod clock;
pub mod cloud_init;
pub mod control;
pub mod error;
pub mod lifecycle;
pub mod migration;
pub mod node;
pub mod patch;
pub mod ports;
pub mod saga;
mod sagas;
#[cfg(feature = "testing")]
pub mod testing;
pub mod types;

/// The README's program, which tests compile.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
