//! From method and path to a route.

use thiserror::Error;

use super::{Dialect, Method, Route};

/// Longest path that is looked at; the longest real one holds a volume id of 255 characters, percent-encoded.
pub const MAX_PATH_BYTES: usize = 4096;

/// Why no route was found.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum RouteError {
    /// No such path, or not with this method. `path` is decoded and normalized.
    #[error("Method '{method} {path}' not implemented")]
    NotImplemented {
        /// The request's method.
        method: String,
        /// The request's path below the prefix.
        path: String,
    },
    /// A method that no route uses.
    #[error("method '{0}' not available")]
    UnknownMethod(String),
    /// Not percent-encoded UTF-8, or too long.
    #[error("invalid path: not percent-encoded UTF-8 of at most {MAX_PATH_BYTES} bytes")]
    Malformed,
}

/// A route with the values of its path parameters.
#[derive(Debug, Clone)]
pub struct Matched {
    /// The route.
    pub route: &'static Route,
    /// Path parameters, decoded, in order.
    pub path: Vec<(&'static str, String)>,
}

impl Matched {
    /// The value of a path parameter.
    pub fn value(&self, name: &str) -> Option<&str> {
        self.path.iter().find(|(n, _)| *n == name).map(|(_, v)| v.as_str())
    }

    /// The node in the path. Proxmox VE looks at it before any other parameter.
    pub fn node(&self) -> Option<&str> {
        self.value("node")
    }
}

/// Finds routes of one dialect.
///
/// Paths are percent-decoded before they are split; empty components (doubled and trailing slashes) do not count; a
/// `{name...}` parameter takes the rest, so that volume ids work with raw and encoded slashes.
#[derive(Debug, Clone)]
pub struct Router {
    root: Node,
    methods: Vec<Method>,
}

#[derive(Debug, Clone, Default)]
struct Node {
    words: Vec<(&'static str, Node)>,
    one: Option<(&'static str, Box<Node>)>,
    rest: Option<(&'static str, Vec<&'static Route>)>,
    here: Vec<&'static Route>,
}

impl Router {
    /// A router of `dialect`'s routes in `routes`.
    pub fn new(routes: impl IntoIterator<Item = &'static Route>, dialect: Dialect) -> Self {
        let mut router = Self { root: Node::default(), methods: Vec::new() };
        for route in routes.into_iter().filter(|r| r.dialect == dialect) {
            if !router.methods.contains(&route.method) {
                router.methods.push(route.method);
            }
            router.root.insert(&parts(route.path), route);
        }
        router
    }

    /// The route for a method and a raw path below the dialect's prefix (no query).
    ///
    /// # Errors
    /// See [`RouteError`].
    pub fn find(&self, method: &str, raw_path: &str) -> Result<Matched, RouteError> {
        let Some(wanted) = Method::parse(method).filter(|m| self.methods.contains(m)) else {
            let shown = method.chars().filter(char::is_ascii_uppercase).take(16).collect();
            return Err(RouteError::UnknownMethod(shown));
        };
        if raw_path.len() > MAX_PATH_BYTES {
            return Err(RouteError::Malformed);
        }
        let path = percent_decode(raw_path, false).ok_or(RouteError::Malformed)?;
        let parts = parts(&path);
        let mut values = Vec::new();
        let found = self.root.find(&parts, &mut values).and_then(|routes| routes.iter().find(|r| r.method == wanted));
        match found {
            Some(route) => Ok(Matched { route, path: values }),
            None => Err(RouteError::NotImplemented { method: method.to_owned(), path: format!("/{}", parts.join("/")) }),
        }
    }
}

impl Node {
    fn insert(&mut self, parts: &[&'static str], route: &'static Route) {
        let Some((first, rest)) = parts.split_first() else {
            self.here.push(route);
            return;
        };
        let Some(name) = first.strip_prefix('{').and_then(|p| p.strip_suffix('}')) else {
            let at = self.words.iter().position(|(w, _)| w == first).unwrap_or_else(|| {
                self.words.push((first, Self::default()));
                self.words.len() - 1
            });
            self.words[at].1.insert(rest, route);
            return;
        };
        if let Some(name) = name.strip_suffix("...") {
            self.rest.get_or_insert((name, Vec::new())).1.push(route);
        } else {
            self.one.get_or_insert_with(|| (name, Box::default())).1.insert(rest, route);
        }
    }

    fn find<'a>(&'a self, parts: &[&str], values: &mut Vec<(&'static str, String)>) -> Option<&'a [&'static Route]> {
        let Some((first, rest)) = parts.split_first() else {
            return (!self.here.is_empty()).then_some(self.here.as_slice());
        };
        if let Some((_, node)) = self.words.iter().find(|(w, _)| w == first) {
            return node.find(rest, values);
        }
        if let Some((name, node)) = &self.one {
            values.push((name, (*first).to_owned()));
            if let Some(found) = node.find(rest, values) {
                return Some(found);
            }
            values.pop();
        }
        let (name, routes) = self.rest.as_ref()?;
        values.push((name, parts.join("/")));
        Some(routes)
    }
}

fn parts(path: &str) -> Vec<&str> {
    path.split('/').filter(|p| !p.is_empty()).collect()
}

/// Decodes `%41`; `+` becomes a space where `plus` says so. A stray `%` stays, as in Proxmox VE. None: not UTF-8.
pub(crate) fn percent_decode(text: &str, plus: bool) -> Option<String> {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let escaped = (bytes[at] == b'%').then(|| bytes.get(at + 1..at + 3)).flatten();
        let value = escaped.and_then(|hex| Some(hex_digit(hex[0])? << 4 | hex_digit(hex[1])?));
        match value {
            Some(byte) => {
                out.push(byte);
                at += 3;
            }
            None => {
                out.push(if plus && bytes[at] == b'+' { b' ' } else { bytes[at] });
                at += 1;
            }
        }
    }
    String::from_utf8(out).ok()
}

fn hex_digit(b: u8) -> Option<u8> {
    char::from(b).to_digit(16).and_then(|d| u8::try_from(d).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percent_decoding_keeps_stray_signs_and_refuses_broken_utf8() {
        assert_eq!(percent_decode("a%2Fb%3ac", false).as_deref(), Some("a/b:c"));
        assert_eq!(percent_decode("a+b%", true).as_deref(), Some("a b%"));
        assert_eq!(percent_decode("100%zz", false).as_deref(), Some("100%zz"));
        assert_eq!(percent_decode("%ff", false), None);
    }
}
