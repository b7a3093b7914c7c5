use std::sync::{Arc, Mutex};

use gpve_core::testing::ManualClock;
use gpve_core::testing::conformance::{self, StoreFixture};
use gpve_store::MemStore;

use crate::fixture::Place;

#[tokio::test]
async fn the_memory_store_keeps_the_promises_of_the_port() {
    conformance::store(async || {
        let clock = ManualClock::default();
        StoreFixture { store: Arc::new(MemStore::new(Arc::new(clock.clone()))), clock: Some(clock) }
    })
    .await;
}

#[tokio::test]
async fn the_embedded_store_keeps_the_promises_of_the_port() {
    embedded().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn the_embedded_store_keeps_the_promises_of_the_port_on_many_threads() {
    embedded().await;
}

async fn embedded() {
    let places = Mutex::new(Vec::new());
    conformance::store(async || {
        let place = Place::new();
        let fixture = StoreFixture { store: Arc::new(place.open().await), clock: Some(place.clock.clone()) };
        places.lock().unwrap().push(place);
        fixture
    })
    .await;
}
