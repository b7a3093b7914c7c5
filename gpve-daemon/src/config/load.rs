//! Reading a configuration file.

use std::path::{Path, PathBuf};

use gpve_core::error::{Error, ErrorKind, Result};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::{AgentConfiguration, AgentSettings, GpveConfiguration, ServerConfiguration, Settings};

/// Names that are looked for, in this order.
pub const FILES: [&str; 5] = ["server.yaml", "gpve.yaml", "gpve.conf", "config.yaml", "agent.yaml"];
/// Largest file: a thousand storages fit.
const BYTES_MAX: u64 = 1 << 20;

/// What a file says, by its schema.
#[derive(Debug, Clone, PartialEq)]
pub enum Loaded {
    /// Of a server.
    Server(Box<Settings>),
    /// Of an agent.
    Agent(Box<AgentSettings>),
}

/// The first configuration file in a directory.
pub fn find(directory: &Path) -> Option<PathBuf> {
    FILES.iter().map(|name| directory.join(name)).find(|path| path.is_file())
}

/// Reads a file; `env` gives the environment.
///
/// # Errors
/// [`ErrorKind::InvalidInput`] with file and line for anything that is wrong in it.
pub fn load(path: &Path, env: &dyn Fn(&str) -> Option<String>) -> Result<Loaded> {
    let failed = |e: std::io::Error| Error::new(ErrorKind::Unavailable, "config", format!("{}: {e}", path.display()));
    if std::fs::metadata(path).map_err(failed)?.len() > BYTES_MAX {
        return Err(wrong(path, &format!("is larger than {BYTES_MAX} bytes")));
    }
    let text = expand(path, &std::fs::read_to_string(path).map_err(failed)?, env)?;
    // Looked at before the rest, because it decides what the rest may be.
    #[derive(Deserialize)]
    struct Head {
        #[serde(default)]
        kind: Option<String>,
    }
    let head: Head = parse(path, &text)?;
    let settled = match head.kind.as_deref() {
        None => parse::<GpveConfiguration>(path, &text)?.settle().map(|s| Loaded::Server(Box::new(s))),
        Some("ServerConfiguration") => parse::<ServerConfiguration>(path, &text)?.settle().map(|s| Loaded::Server(Box::new(s))),
        Some("AgentConfiguration") => parse::<AgentConfiguration>(path, &text)?.settle().map(|a| Loaded::Agent(Box::new(a))),
        Some(other) => Err(format!("kind: '{other}' is not ServerConfiguration or AgentConfiguration")),
    };
    settled.map_err(|why| wrong(path, &why))
}

fn wrong(path: &Path, why: &str) -> Error {
    Error::new(ErrorKind::InvalidInput, "config", format!("{}: {why}", path.display()))
}

fn parse<T: DeserializeOwned>(path: &Path, text: &str) -> Result<T> {
    serde_saphyr::from_str(text).map_err(|e| {
        let place = e.location().map(|l| format!(":{}:{}", l.line(), l.column())).unwrap_or_default();
        let why = e.without_snippet().to_string();
        Error::new(ErrorKind::InvalidInput, "config", format!("{}{place}: {why}", path.display()))
    })
}

/// A section of the file; one that is there and empty, which YAML reads as null, is one of defaults.
pub(super) fn section<'de, D: serde::Deserializer<'de>, T: Deserialize<'de> + Default>(from: D) -> Result<T, D::Error> {
    Ok(Option::deserialize(from)?.unwrap_or_default())
}

/// Replaces `${NAME}`. A name that is not set is an error: an empty token would be worse.
fn expand(path: &Path, text: &str, env: &dyn Fn(&str) -> Option<String>) -> Result<String> {
    let mut out = String::with_capacity(text.len());
    for (n, line) in text.lines().enumerate() {
        let refused = |why: String| Error::new(ErrorKind::InvalidInput, "config", format!("{}:{}: {why}", path.display(), n + 1));
        let mut rest = line;
        while let Some((before, after)) = rest.split_once("${") {
            let (name, tail) = after.split_once('}').ok_or_else(|| refused("'${' without '}'".to_owned()))?;
            let value = env(name).ok_or_else(|| refused(format!("the environment has no variable '{name}'")))?;
            if value.contains(['\n', '\r', '"']) {
                return Err(refused(format!("the variable '{name}' holds a line end or a quote")));
            }
            out.push_str(before);
            out.push_str(&value);
            rest = tail;
        }
        out.push_str(rest);
        out.push('\n');
    }
    Ok(out)
}
