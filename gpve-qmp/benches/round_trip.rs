//! Round trip of a QMP command: this crate's client beside a blocking socket on the same QEMU, turns alternating.
//! Prints one JSON line per figure and one for their ratio; see `GOAL_RATIO`.
#![allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "a benchmark makes its own QEMUs and reads the clock")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a benchmark that cannot run says so by failing")]

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use gpve_qmp::protocol::client::{Options, QmpClient};
use qapi::qmp;
use serde_json::{Value, json};

/// The client may cost at most a fifth more than the socket itself.
const GOAL_RATIO: f64 = 1.2;
const ROUNDS: usize = 40;
const COMMANDS_PER_ROUND: usize = 250;
const BINARY: &str = "/usr/bin/qemu-system-x86_64";

fn main() {
    if !Path::new(BINARY).exists() {
        println!("{}", json!({"bench": "qmp_round_trip", "skip": format!("no {BINARY}")}));
        return;
    }
    let qemu = Qemu::start();
    let mut raw = RawClient::connect(&qemu.socket("raw"));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let client = runtime.block_on(QmpClient::connect(&qemu.socket("ours"), Options::default())).unwrap();
    let (mut raw_times, mut our_times) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        for _ in 0..COMMANDS_PER_ROUND {
            let started = Instant::now();
            raw.query_status();
            raw_times.push(started.elapsed());
        }
        runtime.block_on(async {
            for _ in 0..COMMANDS_PER_ROUND {
                let started = Instant::now();
                client.execute(&qmp::query_status {}).await.unwrap();
                our_times.push(started.elapsed());
            }
        });
    }
    let raw = report("raw_blocking_socket", &mut raw_times);
    let ours = report("gpve_qmp", &mut our_times);
    let ratio = ours.as_secs_f64() / raw.as_secs_f64();
    println!("{}", json!({"bench": "qmp_round_trip", "who": "ratio_p50", "value": ratio, "goal": GOAL_RATIO, "met": ratio <= GOAL_RATIO}));
}

fn report(who: &str, times: &mut [Duration]) -> Duration {
    times.sort_unstable();
    let at = |percent: usize| times[times.len() * percent / 100];
    let micros = |time: Duration| time.as_secs_f64() * 1e6;
    println!(
        "{}",
        json!({"bench": "qmp_round_trip", "who": who, "unit": "us", "n": times.len(), "min": micros(times[0]),
               "p50": micros(at(50)), "p99": micros(at(99))})
    );
    at(50)
}

/// The least a client can do: write a line, read a line, parse it; events are skipped.
struct RawClient {
    reader: BufReader<UnixStream>,
    line: String,
}

impl RawClient {
    fn connect(path: &Path) -> Self {
        let mut client = Self { reader: BufReader::new(UnixStream::connect(path).unwrap()), line: String::new() };
        client.reader.read_line(&mut client.line).unwrap();
        client.exchange(br#"{"execute":"qmp_capabilities","arguments":{"enable":["oob"]}}"#);
        client
    }

    fn query_status(&mut self) {
        let value = self.exchange(br#"{"execute":"query-status","arguments":{},"id":1}"#);
        assert_eq!(value["return"]["running"], json!(false));
    }

    fn exchange(&mut self, command: &[u8]) -> Value {
        self.reader.get_mut().write_all(&[command, b"\n"].concat()).unwrap();
        loop {
            self.line.clear();
            self.reader.read_line(&mut self.line).unwrap();
            let value: Value = serde_json::from_str(&self.line).unwrap();
            if value.get("return").is_some() {
                return value;
            }
        }
    }
}

/// A paused QEMU with two monitors, killed when dropped.
struct Qemu {
    child: Child,
    dir: tempfile::TempDir,
}

impl Qemu {
    fn start() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut command = Command::new(BINARY);
        command.args(["-nodefaults", "-no-user-config", "-display", "none", "-S", "-machine", "q35", "-m", "64"]);
        for name in ["raw", "ours"] {
            command.arg("-qmp").arg(format!("unix:{},server=on,wait=off", dir.path().join(name).display()));
        }
        let qemu = Self { child: command.stdin(Stdio::null()).spawn().unwrap(), dir };
        let deadline = Instant::now() + Duration::from_secs(30);
        while ["raw", "ours"].iter().any(|name| !qemu.socket(name).exists()) {
            assert!(Instant::now() < deadline, "QEMU made no monitor socket");
            std::thread::yield_now();
        }
        qemu
    }

    fn socket(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }
}

impl Drop for Qemu {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
