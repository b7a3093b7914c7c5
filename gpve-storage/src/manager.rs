//! The storages of a node.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};

use futures::StreamExt as _;
use gpve_core::error::{Error, ErrorKind, Result};
use gpve_core::ports::{ContentKind, CreateVolume, Ensured, OpCx, Removed, StoragePlugin, StorageStatus, Volume};
use gpve_core::types::{StorageId, VolumeId};

/// How many storages one node has at most; PVE's largest known clusters have dozens.
pub const STORAGES_MAX: usize = 1024;
/// How many storages are asked for their space at a time: one that hangs must not hold up the others.
const STATUS_AT_ONCE: usize = 16;

/// All storages by name. Thread-safe; share it behind an [`Arc`].
#[derive(Default)]
pub struct Manager {
    storages: RwLock<BTreeMap<StorageId, Arc<dyn StoragePlugin>>>,
}

impl Manager {
    /// No storages.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a storage.
    ///
    /// # Errors
    /// [`ErrorKind::AlreadyExists`] for a name in use; [`ErrorKind::InvalidInput`] for content that storages of this kind
    /// cannot hold; [`ErrorKind::ResourceExhausted`] beyond [`STORAGES_MAX`].
    pub fn register(&self, storage: Arc<dyn StoragePlugin>) -> Result<()> {
        const OP: &str = "storage.register";
        let id = storage.id().clone();
        for content in &storage.capabilities().contents {
            if !can_hold(storage.kind(), *content) {
                let reason = format!("a {} storage cannot hold {content}", storage.kind());
                return Err(Error::field(OP, "content", reason).on(id));
            }
        }
        let mut storages = self.storages.write().unwrap_or_else(PoisonError::into_inner);
        if storages.len() >= STORAGES_MAX {
            return Err(Error::new(ErrorKind::ResourceExhausted, OP, format!("there are {STORAGES_MAX} storages already")).on(id));
        }
        if storages.contains_key(&id) {
            return Err(Error::already_exists(OP, format!("storage {id}")));
        }
        storages.insert(id, storage);
        Ok(())
    }

    /// Takes a storage out; what is on it stays. Operations that began go on.
    pub fn unregister(&self, id: &StorageId) -> Removed {
        match self.storages.write().unwrap_or_else(PoisonError::into_inner).remove(id) {
            Some(_) => Removed::Gone,
            None => Removed::WasAbsent,
        }
    }

    /// A storage by name.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`].
    pub fn get(&self, id: &StorageId) -> Result<Arc<dyn StoragePlugin>> {
        let found = self.storages.read().unwrap_or_else(PoisonError::into_inner).get(id).cloned();
        found.ok_or_else(|| Error::not_found("storage.get", format!("storage {id}")))
    }

    /// A storage by name, if it is configured for `content`.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`]; [`ErrorKind::InvalidInput`] naming what it is configured for.
    pub fn get_for(&self, id: &StorageId, content: ContentKind) -> Result<Arc<dyn StoragePlugin>> {
        let storage = self.get(id)?;
        let contents = &storage.capabilities().contents;
        if contents.contains(&content) {
            return Ok(storage);
        }
        let allowed = contents.iter().map(|content| content.as_str()).collect::<Vec<_>>().join(", ");
        let reason = format!("storage {id} does not hold {content}; it is configured for {allowed}");
        Err(Error::field("storage.get", "storage", reason).on(format!("storage {id}")))
    }

    /// All storages, by name.
    pub fn list(&self) -> Vec<Arc<dyn StoragePlugin>> {
        self.storages.read().unwrap_or_else(PoisonError::into_inner).values().cloned().collect()
    }

    /// Space of all storages, by name, asked at the same time.
    ///
    /// # Errors
    /// When `cx` ends first.
    pub async fn status(&self, cx: &OpCx) -> Result<Vec<(StorageId, StorageStatus)>> {
        let asked = futures::stream::iter(self.list())
            .map(|storage| async move { storage.status(cx).await.map(|status| (storage.id().clone(), status)) });
        asked.buffered(STATUS_AT_ONCE).collect::<Vec<_>>().await.into_iter().collect()
    }

    /// Makes a disk on a storage that holds images.
    ///
    /// # Errors
    /// Those of [`get_for`](Self::get_for) and [`StoragePlugin::create`].
    pub async fn create_volume(&self, cx: &OpCx, storage: &StorageId, request: &CreateVolume) -> Result<Ensured<Volume>> {
        self.get_for(storage, ContentKind::Images)?.create(cx, request).await
    }

    /// A volume by its id; `None` if it is not there.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] for the storage; those of [`StoragePlugin::get`].
    pub async fn volume(&self, cx: &OpCx, id: &VolumeId) -> Result<Option<Volume>> {
        self.get(id.storage())?.get(cx, id.name()).await
    }
}

impl std::fmt::Debug for Manager {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.list().iter().map(|storage| storage.id().clone())).finish()
    }
}

/// Whether a kind of storage can hold a content at all. Kinds that are not in the table are a third party's, who knows.
fn can_hold(kind: &str, content: ContentKind) -> bool {
    use ContentKind::{Images, Rootdir};
    match kind {
        "dir" | "nfs" | "cifs" | "btrfs" => true,
        "zfs" | "zfspool" | "lvm" | "lvmthin" | "rbd" => matches!(content, Images | Rootdir),
        "iscsi" => content == Images,
        "cephfs" => !matches!(content, Images | Rootdir),
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_of_storage_holds_what_it_can_and_nothing_else() {
        let holds = |kind| {
            let held: Vec<_> = ContentKind::ALL.into_iter().filter(|content| can_hold(kind, *content)).map(ContentKind::as_str).collect();
            held.join(" ")
        };
        assert_eq!(holds("dir"), "images iso backup snippets rootdir vztmpl import");
        assert_eq!(holds("nfs"), holds("dir"));
        for block in ["zfspool", "lvm", "lvmthin", "rbd"] {
            assert_eq!(holds(block), "images rootdir", "{block}");
        }
        assert_eq!(holds("iscsi"), "images");
        assert_eq!(holds("cephfs"), "iso backup snippets vztmpl import");
        assert_eq!(holds("somebody-elses"), holds("dir"));
    }
}
