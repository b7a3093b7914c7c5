//! What the lives of all types of guests have in common.

/// Whether a request may begin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Admission<D> {
    /// It may.
    Proceed,
    /// What it asks for is so already: it ends well without doing anything.
    AlreadySo,
    /// It may not; says why.
    Deny(D),
}

/// A state machine of one type of guest. All functions are pure and total.
pub trait Machine {
    /// Where a guest is in its life, with the data that is valid only there.
    type Phase;
    /// What can be asked.
    type Request;
    /// What else a decision depends on.
    type Context;
    /// Why a request may not begin.
    type Denial;
    /// What happens to a guest.
    type Input;
    /// What has to be done about it.
    type Effect;

    /// Whether `request` may begin in `phase`. Asked when its turn has come, not when it is queued.
    fn admit(phase: &Self::Phase, context: &Self::Context, request: Self::Request) -> Admission<Self::Denial>;

    /// The phase after `input`, and what to do. An input that means nothing in `phase` changes nothing.
    fn step(phase: Self::Phase, input: Self::Input) -> (Self::Phase, Vec<Self::Effect>);
}
