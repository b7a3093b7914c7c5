//! The life of a virtual machine: the superset of the design documents' machines.

mod admit;
mod input;
mod phase;
mod request;
mod step;

pub use admit::{Context, Denial};
pub use input::{Effect, Input, Observation};
pub use phase::{FailCause, Phase, ProcessState, Settled, SnapshotWork, StopKind};
pub use request::Request;

use super::machine::{Admission, Machine};

/// The machine of virtual machines.
#[derive(Debug, Clone, Copy)]
pub struct Vm;

impl Machine for Vm {
    type Phase = Phase;
    type Request = Request;
    type Context = Context;
    type Denial = Denial;
    type Input = Input;
    type Effect = Effect;

    fn admit(phase: &Phase, context: &Context, request: Request) -> Admission<Denial> {
        admit::admit(phase, context, request)
    }

    fn step(phase: Phase, input: Input) -> (Phase, Vec<Effect>) {
        step::step(phase, input)
    }
}
