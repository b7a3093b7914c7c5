//! The client against a server: what holds in the process holds here.

use gpve_api::client::Client;
use gpve_core::error::ErrorKind;

use crate::machines as life;
use crate::support::{Daemon, PASSWORD};

async fn client(daemon: &Daemon) -> Client {
    let client = daemon.client();
    client.login("root@pam", gpve_auth::Secret::new(PASSWORD.to_owned())).await.unwrap();
    client
}

#[tokio::test]
async fn a_machine_lives_its_whole_life_on_a_server() {
    let daemon = Daemon::start();
    life::whole(&client(&daemon).await.virtual_machines("default")).await;
}

#[tokio::test]
async fn what_is_applied_twice_is_changed_once_on_a_server() {
    let daemon = Daemon::start();
    life::applying(&client(&daemon).await.virtual_machines("default")).await;
}

#[tokio::test]
async fn refusals_name_kind_and_field_on_a_server() {
    let daemon = Daemon::start();
    life::refusals(&client(&daemon).await.virtual_machines("default")).await;
}

#[tokio::test]
async fn changes_and_progress_are_told_by_a_server() {
    let daemon = Daemon::start();
    life::watching(&client(&daemon).await.virtual_machines("default")).await;
}

#[tokio::test]
async fn a_spare_volume_is_made_listed_and_deleted_on_a_server() {
    let daemon = Daemon::start();
    life::volumes(&client(&daemon).await).await;
    life::volumes_of_nobody(&client(&daemon).await).await;
}

#[tokio::test]
async fn a_plan_does_nothing_on_a_server() {
    let daemon = Daemon::start();
    life::planning(&client(&daemon).await.virtual_machines("default")).await;
}

#[tokio::test]
async fn machines_of_every_namespace_are_told_of_by_a_server() {
    let daemon = Daemon::start();
    life::everywhere(&client(&daemon).await).await;
}

#[tokio::test]
async fn a_token_is_enough_and_a_wrong_one_is_told() {
    let daemon = Daemon::start();
    let made = client(&daemon).await;
    let request = gpve_api::client::Request::to(gpve_api::routes::Operation::TokenCreate);
    let token = made.send(request.path("userid", "root@pam").path("tokenid", "ci").param("privsep", 0)).await.unwrap();
    let text = format!("{}={}", token["full-tokenid"].as_str().unwrap(), token["value"].as_str().unwrap());
    let by = |text: String| daemon.client().with_session(gpve_api::client::Session::Token(gpve_auth::Secret::new(text))).unwrap();
    assert!(by(text.clone()).virtual_machines("default").list(None).await.unwrap().items.is_empty());
    let refused = by(format!("{text}x")).virtual_machines("default").list(None).await.unwrap_err();
    assert_eq!(refused.kind, ErrorKind::Unauthenticated);
    assert_eq!(Client::new("no url", &text).unwrap_err().kind, ErrorKind::InvalidInput);
}
