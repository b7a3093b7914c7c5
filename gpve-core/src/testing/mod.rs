//! What tests and simulations stand on; behind the cargo feature `testing`.
//!
//! - [`mem`]: a host in memory: hypervisor, storage and network that behave like real ones.
//! - [`ManualClock`]: time that tests turn by hand.
//! - [`conformance`]: one suite per port, the same for the fakes here and for every real backend. A third party proves
//!   its backend with one call.

mod clock;
pub mod conformance;
pub mod mem;

pub use clock::ManualClock;
