//! State stores for gpve: in-memory and embedded SQLite with revisions, watches, leases and group commit.
