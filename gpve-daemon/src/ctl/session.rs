//! Who we are to which server, kept between runs in a file that only its owner reads.

use std::io::{BufRead, IsTerminal, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use gpve_api::client::{Client, Endpoint, Session, SessionSecrets, Trust};
use gpve_auth::Secret;
use gpve_core::error::{Error, ErrorKind, Result};
use serde::{Deserialize, Serialize};

use super::args::{Connection, Login};
use super::input;

/// Where the server is when nobody says it.
const LOCAL: &str = "https://127.0.0.1:8006";

/// The file's content.
#[derive(Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Stored {
    server: Option<String>,
    /// The authority's certificate, pinned at login.
    ca: Option<String>,
    insecure: bool,
    user: Option<String>,
    ticket: Option<String>,
    csrf: Option<String>,
}

/// A client for the server, with the session of the last login or the given token.
pub(super) fn connect(connection: &Connection) -> Result<Client> {
    let stored = read()?;
    let url = url(connection, &stored);
    // A ticket is only ever shown to the server that gave it.
    let ours = stored.server.as_deref() == Some(url.as_str());
    let trust = trust(connection, ours.then_some(&stored))?;
    let session = match (&connection.token, ours, stored.ticket, stored.csrf) {
        (Some(token), ..) => Session::Token(Secret::new(token.clone())),
        (None, true, Some(ticket), Some(csrf)) => {
            let username = stored.user.unwrap_or_default();
            Session::Ticket(SessionSecrets { username, ticket: Secret::new(ticket), csrf: Secret::new(csrf) })
        }
        _ => return Err(Error::new(ErrorKind::Unauthenticated, "gpvectl", format!("not logged in to {url}"))),
    };
    Client::connect(Endpoint::new(&url)?.trust(trust))?.with_session(session)
}

/// Whether there is anybody to ask.
pub(super) fn is_known(connection: &Connection) -> bool {
    connection.token.is_some() || read().is_ok_and(|s| s.ticket.is_some())
}

pub(super) async fn login(connection: &Connection, login: Login) -> Result<()> {
    let before = read().unwrap_or_default();
    let url = url(connection, &before);
    let known = (before.server.as_deref() == Some(url.as_str())).then_some(&before);
    let trust = trust(connection, known)?;
    let password = password(login.password_file.as_deref())?;
    let client = Client::connect(Endpoint::new(&url)?.trust(trust.clone()))?;
    let secrets = client.login(&login.user, password).await.map_err(|e| {
        let message = match e.kind {
            ErrorKind::Unauthenticated => format!("{}: user or password is wrong", e.message),
            _ => e.message.clone(),
        };
        Error { message, ..e }
    })?;
    let stored = Stored {
        server: Some(url.clone()),
        ca: match &trust {
            Trust::Authority(pem) => Some(String::from_utf8_lossy(pem).into_owned()),
            Trust::System | Trust::Anyone => None,
        },
        insecure: matches!(trust, Trust::Anyone),
        user: Some(secrets.username.clone()),
        ticket: Some(secrets.ticket.expose().clone()),
        csrf: Some(secrets.csrf.expose().clone()),
    };
    write(&stored)?;
    println!("logged in to {url} as {} for two hours", secrets.username);
    Ok(())
}

pub(super) fn logout() -> Result<()> {
    let path = path()?;
    match std::fs::remove_file(&path) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => Err(failed(&path, &e)),
        Ok(()) | Err(_) => Ok(()),
    }
}

fn url(connection: &Connection, stored: &Stored) -> String {
    let given = connection.server.as_deref().or(stored.server.as_deref()).unwrap_or(LOCAL);
    given.trim_end_matches('/').to_owned()
}

fn trust(connection: &Connection, stored: Option<&Stored>) -> Result<Trust> {
    if let Some(path) = &connection.ca_file {
        return std::fs::read(path).map(Trust::Authority).map_err(|e| failed(path, &e));
    }
    Ok(match stored {
        _ if connection.insecure => Trust::Anyone,
        Some(Stored { ca: Some(pem), .. }) => Trust::Authority(pem.clone().into_bytes()),
        Some(Stored { insecure: true, .. }) => Trust::Anyone,
        _ => Trust::System,
    })
}

fn password(file: Option<&Path>) -> Result<Secret<String>> {
    let from_input = || -> std::io::Result<String> {
        let mut line = String::new();
        let stdin = std::io::stdin();
        if stdin.is_terminal() {
            eprint!("password: ");
            let hidden = super::console::Quiet::new()?;
            stdin.lock().read_line(&mut line)?;
            drop(hidden);
            eprintln!();
        } else {
            stdin.lock().read_line(&mut line)?;
        }
        Ok(line)
    };
    let text = match file {
        Some(path) if path != Path::new("-") => std::fs::read_to_string(path).map_err(|e| failed(path, &e))?,
        _ => from_input().map_err(|e| input("password", e))?,
    };
    Ok(Secret::new(text.trim_end_matches(['\r', '\n']).to_owned()))
}

/// `$GPVE_CREDENTIALS`, or `gpve/credentials.json` below the user's configuration directory.
fn path() -> Result<PathBuf> {
    if let Some(path) = std::env::var_os("GPVE_CREDENTIALS") {
        return Ok(path.into());
    }
    let base = std::env::var_os("XDG_CONFIG_HOME").map(PathBuf::from);
    let base = base.or_else(|| std::env::var_os("HOME").map(|h| PathBuf::from(h).join(".config")));
    base.map(|b| b.join("gpve/credentials.json")).ok_or_else(|| input("HOME", "is not set: say where with GPVE_CREDENTIALS"))
}

fn read() -> Result<Stored> {
    let path = path()?;
    let text = match std::fs::read_to_string(&path) {
        Ok(text) => text,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(Stored::default()),
        Err(e) => return Err(failed(&path, &e)),
    };
    let mode = std::fs::metadata(&path).map_err(|e| failed(&path, &e))?.permissions().mode();
    if mode & 0o077 != 0 {
        let why = format!("others may read it (mode {:o}): run 'chmod 600 {}' and log in again", mode & 0o777, path.display());
        return Err(input(&path.display().to_string(), why));
    }
    serde_json::from_str(&text).map_err(|e| input(&path.display().to_string(), format!("{e}: log in again")))
}

fn write(stored: &Stored) -> Result<()> {
    let path = path()?;
    if let Some(dir) = path.parent() {
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(|e| failed(dir, &e))?;
    }
    let text = serde_json::to_string_pretty(stored).map_err(|e| Error::internal("gpvectl", e.to_string()))?;
    let mut options = std::fs::OpenOptions::new();
    let file = options.write(true).create(true).truncate(true).mode(0o600).open(&path);
    let mut file = file.map_err(|e| failed(&path, &e))?;
    // A file that was there keeps its mode unless it is set.
    let private = std::fs::Permissions::from_mode(0o600);
    file.set_permissions(private).and_then(|()| file.write_all(text.as_bytes())).map_err(|e| failed(&path, &e))
}

fn failed(path: &Path, e: &std::io::Error) -> Error {
    input(&path.display().to_string(), e)
}
