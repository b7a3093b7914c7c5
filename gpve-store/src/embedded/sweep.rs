//! Removes forgotten history little by little, so that the writer is never held up for long.

use gpve_core::ports::Revision;
use rusqlite::{Connection, OptionalExtension, params};

use super::row;

/// Records that one step looks at: about a millisecond of the writer's time.
const STEP_RECORDS: u32 = 256;

/// Removes some superseded records after `swept` up to `compacted`, and notes how far it came. Run in a transaction.
pub(super) fn step(connection: &Connection, swept: Revision, compacted: Revision) -> rusqlite::Result<Revision> {
    let (from, to) = (row::last_id(swept), row::last_id(compacted));
    let last: Option<i64> = connection
        .prepare_cached("SELECT id FROM record WHERE id > ?1 AND id <= ?2 ORDER BY id LIMIT 1 OFFSET ?3")?
        .query_row(params![from, to, STEP_RECORDS], |r| r.get(0))
        .optional()?;
    // Always whole revisions, so that `swept` tells all.
    let swept = last.map_or(compacted, row::revision_of);
    connection
        .prepare_cached(
            "DELETE FROM record WHERE id > ?1 AND id <= ?2
            AND NOT EXISTS (SELECT 1 FROM live WHERE live.key = record.key AND live.id = record.id)",
        )?
        .execute([from, row::last_id(swept)])?;
    connection.prepare_cached("UPDATE meta SET swept = ?1")?.execute([row::to_sql(swept.0)])?;
    Ok(swept)
}
