//! Counts what passed, failed and was skipped, over every kind of test.

use std::collections::BTreeSet;

/// The outcome of some tests.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    pub(crate) passed: usize,
    pub(crate) failed: usize,
    /// `name: reason`, each once.
    pub(crate) skipped: BTreeSet<String>,
    /// Names of what failed, for the end of the report.
    pub(crate) failures: Vec<String>,
    /// Skips whose program has not printed its result line yet.
    skipped_since_result: usize,
}

impl Tally {
    /// One check that passed or failed as a whole.
    pub(crate) fn check(&mut self, name: &str, passed: bool) {
        if passed {
            self.passed += 1;
        } else {
            self.fail(name);
        }
    }

    pub(crate) fn fail(&mut self, name: &str) {
        self.failed += 1;
        self.failures.push(name.to_owned());
    }

    pub(crate) fn skip(&mut self, name: &str, reason: &str) {
        self.skipped.insert(format!("{name}: {reason}"));
    }

    pub(crate) fn add(&mut self, other: Self) {
        self.passed += other.passed;
        self.failed += other.failed;
        self.skipped.extend(other.skipped);
        self.failures.extend(other.failures);
    }

    /// Reads one line that a test program printed: libtest's results, and `SKIP name: reason` of a test that could not run here, which
    /// libtest counts as passed.
    pub(crate) fn read_test_line(&mut self, line: &str) {
        if let Some(summary) = line.strip_prefix("test result: ") {
            self.passed += count(summary, " passed").saturating_sub(std::mem::take(&mut self.skipped_since_result));
            self.failed += count(summary, " failed");
            self.skipped.extend((count(summary, " ignored") > 0).then(|| format!("{} tests marked #[ignore]", count(summary, " ignored"))));
        } else if let Some(name) = line.strip_prefix("test ").and_then(|line| line.strip_suffix(" ... FAILED")) {
            self.failures.push(name.to_owned());
        } else if let Some(skip) = line.trim_start().strip_prefix("SKIP ")
            && self.skipped.insert(skip.trim_end().to_owned())
        {
            self.skipped_since_result += 1;
        }
    }

    /// Reads one line of a proof: `PASS name`, `FAIL name: why` or `SKIP name: why`.
    pub(crate) fn read_proof_line(&mut self, line: &str) {
        match line.split_once(' ') {
            Some(("PASS", _)) => self.passed += 1,
            Some(("FAIL", name)) => self.fail(name.trim_end()),
            Some(("SKIP", skip)) => {
                self.skipped.insert(skip.trim_end().to_owned());
            }
            _ => {}
        }
    }

    /// The last line of a test run.
    pub(crate) fn summary(&self) -> String {
        format!("{} passed, {} failed, {} skipped", self.passed, self.failed, self.skipped.len())
    }
}

/// The number before `word` in `ok. 14 passed; 0 failed; 1 ignored; …`.
fn count(summary: &str, word: &str) -> usize {
    let before = summary.split_once(word).map_or("", |(before, _)| before);
    before.rsplit(|letter: char| !letter.is_ascii_digit()).next().and_then(|digits| digits.parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_skip_is_not_a_pass() {
        let mut tally = Tally::default();
        for line in [
            "test a ... ok",
            "test b ... FAILED",
            "SKIP c: no root",
            "SKIP c: no root",
            "test result: FAILED. 2 passed; 1 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.11s",
            "test result: ok. 5 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.11s",
        ] {
            tally.read_test_line(line);
        }
        assert_eq!(tally.summary(), "6 passed, 1 failed, 1 skipped");
        assert_eq!(tally.failures, ["b"]);
    }

    #[test]
    fn a_proof_tells_each_of_its_steps() {
        let mut tally = Tally::default();
        for line in ["PASS life by password", "some other words", "FAIL clone: no disk", "SKIP bridge: not root"] {
            tally.read_proof_line(line);
        }
        assert_eq!(tally.summary(), "1 passed, 1 failed, 1 skipped");
        assert_eq!(tally.failures, ["clone: no disk"]);
    }

    #[test]
    fn tallies_add_up() {
        let mut all = Tally::default();
        all.check("fmt", true);
        let mut other = Tally::default();
        other.check("clippy", false);
        other.skip("fuzz", "no nightly");
        all.add(other);
        assert_eq!(all.summary(), "1 passed, 1 failed, 1 skipped");
    }
}
