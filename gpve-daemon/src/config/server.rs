//! `ServerConfiguration` of design document 002.

use std::path::PathBuf;

use serde::Deserialize;
use serde_json::Value as Json;

use super::cluster::{Logging, Metrics};
use super::load::section;
use super::{Settings, socket};

/// The file, as written.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[allow(missing_docs, reason = "each is a key of the file")]
pub struct ServerConfiguration {
    pub api_version: String,
    pub kind: String,
    #[serde(default, deserialize_with = "section")]
    pub server: Server,
    #[serde(default, deserialize_with = "section")]
    pub cluster: Cluster,
    #[serde(default)]
    pub scheduler: Option<Json>,
    #[serde(default)]
    pub storage: Option<Storage>,
    #[serde(default, deserialize_with = "section")]
    pub logging: Logging,
    #[serde(default)]
    pub metrics: Option<Metrics>,
}

/// `server`
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
#[allow(missing_docs, reason = "each is a key of the file")]
pub struct Server {
    pub address: Option<String>,
    pub port: Option<u16>,
    pub tls_cert_file: Option<PathBuf>,
    pub tls_key_file: Option<PathBuf>,
}

/// `cluster`
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
#[allow(missing_docs, reason = "each is a key of the file")]
pub struct Cluster {
    pub name: Option<String>,
    pub etcd: Option<Json>,
}

/// `storage`
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
#[allow(missing_docs, reason = "each is a key of the file")]
pub struct Storage {
    pub defaults: Option<Json>,
}

impl ServerConfiguration {
    /// What it says, checked.
    ///
    /// # Errors
    /// Names the key, the value and what is allowed.
    pub fn settle(self) -> Result<Settings, String> {
        if self.api_version != gpve_api::v1::API_VERSION {
            return Err(format!("apiVersion: '{}' is not {}", self.api_version, gpve_api::v1::API_VERSION));
        }
        let mut settings = Settings { cluster: self.cluster.name, ..Settings::default() };
        let Server { address, port, tls_cert_file, tls_key_file } = self.server;
        if address.is_some() || port.is_some() {
            let address = address.unwrap_or_else(|| "0.0.0.0".to_owned());
            let whole = if address.contains(':') { format!("[{address}]") } else { address };
            settings.listen = vec![socket(&format!("{whole}:{}", port.unwrap_or(8443))).map_err(|e| format!("server.address: {e}"))?];
        }
        settings.tls = match (tls_cert_file, tls_key_file) {
            (Some(certificate), Some(key)) => Some((certificate, key)),
            (None, None) => None,
            _ => return Err("server: tlsCertFile and tlsKeyFile go together".to_owned()),
        };
        let defaults = self.storage.is_some_and(|s| s.defaults.is_some());
        let unused =
            [("cluster.etcd", self.cluster.etcd.is_some()), ("scheduler", self.scheduler.is_some()), ("storage.defaults", defaults)];
        settings.without_effect = unused.into_iter().filter(|(_, given)| *given).map(|(key, _)| key).collect();
        self.logging.settle(&mut settings)?;
        self.metrics.map_or(Ok(()), |m| m.settle(&mut settings))?;
        Ok(settings)
    }
}
