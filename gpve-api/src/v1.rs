//! The native dialect: `/api/v1`, objects of `gpve.io/v1`.

mod labels;

pub use labels::LabelSelector;

/// Most objects in one page of a list.
pub const MAX_PAGE: u16 = 1000;
