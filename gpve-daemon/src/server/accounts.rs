//! Users, tokens and session keys: kept in the store, read from memory.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};

use gpve_auth::{PasswordHash, SessionKeys, TokenId, TokenRecord, UserId};
use gpve_core::error::{Error, ErrorKind, Result};
use gpve_core::ports::{Change, Expect, Key, ListRequest, Revision, Store, Txn, TxnOutcome, WatchRequest};
use serde::{Deserialize, Serialize};

/// Everything about access in the store.
const ROOT: &str = "/gpve/v1/access/";
/// Most tokens of one user: each is a program, of which a user has a handful.
const TOKENS_MAX: usize = 256;

/// A user as it is stored.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct UserRecord {
    /// May log in.
    pub enabled: bool,
    /// None: cannot log in by password.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password: Option<PasswordHash>,
}

/// The keys that tickets are signed with.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct KeyRecord {
    /// Signs and verifies.
    pub current: [u8; 32],
    /// Verifies only, until its tickets have expired.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub previous: Option<[u8; 32]>,
}

#[derive(Default)]
struct State {
    users: BTreeMap<UserId, UserRecord>,
    tokens: BTreeMap<TokenId, TokenRecord>,
}

struct Inner {
    store: Arc<dyn Store>,
    state: RwLock<State>,
}

/// The accounts of a cluster. Writes go to the store first; what other servers write arrives by watch. Cheap to clone.
#[derive(Clone)]
pub struct AccountStore(Arc<Inner>);

/// The key of a user's record.
pub fn user_key(user: &UserId) -> Result<Key> {
    key(&format!("users/{user}"))
}

/// The key of the session keys.
pub fn keys_key() -> Result<Key> {
    key("session-keys")
}

impl AccountStore {
    /// Reads the accounts and session keys that `init` made, and follows the accounts from now on.
    ///
    /// # Errors
    /// [`ErrorKind::FailedPrecondition`] when there are no session keys; those of the store.
    pub async fn load(store: Arc<dyn Store>) -> Result<(Self, SessionKeys)> {
        let stored = store.get(&keys_key()?).await?;
        let missing = || Error::precondition("access.load", "the store has no session keys: run 'gpve-server init' first");
        let keys: KeyRecord = serde_json::from_slice(&stored.ok_or_else(missing)?.value)
            .map_err(|e| Error::internal("access.load", format!("the stored session keys cannot be read: {e}")))?;
        let inner = Arc::new(Inner { store: store.clone(), state: RwLock::default() });
        let revision = inner.read_all().await?;
        tokio::spawn(follow(Arc::downgrade(&inner), store, revision));
        Ok((Self(inner), SessionKeys::new(keys.current, keys.previous)))
    }

    /// Whether the user exists.
    pub fn has_user(&self, user: &UserId) -> bool {
        self.0.read(|s| s.users.contains_key(user))
    }

    /// A user's tokens.
    pub fn tokens_of(&self, user: &UserId) -> Vec<(TokenId, TokenRecord)> {
        self.0.read(|s| s.tokens.iter().filter(|(id, _)| id.user == *user).map(|(id, r)| (id.clone(), r.clone())).collect())
    }

    /// Makes a token.
    ///
    /// # Errors
    /// [`ErrorKind::AlreadyExists`] for a name that is taken; [`ErrorKind::ResourceExhausted`] beyond the limit per user.
    pub async fn add_token(&self, id: TokenId, record: TokenRecord) -> Result<()> {
        if self.tokens_of(&id.user).len() >= TOKENS_MAX {
            let message = format!("{} has {TOKENS_MAX} tokens: delete some first", id.user);
            return Err(Error::new(ErrorKind::ResourceExhausted, "token.create", message));
        }
        let key = token_key(&id)?;
        let txn = Txn::put(key.clone(), encode(&record)?).expecting(Expect::Absent(key));
        if let TxnOutcome::Refused { .. } = self.0.store.commit(txn).await? {
            return Err(Error::already_exists("token.create", format!("token {id}")));
        }
        self.0.write(|s| drop(s.tokens.insert(id, record)));
        Ok(())
    }

    /// Replaces a token.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`].
    pub async fn set_token(&self, id: TokenId, record: TokenRecord) -> Result<()> {
        let key = token_key(&id)?;
        let txn = Txn::put(key.clone(), encode(&record)?).expecting(Expect::Present(key));
        if let TxnOutcome::Refused { .. } = self.0.store.commit(txn).await? {
            return Err(Error::not_found("token.update", format!("token {id}")));
        }
        self.0.write(|s| drop(s.tokens.insert(id, record)));
        Ok(())
    }

