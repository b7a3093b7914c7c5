//! A host in memory: guests, volumes and ports that behave like real ones and cost microseconds.
//!
//! [`MemHost`] is the machine; [`MemQemu`], [`MemStorage`] and [`MemNetwork`] are adapters over it. The host outlives
//! them: drop the adapters, make new ones over the same host, and it is as if a daemon had been restarted. Its state
//! can be [dumped](MemHost::dump) and compared, its effects can be made to [fail, hang or crash](Fault), and what runs
//! in a guest is played by the test through [`MemGuest`] or beforehand by a [`Script`].
//!
//! They pass the same [conformance suites](crate::testing::conformance) as the real adapters.

mod agent;
mod console;
mod dump;
mod fault;
mod guest;
mod hooks;
mod host;
mod hotplug;
mod image;
mod live;
mod network;
mod process;
mod qemu;
mod sampler;
mod snapshot;
mod storage;
mod storage_facets;
mod volume;

pub use dump::Dump;
pub use fault::Fault;
pub use guest::{Acpi, Boot, MemGuest, Script};
pub use hooks::MemHooks;
pub use host::MemHost;
pub use network::MemNetwork;
pub use qemu::MemQemu;
pub use sampler::MemSampler;
pub use storage::MemStorage;
