//! Password hashes: argon2id with bounded cost.
//!
//! Hashing takes tens of milliseconds and megabytes on purpose: call it off the async runtime and bound how many run at once.

use argon2::password_hash::phc;
use argon2::{Algorithm, Argon2, Params, PasswordHasher, PasswordVerifier, Version};
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::Secret;

/// Longest accepted password; a longer one is refused before any hashing.
pub const MAX_PASSWORD_BYTES: usize = 4096;
/// Shortest password that [`PasswordHash::new`] accepts.
pub const MIN_PASSWORD_BYTES: usize = 8;
/// Memory of one hash in KiB (OWASP's second profile: 19 MiB, two passes, one lane).
const MEMORY_KIB: u32 = 19 * 1024;
const PASSES: u32 = 2;
const LANES: u32 = 1;
/// A stored hash that asks for more than this is refused: it would let a written state file exhaust the server.
const MAX_MEMORY_KIB: u32 = 256 * 1024;
const MAX_PASSES: u32 = 16;
const MAX_LANES: u32 = 8;

/// Why a password or a stored hash was refused.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum PasswordError {
    /// The password is shorter than [`MIN_PASSWORD_BYTES`].
    #[error("password: must be at least {MIN_PASSWORD_BYTES} characters long")]
    TooShort,
    /// The password is longer than [`MAX_PASSWORD_BYTES`].
    #[error("password: may only be {MAX_PASSWORD_BYTES} bytes long")]
    TooLong,
    /// The stored hash is not an argon2id hash within the accepted cost.
    #[error("stored password hash is not an argon2id hash within the accepted cost")]
    BadHash,
}

/// An argon2id hash in PHC form. Parsing checks algorithm and cost, so verification has a known upper bound.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct PasswordHash(String);

impl PasswordHash {
    /// Hashes `password` with `salt`, 16 bytes from a cryptographic random source.
    ///
    /// # Errors
    /// [`PasswordError::TooShort`] and [`PasswordError::TooLong`].
    pub fn new(password: &Secret<String>, salt: [u8; 16]) -> Result<Self, PasswordError> {
        let password = password.expose();
        if password.len() < MIN_PASSWORD_BYTES {
            return Err(PasswordError::TooShort);
        }
        if password.len() > MAX_PASSWORD_BYTES {
            return Err(PasswordError::TooLong);
        }
        let hash = hasher()?.hash_password_with_salt(password.as_bytes(), &salt).map_err(|_| PasswordError::BadHash)?;
        Ok(Self(hash.to_string()))
    }

    /// Whether `password` is the hashed one.
    pub fn verify(&self, password: &Secret<String>) -> bool {
        let password = password.expose();
        password.len() <= MAX_PASSWORD_BYTES && Argon2::default().verify_password(password.as_bytes(), self.0.as_str()).is_ok()
    }

    /// Checks `password` against `stored`; without one it still does the work of a hash, so that the time taken does not
    /// tell whether the user exists.
    pub fn verify_or_dummy(stored: Option<&Self>, password: &Secret<String>) -> bool {
        if let Some(hash) = stored {
            return hash.verify(password);
        }
        let mut out = [0_u8; 32];
        let bytes = password.expose().as_bytes();
        if let Ok(hasher) = hasher()
            && bytes.len() <= MAX_PASSWORD_BYTES
        {
            // The result is thrown away; black_box keeps the work.
            let _ = hasher.hash_password_into(bytes, &[0; 16], &mut out);
            std::hint::black_box(&out);
        }
        false
    }
}

fn hasher() -> Result<Argon2<'static>, PasswordError> {
    let params = Params::new(MEMORY_KIB, PASSES, LANES, None).map_err(|_| PasswordError::BadHash)?;
    Ok(Argon2::new(Algorithm::Argon2id, Version::V0x13, params))
}

impl TryFrom<String> for PasswordHash {
    type Error = PasswordError;

    fn try_from(s: String) -> Result<Self, Self::Error> {
        let hash = phc::PasswordHash::new(&s).map_err(|_| PasswordError::BadHash)?;
        let params = Params::try_from(&hash).map_err(|_| PasswordError::BadHash)?;
        let bounded = params.m_cost() <= MAX_MEMORY_KIB && params.t_cost() <= MAX_PASSES && params.p_cost() <= MAX_LANES;
        let complete = hash.algorithm.as_str() == "argon2id" && hash.salt.is_some() && hash.hash.is_some();
        if bounded && complete { Ok(Self(s)) } else { Err(PasswordError::BadHash) }
    }
}

impl From<PasswordHash> for String {
    fn from(v: PasswordHash) -> Self {
        v.0
    }
}

impl std::fmt::Debug for PasswordHash {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("PasswordHash(..)")
    }
}
