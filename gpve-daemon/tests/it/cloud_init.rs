//! Cloud-init as clients of Proxmox VE use it.

use serde_json::{Value as Json, json};

use crate::support::{Daemon, Session};

const AT: &str = "/nodes/pve/qemu/100";

async fn create(session: &Session<'_>) {
    let form = [
        ("vmid", "100"),
        ("name", "web"),
        ("memory", "64"),
        ("ide2", "local:cloudinit"),
        ("net0", "virtio=02:67:70:00:00:01,bridge=vmbr0"),
        ("ciuser", "ubuntu"),
        ("cipassword", "canary one"),
        ("ipconfig0", "ip=192.168.1.100/24,gw=192.168.1.1"),
        ("nameserver", "192.168.1.1"),
        ("searchdomain", "example.com"),
    ];
    session.pve_task("POST", "/nodes/pve/qemu", &form).await;
}

/// Every file of the server that has `text` in it.
fn files_with(folder: &std::path::Path, text: &str) -> Vec<String> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap().flatten() {
        let path = entry.path();
        if path.is_dir() {
            found.extend(files_with(&path, text));
        } else if String::from_utf8_lossy(&std::fs::read(&path).unwrap_or_default()).contains(text) {
            found.push(path.display().to_string());
        }
    }
    found
}

#[tokio::test]
async fn a_guest_is_made_with_cloud_init_changed_while_it_runs_and_told_again() {
    let daemon = Daemon::start();
    let session = daemon.login().await;
    create(&session).await;
    let get = async |path: &str| session.pve("GET", &format!("{AT}{path}"), &[]).await.data();
    let config = get("/config").await;
    assert_eq!(config["ide2"], "local:100/vm-100-cloudinit.qcow2,media=cdrom");
    assert_eq!(config["cipassword"], "**********");
    session.pve_task("POST", &format!("{AT}/status/start"), &[]).await;
    let changed = session.pve("PUT", &format!("{AT}/config"), &[("ciuser", "admin"), ("cipassword", "canary two")]).await;
    assert_eq!(changed.status, 200, "{changed:?}");
    let entry = async |key: &str| get("/cloudinit").await.as_array().unwrap().iter().find(|e| e["key"] == key).cloned().unwrap();
    assert_eq!(entry("ciuser").await, json!({"key": "ciuser", "value": "ubuntu", "pending": "admin"}));
    assert_eq!(entry("cipassword").await, json!({"key": "cipassword", "value": "**********", "pending": "**********"}));
    let told = session.pve("PUT", &format!("{AT}/cloudinit"), &[]).await;
    assert_eq!((told.status, told.data()), (200, Json::Null), "{told:?}");
    assert_eq!(entry("ciuser").await, json!({"key": "ciuser", "value": "admin"}), "the running guest was told");
    let dump = async |part: &str| {
        let answer = session.pve("GET", &format!("{AT}/cloudinit/dump"), &[("type", part)]).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        answer.data().as_str().unwrap().to_owned()
    };
    let user = dump("user").await;
    assert!(user.contains("user: \"admin\"") && user.contains("fqdn: \"web.example.com\"") && !user.contains("$5$"), "{user}");
    assert!(dump("network").await.contains("address: \"192.168.1.100\""));
    assert!(dump("meta").await.starts_with("instance-id: "));
    assert_eq!(session.pve("GET", &format!("{AT}/cloudinit/dump"), &[("type", "vendor")]).await.status, 400);
    let canaries = files_with(daemon.path("").as_path(), "canary");
    assert!(canaries.is_empty(), "a password in clear is in {canaries:?}");
    let content = session.pve("GET", "/nodes/pve/storage/local/content", &[]).await.data();
    assert_eq!(content[0]["volid"], "local:100/vm-100-cloudinit.qcow2", "{content}");
    session.pve_task("POST", &format!("{AT}/status/stop"), &[]).await;
    session.pve_task("DELETE", AT, &[]).await;
    assert_eq!(session.pve("GET", "/nodes/pve/storage/local/content", &[]).await.data(), json!([]));
}

#[tokio::test]
async fn a_drive_belongs_to_its_guest_and_a_clone_has_its_own() {
    let daemon = Daemon::start();
    let session = daemon.login().await;
    create(&session).await;
    let volume = "/nodes/pve/storage/local/content/local:100%2Fvm-100-cloudinit.qcow2";
    let refused = session.pve("DELETE", volume, &[]).await;
    assert!(refused.status == 500 && refused.reason.contains("a guest with VMID '100' exists"), "{refused:?}");
    let resize = session.pve("PUT", &format!("{AT}/resize"), &[("disk", "ide2"), ("size", "+1G")]).await;
    assert!(resize.reason.contains("cdrom"), "{resize:?}");
    // Providers write what they want again and again, and take it out by its slot.
    let again = session.pve("PUT", &format!("{AT}/config"), &[("ide2", "file=local:cloudinit,")]).await;
    assert_eq!(again.status, 200, "{again:?}");
    session.pve_task("POST", &format!("{AT}/template"), &[]).await;
    session.pve_task("POST", &format!("{AT}/clone"), &[("newid", "401"), ("name", "rancher-manager-1")]).await;
    let clone = session.pve("GET", "/nodes/pve/qemu/401/config", &[]).await.data();
    assert_eq!(clone["ide2"], "local:401/vm-401-cloudinit.qcow2,media=cdrom");
    session.pve_task("POST", "/nodes/pve/qemu/401/status/start", &[]).await;
    session.pve_task("POST", "/nodes/pve/qemu/401/status/stop", &[]).await;
    let out = session.pve("PUT", "/nodes/pve/qemu/401/config", &[("delete", "ide2")]).await;
    assert_eq!(out.status, 200, "{out:?}");
    let content = session.pve("GET", "/nodes/pve/storage/local/content", &[]).await.data();
    assert!(content.as_array().unwrap().iter().all(|v| v["vmid"] != 401), "{content}");
    let none = session.pve("PUT", "/nodes/pve/qemu/401/cloudinit", &[]).await;
    assert!(none.reason.contains("no cloud-init drive"), "{none:?}");
}
