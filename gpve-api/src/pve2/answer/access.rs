//! Sessions and tokens.

use std::collections::BTreeMap;

use gpve_auth::{Authority, Identity, ObjectPath, Privilege, PrivilegeSet, TokenId, TokenRecord, UserId};
use serde::Serialize;
use serde_json::{Value as Json, json};

use crate::route::Params;

use super::flag;

/// Answer of a login. A check for privileges answers without ticket and CSRF token.
#[derive(Debug, Clone, Serialize)]
pub struct Session {
    /// The user.
    pub username: String,
    /// The ticket.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ticket: Option<String>,
    /// The CSRF token.
    #[serde(rename = "CSRFPreventionToken", skip_serializing_if = "Option::is_none")]
    pub csrf_token: Option<String>,
    /// Privileges by area; see [`capabilities`].
    pub cap: Json,
}

/// The user that a login names: `name@realm`, or a name beside the parameter `realm`. None is refused like a wrong password.
pub fn login_user(params: &Params) -> Option<UserId> {
    let username = params.text("username")?;
    match params.text("realm") {
        // A realm of its own goes before one in the name.
        Some(realm) => UserId::new(username.strip_suffix(&format!("@{realm}")).unwrap_or(username), realm.parse().ok()?).ok(),
        None => username.parse().ok(),
    }
}

/// Privileges by area, which user interfaces use to show or hide things.
pub fn capabilities(authority: &dyn Authority, who: &Identity) -> Json {
    const AREAS: &[(&str, &str, &[&str])] = &[
        ("access", "/access", &["User.", "Group.", "Permissions."]),
        ("dc", "/", &["Sys.Audit", "Sys.Modify", "SDN."]),
        ("mapping", "/mapping", &["Mapping.", "Permissions."]),
        ("nodes", "/nodes", &["Sys.", "Permissions."]),
        ("sdn", "/sdn", &["SDN.", "Permissions."]),
        ("storage", "/storage", &["Datastore.", "Permissions."]),
        ("vms", "/vms", &["VM.", "Permissions."]),
    ];
    let area = |(name, path, prefixes): &(&str, &str, &[&str])| {
        let held = path.parse().map_or(PrivilegeSet::EMPTY, |p: ObjectPath| authority.privileges(who, &p));
        let shown = held.iter().filter(|p| prefixes.iter().any(|prefix| p.name().starts_with(prefix)));
        ((*name).to_owned(), granted(shown))
    };
    Json::Object(AREAS.iter().map(area).collect())
}

/// Privileges by path: those asked for, or the paths that grants are commonly made on.
pub fn permissions(authority: &dyn Authority, who: &Identity, path: Option<&ObjectPath>) -> Json {
    const COMMON: &[&str] = &["/", "/access", "/access/groups", "/nodes", "/pool", "/sdn", "/storage", "/vms"];
    let common = || COMMON.iter().filter_map(|p| p.parse().ok()).collect();
    let paths: Vec<ObjectPath> = path.map_or_else(common, |p| vec![p.clone()]);
    let held = |path: &ObjectPath| Some((path.to_string(), authority.privileges(who, path))).filter(|(_, p)| !p.is_empty());
    Json::Object(paths.iter().filter_map(held).map(|(path, set)| (path, granted(set.iter()))).collect())
}

fn granted(privileges: impl Iterator<Item = Privilege>) -> Json {
    Json::Object(privileges.map(|p| (p.name().to_owned(), json!(1))).collect())
}

/// An API token, without its secret.
#[derive(Debug, Clone, Serialize)]
pub struct TokenInfo {
    /// Free text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub comment: Option<String>,
    /// Unix time of expiry; 0 is never.
    pub expire: u64,
    /// 1: it has only privileges of its own.
    pub privsep: u8,
}

impl From<&TokenRecord> for TokenInfo {
    fn from(record: &TokenRecord) -> Self {
        Self { comment: record.comment.clone(), expire: record.expire, privsep: flag(record.separated) }
    }
}

/// An API token in a list.
#[derive(Debug, Clone, Serialize)]
pub struct TokenEntry {
    /// Name.
    pub tokenid: String,
    /// The rest.
    #[serde(flatten)]
    pub info: TokenInfo,
}

/// A new API token with its secret, shown this once. `regenerate` answers with it too.
#[derive(Debug, Clone, Serialize)]
pub struct NewToken {
    /// `user@realm!name`
    #[serde(rename = "full-tokenid")]
    pub full_tokenid: String,
    /// What was asked for; texts where a client gave them, as Proxmox VE answers.
    pub info: BTreeMap<&'static str, Json>,
    /// The secret.
    pub value: String,
}

impl NewToken {
    /// The answer to a request with `params` that made `id` with `secret`.
    pub fn new(id: &TokenId, secret: &str, params: &Params) -> Self {
        let mut info = BTreeMap::new();
        if let Some(comment) = params.text("comment") {
            info.insert("comment", json!(comment));
        }
        if let Some(expire) = params.int("expire") {
            info.insert("expire", json!(expire.to_string()));
        }
        let privsep = params.bool("privsep").map_or(json!(1), |v| json!(flag(v).to_string()));
        info.insert("privsep", privsep);
        Self { full_tokenid: id.to_string(), info, value: secret.to_owned() }
    }
}

/// A realm that users log in to.
#[derive(Debug, Clone, Serialize)]
pub struct RealmEntry {
    /// Name.
    pub realm: &'static str,
    /// Type.
    #[serde(rename = "type")]
    pub kind: &'static str,
    /// Free text.
    pub comment: &'static str,
}
