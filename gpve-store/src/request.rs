//! What a request must look like before a store touches anything: the limits of the port, checked in one place.

use std::collections::HashSet;
use std::time::Duration;

use gpve_core::ports::{Key, Mutation, StoreError, Txn};

/// Shortest life of a lease.
pub const MIN_TTL: Duration = Duration::from_secs(1);
/// Longest life of a lease: who needs longer does not need a lease.
pub const MAX_TTL: Duration = Duration::from_secs(30 * 24 * 3600);
/// Most leases alive at once: one per server, session and held lock, with room to spare.
pub const MAX_LEASES: usize = 65_536;

/// Bytes a transaction carries, keys and values together.
pub(crate) fn weight(txn: &Txn) -> usize {
    let conditions: usize = txn.expect.iter().map(|e| e.key().as_str().len()).sum();
    let writes: usize = txn.then.iter().map(|m| mutation_key(m).as_str().len() + value_len(m)).sum();
    conditions + writes
}

/// Refuses a transaction that is too large or writes a key twice.
pub(crate) fn check_txn(txn: &Txn) -> Result<(), StoreError> {
    let ops = txn.expect.len() + txn.then.len();
    if ops > Txn::MAX_OPS {
        return Err(StoreError::Invalid(format!("a transaction of {ops} conditions and writes: at most {} are allowed", Txn::MAX_OPS)));
    }
    if let Some(large) = txn.then.iter().find(|m| value_len(m) > Txn::MAX_VALUE_BYTES) {
        let (key, len) = (mutation_key(large), value_len(large));
        return Err(StoreError::Invalid(format!("the value of {key} has {len} bytes: at most {} are allowed", Txn::MAX_VALUE_BYTES)));
    }
    let bytes = weight(txn);
    if bytes > Txn::MAX_BYTES {
        return Err(StoreError::Invalid(format!("a transaction of {bytes} bytes: at most {} are allowed", Txn::MAX_BYTES)));
    }
    match first_duplicate(&txn.then) {
        Some(key) => Err(StoreError::Invalid(format!("a transaction writes {key} twice: a key may occur once"))),
        None => Ok(()),
    }
}

/// Refuses a lease time that etcd could not keep either.
pub(crate) fn check_ttl(ttl: Duration) -> Result<(), StoreError> {
    if ttl < MIN_TTL || ttl > MAX_TTL || ttl.subsec_nanos() != 0 {
        let allowed = format!("whole seconds from {} to {} are allowed", MIN_TTL.as_secs(), MAX_TTL.as_secs());
        return Err(StoreError::Invalid(format!("a lease of {ttl:?}: {allowed}")));
    }
    Ok(())
}

/// Refuses a prefix that no key can have.
pub(crate) fn check_prefix(prefix: &str) -> Result<(), StoreError> {
    if prefix.len() > Key::MAX_BYTES {
        return Err(StoreError::Invalid(format!("a prefix of {} bytes: keys have at most {}", prefix.len(), Key::MAX_BYTES)));
    }
    Ok(())
}

fn mutation_key(mutation: &Mutation) -> &Key {
    match mutation {
        Mutation::Put { key, .. } | Mutation::Delete { key } => key,
    }
}

fn value_len(mutation: &Mutation) -> usize {
    match mutation {
        Mutation::Put { value, .. } => value.len(),
        Mutation::Delete { .. } => 0,
    }
}

fn first_duplicate(mutations: &[Mutation]) -> Option<&Key> {
    // Nearly every transaction writes one key.
    if mutations.len() < 2 {
        return None;
    }
    let mut seen = HashSet::with_capacity(mutations.len());
    mutations.iter().map(mutation_key).find(|key| !seen.insert(*key))
}
