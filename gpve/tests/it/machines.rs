use gpve::ErrorKind;

use crate::life::{self, bootable, small};
use crate::support::{Place, Screen};

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
async fn a_spare_volume_is_made_listed_and_deleted_in_the_process() {
    let place = Place::simulated().await;
    life::volumes(&place.local.client()).await;
    life::volumes_of_nobody(&place.local.client()).await;
    place.local.close().await;
}

#[tokio::test]
async fn a_plan_does_nothing_in_the_process() {
    let place = Place::simulated().await;
    life::planning(&place.local.client().virtual_machines("default")).await;
    place.local.close().await;
}

#[tokio::test]
async fn machines_of_every_namespace_are_told_of_in_the_process() {
    let place = Place::simulated().await;
    life::everywhere(&place.local.client()).await;
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
async fn a_real_machine_boots_outlives_the_process_that_made_it_and_goes_without_a_trace() {
    let test = "a_real_machine_boots_outlives_the_process_that_made_it_and_goes_without_a_trace";
    let Some((place, guest)) = Place::real(test).await else { return };
    let machines = place.local.client().virtual_machines("default");
    machines.create(&bootable("web", &guest)).await.unwrap().job.await.unwrap();
    machines.start("web").await.unwrap().await.unwrap();
    let mut console = Screen::of(&machines, "web").await;
    console.sees("gpve-guest up").await;
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

/// A machine that reads the first word of its second disk, which is a file of the host that only root may enter.
#[tokio::test]
async fn a_disk_of_the_host_is_in_the_guest_that_an_administrator_gave_it_to() {
    let test = "a_disk_of_the_host_is_in_the_guest_that_an_administrator_gave_it_to";
    let Some((place, guest)) = Place::real(test).await else { return };
    let private = tempfile::tempdir().unwrap();
    let file = private.path().join("disk.raw");
    let mut bytes = vec![0u8; 1 << 20];
    bytes[..12].copy_from_slice(b"of the host\n");
    std::fs::write(&file, bytes).unwrap();
    let mut machine = bootable("web", &guest);
    let disks = machine["spec"]["disks"].as_array_mut().unwrap();
    disks.push(serde_json::json!({ "name": "virtio1", "source": { "host": file } }));
    let machines = place.local.client().virtual_machines("default");
    machines.create(&machine).await.unwrap().job.await.unwrap();
    machines.start("web").await.unwrap().await.unwrap();
    let mut console = Screen::of(&machines, "web").await;
    console.sees("gpve-guest up").await;
    console.types("stty -echo; head -n 1 /dev/vda; echo new >/dev/vda; sync; echo written-$((6 * 7))").await;
    console.sees("of the host").await;
    console.sees("written-42").await;
    machines.delete("web", true).await.unwrap().await.unwrap();
    assert!(std::fs::read(&file).unwrap().starts_with(b"new\nhe host\n"), "the guest wrote to it, and it outlives the guest");
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