    /// Removes a token; one that is gone is no error.
    pub async fn remove_token(&self, id: &TokenId) -> Result<()> {
        self.0.store.commit(Txn::delete(token_key(id)?)).await?;
        self.0.write(|s| drop(s.tokens.remove(id)));
        Ok(())
    }
}

impl Inner {
    async fn read_all(&self) -> Result<Revision> {
        let listing = self.store.list(ListRequest::prefix(ROOT)).await?;
        let mut state = State::default();
        for entry in &listing.entries {
            state.put(entry.key.as_str(), &entry.value);
        }
        self.write(|s| *s = state);
        Ok(listing.revision)
    }

    fn read<T>(&self, f: impl FnOnce(&State) -> T) -> T {
        f(&self.state.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn write(&self, f: impl FnOnce(&mut State)) {
        f(&mut self.state.write().unwrap_or_else(PoisonError::into_inner));
    }
}

impl gpve_auth::Accounts for AccountStore {
    fn password(&self, user: &UserId) -> Option<PasswordHash> {
        self.0.read(|s| s.users.get(user).filter(|u| u.enabled).and_then(|u| u.password.clone()))
    }

    fn is_active(&self, user: &UserId) -> bool {
        self.0.read(|s| s.users.get(user).is_some_and(|u| u.enabled))
    }

    fn token(&self, id: &TokenId) -> Option<TokenRecord> {
        self.0.read(|s| s.tokens.get(id).cloned())
    }
}

impl State {
    fn put(&mut self, key: &str, value: &[u8]) {
        let Some(name) = key.strip_prefix(ROOT) else { return };
        let unreadable = |e: &dyn std::fmt::Display| tracing::error!(key, error = %e, "a stored account is skipped");
        if let Some(id) = name.strip_prefix("users/").and_then(|n| n.parse().ok()) {
            match serde_json::from_slice(value) {
                Ok(user) => drop(self.users.insert(id, user)),
                Err(e) => unreadable(&e),
            }
        } else if let Some(id) = name.strip_prefix("tokens/").and_then(|n| n.parse().ok()) {
            match serde_json::from_slice(value) {
                Ok(token) => drop(self.tokens.insert(id, token)),
                Err(e) => unreadable(&e),
            }
        }
    }

    fn remove(&mut self, key: &str) {
        let Some(name) = key.strip_prefix(ROOT) else { return };
        if let Some(id) = name.strip_prefix("users/").and_then(|n| n.parse::<UserId>().ok()) {
            self.users.remove(&id);
        } else if let Some(id) = name.strip_prefix("tokens/").and_then(|n| n.parse::<TokenId>().ok()) {
            self.tokens.remove(&id);
        }
    }
}

/// Takes over what is written elsewhere until the accounts are gone.
async fn follow(accounts: std::sync::Weak<Inner>, store: Arc<dyn Store>, mut after: Revision) {
    loop {
        let watching = store.watch(WatchRequest { prefix: ROOT.to_owned(), after }).await;
        if let Ok(mut watch) = watching {
            while let Ok(batch) = watch.next().await {
                let Some(accounts) = accounts.upgrade() else { return };
                after = batch.revision;
                accounts.write(|state| {
                    for change in batch.changes {
                        match change {
                            Change::Put(entry) => state.put(entry.key.as_str(), &entry.value),
                            Change::Delete(key) => state.remove(key.as_str()),
                        }
                    }
                });
            }
        }
        let Some(accounts) = accounts.upgrade() else { return };
        // The watch ended: what was missed is read anew.
        match accounts.read_all().await {
            Ok(revision) => after = revision,
            Err(e) => tracing::warn!(error = %e.report(), "accounts cannot be read; trying again"),
        }
        tokio::time::sleep(std::time::Duration::from_secs(1)).await;
    }
}

fn key(name: &str) -> Result<Key> {
    format!("{ROOT}{name}").parse().map_err(|e: gpve_core::types::TextError| Error::field("access.key", "name", e.to_string()))
}

fn token_key(id: &TokenId) -> Result<Key> {
    key(&format!("tokens/{id}"))
}

fn encode(value: &impl Serialize) -> Result<Vec<u8>> {
    serde_json::to_vec(value).map_err(|e| Error::internal("access.encode", e.to_string()))
}
