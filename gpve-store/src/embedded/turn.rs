//! One SQLite transaction that carries the writes of many jobs, each with its own revision and its own answer.

use std::time::Duration;

use gpve_core::ports::{Change, Key, LeaseId, Revision, StoreError, TxnOutcome, WatchBatch};
use gpve_core::types::Timestamp;
use rusqlite::{Connection, params};

use super::table::Records;
use super::writer::{Answer, Ask};
use super::{row, schema};
use crate::apply::{Applied, Table, apply};
use crate::lease::Leases;
use crate::request::MAX_LEASES;

/// A turn under way.
pub(super) struct Turn<'a> {
    pub(super) connection: &'a Connection,
    /// The leases before the turn.
    pub(super) leases: &'a Leases,
    pub(super) now: Duration,
    pub(super) wall: Timestamp,
    pub(super) swept: Revision,
    pub(super) effects: Effects,
}

/// What has to happen once the turn is durable.
#[derive(Debug)]
pub(super) struct Effects {
    pub(super) revision: Revision,
    pub(super) compacted: Revision,
    pub(super) commits: Vec<WatchBatch>,
    pub(super) leases: Vec<LeaseEffect>,
    ended: Vec<LeaseId>,
}

/// A change of the leases in memory.
#[derive(Debug)]
pub(super) enum LeaseEffect {
    /// The lease has its full time from now.
    Full(LeaseId, Duration),
    /// It ended.
    Ended(LeaseId),
}

impl Effects {
    /// Nothing yet.
    pub(super) fn at(revision: Revision, compacted: Revision) -> Self {
        Self { revision, compacted, commits: Vec::new(), leases: Vec::new(), ended: Vec::new() }
    }
}

