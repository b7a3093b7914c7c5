//! `gpve-server init`: the data directory, certificates, keys and the administrator.
//!
//! | file | what |
//! | --- | --- |
//! | `server.db` | the control plane's store |
//! | `node.db` | the node engine's store |
//! | `pki/ca.crt`, `pki/ca.key` | the certificate authority made by `init` |
//! | `pki/server.crt`, `pki/server.key` | the server's certificate, signed by it |
//! | `storage/local` | the storage `local` |

use std::io::Write;
use std::net::IpAddr;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use gpve_auth::{PasswordHash, Secret};
use gpve_core::error::{Error, ErrorKind, Result};
use gpve_core::ports::{Expect, Store, Txn, TxnOutcome};
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose, SanType};

use crate::server::accounts;

/// Paths below a data directory.
#[derive(Debug, Clone)]
pub struct Layout {
    root: PathBuf,
}

impl Layout {
    /// Of the data directory `root`.
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    /// A path below it.
    pub fn path(&self, relative: &str) -> PathBuf {
        self.root.join(relative)
    }

    /// The directory itself.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// True once `init` has run.
    pub fn is_initialized(&self) -> bool {
        self.path("pki/server.key").exists() && self.path("server.db").exists()
    }
}

fn failed(what: &Path, e: &std::io::Error) -> Error {
    let kind = match e.kind() {
        std::io::ErrorKind::PermissionDenied => ErrorKind::PermissionDenied,
        std::io::ErrorKind::StorageFull => ErrorKind::ResourceExhausted,
        _ => ErrorKind::Unavailable,
    };
    Error::new(kind, "init", format!("{}: {e}", what.display()))
}

/// Makes directories, certificates (for `names`, host names or addresses), keys and the administrator `root@pam` with
/// `password`. The authority carries the name of the `cluster`. Certificates that are there stay; the password and session keys are refused if there are some.
///
/// # Errors
/// [`ErrorKind::AlreadyExists`] for a store that has an administrator.
pub async fn init(layout: &Layout, store: &dyn Store, cluster: &str, names: &[String], password: &Secret<String>) -> Result<()> {
    make_directories(layout)?;
    make_certificates(layout, cluster, names)?;
    let hash = PasswordHash::new(password, rand::random()).map_err(|e| Error::field("init", "password", e.to_string()))?;
    let user = accounts::UserRecord { password: Some(hash), enabled: true };
    let keys = accounts::KeyRecord { current: rand::random(), previous: None };
    let json = |v: serde_json::Result<Vec<u8>>| v.map_err(|e| Error::internal("init", e.to_string()));
    let txn = Txn::default()
        .expecting(Expect::Absent(accounts::user_key(&gpve_auth::UserId::root())?))
        .and_put(accounts::user_key(&gpve_auth::UserId::root())?, json(serde_json::to_vec(&user))?)
        .and_put(accounts::keys_key()?, json(serde_json::to_vec(&keys))?);
    match store.commit(txn).await? {
        TxnOutcome::Committed(_) => Ok(()),
        TxnOutcome::Refused { .. } => {
            let message = format!("{} has an administrator already: run the server, or choose another directory", layout.root.display());
            Err(Error::new(ErrorKind::AlreadyExists, "init", message))
        }
    }
}

/// A password nobody has thought of: 20 characters, about 119 bits.
pub fn random_password() -> Secret<String> {
    const ALPHABET: &[u8] = b"ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz23456789";
    let pick = |_| char::from(ALPHABET[rand::random_range(0..ALPHABET.len())]);
    Secret::new((0..20).map(pick).collect())
}

/// Makes the data directory, readable by its owner only below `pki`.
pub fn make_directories(layout: &Layout) -> Result<()> {
    for (relative, mode) in [("", 0o755), ("pki", 0o700), ("storage", 0o755)] {
        let path = layout.path(relative);
        let mut builder = std::fs::DirBuilder::new();
        builder.recursive(true).mode(mode).create(&path).map_err(|e| failed(&path, &e))?;
    }
    Ok(())
}

fn make_certificates(layout: &Layout, cluster: &str, names: &[String]) -> Result<()> {
    if layout.path("pki/server.key").exists() {
        return Ok(());
    }
    let bad = |e: rcgen::Error| Error::internal("init", format!("no certificate could be made: {e}"));
    let ca_key = KeyPair::generate().map_err(bad)?;
    let mut ca = CertificateParams::default();
    ca.distinguished_name.push(DnType::CommonName, format!("gpve cluster {cluster}"));
    ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    ca.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let ca_cert = ca.self_signed(&ca_key).map_err(bad)?;
    let issuer = Issuer::new(ca, ca_key);
    let server_key = KeyPair::generate().map_err(bad)?;
    let mut server = CertificateParams::default();
    server.distinguished_name.push(DnType::CommonName, names.first().map_or("gpve", String::as_str));
    for name in names {
        server.subject_alt_names.push(match name.parse::<IpAddr>() {
            Ok(address) => SanType::IpAddress(address),
            Err(_) => SanType::DnsName(name.as_str().try_into().map_err(bad)?),
        });
    }
    let server_cert = server.signed_by(&server_key, &issuer).map_err(bad)?;
    write(&layout.path("pki/ca.crt"), 0o644, &ca_cert.pem())?;
    write(&layout.path("pki/ca.key"), 0o600, &issuer.key().serialize_pem())?;
    write(&layout.path("pki/server.crt"), 0o644, &format!("{}{}", server_cert.pem(), ca_cert.pem()))?;
    // The key comes last: with it the directory counts as initialized.
    write(&layout.path("pki/server.key"), 0o600, &server_key.serialize_pem())
}

fn write(path: &Path, mode: u32, text: &str) -> Result<()> {
    let file = std::fs::OpenOptions::new().write(true).create(true).truncate(true).mode(mode).open(path);
    file.and_then(|mut f| f.write_all(text.as_bytes()).and_then(|()| f.sync_all())).map_err(|e| failed(path, &e))
}
