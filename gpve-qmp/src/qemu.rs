//! QEMU as a driver of guests: command line, launch, adoption, live control.
//!
//! | module | is |
//! |---|---|
//! | [`argv`] | the command line, typed |
//! | [`config`] | where a driver keeps things, and whom guests run as |
//! | [`driver`] | the [`GuestDriver`](gpve_core::ports::GuestDriver): launch, adopt, strays, clean |
//! | [`probe`] | whether KVM really runs a 64-bit kernel here |
//! | [`image`] | volumes opened by us, for a QEMU that may not |
//!
//! The rest is a live guest: its events and end, use, hardware, snapshots, agent and consoles.

mod agent;
pub mod argv;
mod cgroup;
pub mod config;
mod console;
pub mod driver;
mod facts;
mod fault;
mod hotplug;
pub mod image;
mod launch;
mod live;
mod monitor;
pub mod probe;
mod procfs;
mod record;
mod runtime_dir;
mod snapshot;
mod tpm;
