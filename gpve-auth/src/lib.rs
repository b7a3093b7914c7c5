//! Identity for gpve: passwords, tickets, API tokens and privilege checks; pure decisions.
//!
//! Nothing here touches a file, a socket, a clock or a random source. Time comes in as [`UnixTime`], randomness as byte
//! arrays, accounts through the [`Accounts`] port; so every decision can be repeated in a test.
//!
//! | module | what it holds |
//! | --- | --- |
//! | [`identity`] | user ids (`root@pam`), token ids (`root@pam!ci`), who is asking |
//! | [`password`] | argon2id hashes with bounded cost, equal timing for unknown users |
//! | [`ticket`] | signed tickets `PVE:user@realm:HEX8::SIG`, current and previous key |
//! | [`csrf`] | `HEX8:MAC` tokens that a browser must send beside a ticket |
//! | [`token`] | API tokens: secret, stored form, expiry |
//! | [`privilege`], [`path`] | privileges by their Proxmox VE names, sets of them, object paths |
//! | [`access`] | the one question: may this identity do this here |
//! | [`login`] | credentials in, identity or refusal out |
//! | [`secret`] | values that never print |
//!
//! # Invariants
//! - A secret never appears in `Debug`, `Display` or serde output; passwords and token secrets are stored as hashes.
//! - A ticket verifies only if one of the given keys signed exactly these bytes and it is fresh.
//! - Refusals do not tell an unknown user from a wrong password, neither in words nor in time.
//!
//! # Example
//! ```
//! use gpve_auth::{Administrator, Authority, Identity, ObjectPath, Privilege, SessionKeys, UnixTime};
//!
//! let keys = SessionKeys::new([7; 32], None);
//! let now = UnixTime(1_800_000_000);
//! let ticket = keys.issue_ticket(&"root@pam".parse()?, now);
//! let user = keys.verify_ticket(ticket.expose(), now)?;
//!
//! let who = Identity::user(user);
//! let decision = Administrator.authorize(&who, Privilege::VmPowerMgmt, &ObjectPath::vm(100));
//! assert!(decision.is_allowed());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

pub mod access;
pub mod csrf;
pub mod identity;
pub mod login;
pub mod password;
pub mod path;
pub mod privilege;
pub mod secret;
pub mod ticket;
pub mod token;

pub use access::{Administrator, Authority, Decision, Denied};
pub use identity::{Identity, IdentityError, Realm, TokenId, TokenName, UserId};
pub use login::{Accounts, Credentials, Login, LoginRefused};
pub use password::{PasswordError, PasswordHash};
pub use path::{ObjectPath, PathError};
pub use privilege::{Privilege, PrivilegeSet, UnknownPrivilege};
pub use secret::Secret;
pub use ticket::{SessionKeys, TicketError, UnixTime};
pub use token::{TokenRecord, TokenSecret};

/// The README's program, which tests compile.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
