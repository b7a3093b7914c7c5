//! The client against a real QEMU.

use std::time::Duration;

use gpve_qmp::protocol::client::{Options, QmpClient};
use gpve_qmp::protocol::error::{ErrorClass, QmpError};
use gpve_qmp::protocol::link::Link;
use gpve_qmp::protocol::schema::Schema;
use qapi::qmp;
use serde_json::json;

use crate::real::{RealQemu, qemu_or_skip};

const LONG: Duration = Duration::from_secs(60);

/// Connects once the socket is there.
async fn client(qemu: &RealQemu) -> QmpClient {
    Link::supervise(qemu.socket("qmp"), Options::default()).client(LONG).await.expect("QEMU answers")
}

#[tokio::test]
async fn a_real_qemu_negotiates_out_of_band_and_answers_typed_commands() {
    let Some(binary) = qemu_or_skip("a_real_qemu_negotiates_out_of_band_and_answers_typed_commands") else { return };
    let qemu = RealQemu::start(&binary, &["qmp"], &[]);
    let client = client(&qemu).await;
    assert!(client.has_out_of_band());
    assert!(client.greeting().version.qemu.major >= 5);
    let status = client.execute(&qmp::query_status {}).await.unwrap();
    assert!(!status.running);
    let mut events = client.subscribe();
    client.execute(&qmp::cont {}).await.unwrap();
    assert!(events.wait_for("RESUME").await.unwrap().typed::<qmp::RESUME>().unwrap().is_some());
    let (cpus, block) = tokio::join!(client.execute(&qmp::query_cpus_fast {}), client.execute(&qmp::query_block {}));
    assert_eq!((cpus.unwrap().len(), block.unwrap().len()), (1, 0));
}

#[tokio::test]
async fn a_real_qemu_survives_our_deadlines_and_unknown_commands() {
    let Some(binary) = qemu_or_skip("a_real_qemu_survives_our_deadlines_and_unknown_commands") else { return };
    let qemu = RealQemu::start(&binary, &["qmp"], &[]);
    let client = client(&qemu).await;
    let unknown = client.raw("no-such-command", &json!({})).send().await.unwrap_err();
    assert_eq!(unknown.class(), Some(&ErrorClass::CommandNotFound));
    for _ in 0..20 {
        let hurried = client.request(&qmp::query_qmp_schema {}).timeout(Duration::ZERO).send().await;
        assert!(matches!(hurried, Err(QmpError::Timeout { .. })));
    }
    client.execute(&qmp::query_status {}).await.unwrap();
    let urgent = client.raw("x-query-nothing", &json!({})).out_of_band().send().await.unwrap_err();
    assert_eq!(urgent.class(), Some(&ErrorClass::CommandNotFound));
}

#[tokio::test]
async fn a_real_schema_answers_what_this_qemu_can_do() {
    let Some(binary) = qemu_or_skip("a_real_schema_answers_what_this_qemu_can_do") else { return };
    let qemu = RealQemu::start(&binary, &["qmp"], &[]);
    let schema = Schema::query(&client(&qemu).await).await.unwrap();
    assert!(schema.has_command("blockdev-add") && schema.has_event("SHUTDOWN"));
    assert!(schema.enum_has_value("blockdev-add", "driver", "qcow2"));
    assert!(schema.command_has_arg("blockdev-add", "file/cache/direct"));
    assert!(schema.command_has_arg("netdev_add", "fd"));
    assert!(!schema.command_has_arg("blockdev-add", "no-such-argument"));
    assert!(schema.command_allows_out_of_band("yank"));
}

#[tokio::test]
async fn a_real_qemu_takes_a_descriptor() {
    let Some(binary) = qemu_or_skip("a_real_qemu_takes_a_descriptor") else { return };
    let qemu = RealQemu::start(&binary, &["qmp"], &[]);
    let client = client(&qemu).await;
    let file = tempfile::tempfile().unwrap();
    file.set_len(1 << 20).unwrap();
    let arguments = json!({"fdset-id": 7});
    client.raw("add-fd", &arguments).descriptor(file.into()).send().await.unwrap();
    let disk = json!({"driver": "raw", "node-name": "disk", "file": {"driver": "file", "filename": "/dev/fdset/7"}});
    client.raw("blockdev-add", &disk).send().await.unwrap();
}

#[tokio::test]
async fn a_real_qemu_that_quits_is_an_end_of_the_connection() {
    let Some(binary) = qemu_or_skip("a_real_qemu_that_quits_is_an_end_of_the_connection") else { return };
    let qemu = RealQemu::start(&binary, &["qmp"], &[]);
    let client = client(&qemu).await;
    let mut events = client.subscribe();
    client.execute(&qmp::quit {}).await.unwrap();
    let shutdown = events.wait_for("SHUTDOWN").await.unwrap().typed::<qmp::SHUTDOWN>().unwrap().unwrap();
    assert!(!shutdown.guest);
    tokio::time::timeout(LONG, client.closed()).await.unwrap();
}
