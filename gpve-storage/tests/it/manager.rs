use std::collections::BTreeSet;
use std::sync::Arc;

use gpve_core::error::ErrorKind;
use gpve_core::ports::{ContentKind, CreateVolume, Removed};
use gpve_core::types::{DiskFormat, StorageId};
use gpve_storage::{DirConfig, Manager};

use crate::support::{Local, cx, name, size, vmid};

fn id(text: &str) -> StorageId {
    text.parse().unwrap()
}

#[tokio::test]
async fn storages_are_registered_found_listed_and_taken_out() {
    let local = Local::new();
    let manager = Manager::new();
    manager.register(Arc::new(local.storage.clone())).unwrap();
    let error = manager.register(Arc::new(local.storage.clone())).unwrap_err();
    assert_eq!(error.kind, ErrorKind::AlreadyExists);
    assert_eq!(manager.get(&id("local")).unwrap().kind(), "dir");
    assert_eq!(manager.list().iter().map(|s| s.id().to_string()).collect::<Vec<_>>(), ["local"]);
    let status = manager.status(&cx()).await.unwrap();
    assert!(status[0].0 == id("local") && status[0].1.active);
    assert_eq!((manager.unregister(&id("local")), manager.unregister(&id("local"))), (Removed::Gone, Removed::WasAbsent));
    assert_eq!(manager.get(&id("local")).err().unwrap().kind, ErrorKind::NotFound);
}

#[tokio::test]
async fn a_disk_on_a_storage_without_images_is_refused_with_what_it_holds() {
    let content = BTreeSet::from([ContentKind::Iso, ContentKind::Snippets]);
    let local = Local::with(|config| DirConfig { content, ..config });
    let manager = Manager::new();
    manager.register(Arc::new(local.storage.clone())).unwrap();
    let request = CreateVolume { name: name("100/vm-100-disk-0.raw"), owner: vmid(100), format: DiskFormat::Raw, size: size("1Mi") };
    let error = manager.create_volume(&cx(), &id("local"), &request).await.unwrap_err();
    assert_eq!(error.fields[0].reason, "storage local does not hold images; it is configured for iso, snippets");
    assert!(manager.get_for(&id("local"), ContentKind::Iso).is_ok());
}
