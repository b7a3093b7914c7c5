//! `gpve.yaml` of design document 000.

use std::path::PathBuf;

use serde::Deserialize;
use serde_json::Value as Json;

use super::load::section;
use super::{DirSetting, Settings, socket};

/// The file, as written.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[allow(missing_docs, reason = "each is a key of the file")]
pub struct GpveConfiguration {
    #[serde(deserialize_with = "section")]
    pub cluster: Cluster,
    #[serde(deserialize_with = "section")]
    pub api: Api,
    pub etcd: Option<Json>,
    #[serde(deserialize_with = "section")]
    pub storage: Vec<Storage>,
    pub network: Option<Json>,
    pub ha: Option<Json>,
    #[serde(deserialize_with = "section")]
    pub logging: Logging,
    pub metrics: Option<Metrics>,
}

/// `cluster`
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[allow(missing_docs, reason = "each is a key of the file")]
pub struct Cluster {
    pub name: Option<String>,
    pub node_name: Option<String>,
}

/// `api`
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[allow(missing_docs, reason = "each is a key of the file")]
pub struct Api {
    pub listen: Option<OneOrMany>,
    pub tls: Option<Tls>,
    pub cors: Option<Json>,
}

/// One text or a list of them.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(untagged)]
#[allow(missing_docs, reason = "named by what they hold")]
pub enum OneOrMany {
    One(String),
    Many(Vec<String>),
}

/// `api.tls`
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(missing_docs, reason = "each is a key of the file")]
pub struct Tls {
    pub cert_file: PathBuf,
    pub key_file: PathBuf,
}

/// An entry of `storage`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(missing_docs, reason = "each is a key of the file")]
pub struct Storage {
    pub name: String,
    #[serde(rename = "type")]
    pub kind: String,
    pub path: Option<PathBuf>,
    #[serde(default, deserialize_with = "section")]
    pub content: Vec<String>,
    pub vg_name: Option<String>,
    pub pool: Option<String>,
}

/// `logging`
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[allow(missing_docs, reason = "each is a key of the file")]
pub struct Logging {
    pub level: Option<String>,
    pub format: Option<String>,
    pub output: Option<PathBuf>,
}

/// `metrics`
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[allow(missing_docs, reason = "each is a key of the file")]
pub struct Metrics {
    pub enabled: bool,
    #[serde(alias = "address")]
    pub listen: Option<String>,
    pub path: Option<String>,
}

impl Logging {
    /// Level and file, checked.
    pub(super) fn settle(self, settings: &mut Settings) -> Result<(), String> {
        if let Some(level) = self.level {
            let level = level.to_ascii_lowercase();
            if !["error", "warn", "info", "debug"].contains(&level.as_str()) {
                return Err(format!("logging.level: '{level}' is not error, warn, info or debug"));
            }
            settings.log_level = Some(level);
        }
        if self.format.as_deref().is_some_and(|f| f != "json") {
            return Err("logging.format: only 'json'".to_owned());
        }
        settings.log_file = self.output;
        Ok(())
    }
}

impl Metrics {
    pub(super) fn settle(self, settings: &mut Settings) -> Result<(), String> {
        if self.path.as_deref().is_some_and(|p| p != "/metrics") {
            return Err("metrics.path: only '/metrics'".to_owned());
        }
        settings.metrics_off = !self.enabled;
        if self.enabled {
            settings.metrics = Some(socket(self.listen.as_deref().unwrap_or(":9090")).map_err(|e| format!("metrics.listen: {e}"))?);
        }
        Ok(())
    }
}

impl GpveConfiguration {
    /// What it says, checked.
    ///
    /// # Errors
    /// Names the key, the value and what is allowed.
    pub fn settle(self) -> Result<Settings, String> {
        let mut settings = Settings { cluster: self.cluster.name, node: self.cluster.node_name, ..Settings::default() };
        let listen = match self.api.listen {
            None => Vec::new(),
            Some(OneOrMany::One(one)) => vec![one],
            Some(OneOrMany::Many(many)) => many,
        };
        settings.listen = listen.iter().map(|l| socket(l).map_err(|e| format!("api.listen: {e}"))).collect::<Result<_, _>>()?;
        settings.tls = self.api.tls.map(|t| (t.cert_file, t.key_file));
        for storage in self.storage {
            settings.storages.push(dir(storage)?);
        }
        let unused = [
            ("api.cors", self.api.cors.is_some()),
            ("etcd", self.etcd.is_some()),
            ("network", self.network.is_some()),
            ("ha", self.ha.is_some()),
        ];
        settings.without_effect = unused.into_iter().filter(|(_, given)| *given).map(|(key, _)| key).collect();
        self.logging.settle(&mut settings)?;
        self.metrics.map_or(Ok(()), |m| m.settle(&mut settings))?;
        Ok(settings)
    }
}

fn dir(storage: Storage) -> Result<DirSetting, String> {
    let name = storage.name;
    if storage.kind != "dir" {
        return Err(format!("storage '{name}': type '{}' is not possible in this version: dir", storage.kind));
    }
    let path = storage.path.ok_or_else(|| format!("storage '{name}': path is missing"))?;
    Ok(DirSetting { name, path, content: storage.content })
}
