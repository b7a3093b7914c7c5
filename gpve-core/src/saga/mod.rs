//! Sagas: work in steps that a crash cannot tear apart.
//!
//! A saga is a list of [`Step`]s over an environment `E` and a memo `M`. The memo holds what was decided (allocated
//! names, made volumes); it is written to the [`SagaLog`] with the position before every step that touches something, so that whoever
//! finds the log after a crash can go on, forward or back, from there. The first position is written by whoever begins the saga. Rules for
//! steps:
//!
//! - `run` is idempotent: it may run again after a crash in its middle.
//! - `undo` is idempotent, and also runs for the step that started and failed.
//! - A name is decided in one step and used in the next, so that it is in the log before it is on the host.
//!
//! An undo that fails after [`UNDO_ATTEMPTS`] is [`End::Stuck`]: visible, never silent. The generic tests of every
//! saga (fail at each effect, die before and after each effect, die at each persisted step, and look at the host) are in
//! `tests/it/node/sagas.rs`.

mod engine;
mod step;

#[cfg(test)]
mod tests;

pub use engine::{End, UNDO_ATTEMPTS, drive};
pub use step::{Direction, Position, SagaLog, Step, Steps};
