//! Disk images: what their headers say, read here, and what `qemu-img` does to them.
//!
//! A listing reads hundreds of headers, so they are read directly, and an empty image is a header and little more, so it is
//! written directly; everything that changes an image is `qemu-img`'s.
//! `qemu-img` is told every format and never a path of a client: it gets the files this process opened, as
//! `/proc/PID/fd/N`, with the whole backing chain spelled out, so the references inside an image are never followed.

mod blank;
mod convert;
mod header;
mod info;
mod progress;
mod qcow2;
mod tool;
mod vmdk;

pub use blank::{QCOW2_SIZE_MAX, write_blank, write_with};
pub use convert::{CopyCommand, CopyEnd};
pub use header::{HeaderError, ImageHeader, ReadAt, Reference, ReferenceKind, read_header};
pub use info::{ImageInfo, parse_info};
pub use progress::Progress;
pub use qcow2::{ImageSnapshot, SNAPSHOTS_MAX, read_snapshots};
pub use tool::{CONVERT_DEADLINE, Conversion, ImageError, ImageFile, NewImage, Preallocation, QemuImg, SnapshotAction};
