//! The suite of the [`GuestDriver`] port.

mod facets;

use std::time::Duration;

use async_trait::async_trait;

use crate::error::{Error, ErrorKind};
use crate::ports::{CancelHandle, Exit, GuestDriver, Live, LiveEvent, LiveEvents, LogSink, OpCx, RunRecord, RunState, Wired};
use crate::types::{Upid, Vmid};

/// What the suite needs of whoever runs it.
#[async_trait]
pub trait GuestFixture: Send + Sync {
    /// A machine of this number, ready to launch: with an agent channel, serial port 0, and no more than it needs.
    async fn wired(&self, vmid: Vmid) -> Wired;

    /// A driver as another process would have it: it shares nothing with the first but the host.
    fn restarted(&self) -> Box<dyn GuestDriver>;

    /// True if the guest powers off when asked.
    fn obeys_power_button(&self) -> bool;
}

/// Longest wait for something that a driver promises; launches of real guests on a slow machine take seconds.
const PATIENCE: Duration = Duration::from_secs(60);

/// Proves that `driver` keeps the promises of its port and of [`Live`]. Leaves the host as it was. Guests 999000001 and
/// 999000002 must not exist.
///
/// # Panics
/// With a sentence that says which promise was broken.
pub async fn guest(driver: &dyn GuestDriver, fixture: &dyn GuestFixture) {
    let vmid = |n: u32| Vmid::try_from(999_000_000 + n).expect("a valid number");
    let suite = Suite { driver, fixture, cx: OpCx::background().within(PATIENCE * 10), vmid: vmid(1), other: vmid(2) };
    suite.a_launched_guest_is_halted_until_it_is_resumed().await;
    suite.events_tell_what_happens_and_end_with_the_guest().await;
    suite.a_guest_survives_its_daemon_and_strangers_are_not_adopted().await;
    suite.killing_is_idempotent_and_everyone_who_waits_hears_of_it().await;
    suite.two_guests_do_not_disturb_each_other().await;
    suite.a_cancelled_launch_leaves_nothing().await;
    suite.a_guest_that_is_asked_to_powers_off_or_runs_on().await;
    suite.agents_that_are_not_there_fail_fast().await;
    suite.consoles_are_those_of_the_machine().await;
    suite.hardware_that_cannot_change_is_refused_and_stays().await;
}

/// One run.
struct Suite<'a> {
    driver: &'a dyn GuestDriver,
    fixture: &'a dyn GuestFixture,
    cx: OpCx,
    vmid: Vmid,
    other: Vmid,
}

async fn soon<T>(what: &str, work: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, work).await.unwrap_or_else(|_| panic!("{what} did not happen within {PATIENCE:?}"))
}

