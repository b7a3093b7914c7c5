//! The node engine over a host in memory.

mod cloud_init;
mod conformance;
mod life;
mod queue;
mod recover;
mod rig;
mod sagas;
mod snapshots;
mod tasks;
