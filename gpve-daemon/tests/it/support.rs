//! A server of our own in a process of its own.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use gpve_api::client::{Client, Endpoint, Trust};
use serde_json::{Value as Json, json};
use tempfile::TempDir;

use crate::http::{Answer, Connection};

pub(crate) const PASSWORD: &str = "correct horse battery";
/// How long anything may take on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// Our binary.
pub(crate) fn program() -> &'static str {
    env!("CARGO_BIN_EXE_gpve")
}

pub(crate) struct Daemon {
    dir: TempDir,
    switches: Vec<String>,
    child: Child,
    pub(crate) address: SocketAddr,
    pub(crate) metrics: String,
}

impl Daemon {
    /// A fresh server over in-memory ports.
    pub(crate) fn start() -> Self {
        Self::start_with(&["--sim"])
    }

    pub(crate) fn start_with(switches: &[&str]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("password"), PASSWORD).unwrap();
        let init = Command::new(program())
            .args(["server", "init", "--data-dir"])
            .arg(dir.path().join("data"))
            .arg("--password-file")
            .arg(dir.path().join("password"))
            .output()
            .unwrap();
        assert!(init.status.success(), "init: {}", String::from_utf8_lossy(&init.stderr));
        let (child, address, metrics) = run(dir.path(), switches);
        let switches = switches.iter().map(|s| (*s).to_owned()).collect();
        Self { dir, switches, child, address, metrics }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(crate) fn ca(&self) -> PathBuf {
        self.path("data/pki/ca.crt")
    }

    pub(crate) fn url(&self) -> String {
        format!("https://{}", self.address)
    }

    /// A client that is nobody yet.
    pub(crate) fn client(&self) -> Client {
        let authority = Trust::Authority(std::fs::read(self.ca()).unwrap());
        Client::connect(Endpoint::new(&self.url()).unwrap().trust(authority)).unwrap()
    }

    /// `kill -9`, then a new process over the same data.
    pub(crate) fn crash_and_restart(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        let switches: Vec<&str> = self.switches.iter().map(String::as_str).collect();
        (self.child, self.address, self.metrics) = run(self.dir.path(), &switches);
    }

    /// Asks it to end, as a service manager does; how it ended.
    pub(crate) fn terminate(&mut self) -> std::process::ExitStatus {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
        self.child.wait().unwrap()
    }

    /// One request on a connection of its own.
    pub(crate) async fn send(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Answer {
        Connection::open(self.address, &self.ca()).await.send(method, path, headers, body).await
    }

    pub(crate) async fn login(&self) -> Session<'_> {
        let form = format!("username=root%40pam&password={}", PASSWORD.replace(' ', "+"));
        let answer = self.send("POST", "/api2/json/access/ticket", &[], form.as_bytes()).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        let data = answer.data();
        let ticket = data["ticket"].as_str().unwrap();
        let csrf = data["CSRFPreventionToken"].as_str().unwrap().to_owned();
        Session { daemon: self, cookie: format!("PVEAuthCookie={ticket}"), csrf }
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let ended = self.child.try_wait();
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            let log = std::fs::read_to_string(self.path("server.log")).unwrap_or_default();
            let said: Vec<&str> = log.lines().filter(|l| !l.contains("\"INFO\"")).collect();
            println!("server: {ended:?}\n{}", said.join("\n"));
        }
    }
}

fn run(dir: &Path, switches: &[&str]) -> (Child, SocketAddr, String) {
    let log = std::fs::File::options().create(true).append(true).open(dir.join("server.log")).unwrap();
    let mut child = Command::new(program())
        .args(["server", "run", "--node", "pve", "--listen", "127.0.0.1:0", "--metrics-listen", "127.0.0.1:0", "--data-dir"])
        .arg(dir.join("data"))
        .args(switches)
        .stdout(Stdio::piped())
        .stderr(log)
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let log = || std::fs::read_to_string(dir.join("server.log")).unwrap_or_default();
    let ready: Json = serde_json::from_str(&line).unwrap_or_else(|e| panic!("no ready line but '{line}' ({e}); log:\n{}", log()));
    let address = ready["listening"][0].as_str().unwrap().trim_start_matches("https://").parse().unwrap();
    (child, address, ready["metrics"].as_str().unwrap().to_owned())
}

