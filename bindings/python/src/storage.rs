//! Volumes of a storage.

use gpve::client;
use gpve::v1::VolumeRequest;
use pyo3::prelude::*;

use crate::job::Job;
use crate::json::{Document, parse};
use crate::work::Work;
use crate::{faces, json};

/// One storage's volumes: those of guests, those that no guest uses yet, and images.
///
/// Changes wait until they are carried out, unless `wait=False`; their `Job` is given back.
#[pyclass(module = "gpve", frozen)]
pub(crate) struct Storage {
    storage: client::Storage,
    name: String,
}

impl Storage {
    pub(crate) fn new(client: &client::Client, name: String, node: Option<String>) -> Self {
        let storage = client.storage(name.as_str());
        Self { storage: node.into_iter().fold(storage, client::Storage::on), name }
    }
}

faces! {
    impl Storage {
        both {
            /// Its volumes by name as dicts, read now; only those of a guest, if its number is given.
            #[pyo3(signature = (vmid=None))]
            fn volumes / volumes_sync(&self, vmid: Option<u32>) {
                let (storage, of) = (self.storage.clone(), vmid.map(|vmid| parse("vmid", &vmid.to_string())).transpose()?);
                Ok(Work::new(async move { Ok(Document(storage.volumes(of).await?)) }))
            }

            /// Makes an empty volume for the guest of number `vmid`, which need not exist: of that `name` on the storage, or the first free
            /// one, which the task's log tells.
            #[pyo3(signature = (vmid, size, *, name=None, format=None, wait=true, progress=None))]
            fn create_volume / create_volume_sync(
                &self, vmid: u32, size: String, name: Option<String>, format: Option<String>, wait: bool, progress: Option<Py<PyAny>>,
            ) {
                let given = serde_json::json!({ "vmid": vmid, "size": size, "name": name, "format": format });
                let (storage, wanted) = (self.storage.clone(), json::request::<VolumeRequest>(given)?);
                Ok(Work::telling(progress, move |tell| async move { Job::of(storage.create_volume(&wanted).await?, wait, &tell).await }))
            }

            /// Deletes a volume, by its id or its name on the storage, that no guest uses.
            #[pyo3(signature = (volume, *, wait=true, progress=None))]
            fn delete_volume / delete_volume_sync(&self, volume: String, wait: bool, progress: Option<Py<PyAny>>) {
                let storage = self.storage.clone();
                Ok(Work::telling(progress, move |tell| async move { Job::of(storage.delete_volume(&volume).await?, wait, &tell).await }))
            }
        }
        plain {
            #[getter]
            fn name(&self) -> &str {
                &self.name
            }

            fn __repr__(&self) -> String {
                format!("<gpve.Storage {}>", self.name)
            }
        }
    }
}
