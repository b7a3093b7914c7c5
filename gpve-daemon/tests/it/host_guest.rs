//! Real guests under a server that is killed.

use std::path::{Path, PathBuf};

use crate::console;
use crate::support::{Daemon, Session};

const GUESTS: [&str; 5] = ["100", "101", "102", "103", "104"];

/// Ends what a failed test left running.
struct Strays(PathBuf);

impl Drop for Strays {
    fn drop(&mut self) {
        for entry in std::fs::read_dir("/proc").unwrap().flatten() {
            let pid = entry.file_name().to_string_lossy().parse::<i32>();
            let line = std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
            let ours = String::from_utf8_lossy(&line).contains(self.0.to_str().unwrap());
            if let (Ok(pid), true) = (pid, ours && line.starts_with(b"/usr/bin/qemu")) {
                let pid = rustix::process::Pid::from_raw(pid).unwrap();
                let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
            }
        }
    }
}

async fn uptime(session: &Session<'_>, vmid: &str) -> (String, u64, u64) {
    let now = session.pve("GET", &format!("/nodes/pve/qemu/{vmid}/status/current"), &[]).await.data();
    let text = now["status"].as_str().unwrap().to_owned();
    (text, now["pid"].as_u64().unwrap_or_default(), now["uptime"].as_u64().unwrap_or_default())
}

#[tokio::test]
async fn running_guests_outlive_a_killed_server_and_are_taken_up_again() {
    if !Path::new("/usr/bin/qemu-system-x86_64").exists() {
        println!("SKIP running_guests_outlive_a_killed_server_and_are_taken_up_again: there is no QEMU");
        return;
    }
    // Sockets have short paths.
    let runtime = tempfile::Builder::new().prefix("gq").tempdir_in("/tmp").unwrap();
    let _strays = Strays(runtime.path().to_owned());
    let mut daemon = Daemon::start_with(&["--runtime-dir", runtime.path().to_str().unwrap()]);
    let before = {
        let session = daemon.login().await;
        let mut before = Vec::new();
        for vmid in GUESTS {
            let form = [("vmid", vmid), ("memory", "32"), ("kvm", "0"), ("scsi0", "local:1,format=qcow2"), ("start", "1")];
            session.pve_task("POST", "/nodes/pve/qemu", &form).await;
            // `start` is a task of its own behind the one that makes the guest.
            session.wait_phase(&format!("vm-{vmid}"), "Running").await;
            before.push(uptime(&session, vmid).await);
        }
        before
    };
    daemon.crash_and_restart();
    let session = daemon.login().await;
    let ticket = console::ticket(&session, "vncproxy", &[("websocket", "1")]).await;
    let mut display = console::open(&daemon, &session, &ticket).await.unwrap();
    console::read_until(&mut display, b"RFB 003.008\n").await;
    for (vmid, (_, pid, up)) in GUESTS.into_iter().zip(before) {
        let (status, now, later) = uptime(&session, vmid).await;
        assert_eq!((status.as_str(), now), ("running", pid), "{vmid}: the same process");
        assert!(later >= up, "{vmid}: its uptime goes on");
        session.pve_task("POST", &format!("/nodes/pve/qemu/{vmid}/status/stop"), &[]).await;
        session.pve_task("DELETE", &format!("/nodes/pve/qemu/{vmid}"), &[]).await;
    }
    assert_eq!(session.pve("GET", "/nodes/pve/storage/local/content", &[]).await.data(), serde_json::json!([]));
}
