//! Drives a saga forward, and back when it must.

use std::borrow::Cow;
use std::collections::HashSet;

use super::step::{Direction, Position, SagaLog, Step};
use crate::error::{Error, ErrorKind};
use crate::ports::OpCx;

/// How often an undo is tried before the saga is stuck. Undoing meets the same transient failures as doing; more tries
/// in a row only hide a lasting one.
pub const UNDO_ATTEMPTS: u32 = 3;

/// How a saga ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum End {
    /// Every step was done.
    Done,
    /// It failed or was cancelled, and everything was undone.
    Undone(Error),
    /// It failed, and so did undoing it.
    Stuck {
        /// The step that could not be undone.
        step: String,
        /// Why the saga failed.
        error: Error,
        /// Why undoing failed.
        undo: Error,
    },
    /// The log could not be written: nothing more was done. The saga goes on when it is found again.
    Interrupted(Error),
}

/// Drives `steps` from `position` to an end. That the saga is at `position` is durable already: whoever began or found it wrote or read it.
pub async fn drive<E: Sync, M: Send + Sync>(
    steps: &[Box<dyn Step<E, M>>],
    log: &dyn SagaLog<M>,
    cx: &OpCx,
    env: &E,
    position: Position,
    memo: &mut M,
) -> End {
    let saga = Saga { steps, log, env };
    debug_assert!(saga.names_differ(), "a step is found again by its name");
    let from = match saga.index(position.step) {
        Ok(from) => from,
        Err(step) => return unknown(step, position.direction),
    };
    match position.direction {
        Direction::Forward => saga.forward(cx, from, memo).await,
        Direction::Backward(error) => saga.backward(cx, Undoing { from, error, is_written: true }, memo).await,
    }
}

/// The end of a saga that stands at a step which this version does not have: it can be neither done nor undone.
fn unknown(step: String, direction: Direction) -> End {
    let undo = Error::internal("saga.resume", format!("another version of gpve began it: this one has no step '{step}'"));
    let error = match direction {
        Direction::Forward => undo.clone(),
        Direction::Backward(error) => error,
    };
    End::Stuck { step, error, undo }
}

/// Where undoing begins, and why.
struct Undoing {
    from: usize,
    error: Error,
    /// That the saga is undone from there is durable already.
    is_written: bool,
}

impl Undoing {
    fn new(from: usize, error: Error) -> Self {
        Self { from, error, is_written: false }
    }
}

/// What stays the same while a saga runs.
struct Saga<'s, E, M> {
    steps: &'s [Box<dyn Step<E, M>>],
    log: &'s dyn SagaLog<M>,
    env: &'s E,
}

impl<E: Sync, M: Send + Sync> Saga<'_, E, M> {
    fn names_differ(&self) -> bool {
        let names: HashSet<&str> = self.steps.iter().map(|step| step.name()).collect();
        names.len() == self.steps.len()
    }

    /// Where the step called `name` is; the name itself if there is none.
    fn index(&self, name: Option<Cow<'static, str>>) -> Result<usize, String> {
        let Some(name) = name else { return Ok(0) };
        self.steps.iter().position(|step| step.name() == name).ok_or_else(|| name.into_owned())
    }

    async fn forward(&self, cx: &OpCx, from: usize, memo: &mut M) -> End {
        for (i, step) in self.steps.iter().enumerate().skip(from) {
            if cx.cancel().is_cancelled() {
                let error = Error::new(ErrorKind::Cancelled, step.name(), "the task was cancelled");
                // The step at `i` may have run before a crash: undoing starts with it.
                return self.backward(cx, Undoing::new(i, error), memo).await;
            }
            let here = Position::at(step.name(), Direction::Forward);
            if i > from
                && !step.leaves_nothing(memo)
                && let Err(e) = self.log.write(&here, memo).await
            {
                return End::Interrupted(e);
            }
            if let Err(error) = step.run(cx, self.env, memo).await {
                return self.backward(cx, Undoing::new(i, error), memo).await;
            }
        }
        End::Done
    }

    async fn backward(&self, cx: &OpCx, undoing: Undoing, memo: &mut M) -> End {
        let cx = cx.uncancellable();
        let Undoing { from, error, is_written } = undoing;
        for (i, step) in self.steps.iter().enumerate().take(from + 1).rev() {
            let here = Position::at(step.name(), Direction::Backward(error.clone()));
            if !(is_written && i == from)
                && let Err(e) = self.log.write(&here, memo).await
            {
                return End::Interrupted(e);
            }
            let mut attempt = 1;
            while let Err(undo) = step.undo(&cx, self.env, memo).await {
                cx.log(format!("undoing {} failed ({attempt} of {UNDO_ATTEMPTS}): {}", step.name(), undo.report()));
                if attempt == UNDO_ATTEMPTS {
                    return End::Stuck { step: step.name().to_owned(), error, undo };
                }
                attempt += 1;
            }
        }
        End::Undone(error)
    }
}
