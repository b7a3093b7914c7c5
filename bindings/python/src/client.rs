//! A server.

use std::path::PathBuf;

use gpve::client::{self, Endpoint, Session, Trust};
use gpve::{Error, ErrorKind};
use pyo3::prelude::*;

use crate::errors::raise;
use crate::faces;
use crate::job::Job;
use crate::machines::{VirtualMachines, listing};
use crate::storage::Storage;
use crate::watch::Watch;
use crate::work::Work;

/// A client of the server at `url` (`https://host:8006`), proving who it is by an API token (`user@realm!name=secret`) or `login`.
///
/// Trusted is who the system trusts, or only the authority in `ca_file` (PEM), or by `insecure` anyone.
#[pyclass(module = "gpve", frozen)]
pub(crate) struct Client {
    client: client::Client,
    url: String,
}

faces! {
    impl Client {
        both {
            /// Machines of all namespaces by number; of those labels only, if a selector is given (`app=web,tier!=test`).
            #[pyo3(signature = (selector=None))]
            fn list / list_sync(&self, selector: Option<String>) { Ok(listing(self.client.clone(), None, selector)) }

            /// Logs in with a password; good for two hours.
            fn login / login_sync(&self, user: String, password: String) {
                let client = self.client.clone();
                Ok(Work::new(async move { Ok(client.login(&user, password.as_str().into()).await.map(drop)?) }))
            }
        }
        plain {
            #[new]
            #[pyo3(signature = (url, token=None, *, ca_file=None, insecure=false))]
            fn new(url: &str, token: Option<&str>, ca_file: Option<PathBuf>, insecure: bool) -> PyResult<Self> {
                let trust = trust(ca_file, insecure).map_err(raise)?;
                let client = Endpoint::new(url).and_then(|endpoint| client::Client::connect(endpoint.trust(trust)));
                let session = token.map_or(Session::Anonymous, |token| Session::Token(token.into()));
                let client = client.and_then(|client| client.with_session(session)).map_err(raise)?;
                Ok(Self { client, url: url.to_owned() })
            }

            /// The virtual machines of a namespace.
            #[pyo3(signature = (namespace=String::from("default")))]
            fn virtual_machines(&self, namespace: String) -> VirtualMachines {
                VirtualMachines::new(&self.client, namespace)
            }

            /// Changes of machines of all namespaces after `resource_version`, which a list gave; without one, what there is comes first,
            /// each as `ADDED`.
            ///
            /// Iterate with `async for` or `for`.
            #[pyo3(signature = (selector=None, *, resource_version=None))]
            fn watch(&self, selector: Option<String>, resource_version: Option<String>) -> Watch {
                Watch::new(self.client.clone(), None, selector, resource_version)
            }

            /// The storage called `name`; the one of `node`, which is needed where several have one of that name.
            #[pyo3(signature = (name, *, node=None))]
            fn storage(&self, name: String, node: Option<String>) -> Storage {
                Storage::new(&self.client, name, node)
            }

            /// The task of that id, which an earlier `Job.id` gave: to wait for it again, in another process too.
            fn job(&self, id: String) -> Job {
                Job::new(self.client.job(id))
            }

            #[getter]
            fn url(&self) -> &str {
                &self.url
            }

            fn __repr__(&self) -> String {
                format!("<gpve.Client of {}>", self.url)
            }
        }
    }
}

fn trust(ca_file: Option<PathBuf>, insecure: bool) -> Result<Trust, Error> {
    match (ca_file, insecure) {
        (None, false) => Ok(Trust::System),
        (None, true) => Ok(Trust::Anyone),
        (Some(_), true) => Err(Error::field("client.new", "insecure", "says to trust anyone, where ca_file says whom to trust")),
        (Some(file), false) => {
            let refused = |e| Error::new(ErrorKind::InvalidInput, "client.new", format!("{}: {e}", file.display()));
            std::fs::read(&file).map(Trust::Authority).map_err(refused)
        }
    }
}
