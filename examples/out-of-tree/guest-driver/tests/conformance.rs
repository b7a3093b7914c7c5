//! The driver keeps the promises of gpve's guest port, and refuses what a process has not.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use gpve_core::async_trait;
use gpve_core::clock::SystemClock;
use gpve_core::error::ErrorKind;
use gpve_core::ports::{Exit, GuestDriver, OpCx, Prepared, RunState, Wired};
use gpve_core::testing::conformance::{self, GuestFixture};
use gpve_core::types::{VmSpec, Vmid};
use out_of_tree_guest_driver::ProcessDriver;

fn driver(runtime_root: &Path, program: &[&str]) -> ProcessDriver {
    let program = program.iter().map(|&argument| argument.to_owned()).collect();
    ProcessDriver::new(runtime_root, program, Arc::new(SystemClock::new()))
}

fn machine(vmid: Vmid, spec: &VmSpec) -> Wired {
    Prepared::new(spec.resolve(vmid, None).unwrap()).wire([].into(), [].into()).unwrap()
}

fn small(vmid: Vmid) -> Wired {
    machine(vmid, &VmSpec::of("64Mi".parse().unwrap()))
}

struct Sleepers(PathBuf);

#[async_trait]
impl GuestFixture for Sleepers {
    async fn wired(&self, vmid: Vmid) -> Wired {
        small(vmid)
    }

    fn restarted(&self) -> Box<dyn GuestDriver> {
        Box::new(driver(&self.0, &["/bin/sleep", "infinity"]))
    }

    fn obeys_power_button(&self) -> bool {
        true
    }
}

#[tokio::test]
async fn the_driver_keeps_the_promises_of_the_guest_port() {
    let run = tempfile::tempdir().unwrap();
    let sleepers = Sleepers(run.path().to_owned());
    conformance::guest(&*sleepers.restarted(), &sleepers).await;
    assert_eq!(std::fs::read_dir(run.path()).unwrap().count(), 0, "the suite leaves nothing");
}

#[tokio::test]
async fn the_program_runs_when_the_guest_is_resumed_and_not_before() {
    let (run, cx) = (tempfile::tempdir().unwrap(), OpCx::background());
    let proof = run.path().join("proof");
    let script = format!("echo $GPVE_GUEST_DIRECTORY > {}", proof.display());
    let live = driver(run.path(), &["/bin/sh", "-c", &script]).launch(&cx, small(Vmid::MIN)).await.unwrap();
    assert_eq!(live.observe(&cx).await.unwrap().state, RunState::Prelaunch);
    assert!(!proof.exists());
    live.resume(&cx).await.unwrap();
    assert!(matches!(live.wait().await, Exit::Crashed(_)), "nobody asked it to end");
    assert_eq!(std::fs::read_to_string(proof).unwrap().trim(), live.record().runtime_dir);
}

#[tokio::test]
async fn a_machine_that_asks_for_what_a_process_has_not_is_refused() {
    let (run, cx) = (tempfile::tempdir().unwrap(), OpCx::background());
    let mut spec = VmSpec::of("64Mi".parse().unwrap());
    spec.agent = Some(Default::default());
    let refused = driver(run.path(), &["/bin/true"]).launch(&cx, machine(Vmid::MIN, &spec)).await;
    let error = refused.err().unwrap();
    assert_eq!((error.kind, error.to_string().contains("agent")), (ErrorKind::Unsupported, true), "{error}");
}
