//! From the bytes of a request to its parameters.

use serde_json::Value as Json;

use crate::route::{Given, MAX_PARAMS, Refused, percent_decode};

use super::Failure;

/// Largest body of a request without a file. Proxmox VE accepts 64 KiB of parameters; cloud-init keys and descriptions of
/// several guests' worth fit twenty times over.
pub const MAX_BODY_BYTES: usize = 1 << 20;

/// Form of a body, from its `Content-Type`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BodyKind {
    /// `application/x-www-form-urlencoded`, or no type at all: some clients log in without one.
    Form,
    /// `application/json`
    Json,
    /// `multipart/form-data`; the caller splits it into fields and files.
    Multipart,
}

impl BodyKind {
    /// From the header's value.
    ///
    /// # Errors
    /// 506 for every other type, as Proxmox VE answers.
    pub fn from_content_type(value: Option<&str>) -> Result<Self, Failure> {
        let Some(value) = value else { return Ok(Self::Form) };
        let name = value.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        match name.as_str() {
            "" | "application/x-www-form-urlencoded" => Ok(Self::Form),
            "application/json" => Ok(Self::Json),
            "multipart/form-data" => Ok(Self::Multipart),
            _ => Err(Failure::content_type(&name)),
        }
    }
}

/// The parameters of a query string and a body that is no multipart, merged.
///
/// # Errors
/// What cannot be decoded, too many parameters, and a parameter in both with different values.
pub fn decode(query: Option<&str>, kind: BodyKind, body: &[u8]) -> Result<Given, Failure> {
    let mut given = form(query.unwrap_or_default())?;
    let from_body = match kind {
        BodyKind::Form => {
            let text = std::str::from_utf8(body).map_err(|_| Failure::bad_request("the body is not UTF-8"))?;
            form(text.trim_end_matches(['\r', '\n']))?
        }
        BodyKind::Json => json(body)?,
        BodyKind::Multipart => Given::new(),
    };
    given.merge(from_body).map_err(Failure::refused)?;
    Ok(given)
}

/// Decodes `a=1&b=2`; a repeated name is a list, `a` without `=` is empty.
///
/// # Errors
/// Too many parameters, or a text that is not UTF-8.
pub fn form(text: &str) -> Result<Given, Failure> {
    let mut given = Given::new();
    for (n, pair) in text.split('&').filter(|p| !p.is_empty()).enumerate() {
        if n >= MAX_PARAMS {
            return Err(too_many());
        }
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let decoded = percent_decode(name, true).zip(percent_decode(value, true));
        let (name, value) = decoded.ok_or_else(|| Failure::bad_request("a parameter is not UTF-8"))?;
        given.push(name, value);
    }
    Ok(given)
}

/// Decodes a JSON object: texts, numbers and booleans become texts, lists become lists, null is as if left out. An empty
/// body, and a bare `null`, hold no parameters.
///
/// # Errors
/// Malformed JSON, anything but an object, nested objects, too many parameters.
pub fn json(body: &[u8]) -> Result<Given, Failure> {
    if body.iter().all(u8::is_ascii_whitespace) {
        return Ok(Given::new());
    }
    let parsed: Json = serde_json::from_slice(body).map_err(|e| Failure::bad_request(&format!("malformed JSON body: {e}")))?;
    let object = match parsed {
        Json::Object(object) => object,
        Json::Null => return Ok(Given::new()),
        Json::Bool(_) | Json::Number(_) | Json::String(_) | Json::Array(_) => {
            return Err(Failure::bad_request("the JSON body is not an object"));
        }
    };
    if object.len() > MAX_PARAMS {
        return Err(too_many());
    }
    let mut given = Given::new();
    for (name, value) in object {
        let items = match value {
            Json::Array(items) if items.len() > MAX_PARAMS => return Err(too_many()),
            Json::Array(items) => items,
            Json::Null => continue,
            one => vec![one],
        };
        for item in items {
            match scalar(&item) {
                Some(text) => given.push(name.clone(), text),
                None => return Err(Failure::refused(Refused::one(&name, "must not be an object or a list of lists"))),
            }
        }
    }
    Ok(given)
}

fn scalar(value: &Json) -> Option<String> {
    match value {
        Json::String(text) => Some(text.clone()),
        Json::Bool(b) => Some(u8::from(*b).to_string()),
        Json::Number(n) => Some(n.to_string()),
        Json::Null => Some(String::new()),
        Json::Array(_) | Json::Object(_) => None,
    }
}

fn too_many() -> Failure {
    Failure::bad_request(&format!("more than {MAX_PARAMS} parameters"))
}
