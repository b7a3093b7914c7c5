//! CSRF tokens: `HEX8:MAC`, which a client with a ticket sends in a header on every write.
//!
//! A foreign web page can make a browser send the cookie, but cannot read this value. Comparison takes constant time.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::{Secret, SessionKeys, UnixTime, UserId};

/// Longest text that is looked at as a CSRF token.
const MAX_CSRF_BYTES: usize = 128;

impl SessionKeys {
    /// A CSRF token for `user`, issued `now`, good as long as a ticket.
    pub fn issue_csrf(&self, user: &UserId, now: UnixTime) -> Secret<String> {
        let stamp = now.hex8();
        let mac = STANDARD.encode(self.mac(message(&stamp, user).as_bytes()));
        Secret::new(format!("{stamp}:{mac}"))
    }

    /// Whether `token` was issued to `user` and is fresh.
    pub fn verify_csrf(&self, token: &str, user: &UserId, now: UnixTime) -> bool {
        if token.len() > MAX_CSRF_BYTES {
            return false;
        }
        let Some((stamp, mac)) = token.split_once(':') else { return false };
        let (Some(issued), Ok(mac)) = (UnixTime::from_hex8(stamp), STANDARD.decode(mac)) else { return false };
        self.mac_matches(message(stamp, user).as_bytes(), &mac) && now.is_fresh(issued)
    }
}

fn message(stamp: &str, user: &UserId) -> String {
    format!("csrf:{stamp}:{user}")
}
