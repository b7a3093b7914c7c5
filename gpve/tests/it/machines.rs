use gpve::ErrorKind;
use gpve::v1::SnapshotRequest;
use gpve_core::control::{AllocateVolume, Answer, Call};
use gpve_core::ports::{ContentRequest, VolumeFilter};
use gpve_core::types::ByteSize;

use crate::life::{self, PATIENCE, bootable, small};
use crate::support::Place;

#[tokio::test]
async fn a_machine_lives_its_whole_life_in_the_process() {
    let place = Place::simulated().await;
    life::whole(&place.local.client().virtual_machines("default")).await;
    place.local.close().await;
}

#[tokio::test]
async fn what_is_applied_twice_is_changed_once_in_the_process() {
    let place = Place::simulated().await;
    life::applying(&place.local.client().virtual_machines("default")).await;
    place.local.close().await;
}

#[tokio::test]
async fn refusals_name_kind_and_field_in_the_process() {
    let place = Place::simulated().await;
    life::refusals(&place.local.client().virtual_machines("default")).await;
    let nobody = place.local.client().login("root@pam", "secret".into()).await.unwrap_err();
    assert_eq!(nobody.kind, ErrorKind::Unsupported);
    place.local.close().await;
}

#[tokio::test]
async fn changes_and_progress_are_told_in_the_process() {
    let place = Place::simulated().await;
    life::watching(&place.local.client().virtual_machines("default")).await;
    place.local.close().await;
}

#[tokio::test]
async fn state_survives_and_a_closed_place_can_be_opened_again() {
    let place = Place::simulated().await;
    let machines = place.local.client().virtual_machines("default");
    machines.create(&small("web")).await.unwrap().job.await.unwrap();
    let place = place.reopened(true).await;
    assert!(machines.start("web").await.is_err(), "the client of the closed one is of no use any more");
    assert_eq!(place.local.client().virtual_machines("default").list(None).await.unwrap().items.len(), 1);
    place.local.close().await;
}

#[tokio::test]
async fn what_the_native_api_lacks_the_control_plane_has_in_the_process() {
    let place = Place::simulated().await;
    let (machines, plane) = (place.local.client().virtual_machines("default"), place.local.plane());
    let (call, node) = (Call::by("root@pam".parse().unwrap()), "localhost".parse().unwrap());
    let ended = async |answer: gpve::Result<Answer>| {
        let task = plane.wait(&answer.unwrap().accepted().unwrap().upid).await.unwrap();
        gpve_core::control::outcome(&task).unwrap();
    };
    let vm = machines.create(&bootable("web", "/nowhere".as_ref())).await.unwrap();
    vm.job.await.unwrap();
    let vmid = vm.machine.status.vmid;
    let snapshot = SnapshotRequest { name: "before".parse().unwrap(), description: String::new(), memory: false };
    machines.snapshot("web", &snapshot).await.unwrap().await.unwrap();
    ended(plane.describe_snapshot(&call, vmid, snapshot.name.clone(), "the first".to_owned()).await).await;
    assert_eq!(machines.snapshots("web").await.unwrap()[0].description, "the first");
    machines.delete_snapshot("web", "before").await.unwrap().await.unwrap();
    let free = AllocateVolume { storage: "local".parse().unwrap(), name: None, format: None, size: ByteSize::from_gib(1) };
    ended(plane.allocate_volume(&call, &node, vmid, free.clone()).await).await;
    let all = ContentRequest { storage: free.storage.clone(), filter: VolumeFilter::default(), name: None };
    let in_use = machines.get("web").await.unwrap().spec.vm.disks.values().find_map(|disk| disk.volume().cloned());
    let volumes = plane.content(&node, &all).await.unwrap();
    let spare = volumes.iter().map(|v| v.volume.id.clone()).find(|id| Some(id) != in_use.as_ref()).expect("it was made");
    ended(plane.destroy_volume(&call, &node, vmid, spare.clone()).await).await;
    assert!(plane.content(&node, &all).await.unwrap().iter().all(|v| v.volume.id != spare));
    ended(plane.template(&call, vmid, None).await).await;
    assert!(machines.get("web").await.unwrap().spec.vm.template);
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

#[tokio::test]
async fn what_was_closed_tells_nothing_that_may_be_so_no_more() {
    let place = Place::simulated().await;
    let machines = place.local.client().virtual_machines("default");
    machines.create(&small("web")).await.unwrap().job.await.unwrap();
    place.local.close().await;
    assert_eq!(machines.get("web").await.unwrap_err().kind, ErrorKind::FailedPrecondition);
    assert_eq!(machines.start("web").await.unwrap_err().kind, ErrorKind::FailedPrecondition);
}
