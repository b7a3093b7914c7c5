//! The suite of the [`StoragePlugin`] port.

mod bytes;
mod facets;
mod volumes;

use crate::ports::{ContentKind, OpCx, StoragePlugin, VolumeAccess, VolumeFilter};
use crate::types::{ByteSize, Vmid};

pub use bytes::{RawFiles, VolumeBytes};

/// What the suite needs of whoever runs it.
pub struct StorageFixture {
    /// Reads and writes the bytes of attached volumes as a guest would.
    pub bytes: Box<dyn VolumeBytes>,
    /// Two guests that own nothing on the storage.
    pub owners: [Vmid; 2],
    /// Size of the disks that are made; at least 1 MiB and a multiple of what the storage rounds to.
    pub size: ByteSize,
    /// A raw image that the storage can import, and its bytes; without one, import is tried from volumes only.
    pub image: Option<(VolumeAccess, Vec<u8>)>,
}

impl StorageFixture {
    /// A fixture that makes disks of 4 MiB for guests 999000001 and 999000002.
    ///
    /// # Panics
    /// Never: the numbers are valid.
    pub fn new(bytes: impl VolumeBytes + 'static) -> Self {
        let owner = |n: u32| Vmid::try_from(999_000_000 + n).expect("a valid number");
        Self { bytes: Box::new(bytes), owners: [owner(1), owner(2)], size: ByteSize::from_mib(4), image: None }
    }
}

/// Proves that `plugin` keeps the promises of its port, in every format that it makes and with every facet that it has.
/// Leaves the storage as it was.
///
/// # Panics
/// With a sentence that says which promise was broken.
pub async fn storage(plugin: &dyn StoragePlugin, fixture: StorageFixture) {
    let suite = Suite { plugin, fixture: &fixture, cx: OpCx::background() };
    let before = suite.everything().await;
    suite.describes_itself().await;
    suite.missing_things_are_told_apart().await;
    if plugin.capabilities().contents.contains(&ContentKind::Images) {
        for format in plugin.capabilities().formats.clone() {
            suite.disks(format).await;
            suite.contents(format).await;
            suite.snapshots(format).await;
            suite.growing(format).await;
            suite.importing(format).await;
            suite.cloning(format).await;
            suite.cloud_init(format).await;
        }
        suite.foreign_formats_are_refused().await;
    }
    suite.uploading().await;
    assert_eq!(suite.everything().await, before, "the suite left something on the storage, or the storage did");
}

/// One run.
struct Suite<'a> {
    plugin: &'a dyn StoragePlugin,
    fixture: &'a StorageFixture,
    cx: OpCx,
}

impl Suite<'_> {
    /// Names and sizes of all volumes.
    async fn everything(&self) -> Vec<(String, ByteSize)> {
        let volumes = self.plugin.list(&self.cx, &VolumeFilter::default()).await.expect("a storage can be listed");
        volumes.into_iter().map(|v| (v.id.to_string(), v.size)).collect()
    }

    async fn describes_itself(&self) {
        let status = self.plugin.status(&self.cx).await.expect("a storage always tells its status");
        assert!(status.active, "the storage under test must answer");
        assert!(status.used <= status.total && status.available <= status.total, "used and available are parts of total: {status:?}");
        let capabilities = self.plugin.capabilities();
        let disks = capabilities.contents.contains(&ContentKind::Images);
        assert!(!disks || !capabilities.formats.is_empty(), "a storage of disks makes at least one format");
        assert!(!self.plugin.kind().is_empty(), "a storage has a type");
        let names: Vec<_> = self.everything().await;
        assert!(names.is_sorted(), "volumes are listed in name order: {names:?}");
    }
}
