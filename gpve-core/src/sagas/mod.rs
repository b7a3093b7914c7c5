//! The node's sagas: which steps each operation takes. One file per operation; [`power`] and [`volumes`] hold steps that
//! several share.
//!
//! All work on one guest through [`Env`] and keep what they decide in a [`Memo`].

mod cloud_init;
mod delete;
mod guest_clone;
mod guest_create;
mod power;
mod resize;
mod snapshot;
mod template;
mod update;
mod volumes;

use crate::node::{Env, Memo};
use crate::ports::Operation;
use crate::saga::Steps;

/// The steps of `operation`. A restart, of this version or another, goes on at the step of the name that was written.
pub(crate) fn steps(operation: &Operation) -> Steps<Env, Memo> {
    match operation {
        Operation::Create { .. } => guest_create::steps(),
        Operation::Start => power::start(),
        Operation::Stop => power::stop(),
        Operation::Shutdown(options) => power::shutdown(*options),
        Operation::Reboot(options) => power::reboot(*options),
        Operation::Reset => power::reset(),
        Operation::Pause => power::pause(),
        Operation::Resume => power::resume(),
        Operation::Delete(options) => delete::steps(*options),
        Operation::Clone(options) => guest_clone::steps(options),
        Operation::Template { disk } => template::steps(*disk),
        Operation::Snapshot { name, description } => snapshot::take(name, description),
        Operation::DeleteSnapshot { name, force } => snapshot::delete(name, *force),
        Operation::Rollback { name, start } => snapshot::rollback(name, *start),
        Operation::DescribeSnapshot { name, description } => snapshot::describe(name, description),
        Operation::Resize { disk, size } => resize::steps(*disk, *size),
        Operation::Update(patch) => update::steps(patch),
        Operation::DestroyVolume { volume } => volumes::destroy(volume),
        Operation::AllocateVolume { storage, name, format, size } => volumes::allocate(storage, name.as_ref(), *format, *size),
    }
}
