//! The life of a virtual machine, seen from outside.

use std::fmt::Write;

use gpve_core::lifecycle::vm::{
    Context, Denial, Effect, FailCause, Input, Observation, Phase, ProcessState, Request, Settled, SnapshotWork, StopKind, Vm,
};
use gpve_core::lifecycle::{Admission, Machine, view};
use gpve_core::ports::{EventKind, Exit};
use gpve_core::types::{GuestPhase, Timestamp};
use proptest::prelude::*;

use crate::golden;

const PLAIN: (bool, bool) = (false, false);

fn context((template, protected): (bool, bool)) -> Context {
    Context { vmid: "100".parse().unwrap(), template, protected }
}

fn stuck(process: ProcessState) -> Phase {
    let cause = FailCause::Stuck { request: Request::Snapshot, message: "run gpvectl task show".to_owned() };
    Phase::Failed { cause, process }
}

fn failed(cause: FailCause, process: ProcessState) -> Phase {
    Phase::Failed { cause, process }
}

/// One phase of each shape.
fn phases() -> Vec<Phase> {
    use Settled::{Paused, Running, Stopped};
    vec![
        Phase::Pending,
        Phase::Creating,
        Phase::Stopped,
        Phase::Starting,
        Phase::Running,
        Phase::Stopping { from: Running, how: StopKind::Shutdown },
        Phase::Stopping { from: Paused, how: StopKind::Kill },
        Phase::Stopping { from: Running, how: StopKind::Suspend },
        Phase::Paused,
        Phase::Suspended,
        Phase::Resuming,
        Phase::Migrating { from: Stopped },
        Phase::Migrating { from: Running },
        Phase::Snapshotting { from: Stopped, work: SnapshotWork::Delete },
        Phase::Snapshotting { from: Running, work: SnapshotWork::Take },
        Phase::Snapshotting { from: Running, work: SnapshotWork::Rollback },
        Phase::Rebooting,
        Phase::Updating { from: Paused },
        failed(FailCause::Undone("no bridge vmbr9".to_owned()), ProcessState::Gone),
        failed(FailCause::ProcessGone(Exit::Crashed("signal 11".to_owned())), ProcessState::Gone),
        failed(FailCause::Panicked, ProcessState::Halted),
        failed(FailCause::IoError, ProcessState::Halted),
        stuck(ProcessState::Gone),
        stuck(ProcessState::Running),
        Phase::Deleting,
    ]
}

fn observations() -> Vec<Observation> {
    vec![
        Observation::Running,
        Observation::Paused,
        Observation::ProcessGone(Exit::GuestPoweroff),
        Observation::ProcessGone(Exit::Killed),
        Observation::ProcessGone(Exit::Crashed("signal 9".to_owned())),
        Observation::GuestReset,
        Observation::Panicked,
        Observation::IoError,
    ]
}

fn short(phase: &Phase) -> String {
    match phase {
        Phase::Stopping { from, how } => format!("Stopping({from:?}, {how:?})"),
        Phase::Migrating { from } => format!("Migrating({from:?})"),
        Phase::Snapshotting { from, work } => format!("Snapshotting({from:?}, {work:?})"),
        Phase::Updating { from } => format!("Updating({from:?})"),
        Phase::Failed { cause, process } => {
            let cause = format!("{cause:?}");
            let word = cause.split([' ', '(']).next().unwrap_or_default();
            format!("Failed({word}, {process:?})")
        }
        other => format!("{other:?}"),
    }
}

fn code(admission: &Admission<Denial>) -> &'static str {
    match admission {
        Admission::Proceed => "go",
        Admission::AlreadySo => "so",
        Admission::Deny(denial) => match denial {
            Denial::AlreadyExists(_) => "EXISTS",
            Denial::AlreadyRunning(_) => "ALREADY",
            Denial::NotRunning(_) => "NOTRUN",
            Denial::DeleteRunning(_) => "DELRUN",
            Denial::TemplateRunning(_) => "TPLRUN",
            Denial::Paused(_) => "PAUSED",
            Denial::Suspended(_) => "SUSPEND",
            Denial::Busy { .. } => "busy",
            Denial::Template(_) => "TEMPL",
            Denial::Protected(_) => "PROTECT",
            Denial::Failed { .. } => "FAILED",
        },
    }
}

