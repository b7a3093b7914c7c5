//! The file: its tables, its format number, and how older formats become the present one.
//!
//! - `record`: every change of the history, in order; `id` is revision and place within it. `value` is null for a
//!   removal. Entries that are current stay when their history is forgotten.
//! - `live`: the current keys, each with the record that holds its value.
//! - `lease`: `ttl_s`, and `ends_ms` by the wall clock, so that a lease goes on where it was after a restart.
//! - `meta`: one row. History up to revision `compacted` is forgotten; records up to `swept` that were superseded are gone.
//!
//! A value is written once, whichever table asks for it. `application_id` and `user_version` (the format) are in the header.

use std::fs::OpenOptions;
use std::io::{Read, Seek, SeekFrom};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::Path;

use gpve_core::ports::{Revision, StoreError};
use rusqlite::{Connection, OpenFlags, Transaction, TransactionBehavior};

use super::error::{directory, explain, explain_io};
use super::lock::{Lock, beside};
use super::row::{from_sql, revision_of};

/// "gpvS": the mark of a gpve store in the header of the file.
const APPLICATION_ID: i32 = 0x6770_7653;

/// Step `n` makes format `n + 1` of format `n`. A step that was released never changes.
const STEPS: &[&str] = &[
    "CREATE TABLE record (
        id INTEGER PRIMARY KEY, key TEXT NOT NULL, value BLOB, created INTEGER, version INTEGER, lease INTEGER
    ) STRICT;
    CREATE TABLE live (
        key TEXT PRIMARY KEY, id INTEGER NOT NULL, created INTEGER NOT NULL, version INTEGER NOT NULL, lease INTEGER
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE lease (id INTEGER PRIMARY KEY AUTOINCREMENT, ttl_s INTEGER NOT NULL, ends_ms INTEGER NOT NULL) STRICT;
    CREATE TABLE meta (only INTEGER PRIMARY KEY CHECK (only = 1), compacted INTEGER NOT NULL) STRICT;
    INSERT INTO meta VALUES (1, 0);",
    // Format 2: forgotten records are removed little by little; the end of a lease finds its keys without a scan.
    "ALTER TABLE meta ADD COLUMN swept INTEGER NOT NULL DEFAULT 0;
    CREATE INDEX live_lease ON live (lease) WHERE lease IS NOT NULL;",
];

/// Waited for a lock that another connection of this process holds for a moment (the end of a checkpoint).
const BUSY_TIMEOUT_MS: u32 = 10_000;
/// Page cache of the writer: holds the inner pages of both trees at a million keys.
const WRITER_CACHE_KIB: u32 = 8 * 1024;
/// Page cache of each reader; the kernel's cache is behind it.
const READER_CACHE_KIB: u32 = 2 * 1024;
/// Bytes of a page in the log, with its header.
const LOG_PAGE_BYTES: u64 = 4096 + 24;
/// Room for all statements of the crate.
const STATEMENTS: usize = 32;
/// Mode of the store's files.
const OWNER_ONLY: u32 = 0o600;

/// An open store, before anybody uses it.
#[derive(Debug)]
pub(super) struct Opened {
    /// For the writer.
    pub(super) connection: Connection,
    /// Released after the connection.
    pub(super) lock: Lock,
    /// Where it stands.
    pub(super) revision: Revision,
}

/// Opens or makes the store at `path`, in the present format. Its log is written back at `log_pages`.
pub(super) fn open(path: &Path, log_pages: u32) -> Result<Opened, StoreError> {
    let lock = Lock::take(path)?;
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let sql = |e: rusqlite::Error| explain(path, &e);
    make_private(path).map_err(|e| explain_io(path, &e))?;
    let mut connection = Connection::open_with_flags(path, flags).map_err(sql)?;
    let found = identify(path, &connection)?;
    narrow(path).map_err(|e| explain_io(path, &e))?;
    configure_writer(&connection, log_pages).map_err(sql)?;
    migrate(&mut connection, found).map_err(sql)?;
    let revision = revision(&connection).map_err(sql)?;
    reserve_log(path, log_pages);
    sync_directory(path)?;
    tracing::info!(path = %path.display(), revision = revision.0, format = STEPS.len(), from = found, "store opened");
    Ok(Opened { connection, lock, revision })
}

/// A connection that only reads.
pub(super) fn open_reader(path: &Path) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.execute_batch(&format!("PRAGMA busy_timeout = {BUSY_TIMEOUT_MS}; PRAGMA cache_size = -{READER_CACHE_KIB};"))?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS);
    Ok(connection)
}

/// The last revision, as `connection` sees it.
pub(super) fn revision(connection: &Connection) -> rusqlite::Result<Revision> {
    // The last records may be removals that are forgotten by now.
    let mut last = connection.prepare_cached("SELECT coalesce((SELECT max(id) FROM record), 0), compacted FROM meta")?;
    last.query_row([], |row| Ok(revision_of(row.get(0)?).max(Revision(from_sql(row.get(1)?)))))
}

/// History up to this revision is forgotten.
pub(super) fn compacted(connection: &Connection) -> rusqlite::Result<Revision> {
    let mut compacted = connection.prepare_cached("SELECT compacted FROM meta")?;
    compacted.query_row([], |row| row.get(0)).map(|revision: i64| Revision(from_sql(revision)))
}

