//! The engine of one host: what `gpve-agent` wraps and what an embedder uses alone.
//!
//! [`NodeEngine`] implements the [`Node`](crate::ports::Node) port over a [`GuestDriver`](crate::ports::GuestDriver),
//! storages, a network and a store of its own. It never writes cluster state.
//!
//! - `guest.rs`: one task per guest owns its phase, drains its queue, performs sagas, and sees its process end.
//! - `task.rs`: durable tasks, a view of the saga log. `memo.rs`: what sagas know. `record.rs`: what is kept of a guest.
//! - `volumes.rs`, `wiring.rs`: what sagas do with storages and the network.
//! - `recover.rs`: what happens after a crash: adopt, kill strays, finish or undo what was under way.
//! - `remote.rs`: the port over bytes.
//! - `observe.rs`: the numbered stream of what the node sees. `sample.rs`: figures, every few seconds.
//!
//! Invariants: state is durable before it is announced; a guest has one owner; nothing is on the host that is in no
//! record and no log.

mod builder;
pub(crate) mod cloud_init;
mod engine;
mod env;
mod guest;
pub(crate) mod hook;
mod keys;
mod memo;
mod observe;
mod record;
mod recover;
mod remote;
mod sample;
mod task;
pub(crate) mod volumes;
pub(crate) mod wiring;

pub use builder::NodeBuilder;
pub use engine::NodeEngine;
pub(crate) use env::Env;
pub(crate) use memo::{Memo, PlannedVolume, VolumeOrigin};
pub(crate) use record::GuestRecord;
pub use remote::{Loopback, RemoteNode, Transport, answer, open};
