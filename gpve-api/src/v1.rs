//! The native dialect: `/api/v1`, objects of `gpve.io/v1`.
//!
//! Bodies are JSON. Every write takes the header `Idempotency-Key` (the same key with the same request is one operation)
//! and `?dryRun=true` (answers a [`Plan`](gpve_core::control::Plan)). Errors are [`Problem`]s with status codes as in
//! [`crate::error`]. Lists carry a `resourceVersion`; `?watch=true&resourceVersion=N` streams what came after it as
//! [`WatchEvent`]s, over server-sent events or, on upgrade, a WebSocket, and resumes from any of them.

mod labels;
mod list;
mod object;
mod problem;
mod request;
mod task;
mod time;
mod volume;
mod watch;

pub use labels::{LabelSelector, LabelSelectorError};
pub use list::{Continue, ContinueError, List, ListMeta};
pub use object::{ApplyDocument, GuestSummary, Metadata, MetadataInput, VmDocument, VmObject, VmStatusView};
pub use problem::Problem;
pub use request::{CloneRequest, ResizeRequest, SnapshotPatch, SnapshotRequest, SnapshotView};
pub use task::{Task, TaskLine, TaskPhase};
pub use time::Rfc3339;
pub use volume::{VolumeRequest, VolumeView};
pub use watch::{Frames, WatchEvent, WatchType};

/// Version of the objects.
pub const API_VERSION: &str = "gpve.io/v1";
/// Most objects in one page of a list.
pub const MAX_PAGE: u16 = 1000;
/// The header that makes a write repeatable.
pub const IDEMPOTENCY_KEY: &str = "idempotency-key";
