//! How revisions, leases and entries look in SQLite's integers and columns.

use bytes::Bytes;
use gpve_core::ports::{Entry, Key, LeaseId, Revision};
use rusqlite::Row;
use rusqlite::types::Type;

/// Bits of a record's id that number the changes within its revision.
const ORDINAL_BITS: u32 = 20;
/// Most changes of one revision. A lease with more keys ends in several revisions.
pub(super) const MAX_CHANGES: usize = 1 << ORDINAL_BITS;

/// The id of a record: its revision and its place within. Ids sort as the history does.
pub(super) fn record_id(revision: Revision, ordinal: u32) -> i64 {
    (revision.0 << ORDINAL_BITS | u64::from(ordinal)).cast_signed()
}

/// The revision of a record.
pub(super) fn revision_of(id: i64) -> Revision {
    Revision(id.cast_unsigned() >> ORDINAL_BITS)
}

/// The last id that a record up to `revision` can have.
pub(super) fn last_id(revision: Revision) -> i64 {
    record_id(Revision(revision.0 + 1), 0) - 1
}

/// A revision or count as SQLite stores it.
pub(super) fn to_sql(number: u64) -> i64 {
    number.cast_signed()
}

/// A revision or count that SQLite stored.
pub(super) fn from_sql(number: i64) -> u64 {
    number.cast_unsigned()
}

/// Columns of an entry, as [`entry`] reads them: `id, key, value, created, version, lease`.
pub(super) fn entry(row: &Row<'_>) -> rusqlite::Result<Entry> {
    Ok(Entry {
        key: key(row, 1)?,
        value: Bytes::copy_from_slice(row.get_ref(2)?.as_blob()?),
        created: Revision(from_sql(row.get(3)?)),
        modified: revision_of(row.get(0)?),
        version: from_sql(row.get(4)?),
        lease: row.get::<_, Option<i64>>(5)?.map(|id| LeaseId(from_sql(id))),
    })
}

/// The key in a column.
pub(super) fn key(row: &Row<'_>, column: usize) -> rusqlite::Result<Key> {
    let text = row.get_ref(column)?.as_str()?;
    text.parse().map_err(|e| rusqlite::Error::FromSqlConversionFailure(column, Type::Text, Box::new(e)))
}
