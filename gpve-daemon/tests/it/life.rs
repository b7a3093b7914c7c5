use std::collections::BTreeSet;

use futures::future::join_all;
use serde_json::Value as Json;

use crate::support::{Daemon, Session, vm};

const DISK: (&str, &str) = ("scsi0", "local:1,format=qcow2");

async fn create(session: &Session<'_>, vmid: &str) {
    let form = [("vmid", vmid), ("name", "guest"), ("memory", "64"), DISK, ("net0", "virtio,bridge=vmbr0"), ("serial0", "socket")];
    session.pve_task("POST", "/nodes/pve/qemu", &form).await;
}

#[tokio::test]
async fn a_guest_lives_its_life_in_the_proxmox_dialect() {
    let daemon = Daemon::start();
    let session = daemon.login().await;
    let vmid = session.pve("GET", "/cluster/nextid", &[]).await.data().as_str().unwrap().to_owned();
    create(&session, &vmid).await;
    let at = format!("/nodes/pve/qemu/{vmid}");
    let status = async || session.pve("GET", &format!("{at}/status/current"), &[]).await.data()["status"].clone();
    assert_eq!(status().await, "stopped");
    session.pve_task("POST", &format!("{at}/status/start"), &[]).await;
    assert_eq!(status().await, "running");
    let again = session.pve("POST", &format!("{at}/status/start"), &[]).await;
    assert_eq!(session.task_end(again.data().as_str().unwrap()).await, format!("VM {vmid} already running"));
    let answer = session.pve("PUT", &format!("{at}/config"), &[("description", "changed")]).await;
    assert_eq!((answer.status, answer.data()), (200, Json::Null));
    session.pve_task("POST", &format!("{at}/config"), &[("tags", "b;a")]).await;
    let config = session.pve("GET", &format!("{at}/config"), &[]).await.data();
    assert_eq!((&config["description"], &config["tags"]), (&Json::from("changed"), &Json::from("a;b")));
    session.pve_task("PUT", &format!("{at}/resize"), &[("disk", "scsi0"), ("size", "+1G")]).await;
    session.pve_task("POST", &format!("{at}/snapshot"), &[("snapname", "before")]).await;
    session.pve_task("POST", &format!("{at}/snapshot/before/rollback"), &[]).await;
    session.pve_task("DELETE", &format!("{at}/snapshot/before"), &[]).await;
    session.pve_task("POST", &format!("{at}/status/stop"), &[]).await;
    session.pve_task("POST", &format!("{at}/clone"), &[("newid", "900"), ("full", "1")]).await;
    for gone in [at.as_str(), "/nodes/pve/qemu/900"] {
        session.pve_task("DELETE", gone, &[("purge", "1")]).await;
        let answer = session.pve("GET", &format!("{gone}/config"), &[]).await;
        assert_eq!(answer.status, 500);
        assert!(answer.reason.ends_with("does not exist"), "{}", answer.reason);
    }
    assert_eq!(session.pve("GET", "/nodes/pve/storage/local/content", &[]).await.data(), serde_json::json!([]));
}

#[tokio::test]
async fn a_snapshot_is_described_and_a_volume_made_and_freed_in_the_proxmox_dialect() {
    let daemon = Daemon::start();
    let session = daemon.login().await;
    session.pve_task("POST", "/nodes/pve/qemu", &[("vmid", "100"), ("memory", "64"), ("scsi0", "local:1,format=qcow2")]).await;
    session.pve_task("POST", "/nodes/pve/qemu/100/snapshot", &[("snapname", "before")]).await;
    let config = "/nodes/pve/qemu/100/snapshot/before/config";
    assert_eq!(session.pve("PUT", config, &[("description", "the first")]).await.status, 200);
    let described = session.pve("GET", config, &[]).await.data();
    assert_eq!(described["description"].as_str().map(str::trim), Some("the first"), "{described}");
    let content = "/nodes/pve/storage/local/content";
    let form = [("vmid", "100"), ("filename", "vm-100-disk-7.raw"), ("size", "1G"), ("format", "raw")];
    let volume = session.pve("POST", content, &form).await.data();
    assert_eq!(volume, "local:100/vm-100-disk-7.raw");
    // Another guest may have it; then it stays.
    session.pve_task("POST", "/nodes/pve/qemu", &[("vmid", "101"), ("memory", "64"), ("scsi0", "local:100/vm-100-disk-7.raw")]).await;
    let refused = session.pve("DELETE", &format!("{content}/{}", "local:100%2Fvm-100-disk-7.raw"), &[]).await;
    assert!(refused.status >= 400 && format!("{refused:?}").contains("is a disk of vm 101"), "{refused:?}");
    session.pve("PUT", "/nodes/pve/qemu/101/config", &[("delete", "scsi0")]).await;
    session.pve("PUT", "/nodes/pve/qemu/101/config", &[("delete", "unused0")]).await;
    session.pve_task("DELETE", &format!("{content}/{}", "local:100%2Fvm-100-disk-7.raw"), &[]).await;
    let left = session.pve("GET", content, &[]).await.data();
    assert!(left.as_array().unwrap().iter().all(|v| v["volid"] != volume), "{left}");
}

#[tokio::test]
async fn a_created_guest_is_in_the_resources_when_the_call_returns() {
    let daemon = Daemon::start();
    let session = daemon.login().await;
    let answer = session.pve("POST", "/nodes/pve/qemu", &[("vmid", "100")]).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let resources = session.pve("GET", "/cluster/resources", &[("type", "vm")]).await.data();
    assert_eq!(resources[0]["vmid"], 100, "{resources}");
}