impl Turn<'_> {
    /// Does what a job asks. The outer error spoils the turn, the inner one is the job's answer.
    pub(super) fn run(&mut self, ask: &Ask) -> rusqlite::Result<Result<Answer, StoreError>> {
        match ask {
            Ask::Commit(txn) => self.commit(txn),
            Ask::Grant(ttl) => self.grant(*ttl),
            Ask::Renew(lease) => self.renew(*lease),
            Ask::Revoke(lease) => self.end(*lease).map(Ok),
            Ask::Compact(through) => self.compact(*through),
            Ask::EndDue => {
                for lease in self.leases.due(self.now) {
                    self.end(lease)?;
                }
                Ok(Ok(Answer::Done))
            }
            Ask::Close => Ok(Ok(Answer::Done)),
        }
    }

    /// Forgets the oldest history beyond `keep` revisions, in steps of a quarter of it.
    pub(super) fn keep(&mut self, keep: u64) -> rusqlite::Result<()> {
        let have = self.effects.revision.0 - self.effects.compacted.0;
        if have > keep.saturating_add(keep / 4) {
            self.forget(Revision(self.effects.revision.0 - keep))?;
        }
        Ok(())
    }

    fn commit(&mut self, txn: &gpve_core::ports::Txn) -> rusqlite::Result<Result<Answer, StoreError>> {
        let next = self.next_revision();
        Ok(match apply(&mut self.records(), txn, next)? {
            Applied::Changed(batch) => {
                self.effects.revision = next;
                self.effects.commits.push(batch);
                Ok(Answer::Outcome(TxnOutcome::Committed(next)))
            }
            Applied::Unchanged => Ok(Answer::Outcome(TxnOutcome::Committed(self.effects.revision))),
            Applied::Refused { expect, current } => Ok(Answer::Outcome(TxnOutcome::Refused { expect, current })),
            Applied::NoSuchLease(lease) => Err(StoreError::NoSuchLease(lease)),
        })
    }

    fn grant(&mut self, ttl: Duration) -> rusqlite::Result<Result<Answer, StoreError>> {
        if self.leases.len() + self.effects.leases.len() >= MAX_LEASES {
            return Ok(Err(StoreError::Unavailable(format!("{MAX_LEASES} leases are alive, the most there can be"))));
        }
        let mut insert = self.connection.prepare_cached("INSERT INTO lease (ttl_s, ends_ms) VALUES (?1, ?2)")?;
        insert.execute(params![row::to_sql(ttl.as_secs()), row::to_sql(self.wall.plus(ttl).millis())])?;
        let lease = LeaseId(row::from_sql(self.connection.last_insert_rowid()));
        self.effects.leases.push(LeaseEffect::Full(lease, ttl));
        Ok(Ok(Answer::Granted(lease)))
    }

    fn renew(&mut self, lease: LeaseId) -> rusqlite::Result<Result<Answer, StoreError>> {
        let alive = self.records().lease_alive(lease)?;
        let Some(ttl) = self.leases.ttl(lease).filter(|_| alive) else {
            return Ok(Err(StoreError::NoSuchLease(lease)));
        };
        let mut update = self.connection.prepare_cached("UPDATE lease SET ends_ms = ?2 WHERE id = ?1")?;
        update.execute(params![row::to_sql(lease.0), row::to_sql(self.wall.plus(ttl).millis())])?;
        self.effects.leases.push(LeaseEffect::Full(lease, ttl));
        Ok(Ok(Answer::Done))
    }

    fn end(&mut self, lease: LeaseId) -> rusqlite::Result<Answer> {
        let keys = self.keys_of(lease)?;
        for keys in keys.chunks(row::MAX_CHANGES) {
            let next = self.next_revision();
            let mut records = self.records();
            for (ordinal, key) in (0..).zip(keys) {
                if let Some(before) = records.stamp(key)? {
                    records.delete(ordinal, next, key, before)?;
                }
            }
            let changes = keys.iter().cloned().map(Change::Delete).collect();
            self.effects.revision = next;
            self.effects.commits.push(WatchBatch { revision: next, changes });
        }
        self.connection.prepare_cached("DELETE FROM lease WHERE id = ?1")?.execute([row::to_sql(lease.0)])?;
        self.effects.ended.push(lease);
        self.effects.leases.push(LeaseEffect::Ended(lease));
        Ok(Answer::Done)
    }

    fn keys_of(&self, lease: LeaseId) -> rusqlite::Result<Vec<Key>> {
        let mut find = self.connection.prepare_cached("SELECT key FROM live WHERE lease = ?1 ORDER BY key")?;
        let keys = find.query_map([row::to_sql(lease.0)], |r| row::key(r, 0))?;
        keys.collect()
    }

    fn compact(&mut self, through: Revision) -> rusqlite::Result<Result<Answer, StoreError>> {
        let now = self.effects.revision;
        if through > now {
            return Ok(Err(StoreError::Invalid(format!("compaction through revision {through}: the store is at {now}"))));
        }
        if through > self.effects.compacted {
            self.forget(through)?;
        }
        Ok(Ok(Answer::Done))
    }

    fn forget(&mut self, through: Revision) -> rusqlite::Result<()> {
        self.connection.prepare_cached("UPDATE meta SET compacted = ?1")?.execute([row::to_sql(through.0)])?;
        self.effects.compacted = through;
        Ok(())
    }

    fn next_revision(&self) -> Revision {
        Revision(self.effects.revision.0 + 1)
    }

    fn records(&self) -> Records<'_> {
        Records { connection: self.connection, leases: self.leases, ended: &self.effects.ended, now: self.now, swept: self.swept }
    }
}

/// The leases in the file. One goes on with the time that it had left by the wall clock, at most its full time.
pub(super) fn load_leases(connection: &Connection, now: Duration, wall: Timestamp) -> rusqlite::Result<Leases> {
    let mut leases = Leases::new();
    let mut all = connection.prepare_cached("SELECT id, ttl_s, ends_ms FROM lease")?;
    let mut rows = all.query([])?;
    while let Some(row) = rows.next()? {
        let ttl = Duration::from_secs(row::from_sql(row.get(1)?));
        let left = Timestamp::from_millis(row::from_sql(row.get(2)?)).since(wall).min(ttl);
        leases.set(LeaseId(row::from_sql(row.get(0)?)), ttl, now + left);
    }
    leases.announce();
    Ok(leases)
}

/// Where history begins and how far forgotten records were removed.
pub(super) fn load_marks(connection: &Connection) -> rusqlite::Result<(Revision, Revision)> {
    let compacted = schema::compacted(connection)?;
    let swept = connection.query_row("SELECT swept FROM meta", [], |row| row.get(0))?;
    Ok((compacted, Revision(row::from_sql(swept))))
}