fn request_name(request: Request) -> String {
    match request {
        Request::Shutdown { force: true } => "Shutdown!".to_owned(),
        Request::Shutdown { force: false } => "Shutdown".to_owned(),
        Request::DeleteSnapshot => "DelSnap".to_owned(),
        Request::DescribeSnapshot => "DescSnap".to_owned(),
        Request::DestroyVolume => "DestroyVol".to_owned(),
        Request::AllocateVolume => "AllocVol".to_owned(),
        Request::ClearFailure => "Clear".to_owned(),
        other => format!("{other:?}"),
    }
}

#[test]
fn every_phase_answers_every_request_as_the_golden_matrix_says() {
    let mut out = String::new();
    for kind in [PLAIN, (true, false), (false, true)] {
        writeln!(out, "# template: {}, protected: {}", kind.0, kind.1).unwrap();
        write!(out, "{:<34}", "").unwrap();
        for request in Request::ALL {
            write!(out, " {:<10}", request_name(request)).unwrap();
        }
        for phase in phases() {
            write!(out, "\n{:<34}", short(&phase)).unwrap();
            for request in Request::ALL {
                write!(out, " {:<10}", code(&Vm::admit(&phase, &context(kind), request))).unwrap();
            }
        }
        out.push_str("\n\n");
    }
    let trimmed: String = out.lines().map(|l| format!("{}\n", l.trim_end())).collect();
    golden::check("vm_admit.txt", &trimmed);
}

#[test]
fn every_admitted_request_leads_where_the_golden_table_says() {
    let mut out = String::from("# phase + request -> while it runs -> done | undone, process as before | undone, process gone\n");
    for phase in phases() {
        for request in Request::ALL {
            if Vm::admit(&phase, &context(PLAIN), request) != Admission::Proceed {
                continue;
            }
            let (during, _) = Vm::step(phase.clone(), Input::Begin(request));
            let (done, _) = Vm::step(during.clone(), Input::Done(request));
            let fail = |process| {
                let cause = FailCause::Undone("it did not work".to_owned());
                short(&Vm::step(during.clone(), Input::Failed { request, cause, process }).0)
            };
            let before = process_of(&phase);
            let (kept, gone) = (fail(before), fail(ProcessState::Gone));
            writeln!(
                out,
                "{:<30} + {:<10} -> {:<32} -> {:<28} | {kept:<28} | {gone}",
                short(&phase),
                request_name(request),
                short(&during),
                short(&done)
            )
            .unwrap();
        }
    }
    golden::check("vm_requests.txt", &out);
}

#[test]
fn every_observation_leads_where_the_golden_table_says() {
    let mut out = String::new();
    for phase in phases() {
        for seen in observations() {
            let (after, effects) = Vm::step(phase.clone(), Input::Observed(seen.clone()));
            let seen = format!("{seen:?}");
            writeln!(out, "{:<34} {seen:<42} -> {:<34} {effects:?}", short(&phase), short(&after)).unwrap();
        }
    }
    golden::check("vm_observations.txt", &out);
}

#[test]
fn every_phase_is_shown_in_other_vocabularies_as_the_golden_table_says() {
    let mut out = format!(
        "{:<34} {:<9} {:<15} {:<16} {:<10} {:<14} {:<5} conditions that hold\n",
        "phase", "pve", "qmpstatus", "lock", "000", "virtrigaud", "power"
    );
    for phase in phases() {
        let pve = view::pve(&phase);
        let holding = view::conditions(&phase, Timestamp::default()).into_iter().filter(|c| c.status == Some(true));
        let holding: Vec<String> = holding.map(|c| c.kind).collect();
        writeln!(
            out,
            "{:<34} {:<9} {:<15} {:<16} {:<10} {:<14} {:<5} {}",
            short(&phase),
            pve.status,
            pve.qmpstatus,
            pve.lock.unwrap_or("-"),
            view::document_000(&phase),
            view::virtrigaud_phase(&phase),
            view::virtrigaud_power(&phase),
            holding.join(",")
        )
        .unwrap();
    }
    golden::check("vm_views.txt", &out);
}

