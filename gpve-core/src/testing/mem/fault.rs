//! Making effects fail.

use std::collections::VecDeque;

use crate::error::Error;

/// What happens to one effect.
#[derive(Debug, Clone)]
pub enum Fault {
    /// It fails without having done anything.
    Fail(Error),
    /// It does nothing and never returns, until its caller is cancelled, late or dropped.
    Hang,
    /// The daemon dies just before it: nothing is done and neither this nor any later effect returns until
    /// [`MemHost::recover`](super::MemHost::recover).
    CrashBefore,
    /// The daemon dies just after it: it is done, and nobody hears of it.
    CrashAfter,
}

/// Faults to come, and what was done so far.
#[derive(Debug, Default)]
pub(super) struct Plan {
    count: u64,
    at: Vec<(u64, Fault)>,
    on: Vec<(String, Fault)>,
    journal: VecDeque<String>,
}

impl Plan {
    /// Most effects remembered: the longest saga has a few dozen.
    pub(super) const MAX_JOURNAL: usize = 1024;

    pub(super) fn at(&mut self, nth: u64, fault: Fault) {
        self.at.push((self.count + nth, fault));
    }

    pub(super) fn on(&mut self, op: &str, fault: Fault) {
        self.on.push((op.to_owned(), fault));
    }

    pub(super) fn clear(&mut self) {
        self.at.clear();
        self.on.clear();
    }

    pub(super) fn count(&self) -> u64 {
        self.count
    }

    pub(super) fn journal(&self) -> Vec<String> {
        self.journal.iter().cloned().collect()
    }

    /// Counts an effect and says what happens to it.
    pub(super) fn effect(&mut self, op: &str, subject: &str) -> Option<Fault> {
        self.count += 1;
        if self.journal.len() == Self::MAX_JOURNAL {
            self.journal.pop_front();
        }
        self.journal.push_back(format!("{op} {subject}"));
        let due = self.at.iter().position(|(nth, _)| *nth == self.count);
        due.map(|i| self.at.swap_remove(i).1).or_else(|| self.read(op))
    }

    /// What happens to a call that changes nothing.
    pub(super) fn read(&mut self, op: &str) -> Option<Fault> {
        let due = self.on.iter().position(|(name, _)| name == op)?;
        Some(self.on.remove(due).1)
    }
}