/// The administrator's session.
pub(crate) struct Session<'d> {
    daemon: &'d Daemon,
    pub(crate) cookie: String,
    pub(crate) csrf: String,
}

impl Session<'_> {
    /// The same session for the client of ours.
    fn secrets(&self) -> gpve_api::client::Session {
        let secret = |text: &str| gpve_auth::Secret::new(text.to_owned());
        let ticket = secret(self.cookie.trim_start_matches("PVEAuthCookie="));
        let username = "root@pam".to_owned();
        gpve_api::client::Session::Ticket(gpve_api::client::SessionSecrets { username, ticket, csrf: secret(&self.csrf) })
    }

    /// A call of the Proxmox VE dialect; parameters go where they belong for the method.
    pub(crate) async fn pve(&self, method: &str, path: &str, params: &[(&str, &str)]) -> Answer {
        let form: Vec<String> = params.iter().map(|(k, v)| format!("{k}={}", encode(v))).collect();
        let form = form.join("&");
        let in_query = matches!(method, "GET" | "DELETE") && !form.is_empty();
        let target = if in_query { format!("/api2/json{path}?{form}") } else { format!("/api2/json{path}") };
        let body = if in_query { "" } else { &form };
        let headers = [("cookie", self.cookie.as_str()), ("csrfpreventiontoken", &self.csrf), ("accept", "application/json")];
        self.daemon.send(method, &target, &headers, body.as_bytes()).await
    }

    /// The same, and its task must end well.
    pub(crate) async fn pve_task(&self, method: &str, path: &str, params: &[(&str, &str)]) {
        let answer = self.pve(method, path, params).await;
        assert_eq!(answer.status, 200, "{method} {path}: {answer:?}");
        let upid = answer.data().as_str().unwrap().to_owned();
        assert_eq!(self.task_end(&upid).await, "OK", "{method} {path}");
    }

    pub(crate) async fn task_end(&self, upid: &str) -> String {
        // The native dialect answers once the task has ended.
        let wait = format!("/tasks/{}?waitSeconds={}", encode(upid), PATIENCE.as_secs());
        assert_eq!(self.v1("GET", &wait, &[], &Json::Null).await.status, 200, "{upid}");
        let answer = self.pve("GET", &format!("/nodes/pve/tasks/{}/status", encode(upid)), &[]).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        let status = answer.data();
        assert_eq!(status["status"], "stopped", "{upid} does not end");
        status["exitstatus"].as_str().unwrap().to_owned()
    }

    /// A call of the native dialect.
    pub(crate) async fn v1(&self, method: &str, path: &str, more: &[(&str, &str)], body: &Json) -> Answer {
        let mut headers =
            vec![("cookie", self.cookie.as_str()), ("csrfpreventiontoken", self.csrf.as_str()), ("content-type", "application/json")];
        headers.extend_from_slice(more);
        let text = if body.is_null() { String::new() } else { body.to_string() };
        self.daemon.send(method, &format!("/api/v1{path}"), &headers, text.as_bytes()).await
    }

    /// Waits until a guest of the native dialect has a phase.
    pub(crate) async fn wait_phase(&self, name: &str, phase: &str) -> Json {
        let machines = self.daemon.client().with_session(self.secrets()).unwrap().virtual_machines("default");
        let wait = machines.wait_for(name, |vm| vm.status.phase.to_string() == phase);
        let found = tokio::time::timeout(PATIENCE, wait).await.unwrap_or_else(|_| panic!("{name} is not {phase}")).unwrap();
        serde_json::to_value(found).unwrap()
    }
}

pub(crate) fn encode(text: &str) -> String {
    let one = |b: u8| if b.is_ascii_alphanumeric() || b"-_.~".contains(&b) { char::from(b).to_string() } else { format!("%{b:02X}") };
    text.bytes().map(one).collect()
}

/// A small virtual machine of the native dialect.
pub(crate) fn vm(name: &str) -> Json {
    json!({
        "apiVersion": "gpve.io/v1",
        "kind": "VirtualMachine",
        "metadata": { "name": name },
        "spec": { "memory": { "size": "64Mi" }, "disks": [{ "name": "scsi0", "source": { "new": { "storage": "local", "size": "1Gi" } } }] },
    })
}