#[test]
fn every_deny_reason_is_reached_and_names_the_machine() {
    let mut reached = std::collections::BTreeSet::new();
    for phase in phases() {
        for request in Request::ALL {
            for kind in [PLAIN, (true, false), (false, true), (true, true)] {
                let admission = Vm::admit(&phase, &context(kind), request);
                if let Admission::Deny(denial) = &admission {
                    assert!(denial.to_string().contains("VM 100"), "{denial}");
                    let error: gpve_core::error::Error = denial.clone().into();
                    assert_eq!((error.subject.as_str(), error.message), ("vm 100", denial.to_string()));
                }
                reached.insert(code(&admission));
            }
        }
    }
    let all = ["go", "so", "EXISTS", "ALREADY", "NOTRUN", "DELRUN", "TPLRUN", "PAUSED", "SUSPEND", "busy", "TEMPL", "PROTECT", "FAILED"];
    assert_eq!(reached, all.into_iter().collect());
}

#[test]
fn denials_use_the_words_that_proxmox_clients_look_for() {
    let text = |phase: Phase, kind, request| match Vm::admit(&phase, &context(kind), request) {
        Admission::Deny(denial) => denial.to_string(),
        other => panic!("{phase:?} + {request:?} is not denied: {other:?}"),
    };
    assert_eq!(text(Phase::Running, PLAIN, Request::Start), "VM 100 already running");
    assert_eq!(text(Phase::Stopped, PLAIN, Request::Reset), "VM 100 not running");
    assert_eq!(text(Phase::Running, PLAIN, Request::Delete), "VM 100 is running - destroy failed");
    assert_eq!(text(Phase::Stopped, (false, true), Request::Delete), "can't remove VM 100 - protection mode enabled");
    assert_eq!(text(Phase::Creating, PLAIN, Request::Start), "VM 100 is busy (Creating)");
}

#[test]
fn every_phase_of_the_flat_vocabulary_has_a_sample_and_survives_storage() {
    let mut flat = std::collections::BTreeSet::new();
    for phase in phases() {
        flat.insert(phase.flat());
        let stored = serde_json::to_string(&phase).unwrap();
        assert_eq!(serde_json::from_str::<Phase>(&stored).unwrap(), phase, "{stored}");
    }
    assert_eq!(flat, GuestPhase::ALL.iter().copied().collect());
}

#[test]
fn a_removed_machine_is_forgotten_only_when_its_removal_is_done() {
    let (deleting, effects) = Vm::step(Phase::Stopped, Input::Begin(Request::Delete));
    assert_eq!((deleting.clone(), effects), (Phase::Deleting, vec![Effect::Publish(EventKind::GuestPhaseChanged)]));
    assert_eq!(Vm::step(deleting, Input::Done(Request::Delete)).1, vec![Effect::Forget]);
}

#[test]
fn a_stuck_machine_stays_stuck_until_somebody_clears_it() {
    for request in Request::ALL {
        let before = stuck(ProcessState::Running);
        if request == Request::ClearFailure || Vm::admit(&before, &context(PLAIN), request) != Admission::Proceed {
            continue;
        }
        let (during, _) = Vm::step(before, Input::Begin(request));
        let (after, _) = Vm::step(during, Input::Done(request));
        assert!(after.is_stuck(), "{request:?} ended it: {after:?}");
    }
    let (cleared, _) = Vm::step(stuck(ProcessState::Running), Input::Done(Request::ClearFailure));
    assert_eq!(cleared, Phase::Running);
}

#[test]
fn a_guest_that_powers_off_while_its_start_ends_is_not_taken_for_running() {
    let (gone, effects) = Vm::step(Phase::Starting, Input::Observed(Observation::ProcessGone(Exit::GuestPoweroff)));
    assert!(effects.contains(&Effect::CleanUp));
    assert_eq!(Vm::step(gone, Input::Done(Request::Start)).0, Phase::Stopped);
}

