//! One request, by what it shall do.

use gpve_core::error::Error;
use serde::Serialize;
use serde_json::Value as Json;

use crate::route::{Body, Dialect, Given, Matched, Method, Route};
use crate::routes::{Operation, routes};

/// A request for an operation of the table.
#[derive(Debug, Clone)]
pub struct Request {
    operation: Operation,
    verb: Option<String>,
    path: Vec<(String, String)>,
    params: Vec<(String, String)>,
    document: Option<Json>,
    pub(super) key: Option<String>,
}

/// A request as it goes over the wire.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Wire {
    pub(super) dialect: Dialect,
    pub(super) method: Method,
    /// Path with query.
    pub(super) target: String,
    pub(super) body: Option<(&'static str, String)>,
}

impl Request {
    /// A request for `operation`.
    pub const fn to(operation: Operation) -> Self {
        Self { operation, verb: None, path: Vec::new(), params: Vec::new(), document: None, key: None }
    }

    /// Which of the routes that share the operation.
    #[must_use]
    pub fn verb(mut self, verb: &str) -> Self {
        self.verb = Some(verb.to_owned());
        self
    }

    /// A path parameter.
    #[must_use]
    pub fn path(mut self, name: &str, value: impl ToString) -> Self {
        self.path.push((name.to_owned(), value.to_string()));
        self
    }

    /// A path parameter, if there is a value; without one another route of the operation is meant.
    #[must_use]
    pub fn path_opt(self, name: &str, value: Option<impl ToString>) -> Self {
        match value {
            Some(value) => self.path(name, value),
            None => self,
        }
    }

    /// A parameter.
    #[must_use]
    pub fn param(mut self, name: &str, value: impl ToString) -> Self {
        self.params.push((name.to_owned(), value.to_string()));
        self
    }

    /// A parameter, if there is a value.
    #[must_use]
    pub fn param_opt(self, name: &str, value: Option<impl ToString>) -> Self {
        match value {
            Some(value) => self.param(name, value),
            None => self,
        }
    }

    /// The JSON document that is the body (native dialect).
    #[must_use]
    pub fn document(mut self, document: &impl Serialize) -> Self {
        self.document = serde_json::to_value(document).ok();
        self
    }

    /// Makes the write repeatable: the same key with the same request is one operation.
    #[must_use]
    pub fn idempotent(mut self, key: impl Into<String>) -> Self {
        self.key = Some(key.into());
        self
    }

    /// Whether sending it again does no harm.
    pub(super) fn is_repeatable(&self) -> Result<bool, Error> {
        Ok(self.key.is_some() || self.route()?.method.is_read())
    }

    /// The request as a server sees it once it has found the route, for a transport within the process.
    ///
    /// # Errors
    /// When the table has no such route.
    pub fn matched(&self) -> Result<(Matched, Given), Error> {
        let route = self.route()?;
        let value = |name: &'static str| Some((name, self.path.iter().find(|(given, _)| given == name)?.1.clone()));
        let mut given = Given::new();
        self.params.iter().for_each(|(name, value)| given.push(name.as_str(), value.as_str()));
        Ok((Matched { route, path: route.path_params().filter_map(value).collect() }, given))
    }

    /// The document that is its body.
    pub fn body(&self) -> Option<&Json> {
        self.document.as_ref()
    }

    /// The key that makes it repeatable.
    pub fn idempotency_key(&self) -> Option<&str> {
        self.key.as_deref()
    }

    /// The route: of those for the operation, the one whose path parameters are those given.
    fn route(&self) -> Result<&'static Route, Error> {
        let fits = |route: &&Route| {
            let verb = self.verb.as_deref().is_none_or(|v| route.verb == Some(v));
            let mut path = route.path_params();
            let count = route.path_params().count();
            route.operation == self.operation && verb && count == self.path.len() && path.all(|p| self.path.iter().any(|(n, _)| n == p))
        };
        let missing = || Error::internal("client.request", format!("no route for {:?} with these path parameters", self.operation));
        routes().find(fits).ok_or_else(missing)
    }

    pub(super) fn wire(&self) -> Result<Wire, Error> {
        let route = self.route()?;
        let mut path = route.dialect.prefix().to_owned();
        for part in route.path.split('/').filter(|p| !p.is_empty()) {
            let name = part.strip_prefix('{').and_then(|p| p.strip_suffix('}')).map(|p| p.trim_end_matches('.'));
            let value = name.and_then(|n| self.path.iter().find(|(given, _)| given == n)).map(|(_, v)| encode(v));
            path.push('/');
            path.push_str(value.as_deref().unwrap_or(part));
        }
        for (name, _) in &self.params {
            if route.param(name).is_none() {
                return Err(Error::internal("client.request", format!("{} has no parameter '{name}'", route.id())));
            }
        }
        let pairs: Vec<String> = self.params.iter().map(|(k, v)| format!("{}={}", encode(k), encode(v))).collect();
        let in_query = route.dialect == Dialect::V1 || matches!(route.method, Method::Get | Method::Delete);
        let mut wire = Wire { dialect: route.dialect, method: route.method, target: path, body: None };
        if in_query && !pairs.is_empty() {
            wire.target = format!("{}?{}", wire.target, pairs.join("&"));
        } else if !in_query {
            wire.body = Some(("application/x-www-form-urlencoded", pairs.join("&")));
        }
        if let (Body::Document(_), Some(document)) = (route.body, &self.document) {
            wire.body = Some(("application/json", document.to_string()));
        }
        Ok(wire)
    }
}

/// Percent-encodes everything but unreserved characters.
pub(super) fn encode(text: &str) -> String {
    let one = |b: u8| {
        let plain = b.is_ascii_alphanumeric() || b"-_.~".contains(&b);
        if plain { char::from(b).to_string() } else { format!("%{b:02X}") }
    };
    text.bytes().map(one).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed expectation is a failed test")]

    use super::*;

    #[test]
    fn requests_take_path_query_and_body_from_the_table() {
        let wire = Request::to(Operation::VmCreate).path("node", "pve").param("vmid", 100).param("name", "a b").wire().unwrap();
        assert_eq!((wire.method, wire.target.as_str()), (Method::Post, "/api2/json/nodes/pve/qemu"));
        assert_eq!(wire.body.unwrap().1, "vmid=100&name=a%20b");
        let volume = Request::to(Operation::VolumeDelete).path("node", "pve").path("storage", "local").path("volume", "local:iso/a.iso");
        assert_eq!(volume.wire().unwrap().target, "/api2/json/nodes/pve/storage/local/content/local%3Aiso%2Fa.iso");
        let action = Request::to(Operation::V1VmAction).verb("stop").path("namespace", "default").path("name", "web").param("dryRun", true);
        assert_eq!(action.wire().unwrap().target, "/api/v1/namespaces/default/virtualmachines/web/stop?dryRun=true");
        assert_eq!(Request::to(Operation::V1VmList).wire().unwrap().target, "/api/v1/virtualmachines");
        assert_eq!(Request::to(Operation::V1VmList).path("namespace", "x").wire().unwrap().target, "/api/v1/namespaces/x/virtualmachines");
    }

    #[test]
    fn requests_that_the_table_does_not_have_are_refused_before_they_are_sent() {
        assert!(Request::to(Operation::VmCreate).wire().is_err());
        assert!(Request::to(Operation::Version).param("x", 1).wire().is_err());
    }
}
