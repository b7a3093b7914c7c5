//! What a saga is made of.

use std::borrow::Cow;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::ports::OpCx;

/// One step of a saga. See the module's rules.
#[async_trait]
pub trait Step<E: Sync, M: Send>: Send + Sync {
    /// Its name in the log and in the task (`volumes`, `launch`): no other step of the saga has it, and no later version gives it another
    /// meaning.
    fn name(&self) -> &'static str;

    /// Does it. Cancellation is checked between steps; a step that can take long watches `cx` itself.
    async fn run(&self, cx: &OpCx, env: &E, memo: &mut M) -> Result<()>;

    /// True if, with this memo, it changes nothing but the memo and what is staged. Then it needs no position of its own: whoever goes on
    /// after a crash runs the step before it again, and so this one.
    fn leaves_nothing(&self, _memo: &M) -> bool {
        false
    }

    /// Takes it back. The default is for steps that leave nothing.
    async fn undo(&self, _cx: &OpCx, _env: &E, _memo: &mut M) -> Result<()> {
        Ok(())
    }
}

/// The steps of a saga, in order.
pub type Steps<E, M> = Vec<Box<dyn Step<E, M>>>;

/// Which way a saga goes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Direction {
    /// Doing.
    Forward,
    /// Undoing, because of this.
    Backward(Error),
}

/// Where a saga is: the step that is about to run (or be undone), by its name, so that another version of the program that has more steps
/// goes on at the right one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Position {
    /// Name of the step; `None` is the first.
    pub step: Option<Cow<'static, str>>,
    /// Which way.
    pub direction: Direction,
}

impl Position {
    /// The beginning.
    pub fn start() -> Self {
        Self { step: None, direction: Direction::Forward }
    }

    pub(super) fn at(step: &'static str, direction: Direction) -> Self {
        Self { step: Some(Cow::Borrowed(step)), direction }
    }
}

/// Makes a saga's position and memo durable.
#[async_trait]
pub trait SagaLog<M: Sync>: Send + Sync {
    /// Writes where the saga is and what it knows. Returns once it is durable.
    async fn write(&self, position: &Position, memo: &M) -> Result<()>;
}
