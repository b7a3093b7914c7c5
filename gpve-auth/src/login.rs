//! Credentials in, identity or refusal out.

use thiserror::Error;

use crate::{Identity, PasswordHash, Secret, SessionKeys, TokenId, TokenRecord, UnixTime, UserId};

/// What a request presents.
#[derive(Debug, Clone)]
pub enum Credentials {
    /// A ticket from a cookie or header.
    Ticket(Secret<String>),
    /// An API token with its secret.
    Token {
        /// Which token.
        id: TokenId,
        /// The presented secret.
        secret: Secret<String>,
    },
}

/// The credentials are no good. Deliberately says no more than that.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("authentication failure")]
pub struct LoginRefused;

/// The accounts that exist, read from the server's cached state.
pub trait Accounts: Send + Sync {
    /// The password of an enabled user; none if the user is unknown, disabled or has no password here.
    fn password(&self, user: &UserId) -> Option<PasswordHash>;
    /// Whether the user exists and is enabled.
    fn is_active(&self, user: &UserId) -> bool;
    /// A token's record.
    fn token(&self, id: &TokenId) -> Option<TokenRecord>;
}

/// Decides about credentials with the server's keys and accounts.
pub struct Login<'a> {
    keys: &'a SessionKeys,
    accounts: &'a dyn Accounts,
}

impl std::fmt::Debug for Login<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Login")
    }
}

impl<'a> Login<'a> {
    /// A decider over `keys` and `accounts`.
    pub const fn new(keys: &'a SessionKeys, accounts: &'a dyn Accounts) -> Self {
        Self { keys, accounts }
    }

    /// Logs `user` in by `password`, which may also be a ticket of the same user that is still good: that is how clients
    /// renew. Costs a password hash in every case but a good ticket; run it off the async runtime.
    ///
    /// # Errors
    /// [`LoginRefused`], alike for an unknown user and a wrong password.
    pub fn with_password(&self, user: Option<&UserId>, password: &Secret<String>, now: UnixTime) -> Result<UserId, LoginRefused> {
        if let (Some(user), Ok(holder)) = (user, self.keys.verify_ticket(password.expose(), now)) {
            let renewed = holder == *user && self.accounts.is_active(user);
            return if renewed { Ok(holder) } else { Err(LoginRefused) };
        }
        let stored = user.and_then(|u| self.accounts.password(u));
        let good = PasswordHash::verify_or_dummy(stored.as_ref(), password);
        user.filter(|_| good).cloned().ok_or(LoginRefused)
    }

    /// Who presents `credentials`.
    ///
    /// # Errors
    /// [`LoginRefused`].
    pub fn identify(&self, credentials: &Credentials, now: UnixTime) -> Result<Identity, LoginRefused> {
        match credentials {
            Credentials::Ticket(ticket) => {
                let user = self.keys.verify_ticket(ticket.expose(), now).map_err(|_| LoginRefused)?;
                if self.accounts.is_active(&user) { Ok(Identity::User(user)) } else { Err(LoginRefused) }
            }
            Credentials::Token { id, secret } => {
                let record = self.accounts.token(id).ok_or(LoginRefused)?;
                let good = record.digest.matches(secret) && !record.is_expired(now) && self.accounts.is_active(&id.user);
                let identity = Identity::Token { id: id.clone(), separated: record.separated };
                if good { Ok(identity) } else { Err(LoginRefused) }
            }
        }
    }
}
