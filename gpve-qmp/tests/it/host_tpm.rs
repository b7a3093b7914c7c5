//! The TPM's emulator beside a real QEMU: whom it runs as, what it holds, and what a start refuses.

use std::os::unix::fs::MetadataExt as _;

use gpve_core::error::Error;
use gpve_core::ports::{GuestDriver as _, Live, OpCx};
use gpve_core::types::Vmid;
use gpve_exec::{Tool, Tools};
use gpve_qmp::qemu::config::QemuConfig;
use gpve_qmp::qemu::driver::QemuDriver;

use crate::host_driver::{Home, wired};
use crate::real::qemu_or_skip;

const SWTPM: &str = "/usr/bin/swtpm";

fn has_swtpm(test: &str) -> bool {
    let there = qemu_or_skip(test).is_some() && std::path::Path::new(SWTPM).exists();
    if !there {
        println!("SKIP {test}: no swtpm (apt install swtpm)");
    }
    there
}

/// Starts guest `vmid` with the TPM whose state is `volume`.
async fn launch(home: &Home, driver: &QemuDriver, vmid: u32, volume: &str) -> Result<Box<dyn Live>, Error> {
    let spec = format!(
        r#"{{"memory": {{"size": "32Mi"}}, "machine": {{"kind": "q35"}}, "accel": "tcg", "vga": "none",
            "disks": [{{"name": "tpmstate0", "tpmVersion": "v2.0", "source": {{"volume": {{"volume": "local:{volume}"}}}}}}]}}"#
    );
    driver.launch(&OpCx::background(), wired(Vmid::try_from(vmid).unwrap(), &spec, home.path())).await
}

async fn refusal(home: &Home, driver: &QemuDriver, vmid: u32, volume: &str) -> String {
    let Err(error) = launch(home, driver, vmid, volume).await else { panic!("it starts") };
    assert!(error.message.starts_with("tpmstate0: "), "{error:?}");
    assert!(!home.path().join("run").join(vmid.to_string()).exists(), "nothing is left");
    error.message
}

fn make_state(home: &Home, name: &str) {
    std::fs::File::create(home.path().join(name)).unwrap().set_len(4 << 20).unwrap();
}

fn status_field(pid: &str, field: &str) -> String {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix(&format!("{field}:"))).unwrap();
    line.trim().to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_emulator_is_unprivileged_sandboxed_and_ends_with_its_guest() {
    let test = "the_emulator_is_unprivileged_sandboxed_and_ends_with_its_guest";
    if !has_swtpm(test) {
        return;
    }
    let home = Home::new();
    make_state(&home, "tpm.raw");
    let driver = home.driver();
    let live = launch(&home, &driver, 100, "tpm.raw").await.unwrap();
    // QEMU has spoken to it before it answers, and it writes its number before it speaks.
    let pid = std::fs::read_to_string(home.path().join("run/100/tpm.pid")).unwrap().trim().to_owned();
    let cmdline = std::fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap();
    assert!(cmdline.starts_with(SWTPM) && cmdline.contains("--tpm2"), "{cmdline}");
    let user = status_field(&live.record().process.pid.to_string(), "Uid");
    assert_eq!((status_field(&pid, "Uid"), status_field(&pid, "NoNewPrivs")), (user, "1".to_owned()));
    assert_eq!((status_field(&pid, "Seccomp").as_str(), status_field(&pid, "CapEff").trim_start_matches('0')), ("2", ""));
    let locked = refusal(&home, &driver, 101, "tpm.raw").await;
    assert!(locked.contains("in use by another program"), "{locked}");

    live.kill(&OpCx::background()).await.unwrap();
    assert!(!std::path::Path::new(&format!("/proc/{pid}")).exists(), "it has ended and is reaped");
    driver.clean(&OpCx::background(), Vmid::MIN).await.unwrap();
    let live = launch(&home, &driver, 100, "tpm.raw").await.unwrap();
    live.kill(&OpCx::background()).await.unwrap();
    driver.clean(&OpCx::background(), Vmid::MIN).await.unwrap();
    let state = std::fs::metadata(home.path().join("tpm.raw")).unwrap();
    let whose = home.config().identity.map_or(rustix::process::geteuid().as_raw(), |identity| identity.uid);
    assert_eq!(state.uid(), whose, "the state is its emulator's");
}

#[tokio::test]
async fn a_start_without_the_emulator_names_the_package_and_a_state_that_it_cannot_use_is_refused() {
    let test = "a_start_without_the_emulator_names_the_package_and_a_state_that_it_cannot_use_is_refused";
    if !has_swtpm(test) {
        return;
    }
    let home = Home::new();
    make_state(&home, "tpm.raw");
    make_state(&home, "tpm.qcow2");
    let tools = Tools::system().with(Tool::SWTPM, "/nowhere/swtpm");
    let without = QemuDriver::new(QemuConfig { tools, ..home.config() }).unwrap();
    let missing = refusal(&home, &without, 100, "tpm.raw").await;
    assert!(missing.contains("apt install swtpm"), "{missing}");
    let shape = refusal(&home, &home.driver(), 100, "tpm.qcow2").await;
    assert!(shape.contains("raw"), "{shape}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_emulator_that_does_not_start_is_told_with_its_reason() {
    let test = "an_emulator_that_does_not_start_is_told_with_its_reason";
    if !has_swtpm(test) {
        return;
    }
    let home = Home::new();
    make_state(&home, "tpm.raw");
    let broken = Tools::system().with(Tool::SWTPM, "/usr/bin/false");
    let driver = QemuDriver::new(QemuConfig { tools: broken, ..home.config() }).unwrap();
    let Err(error) = launch(&home, &driver, 100, "tpm.raw").await else { panic!("it starts") };
    assert!(error.message.contains("tpm-emulator"), "{error:?}");
    assert!(!home.path().join("run/100").exists(), "nothing is left");
}
