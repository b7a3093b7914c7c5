//! `AgentConfiguration` of design document 002.

use std::path::PathBuf;

use serde::Deserialize;
use serde_json::Value as Json;

use super::cluster::Logging;
use super::load::section;
use super::{DirSetting, Settings};

/// The file, as written.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[allow(missing_docs, reason = "each is a key of the file")]
pub struct AgentConfiguration {
    pub api_version: String,
    pub kind: String,
    pub agent: Agent,
    #[serde(default)]
    pub server: Option<Server>,
    #[serde(default)]
    pub qemu: Option<Json>,
    #[serde(default, deserialize_with = "section")]
    pub storage: Storage,
    #[serde(default)]
    pub network: Option<Json>,
    #[serde(default)]
    pub resources: Option<Json>,
    #[serde(default, deserialize_with = "section")]
    pub logging: Logging,
}

/// `agent`
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[allow(missing_docs, reason = "each is a key of the file")]
pub struct Agent {
    pub node_name: String,
    pub address: Option<String>,
    pub port: Option<u16>,
}

/// `server`
#[derive(Clone, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[allow(missing_docs, reason = "each is a key of the file")]
pub struct Server {
    pub endpoint: String,
    pub token: Option<String>,
    pub ca_file: Option<PathBuf>,
}

impl std::fmt::Debug for Server {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Server").field("endpoint", &self.endpoint).finish_non_exhaustive()
    }
}

/// `storage`
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[allow(missing_docs, reason = "each is a key of the file")]
pub struct Storage {
    #[serde(deserialize_with = "section")]
    pub plugins: Vec<Plugin>,
}

/// An entry of `storage.plugins`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(missing_docs, reason = "each is a key of the file")]
pub struct Plugin {
    pub name: String,
    #[serde(rename = "type")]
    pub kind: String,
    #[serde(default, deserialize_with = "section")]
    pub config: PluginConfig,
}

/// `config` of a plugin.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
#[allow(missing_docs, reason = "each is a key of the file")]
pub struct PluginConfig {
    pub path: Option<PathBuf>,
    pub pool: Option<String>,
    pub mountpoint: Option<PathBuf>,
    pub vg_name: Option<String>,
    pub thin_pool: Option<String>,
    #[serde(deserialize_with = "section")]
    pub content: Vec<String>,
}

/// What an agent is told by its file.
#[derive(Debug, Clone, PartialEq)]
pub struct AgentSettings {
    /// Node name, storages and logs.
    pub settings: Settings,
    /// The server that it shall join.
    pub server: Option<String>,
}

impl AgentConfiguration {
    /// What it says, checked.
    ///
    /// # Errors
    /// Names the key, the value and what is allowed.
    pub fn settle(self) -> Result<AgentSettings, String> {
        if self.api_version != gpve_api::v1::API_VERSION {
            return Err(format!("apiVersion: '{}' is not {}", self.api_version, gpve_api::v1::API_VERSION));
        }
        let mut settings = Settings { node: Some(self.agent.node_name), ..Settings::default() };
        for plugin in self.storage.plugins {
            if plugin.kind != "dir" {
                return Err(format!("storage '{}': type '{}' is not possible in this version: dir", plugin.name, plugin.kind));
            }
            let path = plugin.config.path.ok_or_else(|| format!("storage '{}': config.path is missing", plugin.name))?;
            settings.storages.push(DirSetting { name: plugin.name, path, content: plugin.config.content });
        }
        let unused = [("qemu", self.qemu.is_some()), ("network", self.network.is_some()), ("resources", self.resources.is_some())];
        settings.without_effect = unused.into_iter().filter(|(_, given)| *given).map(|(key, _)| key).collect();
        self.logging.settle(&mut settings)?;
        Ok(AgentSettings { settings, server: self.server.map(|s| s.endpoint) })
    }
}
