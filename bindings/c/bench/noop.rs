//! What the calls of `noop.c` cost in Rust: JSON lines with nanoseconds per call.
#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "a bench reads the time, and ends when something fails")]

use std::hint::black_box;
use std::time::Instant;

use engine::Local;
use serde_json::json;

const CALLS: u32 = 1_000_000;
const WAITS: u32 = 20_000;

fn main() {
    let directory = tempfile::tempdir().unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let local = runtime.block_on(Local::builder(directory.path()).simulated(true).open()).unwrap();
    let machines = local.client().virtual_machines("default");
    let web = json!({ "apiVersion": "gpve.io/v1", "kind": "VirtualMachine", "metadata": {}, "spec": { "memory": { "size": "64Mi" } } });
    let apply = || runtime.block_on(machines.apply("web", &web, "bench", false)).unwrap().job;
    runtime.block_on(apply().wait(drop)).unwrap();
    // The second time nothing is to do: a job without a task.
    let job = apply();
    let began = Instant::now();
    (0..CALLS).for_each(|_| assert!(black_box(&job).id().is_none()));
    tell("Job::id", began, CALLS);
    let began = Instant::now();
    (0..WAITS).for_each(|_| assert!(runtime.block_on(black_box(&job).wait(drop)).is_ok()));
    tell("Job::wait, nothing to do", began, WAITS);
    runtime.block_on(local.close());
}

fn tell(call: &str, began: Instant, calls: u32) {
    println!("{}", json!({ "bench": "noop", "who": "rust", "call": call, "ns": (began.elapsed() / calls).as_nanos() }));
}
