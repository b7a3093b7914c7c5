//! The plugin keeps the promises of gpve's storage port.

use std::fs;

use gpve_core::testing::conformance::{self, RawFiles, StorageFixture};
use out_of_tree_storage::FlatStorage;

#[tokio::test]
async fn the_plugin_keeps_the_promises_of_the_storage_port() {
    let directory = tempfile::tempdir().unwrap();
    let storage = FlatStorage::new("flat".parse().unwrap(), directory.path());
    conformance::storage(&storage, StorageFixture::new(RawFiles)).await;
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0, "the suite leaves nothing");
}
