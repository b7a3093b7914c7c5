//! What a transaction means, said once for every store that keeps its own table.

use gpve_core::ports::{Change, Entry, Expect, Key, LeaseId, Mutation, Revision, Txn, WatchBatch};

/// What a table knows of a key without its value.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Stamp<Row> {
    /// The table's own handle of the entry.
    pub(crate) row: Row,
    /// See [`Entry::created`].
    pub(crate) created: Revision,
    /// See [`Entry::modified`].
    pub(crate) modified: Revision,
    /// See [`Entry::version`].
    pub(crate) version: u64,
}

/// The current state, as a transaction sees and changes it.
pub(crate) trait Table {
    /// Handle of an entry.
    type Row: Copy;
    /// Why the table failed.
    type Error;

    /// What is known of `key`, if it exists.
    fn stamp(&self, key: &Key) -> Result<Option<Stamp<Self::Row>>, Self::Error>;
    /// The whole entry of `key`, if it exists.
    fn entry(&self, key: &Key) -> Result<Option<Entry>, Self::Error>;
    /// Whether a lease can be bound to.
    fn lease_alive(&self, lease: LeaseId) -> Result<bool, Self::Error>;
    /// Writes `entry`, the `ordinal`th change of its revision, in place of `before`.
    fn put(&mut self, ordinal: u32, entry: &Entry, before: Option<Stamp<Self::Row>>) -> Result<(), Self::Error>;
    /// Removes `key`, the `ordinal`th change of `revision`.
    fn delete(&mut self, ordinal: u32, revision: Revision, key: &Key, before: Stamp<Self::Row>) -> Result<(), Self::Error>;
}

/// What a transaction did to the table.
#[derive(Debug)]
pub(crate) enum Applied {
    /// It made the next revision.
    Changed(WatchBatch),
    /// Its conditions held and nothing changed.
    Unchanged,
    /// A condition did not hold; nothing was written.
    Refused { expect: usize, current: Option<Entry> },
    /// It binds to a lease that is gone; nothing was written.
    NoSuchLease(LeaseId),
}

/// Runs `txn` on `table` as revision `next`. After an error the table may hold a part of it: roll back.
pub(crate) fn apply<T: Table>(table: &mut T, txn: &Txn, next: Revision) -> Result<Applied, T::Error> {
    for (index, expect) in txn.expect.iter().enumerate() {
        if !holds(table, expect)? {
            return Ok(Applied::Refused { expect: index, current: table.entry(expect.key())? });
        }
    }
    for mutation in &txn.then {
        if let Mutation::Put { lease: Some(lease), .. } = mutation
            && !table.lease_alive(*lease)?
        {
            return Ok(Applied::NoSuchLease(*lease));
        }
    }
    let mut changes = Vec::with_capacity(txn.then.len());
    for mutation in &txn.then {
        let ordinal = u32::try_from(changes.len()).unwrap_or(u32::MAX);
        changes.extend(mutate(table, ordinal, mutation, next)?);
    }
    Ok(if changes.is_empty() { Applied::Unchanged } else { Applied::Changed(WatchBatch { revision: next, changes }) })
}

fn holds<T: Table>(table: &T, expect: &Expect) -> Result<bool, T::Error> {
    let stamp = table.stamp(expect.key())?;
    Ok(match expect {
        Expect::Absent(_) => stamp.is_none(),
        Expect::Present(_) => stamp.is_some(),
        Expect::Unchanged(_, revision) => stamp.is_some_and(|s| s.modified == *revision),
    })
}

fn mutate<T: Table>(table: &mut T, ordinal: u32, mutation: &Mutation, next: Revision) -> Result<Option<Change>, T::Error> {
    match mutation {
        Mutation::Put { key, value, lease } => {
            let before = table.stamp(key)?;
            let (created, version) = before.map_or((next, 1), |s| (s.created, s.version + 1));
            let entry = Entry { key: key.clone(), value: value.clone(), created, modified: next, version, lease: *lease };
            table.put(ordinal, &entry, before)?;
            Ok(Some(Change::Put(entry)))
        }
        Mutation::Delete { key } => {
            let Some(before) = table.stamp(key)? else { return Ok(None) };
            table.delete(ordinal, next, key, before)?;
            Ok(Some(Change::Delete(key.clone())))
        }
    }
}