fn process_of(phase: &Phase) -> ProcessState {
    match phase {
        Phase::Failed { process, .. } => *process,
        other => match other.seen() {
            Settled::Stopped | Settled::Suspended => ProcessState::Gone,
            Settled::Running => ProcessState::Running,
            Settled::Paused => ProcessState::Paused,
        },
    }
}

/// The model: a machine is what the last request that went well made of it.
fn model(was: Settled, request: Request) -> Option<Settled> {
    match request {
        Request::Start | Request::Reboot => Some(Settled::Running),
        Request::Resume if was != Settled::Stopped => Some(Settled::Running),
        Request::Stop | Request::Shutdown { .. } | Request::Rollback => Some(Settled::Stopped),
        Request::Pause => Some(Settled::Paused),
        Request::Suspend => Some(Settled::Suspended),
        Request::Delete => None,
        _ => Some(was),
    }
}

#[derive(Debug, Clone)]
enum Event {
    Works(Request),
    Undone(Request),
    Dies,
}

fn events() -> impl Strategy<Value = Vec<Event>> {
    let request = prop::sample::select(Request::ALL.to_vec());
    let one = prop_oneof![
        6 => request.clone().prop_map(Event::Works),
        2 => request.prop_map(Event::Undone),
        1 => Just(Event::Dies),
    ];
    prop::collection::vec(one, 1..40)
}

proptest! {
    #[test]
    fn random_lives_follow_the_model(events in events()) {
        let (mut phase, mut expected) = (Phase::Stopped, Settled::Stopped);
        for event in events {
            match event {
                Event::Works(request) | Event::Undone(request)
                    if Vm::admit(&phase, &context(PLAIN), request) != Admission::Proceed => continue,
                Event::Works(request) => {
                    let (during, _) = Vm::step(phase, Input::Begin(request));
                    let (after, effects) = Vm::step(during, Input::Done(request));
                    match model(expected, request) {
                        Some(state) => expected = state,
                        None => { prop_assert_eq!(effects, vec![Effect::Forget]); return Ok(()); }
                    }
                    phase = after;
                }
                Event::Undone(request) => {
                    let process = process_of(&phase);
                    let (during, _) = Vm::step(phase, Input::Begin(request));
                    let cause = FailCause::Undone("no".to_owned());
                    phase = Vm::step(during, Input::Failed { request, cause, process }).0;
                    // A deletion that failed half way has nothing left that could be resumed.
                    if request == Request::Delete { expected = Settled::Stopped; }
                }
                Event::Dies => {
                    let seen = Observation::ProcessGone(Exit::Crashed("signal 9".to_owned()));
                    phase = Vm::step(phase, Input::Observed(seen)).0;
                    if expected != Settled::Suspended { expected = Settled::Stopped; }
                }
            }
            prop_assert_eq!(phase.settled(), Some(expected), "{:?}", phase);
        }
    }

    #[test]
    fn nothing_that_happens_in_any_order_breaks_the_machine(seed in prop::collection::vec((0usize..4, 0usize..23, 0usize..8, 0usize..4), 0..60)) {
        let mut phase = Phase::Pending;
        for (what, request, seen, process) in seed {
            let request = Request::ALL[request];
            let process = [ProcessState::Gone, ProcessState::Running, ProcessState::Paused, ProcessState::Halted][process];
            let input = match what {
                0 => Input::Begin(request),
                1 => Input::Done(request),
                2 => Input::Failed { request, cause: FailCause::Undone("no".to_owned()), process },
                _ => Input::Observed(observations()[seen].clone()),
            };
            let (after, effects) = Vm::step(phase.clone(), input);
            let changed = effects.contains(&Effect::Publish(EventKind::GuestPhaseChanged));
            prop_assert_eq!(changed, after != phase, "a change is published, and only a change");
            phase = after;
        }
    }
}
