use gpve::ErrorKind;
use gpve::client::Progress;
use gpve::v1::{CloneRequest, ResizeRequest, SnapshotRequest, WatchType};
use serde_json::json;

use crate::support::{PATIENCE, Place, bootable, small};

#[tokio::test]
async fn a_machine_lives_its_whole_life_in_the_process() {
    let place = Place::simulated().await;
    let machines = place.local.client().virtual_machines("default");
    let made = machines.create(&bootable("web", "/nowhere".as_ref())).await.unwrap();
    made.job.await.unwrap();
    machines.start("web").await.unwrap().await.unwrap();
    assert_eq!(machines.get("web").await.unwrap().status.phase.to_string(), "Running");
    machines.pause("web").await.unwrap().await.unwrap();
    machines.resume("web").await.unwrap().await.unwrap();
    machines.reset("web").await.unwrap().await.unwrap();
    let snapshot = SnapshotRequest { name: "before".parse().unwrap(), description: "so far".to_owned(), memory: false };
    machines.snapshot("web", &snapshot).await.unwrap().await.unwrap();
    assert_eq!(machines.snapshots("web").await.unwrap()[0].description, "so far");
    machines.resize("web", &ResizeRequest { disk: "scsi0".parse().unwrap(), size: "+64Mi".to_owned() }).await.unwrap().await.unwrap();
    machines.rollback("web", "before").await.unwrap().await.unwrap();
    machines.delete_snapshot("web", "before").await.unwrap().await.unwrap();
    let copy = CloneRequest { name: Some("copy".parse().unwrap()), full: Some(true), ..CloneRequest::default() };
    machines.clone_machine("web", &copy).await.unwrap().await.unwrap();
    assert_eq!(machines.list(None).await.unwrap().items.len(), 2);
    machines.start("web").await.unwrap().await.unwrap();
    machines.reboot("web", None).await.unwrap().await.unwrap();
    machines.shutdown("web", Some(5), true).await.unwrap().await.unwrap();
    machines.delete("web", false).await.unwrap().await.unwrap();
    assert_eq!(machines.get("web").await.unwrap_err().kind, ErrorKind::NotFound);
    place.local.close().await;
}

#[tokio::test]
async fn what_is_applied_twice_is_changed_once_and_dropped_fields_go() {
    let place = Place::simulated().await;
    let machines = place.local.client().virtual_machines("default");
    let manifest = json!({ "apiVersion": "gpve.io/v1", "kind": "VirtualMachine", "metadata": { "labels": { "app": "web" } },
        "spec": { "memory": { "size": "64Mi" }, "description": "first" } });
    machines.apply("web", &manifest, "ci", false).await.unwrap().job.await.unwrap();
    let again = machines.apply("web", &manifest, "ci", false).await.unwrap();
    assert_eq!(again.job.id(), None, "nothing was to do");
    assert_eq!(machines.list(Some("app=web")).await.unwrap().items.len(), 1);
    assert_eq!(machines.list(Some("app=db")).await.unwrap().items.len(), 0);
    place.local.close().await;
}

#[tokio::test]
async fn refusals_name_the_field_as_a_server_does() {
    let place = Place::simulated().await;
    let machines = place.local.client().virtual_machines("default");
    let refused = machines.create(&json!({ "metadata": { "name": "web" }, "spec": { "memory": { "size": "1Mi" } } })).await.unwrap_err();
    assert_eq!(refused.kind, ErrorKind::InvalidInput);
    assert!(refused.report().contains("memory"), "{}", refused.report());
    let refused = machines.resize("nobody", &ResizeRequest { disk: "scsi0".parse().unwrap(), size: "x".to_owned() }).await.unwrap_err();
    assert!(matches!(refused.kind, ErrorKind::InvalidInput | ErrorKind::NotFound), "{refused:?}");
    assert_eq!(machines.start("nobody").await.unwrap_err().kind, ErrorKind::NotFound);
    assert_eq!(place.local.client().login("root@pam", "secret".into()).await.unwrap_err().kind, ErrorKind::Unsupported);
    place.local.close().await;
}

#[tokio::test]
async fn changes_and_progress_are_told_and_state_survives() {
    let place = Place::simulated().await;
    let machines = place.local.client().virtual_machines("default");
    let listed = machines.list(None).await.unwrap();
    let mut changes = machines.watch(None, &listed.metadata.resource_version);
    machines.create(&small("web")).await.unwrap().job.await.unwrap();
    let first = tokio::time::timeout(PATIENCE, changes.next()).await.unwrap().unwrap();
    assert_eq!((first.kind, first.object.unwrap().metadata.name.as_str()), (WatchType::Added, "web"));
    let mut told = Vec::new();
    let job = machines.start("web").await.unwrap();
    job.wait(|progress| told.push(progress)).await.unwrap();
    assert!(
        matches!(&told[..], [.., Progress::Line(last)] if last.t == "TASK OK") || told.iter().any(|p| matches!(p, Progress::Step(_))),
        "{told:?}"
    );
    let waited = machines.wait_for("web", |vm| vm.status.phase.to_string() == "Running");
    tokio::time::timeout(PATIENCE, waited).await.unwrap().unwrap();
    let place = place.reopened(true).await;
    assert_eq!(place.local.client().virtual_machines("default").list(None).await.unwrap().items.len(), 1);
    place.local.close().await;
}

#[tokio::test]
async fn a_real_machine_boots_outlives_the_process_that_made_it_and_goes_without_a_trace() {
    let test = "a_real_machine_boots_outlives_the_process_that_made_it_and_goes_without_a_trace";
    let Some((place, guest)) = Place::real(test).await else { return };
    let machines = place.local.client().virtual_machines("default");
    machines.create(&bootable("web", &guest)).await.unwrap().job.await.unwrap();
    machines.start("web").await.unwrap().await.unwrap();
    let mut console = machines.console("web", 0).await.unwrap();
    let mut seen = String::new();
    while !seen.contains("gpve-guest up") {
        let bytes = tokio::time::timeout(PATIENCE, console.read()).await.expect("it boots").unwrap().expect("the console is open");
        seen += &String::from_utf8_lossy(&bytes);
    }
    drop(console);
    let started = machines.get("web").await.unwrap().status.start_time;
    let place = place.reopened(false).await;
    let machines = place.local.client().virtual_machines("default");
    let adopted = machines.get("web").await.unwrap();
    assert_eq!((adopted.status.phase.to_string().as_str(), adopted.status.start_time), ("Running", started));
    machines.delete("web", true).await.unwrap().await.unwrap();
    assert!(machines.list(None).await.unwrap().items.is_empty());
    place.local.close().await;
}