impl Suite<'_> {
    async fn launch(&self, vmid: Vmid) -> Box<dyn Live> {
        let wired = self.fixture.wired(vmid).await;
        self.driver.launch(&self.cx, wired).await.expect("a wired guest can be launched")
    }

    async fn launch_and_resume(&self, vmid: Vmid) -> Box<dyn Live> {
        let live = self.launch(vmid).await;
        live.resume(&self.cx).await.expect("a launched guest can be resumed");
        live
    }

    /// Ends a guest and removes what it left.
    async fn end(&self, live: Box<dyn Live>) {
        live.kill(&self.cx).await.expect("a guest can be killed");
        soon("the end of a killed guest", live.wait()).await;
        self.clean(live.record().vmid).await;
    }

    async fn clean(&self, vmid: Vmid) {
        for _ in 0..2 {
            self.driver.clean(&self.cx, vmid).await.expect("cleaning up after a dead guest works, also twice");
        }
    }

    async fn state(&self, live: &dyn Live) -> RunState {
        let status = live.observe(&self.cx).await.expect("a guest that runs can be observed");
        assert_eq!(status.trouble, None, "nothing of its hardware has failed");
        status.state
    }

    async fn adopt(&self, driver: &dyn GuestDriver, record: &RunRecord) -> Option<Box<dyn Live>> {
        driver.adopt(&self.cx, record).await.expect("asking for a guest is no error")
    }

    /// Numbers of the guests that run and are in no record of `known`.
    async fn strays(&self, known: &[RunRecord]) -> Vec<Vmid> {
        let strays = self.driver.strays(&self.cx, known).await.expect("strays can be looked for");
        let ours = strays.iter().map(|l| l.record().vmid).filter(|v| [self.vmid, self.other].contains(v));
        ours.collect()
    }

    async fn a_launched_guest_is_halted_until_it_is_resumed(&self) {
        let live = self.launch(self.vmid).await;
        assert_eq!(live.record().vmid, self.vmid, "a record names its guest");
        assert!(
            matches!(self.state(&*live).await, RunState::Prelaunch | RunState::Paused),
            "a launched guest is halted before its first instruction"
        );
        let twice = self.driver.launch(&self.cx, self.fixture.wired(self.vmid).await).await;
        assert!(twice.is_err(), "a guest that runs is not launched again");
        for _ in 0..2 {
            live.resume(&self.cx).await.expect("resuming works, also twice");
            assert_eq!(self.state(&*live).await, RunState::Running);
        }
        for _ in 0..2 {
            live.pause(&self.cx).await.expect("pausing works, also twice");
            assert_eq!(self.state(&*live).await, RunState::Paused);
        }
        live.resume(&self.cx).await.expect("a paused guest can be resumed");
        assert_eq!(self.state(&*live).await, RunState::Running);
        self.end(live).await;
    }

    async fn events_tell_what_happens_and_end_with_the_guest(&self) {
        let live = self.launch_and_resume(self.vmid).await;
        let mut events = live.events();
        live.pause(&self.cx).await.expect("a running guest can be paused");
        hear(&mut *events, &LiveEvent::State(RunState::Paused)).await;
        live.resume(&self.cx).await.expect("a paused guest can be resumed");
        hear(&mut *events, &LiveEvent::State(RunState::Running)).await;
        live.reset(&self.cx).await.expect("a running guest can be reset");
        hear(&mut *events, &LiveEvent::Reset).await;
        self.end(live).await;
        soon("the end of events", async { while events.next().await.is_some() {} }).await;
    }

    async fn a_guest_survives_its_daemon_and_strangers_are_not_adopted(&self) {
        let live = self.launch_and_resume(self.vmid).await;
        let record = live.record().clone();
        let stored = serde_json::to_string(&record).expect("a record can be stored");
        assert_eq!(serde_json::from_str::<RunRecord>(&stored).ok().as_ref(), Some(&record), "a record survives storage");
        drop(live);
        assert_eq!(self.strays(&[]).await, [self.vmid], "a guest without record is a stray");
        assert!(self.strays(std::slice::from_ref(&record)).await.is_empty(), "a guest with record is none");

        let other_start = {
            let mut r = record.clone();
            r.process.start_ticks += 1;
            r
        };
        let other_boot = {
            let mut r = record.clone();
            r.process.boot_id = "another-boot".to_owned();
            r
        };
        for stranger in [&other_start, &other_boot] {
            assert!(self.adopt(self.driver, stranger).await.is_none(), "a recycled process number is not adopted");
        }
        let restarted = self.fixture.restarted();
        let live = self.adopt(&*restarted, &record).await.expect("another daemon adopts the guest");
        assert_eq!(live.record().process, record.process, "it is the same process");
        assert_eq!(self.state(&*live).await, RunState::Running, "the guest ran on without its daemon");
        live.pause(&self.cx).await.expect("an adopted guest can be paused");
        live.resume(&self.cx).await.expect("an adopted guest can be resumed");
        self.end(live).await;
        assert!(self.adopt(self.driver, &record).await.is_none(), "a guest that is gone is not adopted");
    }

    async fn killing_is_idempotent_and_everyone_who_waits_hears_of_it(&self) {
        let live = self.launch_and_resume(self.vmid).await;
        tokio::select! {
            biased;
            exit = live.wait() => panic!("a guest that runs has no exit, got {exit:?}"),
            () = tokio::task::yield_now() => {}
        }
        let (first, second) = (live.wait(), live.wait());
        let kill = async {
            for _ in 0..2 {
                live.kill(&self.cx).await.expect("killing works, also twice");
            }
        };
        let (first, second, ()) = soon("the end of a killed guest", async { tokio::join!(first, second, kill) }).await;
        assert_eq!((&first, &second), (&Exit::Killed, &Exit::Killed));
        assert_eq!(soon("a wait after the end", live.wait()).await, Exit::Killed, "the exit stays known");
        assert!(live.observe(&self.cx).await.is_err(), "a guest that is gone cannot be observed");
        assert!(live.pause(&self.cx).await.is_err(), "a guest that is gone cannot be paused");
        let before = live.record().process.clone();
        self.clean(self.vmid).await;
        let again = self.launch(self.vmid).await;
        assert_ne!(again.record().process, before, "a guest launched again is another process");
        self.end(again).await;
    }

    async fn two_guests_do_not_disturb_each_other(&self) {
        let (one, two) = (self.launch_and_resume(self.vmid).await, self.launch_and_resume(self.other).await);
        one.pause(&self.cx).await.expect("a running guest can be paused");
        assert_eq!(self.state(&*two).await, RunState::Running, "pausing one guest leaves the other");
        self.end(one).await;
        assert_eq!(self.state(&*two).await, RunState::Running, "ending one guest leaves the other");
        self.end(two).await;
    }

    async fn a_cancelled_launch_leaves_nothing(&self) {
        let wired = self.fixture.wired(self.vmid).await;
        let error = match self.driver.launch(&cancelled(), wired).await {
            Ok(_) => panic!("a cancelled launch fails"),
            Err(error) => error,
        };
        assert_eq!(error.kind, ErrorKind::Cancelled, "{error:?}");
        assert!(self.strays(&[]).await.is_empty(), "a cancelled launch leaves no process");
        self.clean(self.vmid).await;
    }

    async fn a_guest_that_is_asked_to_powers_off_or_runs_on(&self) {
        let live = self.launch_and_resume(self.vmid).await;
        live.request_shutdown(&self.cx).await.expect("a running guest can be asked to power off");
        if self.fixture.obeys_power_button() {
            assert_eq!(soon("the guest's power-off", live.wait()).await, Exit::GuestPoweroff);
            assert!(live.request_shutdown(&self.cx).await.is_err(), "a guest that is gone cannot be asked");
        } else {
            assert_eq!(self.state(&*live).await, RunState::Running, "a guest may ignore its power button");
        }
        self.end(live).await;
    }
}

/// Waits for an event; others may come before it.
async fn hear(events: &mut dyn LiveEvents, wanted: &LiveEvent) {
    soon(&format!("event {wanted:?}"), async {
        loop {
            match events.next().await {
                Some(event) if event == *wanted => return,
                Some(_) => {}
                None => panic!("events ended before {wanted:?}"),
            }
        }
    })
    .await;
}

/// A context that is cancelled already.
pub(super) fn cancelled() -> OpCx {
    let (handle, cancel) = CancelHandle::new();
    handle.cancel();
    let upid: Upid = "UPID:suite:00000001:00000001:00000001:suite::root@pam:".parse().expect("a valid id");
    OpCx::task(upid, cancel, std::sync::Arc::new(Silence))
}

struct Silence;

impl LogSink for Silence {
    fn line(&self, _text: &str) {}
}

/// What kind of error it was.
fn kind<T>(result: Result<T, Error>) -> Option<ErrorKind> {
    result.err().map(|e| e.kind)
}
