//! Lists and their pages.

use std::fmt;
use std::str::FromStr;

use gpve_core::types::Vmid;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::API_VERSION;

/// A list. Watch after its `resourceVersion` to miss nothing.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct List<T> {
    /// `gpve.io/v1`
    pub api_version: String,
    /// Such as `VirtualMachineList`.
    pub kind: String,
    /// About the list.
    pub metadata: ListMeta,
    /// The objects.
    pub items: Vec<T>,
}

/// About a list.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ListMeta {
    /// State that the list shows.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub resource_version: String,
    /// Give it back to get the next page; absent on the last one.
    #[serde(default, rename = "continue", skip_serializing_if = "Option::is_none")]
    pub continue_: Option<String>,
}

impl<T> List<T> {
    /// A whole list of objects of `kind`.
    pub fn new(kind: &str, resource_version: impl fmt::Display, items: Vec<T>) -> Self {
        let metadata = ListMeta { resource_version: resource_version.to_string(), continue_: None };
        Self { api_version: API_VERSION.to_owned(), kind: format!("{kind}List"), metadata, items }
    }

    /// Cuts the list, which is sorted by number, to a page of at most `limit` objects after `from`.
    #[must_use]
    pub fn page(mut self, from: Option<Continue>, limit: usize, number: impl Fn(&T) -> Vmid) -> Self {
        if let Some(Continue(last)) = from {
            self.items.retain(|item| number(item) > last);
        }
        if self.items.len() > limit {
            self.items.truncate(limit);
            self.metadata.continue_ = self.items.last().map(|item| Continue(number(item)).to_string());
        }
        self
    }
}

/// Where a page ended. Objects that come and go in between are shown as they are when their page is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Continue(pub Vmid);

/// The text of a `continue` parameter was not one that a list gave.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("'{0}' is no value that a list gave as metadata.continue")]
pub struct ContinueError(String);

impl fmt::Display for Continue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "after-{}", self.0)
    }
}

impl FromStr for Continue {
    type Err = ContinueError;

    fn from_str(s: &str) -> Result<Self, Self::Err> {
        let vmid = s.strip_prefix("after-").and_then(|n| n.parse().ok());
        vmid.map(Self).ok_or_else(|| ContinueError(s.chars().take(64).collect()))
    }
}
