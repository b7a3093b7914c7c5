//! Every example runs, and prints what its header says; on a host without QEMU or a guest image it says what is missing.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "a test, which runs programs as their readers do"
)]

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};

use rustix::process::{Pid, Signal, WaitOptions, kill_process, set_child_subreaper, waitpid};

/// One at a time: guests of an example that failed are found as children that are left.
static TURN: Mutex<()> = Mutex::new(());

#[test]
fn no_daemon() {
    runs_as_its_header_says("no_daemon");
}

#[test]
fn cloud_image() {
    runs_as_its_header_says("cloud_image");
}

#[test]
fn live_status() {
    runs_as_its_header_says("live_status");
}

#[test]
fn storage_manager() {
    runs_as_its_header_says("storage_manager");
}

#[test]
fn plugin() {
    runs_as_its_header_says("plugin");
}

#[test]
fn client() {
    let _turn = turn();
    let Some(server) = Server::start() else {
        println!("SKIP client: the server is not built: cargo build -p gpve-daemon");
        return;
    };
    let environment =
        [("GPVE_URL", server.url.clone()), ("GPVE_CA", server.path("data/pki/ca.crt")), ("GPVE_PASSWORD", PASSWORD.to_owned())];
    prints_what_its_header_says("client", &environment);
}

#[test]
fn every_example_is_short_and_has_a_test() {
    let tests = include_str!("examples.rs");
    for entry in fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("examples")).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
        let lines = fs::read_to_string(&path).unwrap().lines().count();
        assert!(lines < 80, "{name} has {lines} lines");
        assert!(
            tests.contains(&format!("runs_as_its_header_says(\"{name}\")"))
                || tests.contains(&format!("prints_what_its_header_says(\"{name}\", ")),
            "{name} is run by no test"
        );
    }
}

fn turn() -> MutexGuard<'static, ()> {
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}

fn runs_as_its_header_says(name: &str) {
    let _turn = turn();
    prints_what_its_header_says(name, &[]);
}

/// The caller has its turn.
fn prints_what_its_header_says(name: &str, environment: &[(&str, String)]) {
    let directory = tempfile::tempdir().unwrap();
    let _guests = Orphans::adopted();
    let output = Command::new(program(name)).env("TMPDIR", directory.path()).envs(environment.iter().cloned()).output().unwrap();
    let (printed, errors) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{name} ended with {}:\n{printed}{errors}", output.status);
    if printed.starts_with("SKIP ") {
        println!("{}", printed.trim_end());
        return;
    }
    let expected = header(name);
    let printed: Vec<&str> = printed.lines().collect();
    assert!(is_like(&expected, &printed), "{name} prints\n{}\nand its header says\n{}", printed.join("\n"), expected.join("\n"));
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0, "{name} leaves files");
}

/// Cargo builds examples with the tests, in the directory beside theirs.
fn program(name: &str) -> PathBuf {
    let tests = std::env::current_exe().unwrap();
    tests.parent().unwrap().parent().unwrap().join("examples").join(name)
}

const PASSWORD: &str = "correct horse battery";

/// A server over a simulated node, of the binary that cargo built beside the examples.
struct Server {
    directory: tempfile::TempDir,
    child: Child,
    url: String,
}

impl Server {
    fn start() -> Option<Self> {
        let program = std::env::var_os("GPVE_BIN").map_or_else(|| program("../gpve"), PathBuf::from);
        if !program.is_file() {
            return None;
        }
        let directory = tempfile::tempdir().unwrap();
        let (data, password) = (directory.path().join("data"), directory.path().join("password"));
        fs::write(&password, PASSWORD).unwrap();
        let init = ["server", "init", "--data-dir", data.to_str().unwrap(), "--password-file", password.to_str().unwrap()];
        assert!(Command::new(&program).args(init).output().unwrap().status.success());
        let run =
            ["server", "run", "--sim", "--listen", "127.0.0.1:0", "--metrics-listen", "127.0.0.1:0", "--data-dir", data.to_str().unwrap()];
        let mut child = Command::new(&program).args(run).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let mut ready = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut ready).unwrap();
        let ready: serde_json::Value = serde_json::from_str(&ready).unwrap();
        Some(Self { directory, child, url: ready["listening"][0].as_str().unwrap().to_owned() })
    }

    fn path(&self, name: &str) -> String {
        self.directory.path().join(name).display().to_string()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The lines of the header's block of text.
fn header(name: &str) -> Vec<String> {
    let source = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("examples/{name}.rs"))).unwrap();
    let block = source.split("//! ```text\n").nth(1).and_then(|rest| rest.split("//! ```").next());
    block.unwrap_or_else(|| panic!("{name} shows no output")).lines().map(|line| line.trim_start_matches("//! ").to_owned()).collect()
}

/// A line `…` stands for any lines, `…` at a line's end for any rest of it.
fn is_like(expected: &[String], printed: &[&str]) -> bool {
    match expected.split_first() {
        None => printed.is_empty(),
        Some((any, rest)) if any == "…" => (0..=printed.len()).any(|n| is_like(rest, &printed[n..])),
        Some((line, rest)) => printed.split_first().is_some_and(|(first, after)| {
            let same = line.strip_suffix('…').map_or(line == first, |start| first.starts_with(start));
            same && is_like(rest, after)
        }),
    }
}

/// Guests outlive the program that launched them; those of one that failed become this process's children, and end with this.
struct Orphans {
    /// Children that were there before: a server of the test's own.
    spared: Vec<i32>,
}

impl Orphans {
    fn adopted() -> Self {
        set_child_subreaper(Some(Pid::INIT)).unwrap();
        Self { spared: Self::children() }
    }

    fn children() -> Vec<i32> {
        // They may have been given to any thread.
        let threads = fs::read_dir("/proc/self/task").into_iter().flatten().flatten();
        let children: String = threads.filter_map(|t| fs::read_to_string(t.path().join("children")).ok()).collect();
        children.split_whitespace().filter_map(|pid| pid.parse().ok()).collect()
    }
}

impl Drop for Orphans {
    fn drop(&mut self) {
        for pid in Self::children().into_iter().filter(|pid| !self.spared.contains(pid)).filter_map(Pid::from_raw) {
            let _ = kill_process(pid, Signal::KILL).and_then(|()| waitpid(Some(pid), WaitOptions::empty()));
        }
    }
}

#[test]
fn what_an_example_leaves_running_is_ended() {
    let _turn = turn();
    let orphans = Orphans::adopted();
    let output = Command::new("/bin/sh").args(["-c", "sleep 600 >/dev/null 2>&1 & echo $!"]).output().unwrap();
    let process = Path::new("/proc").join(String::from_utf8(output.stdout).unwrap().trim());
    assert!(process.exists());
    drop(orphans);
    assert!(!process.exists(), "{} is still there", process.display());
}

#[test]
fn headers_are_compared_line_by_line() {
    let like = |expected: &[&str], printed: &[&str]| is_like(&expected.iter().map(|l| (*l).to_owned()).collect::<Vec<_>>(), printed);
    assert!(like(&["a", "b …"], &["a", "b 17"]));
    assert!(like(&["a", "…", "d"], &["a", "b", "c", "d"]) && like(&["…", "a"], &["a"]));
    assert!(!like(&["a"], &["a", "b"]) && !like(&["a", "b"], &["a"]) && !like(&["a", "…", "d"], &["a", "b"]));
}
