//! Tests in a network namespace of their own: the test program runs itself again inside it. The namespace ends with that
//! process, and with it every bridge and tap, however the test ends.

use std::process::Command;

use gpve_core::ports::{NetworkBackend as _, OpCx, PortId, PortRequest};
use gpve_net::{LinuxBridge, NetConfig};

const INSIDE: &str = "GPVE_NET_TEST_INSIDE";
/// A user that owns nothing else here.
pub(crate) const OWNER: u32 = 61_234;

/// Runs `body` in a new network namespace. `test` is the test's own path: `module::name`.
pub(crate) fn inside<F: Future<Output = ()>>(test: &str, body: impl FnOnce() -> F) {
    if std::env::var_os(INSIDE).is_some() {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        return runtime.block_on(body());
    }
    if let Some(missing) = missing() {
        println!("SKIP {test}: {missing}");
        return;
    }
    let this = std::env::current_exe().unwrap();
    let status = Command::new("unshare").arg("--net").arg("--").arg(this).args(["--exact", test, "--nocapture"]).env(INSIDE, "1").status();
    assert!(status.unwrap().success(), "{test} failed in its namespace");
}

fn missing() -> Option<&'static str> {
    if !rustix::process::geteuid().is_root() {
        return Some("network namespaces need root");
    }
    if std::fs::File::options().read(true).write(true).open("/dev/net/tun").is_err() {
        return Some("/dev/net/tun cannot be opened: modprobe tun");
    }
    let made = Command::new("unshare").args(["--net", "--", "ip", "link", "add", "x", "type", "bridge"]).output();
    (!made.is_ok_and(|output| output.status.success())).then_some("unshare, ip (iproute2) or the kernel's bridges are missing")
}

/// Runs `ip` and gives what it printed.
pub(crate) fn ip(args: &str) -> String {
    let output = Command::new("ip").args(args.split(' ')).output().unwrap();
    assert!(output.status.success(), "ip {args}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// One interface as `ip` shows it.
pub(crate) fn shown(name: &str) -> serde_json::Value {
    serde_json::from_str::<serde_json::Value>(&ip(&format!("-details -json link show {name}"))).unwrap()[0].take()
}

/// A bridge `vmbr0` that is up, and the backend.
pub(crate) async fn with_bridge() -> LinuxBridge {
    ip("link add vmbr0 type bridge");
    ip("link set vmbr0 up");
    LinuxBridge::connect(NetConfig { owner: Some(OWNER) }).await.unwrap()
}

pub(crate) fn cx() -> OpCx {
    OpCx::background()
}

/// Card `nic` of guest 100 in `vmbr0`.
pub(crate) fn card(nic: u8) -> PortRequest {
    PortRequest {
        id: PortId { vmid: 100.try_into().unwrap(), nic: nic.try_into().unwrap() },
        bridge: Some("vmbr0".parse().unwrap()),
        mac: gpve_core::types::MacAddr::local([0, 0, nic]),
        vlan: None,
        trunks: Vec::new(),
        mtu: None,
        queues: 0,
    }
}

/// Attaches and takes up.
pub(crate) async fn plug(network: &LinuxBridge, request: &PortRequest) {
    network.attach(&cx(), request).await.unwrap();
    network.set_link(&cx(), request.id, true).await.unwrap();
}
