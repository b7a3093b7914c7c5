//! UEFI on a real QEMU, and what a start refuses because nothing on this host serves it.

use std::path::Path;
use std::time::Duration;

use gpve_core::error::ErrorKind;
use gpve_core::ports::{ConsoleKind, GuestDriver as _, OpCx};
use gpve_core::types::Vmid;

use crate::host_driver::{Home, wired};
use crate::real::qemu_or_skip;

/// Firmware under emulation on a busy host.
const PATIENCE: Duration = Duration::from_secs(120);

/// What the firmware writes on the serial port when it looks for something to boot.
const LOOKS_FOR_A_SYSTEM: &str = "BdsDxe";

fn has_firmware(test: &str) -> bool {
    let there = ["/usr/share/OVMF/OVMF_CODE_4M.secboot.fd", "/usr/share/OVMF/OVMF_CODE.fd"].iter().all(|path| Path::new(path).is_file());
    if !there {
        println!("SKIP {test}: no UEFI firmware (apt install ovmf)");
    }
    there
}

/// Starts the machine and reads its console until the firmware looks for a system.
async fn boots(home: &Home, spec: &str) {
    let cx = OpCx::background();
    let live = home.driver().launch(&cx, wired(Vmid::MIN, spec, home.path())).await.unwrap();
    let mut console = live.console().unwrap().open(&cx, ConsoleKind::Serial(0)).await.unwrap();
    live.resume(&cx).await.unwrap();
    let mut seen = String::new();
    let read = async {
        while !seen.contains(LOOKS_FOR_A_SYSTEM) {
            let bytes = console.read().await.unwrap().expect("the console goes on");
            seen.push_str(&String::from_utf8_lossy(&bytes));
        }
    };
    let late = tokio::time::timeout(PATIENCE, read).await.is_err();
    assert!(!late, "the firmware does not come up:\n{seen}");
    live.kill(&cx).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_uefi_guest_starts_from_its_own_variables_which_begin_as_the_template() {
    let test = "a_uefi_guest_starts_from_its_own_variables_which_begin_as_the_template";
    if qemu_or_skip(test).is_none() || !has_firmware(test) {
        return;
    }
    let home = Home::new();
    let variables = home.path().join("vars.raw");
    std::fs::File::create(&variables).unwrap().set_len(528 << 10).unwrap();
    boots(
        &home,
        r#"{"memory": {"size": "256Mi"}, "machine": {"kind": "q35"}, "accel": "tcg", "bios": "ovmf", "vga": "none",
            "serials": {"0": "socket"},
            "disks": [{"name": "efidisk0", "efiType": "4m", "source": {"volume": {"volume": "local:vars.raw"}}}]}"#,
    )
    .await;
    let written = std::fs::read(&variables).unwrap();
    assert_eq!(&written[40..44], b"_FVH", "the volume holds a firmware volume");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_uefi_guest_without_a_volume_has_variables_for_one_run() {
    let test = "a_uefi_guest_without_a_volume_has_variables_for_one_run";
    if qemu_or_skip(test).is_none() || !has_firmware(test) {
        return;
    }
    let home = Home::new();
    let spec = r#"{"memory": {"size": "256Mi"}, "accel": "tcg", "bios": "ovmf", "vga": "none", "serials": {"0": "socket"}}"#;
    boots(&home, spec).await;
}

#[tokio::test]
async fn what_nothing_on_this_host_serves_is_refused_by_name() {
    let test = "what_nothing_on_this_host_serves_is_refused_by_name";
    if qemu_or_skip(test).is_none() {
        return;
    }
    let home = Home::new();
    let cases = [
        ("virtiofs0", r#""sharedFolders": {"0": {"mapping": "data"}}"#),
        ("hostpci0", r#""hostPci": {"0": {"source": {"devices": ["00:1f.0"]}}}"#),
        ("usb0", r#""usb": {"0": {"source": {"mapping": "stick"}}}"#),
        ("usb1", r#""usb": {"1": {"source": "spice"}}"#),
        ("amd-sev", r#""bios": "ovmf", "sev": {"kind": "std"}"#),
        ("cpu", r#""cpu": {"type": "custom-mine"}"#),
    ];
    for (field, part) in cases {
        let spec = format!(r#"{{"memory": {{"size": "64Mi"}}, "accel": "tcg", "vga": "none", {part}}}"#);
        let refused = home.driver().launch(&OpCx::background(), wired(Vmid::MIN, &spec, home.path())).await;
        let Err(error) = refused else { panic!("{field} is not refused") };
        let kinds = [ErrorKind::FailedPrecondition, ErrorKind::InvalidInput];
        let names = error.message.contains(field) || error.fields.iter().any(|refused| refused.field == field);
        assert!(kinds.contains(&error.kind) && names, "{field}: {error:?}");
        assert_eq!(std::fs::read_dir(home.path().join("run")).map_or(0, Iterator::count), 0, "{field}: nothing is left");
    }
}
