//! Who is asking: user ids, token ids and the identity behind a request.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// Longest accepted user id, realm included (Proxmox VE's limit).
pub const MAX_USER_ID_BYTES: usize = 64;
/// Longest accepted realm or token name (Proxmox VE limits realms to 32; tokens share the field in logs).
pub const MAX_NAME_BYTES: usize = 32;

/// A name was refused; says which kind, the value, and what is allowed.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("invalid {kind} '{value}': {allowed}")]
pub struct IdentityError {
    kind: &'static str,
    value: String,
    allowed: &'static str,
}

impl IdentityError {
    fn new(kind: &'static str, value: &str, allowed: &'static str) -> Self {
        Self { kind, value: value.chars().take(MAX_USER_ID_BYTES).collect(), allowed }
    }
}

fn is_config_name(s: &str) -> bool {
    let mut bytes = s.bytes();
    s.len() >= 2
        && s.len() <= MAX_NAME_BYTES
        && bytes.next().is_some_and(|b| b.is_ascii_alphabetic())
        && bytes.all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_'))
}

macro_rules! string_newtype {
    ($(#[$doc:meta])* $name:ident, $kind:literal, $allowed:literal, $valid:expr) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            /// The text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = IdentityError;

            fn from_str(s: &str) -> Result<Self, Self::Err> {
                let valid: fn(&str) -> bool = $valid;
                if valid(s) { Ok(Self(s.to_owned())) } else { Err(IdentityError::new($kind, s, $allowed)) }
            }
        }

        impl TryFrom<String> for $name {
            type Error = IdentityError;

            fn try_from(s: String) -> Result<Self, Self::Error> {
                s.parse()
            }
        }

        impl From<$name> for String {
            fn from(v: $name) -> Self {
                v.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

string_newtype!(
    /// An authentication realm: `pam`, `pve`, or the name of a directory.
    Realm,
    "realm",
    "a letter, then letters, digits, '.', '-' or '_', 2 to 32 characters",
    is_config_name
);
string_newtype!(
    /// The name of an API token within its user.
    TokenName,
    "token name",
    "a letter, then letters, digits, '.', '-' or '_', 2 to 32 characters",
    is_config_name
);

/// `name@realm`. The name holds no whitespace, control character, `:`, `/`, `!`, `=`, `;`, `,` and no leading `-`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct UserId {
    name: String,
    realm: Realm,
}

impl UserId {
    /// A user of `realm`.
    ///
    /// # Errors
    /// When the name is empty, too long with its realm, or holds a forbidden character.
    pub fn new(name: &str, realm: Realm) -> Result<Self, IdentityError> {
        let refuse = || IdentityError::new("user name", name, "no whitespace, control character or one of :/!=;, and no leading '-'");
        let forbidden = |c: char| c.is_whitespace() || c.is_control() || matches!(c, ':' | '/' | '!' | '=' | ';' | ',');
        if name.is_empty() || name.starts_with('-') || name.len() + 1 + realm.0.len() > MAX_USER_ID_BYTES || name.contains(forbidden) {
            return Err(refuse());
        }
        Ok(Self { name: name.to_owned(), realm })
    }

    /// The built-in administrator, `root@pam`.
    pub fn root() -> Self {
        Self { name: "root".into(), realm: Realm("pam".into()) }
    }

    /// The name without its realm.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The realm.
    pub const fn realm(&self) -> &Realm {
        &self.realm
    }

    /// Whether this is `root@pam`.
    pub fn is_root(&self) -> bool {
        self.name == "root" && self.realm.0 == "pam"
    }
}

impl FromStr for UserId {
    type Err = IdentityError;

    fn from_str(s: &str) -> Result<Self, Self::Err> {
        // The last '@' divides, so that names may be mail addresses.
        let (name, realm) = s.rsplit_once('@').ok_or_else(|| IdentityError::new("user id", s, "name@realm"))?;
        Self::new(name, realm.parse()?)
    }
}

impl fmt::Display for UserId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.name, self.realm)
    }
}

impl TryFrom<String> for UserId {
    type Error = IdentityError;

    fn try_from(s: String) -> Result<Self, Self::Error> {
        s.parse()
    }
}

impl From<UserId> for String {
    fn from(v: UserId) -> Self {
        v.to_string()
    }
}

/// `user@realm!name`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct TokenId {
    /// The owner.
    pub user: UserId,
    /// The token's name among those of its owner.
    pub name: TokenName,
}

impl FromStr for TokenId {
    type Err = IdentityError;

    fn from_str(s: &str) -> Result<Self, Self::Err> {
        let (user, name) = s.split_once('!').ok_or_else(|| IdentityError::new("token id", s, "user@realm!name"))?;
        Ok(Self { user: user.parse()?, name: name.parse()? })
    }
}

impl fmt::Display for TokenId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}!{}", self.user, self.name)
    }
}

impl TryFrom<String> for TokenId {
    type Error = IdentityError;

    fn try_from(s: String) -> Result<Self, Self::Error> {
        s.parse()
    }
}

impl From<TokenId> for String {
    fn from(v: TokenId) -> Self {
        v.to_string()
    }
}

/// Who a verified request comes from. `Display` is what task ids and audit records carry.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Identity {
    /// A user with a ticket.
    User(UserId),
    /// A user's API token.
    Token {
        /// Which token.
        id: TokenId,
        /// Whether it has only privileges granted to itself, not those of its owner.
        separated: bool,
    },
}

impl Identity {
    /// A user with a ticket.
    pub const fn user(id: UserId) -> Self {
        Self::User(id)
    }

    /// The user, or the owner of the token.
    pub const fn owner(&self) -> &UserId {
        match self {
            Self::User(user) => user,
            Self::Token { id, .. } => &id.user,
        }
    }

    /// Whether this acts with the full power of `root@pam`: its ticket, or a token of it without privilege separation.
    ///
    /// This is what "root only" parameters ask. Proxmox VE refuses them to every token, which is among its most reported
    /// annoyances; a token that its owner exempted from separation is as trusted as the owner here.
    pub fn is_root(&self) -> bool {
        match self {
            Self::User(user) => user.is_root(),
            Self::Token { id, separated } => id.user.is_root() && !separated,
        }
    }

    /// Whether a state-changing request needs a CSRF token: browsers attach tickets by themselves, never API tokens.
    pub const fn needs_csrf(&self) -> bool {
        matches!(self, Self::User(_))
    }
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::User(user) => user.fmt(f),
            Self::Token { id, .. } => id.fmt(f),
        }
    }
}
