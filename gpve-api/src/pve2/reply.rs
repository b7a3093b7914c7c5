//! Answers on the wire: status, reason phrase, headers, body.

use std::collections::BTreeMap;

use gpve_core::error::{Error, Retry};
use serde::Serialize;
use serde_json::{Value as Json, json};

use crate::error::wire;
use crate::route::{Refused, RouteError};

/// Content type of every JSON body.
pub const JSON: &str = "application/json;charset=UTF-8";
/// Longest reason phrase; clients copy it into errors and logs.
const MAX_REASON: usize = 256;

/// An answer, ready for any HTTP server.
///
/// The reason phrase carries the message of an error, and clients read it: set it as the response's
/// `hyper::ext::ReasonPhrase` and offer only HTTP/1.1.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    /// Status code.
    pub status: u16,
    /// Reason phrase, if not the standard one. Visible ASCII and spaces only.
    pub reason: Option<String>,
    /// `Content-Type`, if there is a body.
    pub content_type: Option<&'static str>,
    /// Further headers.
    pub headers: Vec<(&'static str, String)>,
    /// Body.
    pub body: Vec<u8>,
}

impl Reply {
    /// 200 with `{"data": ...}`.
    pub fn data(data: &impl Serialize) -> Self {
        Self::enveloped(data, None)
    }

    /// 200 with `{"data": [...], "total": n}`, for lists that are cut into pages. Proxmox VE leaves a total of 0 out.
    pub fn page(data: &impl Serialize, total: u64) -> Self {
        Self::enveloped(data, (total > 0).then_some(total))
    }

    fn enveloped(data: &impl Serialize, total: Option<u64>) -> Self {
        #[derive(Serialize)]
        struct Envelope<'a, T> {
            data: &'a T,
            #[serde(skip_serializing_if = "Option::is_none")]
            total: Option<u64>,
        }
        // Straight to bytes: a tree in between takes most of the time of a list of thousands. Every answer type is a plain struct or map
        // with text keys, which cannot fail; a defect shows as null.
        let body = serde_json::to_vec(&Envelope { data, total }).unwrap_or_else(|_| br#"{"data":null}"#.to_vec());
        Self { status: 200, reason: None, content_type: Some(JSON), headers: no_cache(), body }
    }
}

fn no_cache() -> Vec<(&'static str, String)> {
    vec![("cache-control", "max-age=0".to_owned()), ("pragma", "no-cache".to_owned())]
}

/// A refusal or failure in this dialect.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    status: u16,
    message: String,
    errors: BTreeMap<String, String>,
    form: Form,
    retry: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    /// `{"data":null,"message":...,"errors":...}`
    Json,
    /// The same with no line end in the message, as for methods that do not exist.
    JsonBare,
    /// No body for clients that do not ask for JSON, as Proxmox VE answers; a JSON body for those that do, because some
    /// cannot read an empty one.
    OnlyIfAsked,
    /// Plain text.
    Text,
}

impl Failure {
    /// A failure with a status and a message of one line.
    pub fn new(status: u16, message: &str) -> Self {
        Self { status, message: one_line(message), errors: BTreeMap::new(), form: Form::Json, retry: false }
    }

    /// 400 with a message and no fields.
    pub fn bad_request(message: &str) -> Self {
        Self::new(400, message)
    }

    /// 400 `Parameter verification failed.` with each field. The first one stands in the message too: clients that show
    /// nothing but the status line then say what is wrong.
    pub fn refused(refused: Refused) -> Self {
        let first = refused.0.first_key_value().map(|(name, why)| format!(" ({name}: {why})")).unwrap_or_default();
        Self { errors: refused.0, ..Self::new(400, &format!("Parameter verification failed.{first}")) }
    }

    /// 401: nothing was presented.
    pub fn no_ticket() -> Self {
        Self { form: Form::OnlyIfAsked, ..Self::new(401, "No ticket") }
    }

    /// 401: what was presented is no good.
    pub fn not_authenticated() -> Self {
        Self { form: Form::OnlyIfAsked, ..Self::new(401, "Authentication failed!") }
    }

    /// 401: a write by ticket without a good CSRF token.
    pub fn bad_csrf() -> Self {
        Self { form: Form::OnlyIfAsked, ..Self::new(401, "Permission denied - invalid csrf token") }
    }

    /// 401: a login that was refused.
    pub fn login_refused() -> Self {
        Self::new(401, "authentication failure")
    }

    /// 403.
    pub fn forbidden(denied: &gpve_auth::Denied) -> Self {
        Self::new(403, &denied.to_string())
    }

    /// 500: there is no such node. Clients know this text from Proxmox VE, where it comes from name resolution.
    pub fn unknown_node(node: &str) -> Self {
        let node: String = node.chars().take(64).collect();
        Self::new(500, &format!("hostname lookup '{node}' failed - failed to get address info for: {node}: no such node"))
    }

    pub(super) fn content_type(name: &str) -> Self {
        let name: String = name.chars().take(64).collect();
        Self { form: Form::Text, ..Self::new(506, &format!("Content-Type '{name}' not implemented")) }
    }

    /// Status code.
    pub const fn status(&self) -> u16 {
        self.status
    }

    /// The message, one line.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// The answer. `accept` is the request's `Accept` header.
    pub fn reply(&self, accept: Option<&str>) -> Reply {
        let asked = accept.is_some_and(|a| a.contains("application/json"));
        let bare = matches!(self.form, Form::JsonBare);
        let (content_type, body) = match self.form {
            Form::Text => (Some("text/plain;charset=UTF-8"), self.message.clone().into_bytes()),
            Form::OnlyIfAsked if !asked => (None, Vec::new()),
            Form::Json | Form::JsonBare | Form::OnlyIfAsked => (Some(JSON), self.body(bare).to_string().into_bytes()),
        };
        let mut headers = no_cache();
        if self.retry {
            headers.push(("retry-after", "1".to_owned()));
        }
        Reply { status: self.status, reason: Some(reason_phrase(&self.message)), content_type, headers, body }
    }

    fn body(&self, bare: bool) -> Json {
        let mut body = json!({ "data": null, "message": format!("{}{}", self.message, if bare { "" } else { "\n" }) });
        if let (Json::Object(object), false) = (&mut body, self.errors.is_empty()) {
            object.insert("errors".to_owned(), json!(self.errors));
        }
        body
    }
}

impl From<&Error> for Failure {
    fn from(e: &Error) -> Self {
        let retry = e.retry == Retry::Later;
        match Refused::try_from(e) {
            Ok(refused) => Self::refused(refused),
            Err(()) => Self { retry, ..Self::new(wire(e.kind).pve, &e.message) },
        }
    }
}

impl From<RouteError> for Failure {
    fn from(e: RouteError) -> Self {
        let form = match &e {
            RouteError::NotImplemented { .. } => Form::JsonBare,
            RouteError::UnknownMethod(_) => Form::OnlyIfAsked,
            RouteError::Malformed => return Self::bad_request(&e.to_string()),
        };
        Self { form, ..Self::new(501, &e.to_string()) }
    }
}

impl From<Refused> for Failure {
    fn from(refused: Refused) -> Self {
        Self::refused(refused)
    }
}

fn one_line(text: &str) -> String {
    text.trim().replace(['\r', '\n'], " ")
}

/// A message as a reason phrase: visible ASCII and spaces, cut at 256 characters.
fn reason_phrase(message: &str) -> String {
    message.chars().map(|c| if c == ' ' || c.is_ascii_graphic() { c } else { '?' }).take(MAX_REASON).collect()
}
