//! A real guest reads what cloud-init shall do in it.

use std::path::Path;

use gpve_api::client::VirtualMachines;
use serde_json::{Value as Json, json};

use crate::life::{PATIENCE, bootable};
use crate::support::Place;

/// Mounts the drive by its label and prints every file that is on it, as cloud-init finds and reads them.
const READ: &str = "modprobe -a sr_mod isofs; mkdir -p /ci; umount /ci 2>/dev/null; \
    mount -t iso9660 -r $(findfs LABEL=@) /ci; cd /ci; for f in $(find . -type f | sort); do echo \"== $f\"; cat $f; done; cd /; echo end-of-\"@\"\n";

fn with_drive(guest: &Path) -> Json {
    let mut machine = bootable("web", guest);
    let drive = json!({ "name": "ide2", "source": { "cloudInit": { "storage": "local" } }, "media": "cdrom" });
    machine["spec"]["disks"].as_array_mut().unwrap().push(drive);
    machine["spec"]["networks"] = json!([{ "name": "net0", "macAddress": "02:67:70:00:00:0A" }]);
    machine["spec"]["hotplug"] = json!("cloudinit");
    machine["spec"]["cloudInit"] = json!({
        "user": "o'brien \"x\"", "password": "canary in clear", "sshKeys": "ssh-ed25519 AAAA web@test", "searchDomain": "example.com",
        "nameservers": ["10.0.0.1"], "addresses": { "0": { "ip": "10.0.0.5/24", "gateway": "10.0.0.1" } },
    });
    machine
}

/// Gives the machine a drive of another form, which it sees at once.
async fn change_kind(machines: &VirtualMachines, kind: &str) {
    let mut document = serde_json::to_value(machines.get("web").await.unwrap()).unwrap();
    document["spec"]["cloudInit"]["kind"] = json!(kind);
    machines.replace("web", &document).await.unwrap().job.await.unwrap();
}

#[tokio::test]
async fn a_real_guest_reads_its_drive_in_every_form_and_again_when_it_changes() {
    let test = "a_real_guest_reads_its_drive_in_every_form_and_again_when_it_changes";
    let Some((place, guest)) = Place::real(test).await else { return };
    let machines = place.local.client().virtual_machines("default");
    machines.create(&with_drive(&guest)).await.unwrap().job.await.unwrap();
    machines.start("web").await.unwrap().await.unwrap();
    let mut console = machines.console("web", 0).await.unwrap();
    let mut seen = String::new();
    let user = [
        "hostname: \"web\"", "fqdn: \"web.example.com\"", "user: \"o'brien \\\"x\\\"\"", "- \"ssh-ed25519 AAAA web@test\"",
        "password: \"$5$",
    ];
    let forms: [(&str, &str, &str, &[&str]); 3] = [
        (
            "nocloud",
            "cidata",
            "== ./user-data",
            &["== ./meta-data", "== ./network-config", "address: \"10.0.0.5\"", "mac_address: \"02:67:70:00:00:0a\""],
        ),
        (
            "configdrive2",
            "config-2",
            "== ./openstack/latest/user_data",
            &["== ./openstack/latest/meta_data.json", "== ./openstack/content/0000", "address 10.0.0.5"],
        ),
        (
            "opennebula",
            "CONTEXT",
            "== ./context.sh",
            &["SET_HOSTNAME='web.example.com'", "USERNAME='o'\\''brien \"x\"'", "ETH0_IP='10.0.0.5'"],
        ),
    ];
    for (kind, label, file, wanted) in forms {
        let ready = if kind == "nocloud" {
            "gpve-guest up".to_owned()
        } else {
            change_kind(&machines, kind).await;
            String::new()
        };
        read_until(&mut *console, &mut seen, &ready).await;
        console.write(format!("stty -echo\n{}", READ.replace('@', label)).into()).await.unwrap();
        seen.clear();
        read_until(&mut *console, &mut seen, &format!("end-of-{label}")).await;
        let user: &[&str] = if kind == "opennebula" { &[] } else { &user };
        for text in wanted.iter().chain(user).chain([&file]) {
            assert!(seen.contains(text), "{kind}: {text} is not in\n{seen}");
        }
        assert!(!seen.contains("canary"), "{kind}: a password reaches the guest as its hash\n{seen}");
    }
    drop(console);
    machines.delete("web", true).await.unwrap().await.unwrap();
    let left = place.local.client().storage("local").volumes(None).await.unwrap();
    assert!(left.is_empty(), "{left:?}");
    place.local.close().await;
}

async fn read_until(console: &mut dyn gpve_core::ports::ByteStream, seen: &mut String, text: &str) {
    while !seen.contains(text) {
        let bytes = tokio::time::timeout(PATIENCE, console.read()).await.unwrap_or_else(|_| panic!("no {text} in\n{seen}"));
        *seen += &String::from_utf8_lossy(&bytes.unwrap().expect("the console is open"));
    }
}
