//! The device layout beside PVE's own: where its test data is at hand (`GPVE_PVE_DATA`, the directory that holds
//! `qemu-server/cfg2cmd`), each device of these machines must be where PVE puts it, word for word.

use std::collections::BTreeSet;
use std::path::PathBuf;

use crate::argv::Case;

/// Name of the case, and the same machine as a spec.
const CASES: [(&str, &str); 3] = [
    ("minimal-defaults", r#""memory": {"size": "512Mi"}, "uuid": "6cf17dc3-8341-4ecc-aebd-7503f2583fb3""#),
    (
        "scsihw-lsi",
        r#""memory": {"size": "512Mi"}, "boot": ["scsi0"], "disks": [
            {"name": "scsi0", "source": {"volume": {"volume": "lvm:0"}}},
            {"name": "scsi1", "source": {"volume": {"volume": "lvm:1"}}, "cache": "writeback"},
            {"name": "scsi5", "source": {"volume": {"volume": "lvm:2"}}, "cache": "writethrough"},
            {"name": "scsi9", "source": {"volume": {"volume": "lvm:3"}}, "cache": "directsync"},
            {"name": "scsi16", "source": {"volume": {"volume": "lvm:4"}}, "cache": "directsync"}]"#,
    ),
    (
        "bootorder",
        r#""memory": {"size": "768Mi"}, "cpu": {"cores": 3}, "osType": "l26", "boot": ["virtio1", "net0", "scsi4", "ide2"],
            "generationId": "c773c261-d800-4348-9f5d-167fadd53cf8",
            "disks": [{"name": "ide2", "source": "empty", "media": "cdrom"},
                {"name": "scsi4", "source": {"volume": {"volume": "local:0"}}},
                {"name": "virtio0", "source": {"volume": {"volume": "local:1"}}, "iothread": true},
                {"name": "virtio1", "source": {"volume": {"volume": "local:2"}}, "iothread": true}],
            "networks": [{"name": "net0", "bridge": "vmbr0", "macAddress": "A2:C0:43:77:08:A0"}]"#,
    ),
];

/// Switches that PVE's layout decides; the others name its paths, its patches or its sockets.
const COMPARED: [&str; 5] = ["-device", "-smp", "-m", "-cpu", "-global"];

#[test]
fn devices_are_where_pve_puts_them() {
    let Some(data) = std::env::var_os("GPVE_PVE_DATA").map(PathBuf::from) else {
        println!("SKIP devices_are_where_pve_puts_them: GPVE_PVE_DATA is not set");
        return;
    };
    for (name, spec) in CASES {
        let file = data.join("qemu-server/cfg2cmd").join(format!("{name}.conf.cmd"));
        let text = std::fs::read_to_string(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        let theirs: BTreeSet<_> = text.lines().filter_map(switch).collect();
        let case: Case = serde_json::from_str(&format!(r#"{{"vmid": 8006, "accelerator": "kvm", "spec": {{{spec}}}}}"#)).unwrap();
        let line = case.arguments();
        let ours: BTreeSet<_> = line.windows(2).map(|pair| (pair[0].clone(), pair[1].clone())).collect();
        let missing: Vec<_> = theirs.difference(&ours).collect();
        assert!(theirs.len() > 5 && missing.is_empty(), "{name}: PVE has, we have not: {missing:#?}\nof {line:#?}");
    }
}

/// One line of a recorded command: `  -flag 'operand' \`.
fn switch(line: &str) -> Option<(String, String)> {
    let (flag, operand) = line.trim().trim_end_matches('\\').trim().split_once(' ')?;
    // PVE's own patch of QEMU, and the MTU of a bridge that the test has none of.
    let operand = operand.trim_matches('\'').replace(",host_mtu=1500,host_tunnel=off", "");
    COMPARED.contains(&flag).then(|| (flag.to_owned(), operand))
}
