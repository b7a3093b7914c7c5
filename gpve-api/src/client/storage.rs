//! Volumes by storage.

use gpve_core::error::Error;
use gpve_core::types::Vmid;

use super::{Client, Job, Request};
use crate::routes::Operation;
use crate::v1::{List, VolumeRequest, VolumeView};

/// One storage's volumes: those of guests, those that no guest uses yet, and images. Changes go as those of
/// [`VirtualMachines`](super::VirtualMachines).
#[derive(Debug, Clone)]
pub struct Storage {
    client: Client,
    name: String,
    node: Option<String>,
}

impl Client {
    /// The storage of that name.
    pub fn storage(&self, name: impl Into<String>) -> Storage {
        Storage { client: self.clone(), name: name.into(), node: None }
    }
}

impl Storage {
    /// The one of `node`: needed where several nodes have a storage of that name of their own.
    #[must_use]
    pub fn on(mut self, node: impl Into<String>) -> Self {
        self.node = Some(node.into());
        self
    }

    fn request(&self, operation: Operation) -> Request {
        Request::to(operation).path("storage", &self.name).param_opt("node", self.node.as_deref())
    }

    /// Its volumes by name, read now; only those of a guest if its number is given.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`](gpve_core::error::ErrorKind::NotFound), and as [`Client::send`].
    pub async fn volumes(&self, of: Option<Vmid>) -> Result<Vec<VolumeView>, Error> {
        let list: List<VolumeView> = self.client.get(self.request(Operation::V1VolumeList).param_opt("vmid", of)).await?;
        Ok(list.items)
    }

    /// Makes an empty volume, which a disk's source can name.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`](gpve_core::error::ErrorKind::InvalidInput) naming fields, and as [`Client::send`].
    pub async fn create_volume(&self, volume: &VolumeRequest) -> Result<Job, Error> {
        self.client.begin(self.request(Operation::V1VolumeCreate).document(volume)).await
    }

    /// Deletes a volume, by its id or its name on the storage, that no guest uses.
    ///
    /// # Errors
    /// [`ErrorKind::FailedPrecondition`](gpve_core::error::ErrorKind::FailedPrecondition) naming the guest that uses it, and as
    /// [`Client::send`].
    pub async fn delete_volume(&self, volume: &str) -> Result<Job, Error> {
        self.client.begin(self.request(Operation::V1VolumeDelete).path("volume", volume)).await
    }
}
