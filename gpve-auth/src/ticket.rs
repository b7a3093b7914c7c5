//! Tickets: `PVE:user@realm:HEX8::SIG`, what a login returns and a cookie carries.
//!
//! The form is Proxmox VE's, since clients split it at its colons; the signature is Ed25519 over everything before `::`.
//! A key rotates by moving to the second place: tickets it signed stay good until they expire.

use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, KeyPair, UnparsedPublicKey};
use aws_lc_rs::{digest, hkdf};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use thiserror::Error;
use zeroize::Zeroize;

use crate::{Secret, UserId};

/// How long a ticket or CSRF token is good.
pub const LIFETIME_SECONDS: u64 = 2 * 60 * 60;
/// How far in the future a ticket may have been issued: other servers' clocks differ.
pub const MAX_CLOCK_SKEW_SECONDS: u64 = 5 * 60;
/// Longest text that is looked at as a ticket.
pub const MAX_TICKET_BYTES: usize = 512;

/// Seconds since 1970 in UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct UnixTime(pub u64);

impl UnixTime {
    /// Whether something issued at `issued` is good now.
    pub const fn is_fresh(self, issued: Self) -> bool {
        issued.0 <= self.0.saturating_add(MAX_CLOCK_SKEW_SECONDS) && self.0 <= issued.0.saturating_add(LIFETIME_SECONDS)
    }

    /// The eight hex digits that tickets carry. Wraps in the year 2106, as the form does.
    pub(crate) fn hex8(self) -> String {
        format!("{:08X}", self.0 & 0xFFFF_FFFF)
    }

    pub(crate) fn from_hex8(s: &str) -> Option<Self> {
        let canonical = s.len() == 8 && s.bytes().all(|b| b.is_ascii_digit() || matches!(b, b'A'..=b'F'));
        canonical.then(|| u64::from_str_radix(s, 16).ok().map(Self)).flatten()
    }
}

/// Why a ticket was refused. Callers answer all of these alike.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum TicketError {
    /// Not of the form `PVE:user@realm:HEX8::SIG`.
    #[error("not a ticket")]
    Malformed,
    /// No known key signed it.
    #[error("ticket was not signed here")]
    Forged,
    /// Issued too long ago, or in the future.
    #[error("ticket has expired")]
    Stale,
}

struct Key {
    signing: Ed25519KeyPair,
    mac: aws_lc_rs::hmac::Key,
}

impl Key {
    fn derive(mut seed: [u8; 32]) -> Self {
        // One seed, two independent keys: each is an HKDF output under its own label.
        let mut ticket_seed = expand(&seed, b"gpve ticket ed25519");
        let mut mac_key = expand(&seed, b"gpve csrf hmac-sha256");
        #[expect(clippy::expect_used, reason = "every 32-byte seed is an Ed25519 key")]
        let signing = Ed25519KeyPair::from_seed_unchecked(&ticket_seed).expect("32-byte seed");
        let mac = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, &mac_key);
        seed.zeroize();
        ticket_seed.zeroize();
        mac_key.zeroize();
        Self { signing, mac }
    }

    fn verifies(&self, message: &[u8], signature: &[u8]) -> bool {
        UnparsedPublicKey::new(&ED25519, self.signing.public_key().as_ref()).verify(message, signature).is_ok()
    }
}

fn expand(seed: &[u8; 32], label: &[u8]) -> [u8; 32] {
    let mut out = [0_u8; digest::SHA256_OUTPUT_LEN];
    let info = [label];
    #[expect(clippy::expect_used, reason = "32 bytes is within HKDF's limit of 255 blocks")]
    hkdf::Salt::new(hkdf::HKDF_SHA256, b"gpve session keys v1")
        .extract(seed)
        .expand(&info, hkdf::HKDF_SHA256)
        .and_then(|okm| okm.fill(&mut out))
        .expect("one block");
    out
}

/// The keys that sign tickets and CSRF tokens: the current one, and the previous one which only verifies.
pub struct SessionKeys {
    current: Key,
    previous: Option<Key>,
}

impl std::fmt::Debug for SessionKeys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SessionKeys").field("previous", &self.previous.is_some()).finish_non_exhaustive()
    }
}

impl SessionKeys {
    /// Keys from 32-byte seeds that came from a cryptographic random source and are stored secretly.
    pub fn new(current: [u8; 32], previous: Option<[u8; 32]>) -> Self {
        Self { current: Key::derive(current), previous: previous.map(Key::derive) }
    }

    fn keys(&self) -> impl Iterator<Item = &Key> {
        std::iter::once(&self.current).chain(self.previous.as_ref())
    }

    /// A ticket for `user`, issued `now`.
    pub fn issue_ticket(&self, user: &UserId, now: UnixTime) -> Secret<String> {
        let plain = format!("PVE:{user}:{}", now.hex8());
        let signature = STANDARD.encode(self.current.signing.sign(plain.as_bytes()));
        Secret::new(format!("{plain}::{signature}"))
    }

    /// The user of a good ticket.
    ///
    /// # Errors
    /// See [`TicketError`]; the signature is checked before anything in the text is believed.
    pub fn verify_ticket(&self, ticket: &str, now: UnixTime) -> Result<UserId, TicketError> {
        if ticket.len() > MAX_TICKET_BYTES {
            return Err(TicketError::Malformed);
        }
        let (plain, signature) = ticket.rsplit_once("::").ok_or(TicketError::Malformed)?;
        // STANDARD refuses missing padding and trailing bits, so one signature has one spelling.
        let signature = STANDARD.decode(signature).map_err(|_| TicketError::Malformed)?;
        if !self.keys().any(|key| key.verifies(plain.as_bytes(), &signature)) {
            return Err(TicketError::Forged);
        }
        let (user, issued) = plain
            .strip_prefix("PVE:")
            .and_then(|rest| rest.rsplit_once(':'))
            .and_then(|(user, hex)| Some((user.parse().ok()?, UnixTime::from_hex8(hex)?)))
            .ok_or(TicketError::Malformed)?;
        if now.is_fresh(issued) { Ok(user) } else { Err(TicketError::Stale) }
    }

    pub(crate) fn mac(&self, message: &[u8]) -> Vec<u8> {
        aws_lc_rs::hmac::sign(&self.current.mac, message).as_ref().to_vec()
    }

    pub(crate) fn mac_matches(&self, message: &[u8], tag: &[u8]) -> bool {
        self.keys().any(|key| aws_lc_rs::hmac::verify(&key.mac, message, tag).is_ok())
    }
}
