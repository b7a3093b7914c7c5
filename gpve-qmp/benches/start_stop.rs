//! Start and stop of a guest: the driver beside nothing but QEMU and a socket, turns alternating. Start ends when QMP
//! says `running`, stop when the process is gone. Prints JSON lines; the goals are `START_GOAL` and `STOP_GOAL`.
#![allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "a benchmark makes its own QEMUs and reads the clock")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a benchmark that cannot run says so by failing")]

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use gpve_core::clock::SystemClock;
use gpve_core::ports::{GuestDriver as _, OpCx, Prepared, RunState};
use gpve_core::types::{VmSpec, Vmid};
use gpve_exec::{Identity, Tools};
use gpve_qmp::qemu::config::QemuConfig;
use gpve_qmp::qemu::driver::QemuDriver;
use serde_json::{Value, json};

/// What the driver may cost beside bare QEMU: it adds a user, a filter, a runtime directory and a record.
const START_GOAL: f64 = 1.3;
const STOP_GOAL: f64 = 2.0;
const ROUNDS: usize = 25;
const BINARY: &str = "/usr/bin/qemu-system-x86_64";
const SPEC: &str =
    r#"{"memory": {"size": "64Mi", "ballooning": "off"}, "machine": {"kind": "q35"}, "accel": "tcg", "vga": "none", "tablet": false}"#;

fn main() {
    if !Path::new(BINARY).exists() {
        println!("{}", json!({"bench": "start_stop", "skip": format!("no {BINARY}")}));
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    std::fs::set_permissions(dir.path(), std::fs::Permissions::from_mode(0o711)).unwrap();
    let is_root = rustix::process::geteuid().is_root();
    let driver = QemuDriver::new(QemuConfig {
        runtime_root: dir.path().join("run"),
        state_dir: dir.path().join("state"),
        identity: is_root.then(|| Identity { uid: 65_534, gid: 65_534, groups: Vec::new() }),
        tools: Tools::system(),
        clock: Arc::new(SystemClock::new()),
    })
    .unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let (mut bare, mut ours) = (Samples::default(), Samples::default());
    for _ in 0..ROUNDS {
        one_bare(&dir.path().join("bare.qmp"), &mut bare);
        runtime.block_on(one_ours(&driver, &mut ours));
    }
    let (bare, ours) = (bare.report("bare_qemu"), ours.report("gpve_qmp"));
    ratio("start", ours.0, bare.0, START_GOAL);
    ratio("stop", ours.1, bare.1, STOP_GOAL);
}

#[derive(Default)]
struct Samples {
    start: Vec<Duration>,
    stop: Vec<Duration>,
}

impl Samples {
    fn report(mut self, who: &str) -> (Duration, Duration) {
        (line(who, "start", &mut self.start), line(who, "stop", &mut self.stop))
    }
}

fn line(who: &str, what: &str, times: &mut [Duration]) -> Duration {
    times.sort_unstable();
    let millis = |time: Duration| time.as_secs_f64() * 1e3;
    let median = times[times.len() / 2];
    let figures = json!({"bench": "start_stop", "who": who, "what": what, "unit": "ms", "n": times.len(), "min": millis(times[0]), "p50": millis(median)});
    println!("{figures}");
    times[0]
}

/// Of the minima: on a shared machine the rest is other people's work.
fn ratio(what: &str, ours: Duration, bare: Duration, goal: f64) {
    let ratio = ours.as_secs_f64() / bare.as_secs_f64();
    println!("{}", json!({"bench": "start_stop", "what": format!("{what}_ratio"), "value": ratio, "goal": goal, "met": ratio <= goal}));
}

async fn one_ours(driver: &QemuDriver, samples: &mut Samples) {
    let cx = OpCx::background();
    let spec: VmSpec = serde_json::from_str(SPEC).unwrap();
    let started = Instant::now();
    let prepared = Prepared::new(spec.resolve(Vmid::MIN, None).unwrap());
    let live = driver.launch(&cx, prepared.wire(BTreeMap::new(), BTreeMap::new()).unwrap()).await.unwrap();
    live.resume(&cx).await.unwrap();
    assert_eq!(live.observe(&cx).await.unwrap().state, RunState::Running);
    samples.start.push(started.elapsed());
    let stopped = Instant::now();
    live.kill(&cx).await.unwrap();
    samples.stop.push(stopped.elapsed());
    driver.clean(&cx, Vmid::MIN).await.unwrap();
}

fn one_bare(socket: &Path, samples: &mut Samples) {
    let started = Instant::now();
    let mut qemu = Bare(
        Command::new(BINARY)
            .args(["-M", "q35,accel=tcg,usb=off", "-m", "64", "-smp", "1", "-nodefaults", "-no-user-config", "-display", "none", "-S"])
            .arg("-qmp")
            .arg(format!("unix:{},server=on,wait=off", socket.display()))
            .stdin(Stdio::null())
            .spawn()
            .unwrap(),
    );
    let mut monitor = Monitor::connect(socket, started);
    monitor.call("cont");
    assert_eq!(monitor.call("query-status")["status"], "running");
    samples.start.push(started.elapsed());
    let stopped = Instant::now();
    monitor.call("quit");
    qemu.0.wait().unwrap();
    samples.stop.push(stopped.elapsed());
}

struct Bare(Child);

impl Drop for Bare {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

struct Monitor(BufReader<UnixStream>);

impl Monitor {
    fn connect(socket: &Path, since: Instant) -> Self {
        let stream = loop {
            match UnixStream::connect(socket) {
                Ok(stream) => break stream,
                Err(error) => assert!(since.elapsed() < Duration::from_secs(30), "{error}"),
            }
            std::thread::yield_now();
        };
        let mut monitor = Self(BufReader::new(stream));
        monitor.0.read_line(&mut String::new()).unwrap();
        monitor.call("qmp_capabilities");
        monitor
    }

    fn call(&mut self, command: &str) -> Value {
        writeln!(self.0.get_mut(), "{}", json!({ "execute": command })).unwrap();
        loop {
            let mut line = String::new();
            self.0.read_line(&mut line).unwrap();
            let mut value: Value = serde_json::from_str(&line).unwrap();
            if value.get("return").is_some() {
                return value["return"].take();
            }
        }
    }
}
