//! What one entry of the route table says.
//!
//! The table is data: routing, decoding, validation, authorization, the OpenAPI document, the schema in Proxmox VE's
//! shape, the reference pages and the client all read it. No engine is in here; whoever serves the routes matches on
//! [`Operation`].

mod access;
mod format;
mod kind;
mod param;
mod router;
mod validate;

pub use access::{Access, Require};
pub use format::{Format, PropertyFormat, PropertyKey};
pub use kind::{Kind, LONGEST_TEXT};
pub use param::Param;
pub use router::{MAX_PATH_BYTES, Matched, RouteError, Router};
pub use validate::{Given, MAX_PARAMS, Params, Refused, Value};

pub(crate) use router::percent_decode;
pub(crate) use validate::{boolean, check_text, shorten, split_list};

pub use crate::routes::Operation;

/// HTTP methods that routes use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Method {
    /// Reads.
    Get,
    /// Makes, or does.
    Post,
    /// Changes or replaces.
    Put,
    /// Applies, or changes a field (native dialect only).
    Patch,
    /// Removes.
    Delete,
}

impl Method {
    /// Its name in HTTP.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Post => "POST",
            Self::Put => "PUT",
            Self::Patch => "PATCH",
            Self::Delete => "DELETE",
        }
    }

    /// Whether a request only reads, so that it needs no CSRF token and may be repeated.
    pub const fn is_read(self) -> bool {
        matches!(self, Self::Get)
    }

    /// The method of that name.
    pub fn parse(name: &str) -> Option<Self> {
        [Self::Get, Self::Post, Self::Put, Self::Patch, Self::Delete].into_iter().find(|m| m.as_str() == name)
    }
}

/// Which API a route belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Dialect {
    /// Compatible with Proxmox VE, below `/api2/json`.
    Pve2,
    /// The native API, below `/api/v1`.
    V1,
}

impl Dialect {
    /// What every path of the dialect begins with.
    pub const fn prefix(self) -> &'static str {
        match self {
            Self::Pve2 => "/api2/json",
            Self::V1 => "/api/v1",
        }
    }
}

/// What a successful call answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// Nothing: `null`, or 204 in the native dialect.
    Nothing,
    /// The id of a task that does the work; the call returns before it ends.
    Task,
    /// A text.
    Text,
    /// One object; the name is that of its schema.
    Object(&'static str),
    /// A list of objects; the name is that of the elements' schema.
    List(&'static str),
    /// A stream of watch events (server-sent events, or a WebSocket on upgrade).
    Watch(&'static str),
}

/// What a request carries beside its parameters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Body {
    /// Parameters only: form, JSON or multipart fields.
    Params,
    /// Parameters and one file, as `multipart/form-data`.
    Upload,
    /// One JSON document; the name is that of its schema.
    Document(&'static str),
}

/// One entry of the table.
#[derive(Debug, Clone, Copy)]
pub struct Route {
    /// Which API.
    pub dialect: Dialect,
    /// Method.
    pub method: Method,
    /// Path below the dialect's prefix; `{name}` is one component, `{name...}` the rest of the path.
    pub path: &'static str,
    /// What it does. Several routes may share one; then [`Route::verb`] tells them apart.
    pub operation: Operation,
    /// A fixed word for the operation, such as the guest agent's command.
    pub verb: Option<&'static str>,
    /// Parameters in groups, those in the path among them.
    pub params: &'static [&'static [Param]],
    /// Body.
    pub body: Body,
    /// Who may.
    pub access: Access,
    /// What it answers.
    pub answer: Answer,
    /// One line for people.
    pub summary: &'static str,
}

impl Route {
    /// A route with neither parameters nor a required privilege, answering nothing. Shaped by the methods below.
    pub const fn new(dialect: Dialect, method: Method, path: &'static str, operation: Operation, summary: &'static str) -> Self {
        Self {
            dialect,
            method,
            path,
            operation,
            verb: None,
            params: &[],
            body: Body::Params,
            access: Access::Anyone,
            answer: Answer::Nothing,
            summary,
        }
    }

    /// With these parameters.
    #[must_use]
    pub const fn params(mut self, groups: &'static [&'static [Param]]) -> Self {
        self.params = groups;
        self
    }

    /// For those who meet `access`.
    #[must_use]
    pub const fn access(mut self, access: Access) -> Self {
        self.access = access;
        self
    }

    /// Answering `answer`.
    #[must_use]
    pub const fn answers(mut self, answer: Answer) -> Self {
        self.answer = answer;
        self
    }

    /// Carrying `body`.
    #[must_use]
    pub const fn body(mut self, body: Body) -> Self {
        self.body = body;
        self
    }

    /// With a fixed word.
    #[must_use]
    pub const fn verb(mut self, verb: &'static str) -> Self {
        self.verb = Some(verb);
        self
    }

    /// Every parameter.
    pub fn all_params(&self) -> impl Iterator<Item = &'static Param> + use<> {
        self.params.iter().flat_map(|group| group.iter())
    }

    /// Names of the parameters in the path, in order.
    pub fn path_params(&self) -> impl Iterator<Item = &'static str> + use<> {
        self.path.split('/').filter_map(|part| Some(part.strip_prefix('{')?.strip_suffix('}')?.trim_end_matches('.')))
    }

    /// Whether `name` is in the path.
    pub fn is_path_param(&self, name: &str) -> bool {
        self.path_params().any(|p| p == name)
    }

    /// The parameter that a request names `name`, indexed ones (`net3`) included.
    pub fn param(&self, name: &str) -> Option<&'static Param> {
        // Plain names first: `numa` is one, `numa0` belongs to `numa[n]`.
        let params = || self.all_params();
        params().find(|p| p.indexes == 0 && p.name == name).or_else(|| params().find(|p| p.indexes > 0 && p.covers(name)))
    }

    /// A unique name: `pve2.get.nodes.node.qemu`.
    pub fn id(&self) -> String {
        let dialect = match self.dialect {
            Dialect::Pve2 => "pve2",
            Dialect::V1 => "v1",
        };
        let words = self.path.split('/').filter(|w| !w.is_empty()).map(|w| w.trim_matches(['{', '}', '.']));
        [dialect, &self.method.as_str().to_ascii_lowercase()].into_iter().chain(words).collect::<Vec<_>>().join(".")
    }
}