/// The format of the file, 0 if it is new.
fn identify(path: &Path, connection: &Connection) -> Result<usize, StoreError> {
    let sql = |e: rusqlite::Error| explain(path, &e);
    let number = |query: &str| connection.query_row(query, [], |row| row.get::<_, i32>(0)).map_err(sql);
    let (application, format) = (number("PRAGMA application_id")?, number("PRAGMA user_version")?);
    let tables = number("SELECT count(*) FROM sqlite_schema")?;
    if application == 0 && tables == 0 {
        return Ok(0);
    }
    let path = path.display().to_string();
    match usize::try_from(format) {
        Ok(found) if application == APPLICATION_ID && (1..=STEPS.len()).contains(&found) => Ok(found),
        Ok(found) if application == APPLICATION_ID && found > STEPS.len() => {
            Err(StoreError::TooNew { path, found: format.cast_unsigned(), known: u32::try_from(STEPS.len()).unwrap_or(u32::MAX) })
        }
        _ => {
            let detail = format!("it is an SQLite file of something else (application_id {application:#x})");
            Err(StoreError::Corrupt { path, detail })
        }
    }
}

fn configure_writer(connection: &Connection, log_pages: u32) -> rusqlite::Result<()> {
    connection.execute_batch(&format!("PRAGMA busy_timeout = {BUSY_TIMEOUT_MS}; PRAGMA cache_size = -{WRITER_CACHE_KIB};"))?;
    connection.query_row("PRAGMA journal_mode = WAL", [], |_| Ok(()))?;
    connection.execute_batch("PRAGMA synchronous = FULL;")?;
    connection.query_row(&format!("PRAGMA wal_autocheckpoint = {log_pages}"), [], |_| Ok(()))?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS);
    Ok(())
}

/// All missing steps as one transaction: the file has the old format or the new one.
fn migrate(connection: &mut Connection, found: usize) -> rusqlite::Result<()> {
    if found == STEPS.len() {
        return Ok(());
    }
    let transaction = Transaction::new(connection, TransactionBehavior::Immediate)?;
    for step in STEPS.iter().skip(found) {
        transaction.execute_batch(step)?;
    }
    transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
    transaction.pragma_update(None, "user_version", i64::try_from(STEPS.len()).unwrap_or(i64::MAX))?;
    transaction.commit()
}

/// Writes zeros behind the end of the log, which SQLite takes for a log that ends there. A log that grows has to wait for
/// the file system's journal with every flush; one that is overwritten does not.
fn reserve_log(path: &Path, log_pages: u32) {
    // The turn that makes it long enough to be written back may go beyond.
    let bytes = u64::from(log_pages) * LOG_PAGE_BYTES * 5 / 4;
    let reserve = || {
        let mut log = OpenOptions::new().write(true).open(beside(path, "-wal"))?;
        let end = log.seek(SeekFrom::End(0))?;
        let zeros = std::io::copy(&mut std::io::repeat(0).take(bytes.saturating_sub(end)), &mut log);
        // What there is of a nearly full disk is for commits.
        zeros.and_then(|_| log.sync_all()).or_else(|e| log.set_len(end).and(Err(e)))
    };
    // Slower, not worse: no reason not to open.
    if let Err(error) = reserve() {
        tracing::warn!(path = %path.display(), %error, "the store's log has no space reserved");
    }
}

/// Makes the file if it is missing, for its owner alone: a store holds password hashes and the keys of sessions. SQLite gives the files
/// beside it the mode that it has.
fn make_private(path: &Path) -> std::io::Result<()> {
    OpenOptions::new().write(true).create(true).truncate(false).mode(OWNER_ONLY).open(path).map(drop)
}

/// Takes the files of an earlier version, known to be ours, from everybody but their owner.
fn narrow(path: &Path) -> std::io::Result<()> {
    for file in [path.to_owned(), beside(path, "-wal"), beside(path, "-shm")] {
        match std::fs::metadata(&file) {
            Ok(found) if found.permissions().mode() & 0o077 != 0 => {
                std::fs::set_permissions(&file, std::fs::Permissions::from_mode(OWNER_ONLY))?;
            }
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => return Err(e),
            Ok(_) | Err(_) => {}
        }
    }
    Ok(())
}

/// Makes the names of new files durable.
fn sync_directory(path: &Path) -> Result<(), StoreError> {
    std::fs::File::open(directory(path)).and_then(|directory| directory.sync_all()).map_err(|e| explain_io(path, &e))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_writer_flushes_every_commit_to_the_disk() {
        let directory = tempfile::tempdir().unwrap();
        let opened = open(&directory.path().join("store.db"), 1000).unwrap();
        let pragma = |name: &str| opened.connection.query_row(&format!("PRAGMA {name}"), [], |row| row.get::<_, String>(0));
        let number = |name: &str| opened.connection.query_row(&format!("PRAGMA {name}"), [], |row| row.get::<_, i64>(0));
        assert_eq!(pragma("journal_mode").unwrap(), "wal");
        assert_eq!(number("synchronous").unwrap(), 2, "FULL: a commit returns after the log was flushed");
    }
}
