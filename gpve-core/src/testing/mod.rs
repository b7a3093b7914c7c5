//! What tests and simulations stand on; behind the cargo feature `testing`.
//!
//! - [`ManualClock`]: time that tests turn by hand.
//! - [`conformance`]: one suite per port, the same for the fakes here and for every real backend. A third party proves
//!   its backend with one call.

mod clock;
pub mod conformance;

pub use clock::ManualClock;
