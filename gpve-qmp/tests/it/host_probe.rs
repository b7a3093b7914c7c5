//! The proof of KVM.

use std::process::Command;

use gpve_exec::Tools;
use gpve_qmp::qemu::argv::switches::Accelerator;
use gpve_qmp::qemu::probe::{PROBE_DEADLINE, probe, verdict};

use crate::host_driver::Home;
use crate::real::qemu_or_skip;

#[tokio::test]
async fn the_probes_kernel_gets_through_where_processors_work() {
    if qemu_or_skip("the_probes_kernel_gets_through_where_processors_work").is_none() {
        return;
    }
    let verdict = probe(&Home::new().config(), Accelerator::Tcg).await;
    assert!(verdict.proven, "{}", verdict.reason);
    assert_eq!(verdict.reason, "tcg ran a 64-bit kernel");
}

#[tokio::test]
async fn a_verdict_on_kvm_comes_in_time_and_is_remembered() {
    if qemu_or_skip("a_verdict_on_kvm_comes_in_time_and_is_remembered").is_none() {
        return;
    }
    let home = Home::new();
    let first = tokio::time::timeout(PROBE_DEADLINE * 2, verdict(&home.config())).await.expect("a verdict in time");
    assert!(!first.reason.is_empty());
    if !std::path::Path::new("/dev/kvm").exists() {
        println!("SKIP the rest of a_verdict_on_kvm_comes_in_time_and_is_remembered: no /dev/kvm");
        return;
    }
    // A file that says otherwise shows whether it is read.
    let file = home.path().join("state/kvm-probe.json");
    let mut remembered: serde_json::Value = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
    remembered["verdict"] = serde_json::json!({"proven": !first.proven, "reason": "planted"});
    std::fs::write(&file, remembered.to_string()).unwrap();
    assert_eq!(verdict(&home.config()).await.reason, "planted");
    remembered["subject"]["boot_id"] = "another boot".into();
    std::fs::write(&file, remembered.to_string()).unwrap();
    assert_eq!(verdict(&home.config()).await.proven, first.proven, "another boot's verdict is not believed");
}

#[tokio::test]
async fn without_qemu_nothing_is_proven() {
    let home = Home::new();
    let mut config = home.config();
    config.tools = Tools::system().with(gpve_exec::Tool::QEMU_SYSTEM_X86_64, "/nowhere/qemu");
    let verdict = probe(&config, Accelerator::Tcg).await;
    assert!(!verdict.proven && verdict.reason.contains("qemu-system-x86_64 is not installed"), "{}", verdict.reason);
}

#[test]
fn the_kernels_bytes_are_those_of_its_source() {
    let source = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src/qemu/probe");
    let dir = tempfile::tempdir().unwrap();
    let (object, binary) = (dir.path().join("kernel.o"), dir.path().join("kernel.bin"));
    let assembled = Command::new("as").arg("--64").arg(source.join("kernel.s")).arg("-o").arg(&object).status();
    if !assembled.is_ok_and(|status| status.success()) {
        println!("SKIP the_kernels_bytes_are_those_of_its_source: no assembler (apt-get install binutils)");
        return;
    }
    let copied = Command::new("objcopy").args(["-O", "binary", "-j", ".text"]).arg(&object).arg(&binary).status().unwrap();
    assert!(copied.success());
    assert_eq!(std::fs::read(binary).unwrap(), std::fs::read(source.join("kernel.bin")).unwrap());
}
