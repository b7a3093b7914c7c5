#![allow(clippy::unwrap_used, reason = "tests")]
use std::sync::Mutex;

use async_trait::async_trait;

use super::*;
use crate::error::{Error, Result};
use crate::ports::{CancelHandle, OpCx};

/// A host of three switches; each step sets one.
#[derive(Default)]
struct Host {
    on: Mutex<[bool; 3]>,
    fail_run: Option<usize>,
    fail_undo: Option<usize>,
}

struct Switch(usize);

#[async_trait]
impl Step<Host, Vec<usize>> for Switch {
    fn name(&self) -> &'static str {
        ["first", "second", "third"][self.0]
    }

    async fn run(&self, _cx: &OpCx, host: &Host, memo: &mut Vec<usize>) -> Result<()> {
        memo.push(self.0);
        host.on.lock().unwrap()[self.0] = true;
        if host.fail_run == Some(self.0) { Err(Error::internal("switch", "sparks")) } else { Ok(()) }
    }

    async fn undo(&self, _cx: &OpCx, host: &Host, _memo: &mut Vec<usize>) -> Result<()> {
        if host.fail_undo == Some(self.0) {
            return Err(Error::internal("switch", "stuck"));
        }
        host.on.lock().unwrap()[self.0] = false;
        Ok(())
    }
}

/// Keeps every written position; fails at the n-th write.
#[derive(Default)]
struct Log {
    written: Mutex<Vec<Position>>,
    fail_at: Option<usize>,
}

#[async_trait]
impl SagaLog<Vec<usize>> for Log {
    async fn write(&self, position: &Position, _memo: &Vec<usize>) -> Result<()> {
        let mut written = self.written.lock().unwrap();
        if self.fail_at == Some(written.len()) {
            return Err(Error::internal("log", "power is gone"));
        }
        written.push(position.clone());
        Ok(())
    }
}

impl Log {
    fn names(&self) -> Vec<String> {
        self.written.lock().unwrap().iter().map(|p| p.step.as_deref().unwrap().to_owned()).collect()
    }
}

fn steps() -> Steps<Host, Vec<usize>> {
    (0..3).map(|i| Box::new(Switch(i)) as Box<dyn Step<Host, Vec<usize>>>).collect()
}

async fn run(host: &Host, log: &Log, from: Position) -> End {
    drive(&steps(), log, &OpCx::background(), host, from, &mut Vec::new()).await
}

#[tokio::test]
async fn all_steps_run_in_order_and_each_position_but_the_given_one_is_written_first() {
    let (host, log) = (Host::default(), Log::default());
    assert_eq!(run(&host, &log, Position::start()).await, End::Done);
    assert_eq!(*host.on.lock().unwrap(), [true; 3]);
    assert_eq!(log.names(), ["second", "third"]);
}

/// Touches nothing; counts its runs in the memo.
struct Note;

#[async_trait]
impl Step<Host, Vec<usize>> for Note {
    fn name(&self) -> &'static str {
        "note"
    }

    fn leaves_nothing(&self, _memo: &Vec<usize>) -> bool {
        true
    }

    async fn run(&self, _cx: &OpCx, _host: &Host, memo: &mut Vec<usize>) -> Result<()> {
        memo.push(9);
        Ok(())
    }
}

#[tokio::test]
async fn a_step_that_leaves_nothing_has_no_position_of_its_own() {
    let mut with_note = steps();
    with_note.insert(1, Box::new(Note));
    let (host, log, mut memo) = (Host::default(), Log::default(), Vec::new());
    assert_eq!(drive(&with_note, &log, &OpCx::background(), &host, Position::start(), &mut memo).await, End::Done);
    assert_eq!(log.names(), ["second", "third"]);
    assert_eq!(memo, [0, 9, 1, 2]);
}

#[tokio::test]
async fn a_failed_step_undoes_itself_and_all_before_it() {
    for fail in 0..3 {
        let (host, log) = (Host { fail_run: Some(fail), ..Host::default() }, Log::default());
        assert!(matches!(run(&host, &log, Position::start()).await, End::Undone(e) if e.message == "sparks"));
        assert_eq!(*host.on.lock().unwrap(), [false; 3], "failed at {fail}");
    }
}

#[tokio::test]
async fn a_failed_undo_is_stuck_and_names_the_step() {
    let host = Host { fail_run: Some(2), fail_undo: Some(1), ..Host::default() };
    let end = run(&host, &Log::default(), Position::start()).await;
    assert!(matches!(end, End::Stuck { ref step, .. } if step == "second"), "{end:?}");
}

#[tokio::test]
async fn a_crash_at_any_log_write_is_resumed_from_the_last_written_position() {
    for crash in 0..2 {
        let host = Host::default();
        let log = Log { fail_at: Some(crash), ..Log::default() };
        assert!(matches!(run(&host, &log, Position::start()).await, End::Interrupted(_)));
        let last = log.written.lock().unwrap().last().cloned().unwrap_or_else(Position::start);
        assert_eq!(run(&host, &Log::default(), last).await, End::Done);
        assert_eq!(*host.on.lock().unwrap(), [true; 3]);
    }
}

#[tokio::test]
async fn another_version_goes_on_at_the_step_of_that_name_or_says_that_it_has_none() {
    let mut newer = steps();
    newer.insert(0, Box::new(Note));
    let (host, mut memo) = (Host::default(), Vec::new());
    let at = |name: &'static str| Position::at(name, Direction::Forward);
    let end = drive(&newer, &Log::default(), &OpCx::background(), &host, at("third"), &mut memo).await;
    assert_eq!((end, memo), (End::Done, vec![2]));
    let host = Host::default();
    let end = run(&host, &Log::default(), at("fourth")).await;
    assert!(matches!(&end, End::Stuck { step, undo, .. } if step == "fourth" && undo.message.contains("no step 'fourth'")), "{end:?}");
    assert_eq!(*host.on.lock().unwrap(), [false; 3]);
}

#[tokio::test]
async fn a_cancelled_saga_is_undone_before_its_next_step() {
    let (host, log) = (Host::default(), Log::default());
    let (handle, cancel) = CancelHandle::new();
    handle.cancel();
    let upid = "UPID:pve:00000000:00000001:00000000:qmstart:100:root@pam:".parse().unwrap();
    struct Nowhere;
    impl crate::ports::LogSink for Nowhere {
        fn line(&self, _: &str) {}
    }
    let cx = OpCx::task(upid, cancel, std::sync::Arc::new(Nowhere));
    let end = drive(&steps(), &log, &cx, &host, Position::start(), &mut Vec::new()).await;
    assert!(matches!(end, End::Undone(e) if e.kind == crate::error::ErrorKind::Cancelled));
    assert_eq!(*host.on.lock().unwrap(), [false; 3]);
}
