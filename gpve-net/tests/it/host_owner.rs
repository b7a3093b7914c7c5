//! What processes without privileges can do. They are this program again, run as somebody else.

use std::fs::File;
use std::os::fd::AsFd as _;
use std::process::{Command, Stdio};

use gpve_core::ports::NetworkBackend as _;
use gpve_net::{NetConfig, Tap, detect};

use crate::namespace::{OWNER, card, cx, inside, with_bridge};

const ROLE: &str = "GPVE_NET_TEST_ROLE";

/// Runs the test `role` as `user`, with `/dev/net/tun` as its input: whoever made the device node decides who may open it.
fn run_as(user: u32, role: &str) -> bool {
    let tun = File::options().read(true).write(true).open("/dev/net/tun").unwrap();
    let id = user.to_string();
    let this = std::env::current_exe().unwrap();
    let mut command = Command::new("setpriv");
    command.args(["--reuid", &id, "--regid", &id, "--clear-groups", "--"]).arg(this).args(["--exact", role, "--nocapture"]);
    command.env(ROLE, "1").stdin(tun).stdout(Stdio::null()).stderr(Stdio::null()).status().unwrap().success()
}

#[test]
fn role_opens_the_tap() {
    if std::env::var_os(ROLE).is_some() {
        assert!(!rustix::process::geteuid().is_root());
        let tun = File::from(std::io::stdin().as_fd().try_clone_to_owned().unwrap());
        Tap::open_through(tun, &"tap100i0".parse().unwrap(), false).unwrap();
    }
}

#[test]
fn role_finds_user_networking() {
    if std::env::var_os(ROLE).is_some() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let found = runtime.block_on(detect(NetConfig::default()));
        assert_eq!(found.backend.kind(), "user");
        assert_eq!(found.limited_because.as_deref(), Some("bridges need root or the capability CAP_NET_ADMIN"));
    }
}

#[test]
fn only_the_owner_opens_a_tap_without_privileges() {
    inside("host_owner::only_the_owner_opens_a_tap_without_privileges", || async {
        let network = with_bridge().await;
        network.attach(&cx(), &card(0)).await.unwrap();
        assert!(run_as(OWNER, "host_owner::role_opens_the_tap"), "the owner may open it");
        assert!(!run_as(OWNER + 1, "host_owner::role_opens_the_tap"), "nobody else may");
    });
}

#[test]
fn who_has_no_privileges_is_given_user_networking() {
    inside("host_owner::who_has_no_privileges_is_given_user_networking", || async {
        assert!(run_as(OWNER, "host_owner::role_finds_user_networking"));
    });
}
