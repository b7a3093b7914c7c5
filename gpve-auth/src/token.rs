//! API tokens: `Authorization: PVEAPIToken=user@realm!name=SECRET`.
//!
//! The secret is a random UUID, 122 bits that nobody can guess, so that a plain SHA-256 is a sound stored form and a
//! request costs microseconds, unlike a password.

use aws_lc_rs::{constant_time, digest};
use serde::{Deserialize, Serialize};

use crate::{Secret, UnixTime};

/// A token's secret as shown once at creation, in UUID form.
#[derive(Debug, Clone)]
pub struct TokenSecret(Secret<String>);

impl TokenSecret {
    /// A secret from 16 bytes of a cryptographic random source, as a version 4 UUID.
    pub fn from_random(mut bytes: [u8; 16]) -> Self {
        bytes[6] = (bytes[6] & 0x0F) | 0x40;
        bytes[8] = (bytes[8] & 0x3F) | 0x80;
        let h = hex::encode(bytes);
        Self(Secret::new(format!("{}-{}-{}-{}-{}", &h[..8], &h[8..12], &h[12..16], &h[16..20], &h[20..])))
    }

    /// The text to hand to the user, once.
    pub fn expose(&self) -> &str {
        self.0.expose()
    }

    /// The stored form.
    pub fn digest(&self) -> TokenDigest {
        TokenDigest::of(self.expose())
    }
}

/// SHA-256 of a token's secret, in hex.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct TokenDigest(String);

impl TokenDigest {
    fn of(secret: &str) -> Self {
        Self(hex::encode(digest::digest(&digest::SHA256, secret.as_bytes())))
    }

    /// Whether `secret` is the hashed one, in constant time.
    pub fn matches(&self, secret: &Secret<String>) -> bool {
        let given = Self::of(secret.expose());
        constant_time::verify_slices_are_equal(given.0.as_bytes(), self.0.as_bytes()).is_ok()
    }
}

impl std::fmt::Debug for TokenDigest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("TokenDigest(..)")
    }
}

/// A token as it is stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TokenRecord {
    /// Free text of the owner.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub comment: Option<String>,
    /// Unix time of expiry; 0 is never.
    #[serde(default)]
    pub expire: u64,
    /// Whether the token has only privileges granted to itself (`privsep`).
    pub separated: bool,
    /// The secret's stored form.
    pub digest: TokenDigest,
}

impl TokenRecord {
    /// Whether the token has expired.
    pub const fn is_expired(&self, now: UnixTime) -> bool {
        self.expire != 0 && self.expire <= now.0
    }
}
