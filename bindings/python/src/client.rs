//! A server.

use std::path::PathBuf;

use gpve::client::{self, Endpoint, Session, Trust};
use gpve::{Error, ErrorKind};
use pyo3::prelude::*;

use crate::errors::raise;
use crate::faces;
use crate::machines::VirtualMachines;
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
