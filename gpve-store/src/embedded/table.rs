//! The current state in SQLite, as a transaction sees and changes it.

use std::time::Duration;

use gpve_core::ports::{Entry, Key, LeaseId, Revision};
use rusqlite::{Connection, OptionalExtension, Row, params};

use super::row;
use crate::apply::{Stamp, Table};
use crate::lease::Leases;

/// The tables within one SQLite transaction.
pub(super) struct Records<'a> {
    pub(super) connection: &'a Connection,
    /// The leases before the transaction, and those that ended within it.
    pub(super) leases: &'a Leases,
    pub(super) ended: &'a [LeaseId],
    pub(super) now: Duration,
    /// Superseded records up to here have to go at once: nobody will come by again.
    pub(super) swept: Revision,
}

impl Table for Records<'_> {
    /// The id of the record.
    type Row = i64;
    type Error = rusqlite::Error;

    fn stamp(&self, key: &Key) -> rusqlite::Result<Option<Stamp<i64>>> {
        let stamp = |r: &Row<'_>| {
            let id = r.get(0)?;
            let (created, version) = (Revision(row::from_sql(r.get(1)?)), row::from_sql(r.get(2)?));
            Ok(Stamp { row: id, created, modified: row::revision_of(id), version })
        };
        let mut find = self.connection.prepare_cached("SELECT id, created, version FROM live WHERE key = ?1")?;
        find.query_row([key.as_str()], stamp).optional()
    }

    fn entry(&self, key: &Key) -> rusqlite::Result<Option<Entry>> {
        entry(self.connection, key)
    }

    fn lease_alive(&self, lease: LeaseId) -> rusqlite::Result<bool> {
        Ok(self.leases.is_alive(lease, self.now) && !self.ended.contains(&lease))
    }

    fn put(&mut self, ordinal: u32, entry: &Entry, before: Option<Stamp<i64>>) -> rusqlite::Result<()> {
        let id = row::record_id(entry.modified, ordinal);
        let (key, created, version) = (entry.key.as_str(), row::to_sql(entry.created.0), row::to_sql(entry.version));
        let lease = entry.lease.map(|lease| row::to_sql(lease.0));
        self.connection
            .prepare_cached("INSERT INTO record (id, key, value, created, version, lease) VALUES (?1, ?2, ?3, ?4, ?5, ?6)")?
            .execute(params![id, key, &entry.value[..], created, version, lease])?;
        let live = match before {
            None => "INSERT INTO live (key, id, created, version, lease) VALUES (?1, ?2, ?3, ?4, ?5)",
            Some(_) => "UPDATE live SET id = ?2, created = ?3, version = ?4, lease = ?5 WHERE key = ?1",
        };
        self.connection.prepare_cached(live)?.execute(params![key, id, created, version, lease])?;
        before.map_or(Ok(()), |before| self.supersede(before.row))
    }

    fn delete(&mut self, ordinal: u32, revision: Revision, key: &Key, before: Stamp<i64>) -> rusqlite::Result<()> {
        self.connection
            .prepare_cached("INSERT INTO record (id, key) VALUES (?1, ?2)")?
            .execute(params![row::record_id(revision, ordinal), key.as_str()])?;
        self.connection.prepare_cached("DELETE FROM live WHERE key = ?1")?.execute([key.as_str()])?;
        self.supersede(before.row)
    }
}

impl Records<'_> {
    fn supersede(&self, id: i64) -> rusqlite::Result<()> {
        if row::revision_of(id) <= self.swept {
            self.connection.prepare_cached("DELETE FROM record WHERE id = ?1")?.execute([id])?;
        }
        Ok(())
    }
}

/// The entry of `key`.
pub(super) fn entry(connection: &Connection, key: &Key) -> rusqlite::Result<Option<Entry>> {
    let mut find = connection.prepare_cached(
        "SELECT r.id, r.key, r.value, r.created, r.version, r.lease FROM live AS l JOIN record AS r ON r.id = l.id
        WHERE l.key = ?1",
    )?;
    find.query_row([key.as_str()], row::entry).optional()
}
