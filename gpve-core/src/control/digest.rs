//! Digests that clients hold against lost updates, and of requests.

use serde::Serialize;
use sha2::{Digest as _, Sha256};

use crate::types::{GuestName, VmSpec};

/// Digits of a config digest: clients of Proxmox VE expect 40, those of a SHA-1.
const CONFIG_DIGITS: usize = 40;

/// The digest of a guest's configuration: 40 hexadecimal digits that are equal exactly when name and spec are. Opaque
/// to clients. The same on control plane and node.
pub fn config_digest(name: Option<&GuestName>, spec: &VmSpec) -> String {
    let mut text = sha256_hex(&(name, spec));
    text.truncate(CONFIG_DIGITS);
    text
}

/// SHA-256 of `value`'s JSON, in hexadecimal.
pub(super) fn sha256_hex(value: &impl Serialize) -> String {
    let mut hash = Sha256::new();
    if let Err(e) = serde_json::to_writer(HashWriter(&mut hash), value) {
        // Vocabulary types always serialize; another value's digest is that of its error and equals no other's.
        hash.update(e.to_string());
    }
    hex::encode(hash.finalize())
}

struct HashWriter<'a>(&'a mut Sha256);

impl std::io::Write for HashWriter<'_> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
