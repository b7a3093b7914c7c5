//! Directory storages: disks and files below one directory, laid out as PVE lays them out.
//!
//! This plugin is the pattern for the others: [`config`](DirConfig), `parse` (names and output), `tool` (what it drives:
//! here the file system), `plugin` (the port), and one file per facet.

mod catalog;
mod clones;
mod config;
mod contents;
mod import;
mod parse;
mod plugin;
mod resize;
mod snapshots;
mod tool;
mod upload;

pub use config::DirConfig;
pub use parse::{DiskFile, DiskPlace, FilePlace, Place, UnknownName, subdirectory};
pub use plugin::{DirStorage, VOLUMES_MAX};