#[tokio::test]
async fn fifty_clients_at_once_get_fifty_numbers_and_fifty_guests() {
    let daemon = Daemon::start();
    let session = daemon.login().await;
    let one = async || {
        let vmid = session.pve("GET", "/cluster/nextid", &[]).await.data().as_str().unwrap().to_owned();
        create(&session, &vmid).await;
        session.pve_task("POST", &format!("/nodes/pve/qemu/{vmid}/status/start"), &[]).await;
        session.pve_task("POST", &format!("/nodes/pve/qemu/{vmid}/status/stop"), &[]).await;
        session.pve_task("DELETE", &format!("/nodes/pve/qemu/{vmid}"), &[]).await;
        vmid
    };
    let numbers: BTreeSet<String> = join_all((0..50).map(|_| one())).await.into_iter().collect();
    assert_eq!(numbers.len(), 50);
    assert_eq!(session.pve("GET", "/cluster/resources", &[("type", "vm")]).await.data(), serde_json::json!([]));
}

#[tokio::test]
async fn a_killed_server_comes_back_with_guests_accounts_and_tasks() {
    let mut daemon = Daemon::start();
    let (upid, token) = {
        let session = daemon.login().await;
        create(&session, "100").await;
        create(&session, "101").await;
        let made = session.pve("POST", "/access/users/root@pam/token/ci", &[("privsep", "0")]).await;
        // Not waited for: the crash comes while it may still be under way.
        let started = session.pve("POST", "/nodes/pve/qemu/101/status/start", &[]).await;
        (started.data().as_str().unwrap().to_owned(), made.data()["value"].as_str().unwrap().to_owned())
    };
    daemon.crash_and_restart();
    let session = daemon.login().await;
    let listed = session.pve("GET", "/nodes/pve/qemu", &[]).await.data();
    assert_eq!(listed.as_array().unwrap().len(), 2, "{listed}");
    let end = session.task_end(&upid).await;
    assert!(!end.is_empty(), "an interrupted task is finished or undone");
    let authorization = format!("PVEAPIToken=root@pam!ci={token}");
    let answer = daemon.send("GET", "/api2/json/version", &[("authorization", &authorization)], b"").await;
    assert_eq!(answer.status, 200, "{answer:?}");
    // In memory the guests' processes and volumes are gone with the host; what is left can be removed.
    for vmid in ["100", "101"] {
        session.pve_task("POST", &format!("/nodes/pve/qemu/{vmid}/status/stop"), &[]).await;
        session.pve_task("DELETE", &format!("/nodes/pve/qemu/{vmid}"), &[]).await;
    }
}

#[tokio::test]
async fn health_and_figures_are_served() {
    let daemon = Daemon::start();
    let session = daemon.login().await;
    create(&session, "100").await;
    for path in ["/healthz", "/readyz"] {
        assert_eq!(daemon.send("GET", path, &[], b"").await.status, 200, "{path}");
    }
    let made = session.v1("POST", "/namespaces/default/virtualmachines", &[], &vm("second")).await;
    assert_eq!(made.status, 201, "{made:?}");
    let url = daemon.metrics.trim_start_matches("http://").trim_end_matches("/metrics").to_owned();
    let figures = tokio::task::spawn_blocking(move || {
        use std::io::{Read, Write};
        let mut stream = std::net::TcpStream::connect(url).unwrap();
        stream.write_all(b"GET /metrics HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).unwrap();
        text
    })
    .await
    .unwrap();
    for wanted in [
        "gpve_api_request_duration_seconds_count{method=\"POST\",route=\"/nodes/{node}/qemu\",status=\"200\"} 1",
        "gpve_guests{phase=\"Stopped\"}",
        "gpve_tasks{state=\"succeeded\"}",
        "gpve_node_ready{node=\"pve\"} 1",
    ] {
        assert!(figures.contains(wanted), "no {wanted} in\n{figures}");
    }
}

#[tokio::test]
async fn a_missing_guest_is_500_as_in_proxmox_ve_and_404_where_asked() {
    for (switches, status) in [(&["--sim"][..], 500), (&["--sim", "--missing-guest-404"][..], 404)] {
        let daemon = Daemon::start_with(switches);
        let answer = daemon.login().await.pve("GET", "/nodes/pve/qemu/4242/config", &[]).await;
        assert_eq!(answer.status, status, "{answer:?}");
        assert!(answer.reason.ends_with("'nodes/pve/qemu-server/4242.conf' does not exist"), "{}", answer.reason);
    }
}

#[tokio::test]
async fn a_server_that_is_asked_to_end_ends_well_and_logs_every_request_with_its_trace_id() {
    let mut daemon = Daemon::start();
    let id = "0af7651916cd43dd8448eb211c80319c";
    let traceparent = format!("00-{id}-b7ad6b7169203331-01");
    let answer = daemon.send("GET", "/api2/json/version", &[("traceparent", &traceparent)], b"").await;
    assert_eq!(answer.header("gpve-trace-id"), Some(id), "{answer:?}");
    let ended = daemon.terminate();
    assert!(ended.success(), "{ended:?}");
    let log = std::fs::read_to_string(daemon.path("server.log")).unwrap();
    let line = log.lines().find(|l| l.contains(id)).expect("the request is in the log");
    let line: Json = serde_json::from_str(line).unwrap();
    assert_eq!((&line["level"], &line["span"]["component"], &line["status"]), (&"INFO".into(), &"api".into(), &401.into()), "{line}");
}
