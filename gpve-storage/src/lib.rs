//! Storage plugins for gpve; first the directory plugin.
//!
//! # Map
//! - [`manager`]: the storages of a node, by name.
//! - [`dir`]: disks and files below a directory; the pattern for plugins to come.
//! - [`image`]: headers of disk images, and `qemu-img`.
//! - [`location`]: where volumes of Proxmox VE's storage types are.
//!
//! # Invariants
//! - No path is made from a client's text: names are parsed into checked parts, and files are opened with `openat2`
//!   beneath the storage's directory, symbolic links not followed.
//! - A format is always given, never guessed from bytes that a guest may have written.
//! - What an image refers to is never followed by name: each image of a chain is opened here and handed over open.
//! - A file appears under its name only when it is whole and durable; an interrupted one is removed, at the latest
//!   when the storage is used again.
//!
//! # Example
//! ```
//! use std::sync::Arc;
//!
//! use gpve_core::ports::{CreateVolume, OpCx, StoragePlugin};
//! use gpve_core::types::{DiskFormat, Vmid};
//! use gpve_exec::{System, Tools};
//! use gpve_storage::{DirConfig, DirStorage, Manager};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let directory = tempfile::tempdir()?;
//! let runner = Arc::new(System::new(Tools::system()));
//! let local = DirStorage::new(DirConfig::new("local".parse()?, directory.path()), runner)?;
//! let manager = Manager::new();
//! manager.register(Arc::new(local.clone()))?;
//!
//! let (cx, owner) = (OpCx::background(), Vmid::try_from(100)?);
//! let name = local.free_name(&cx, owner, DiskFormat::Raw, &[]).await?;
//! let request = CreateVolume { name, owner, format: DiskFormat::Raw, size: "1Gi".parse()? };
//! let volume = manager.create_volume(&cx, local.id(), &request).await?.into_inner();
//! assert_eq!(volume.id.to_string(), "local:100/vm-100-disk-0.raw");
//! # Ok(())
//! # }
//! ```
#![forbid(unsafe_code)]

pub mod dir;
mod fault;
pub mod fuzz;
pub mod image;
pub mod location;
pub mod manager;

pub use dir::{DirConfig, DirStorage};
pub use manager::{Manager, STORAGES_MAX};

/// The README's program, which tests compile.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
