//! Wire dialects of gpve: the route table, Proxmox-compatible and native types, error tables and the client.
//!
//! No engine and no HTTP server is in here. A server finds a route, checks who asks, validates, calls the engine for the
//! route's [`Operation`](routes::Operation) and turns the result into an answer; [`pve2`] lists the steps.
//!
//! | module | what it holds |
//! | --- | --- |
//! | [`route`] | what a route says; the router; validation; authorization |
//! | [`routes`] | the table itself |
//! | [`pve2`] | Proxmox VE's dialect: requests, answers, errors, a guest's configuration |
//! | [`v1`] | the native dialect: objects, lists, watch streams, errors |
//! | [`error`] | one table from error kinds to each interface |
//! | [`openapi`], [`schema`], [`docs`] | the table as documents |
//! | `client` (feature) | a client over HTTP |
//!
//! # Invariants
//! - The table is the single source: a parameter that is not in it is refused, a route without [`Access`](route::Access)
//!   does not compile, an operation without a handler does not compile.
//! - In Proxmox VE's dialect errors have status 400, 401, 403, 500 or 501 and a one-line message that is also the reason
//!   phrase (506 for a body of unknown type, as there).
//! - A guest's configuration reads back as it was written, whatever the spec stores.
//!
//! # Example
//! ```
//! use gpve_api::pve2::{Failure, config::VmConfig, request::{BodyKind, decode}};
//! use gpve_api::route::Dialect;
//!
//! let router = gpve_api::routes::router(Dialect::Pve2);
//! let matched = router.find("POST", "/nodes/pve/qemu").map_err(Failure::from).unwrap();
//! let given = decode(None, BodyKind::Form, b"vmid=100&cores=2&net0=virtio,bridge=vmbr0").unwrap();
//! let params = matched.validate(given).unwrap();
//! let guest = VmConfig::from_params(&params).define().unwrap();
//! assert_eq!(guest.spec.cpu.cores, 2);
//!
//! let given = decode(None, BodyKind::Form, b"vmid=100&cores=x").unwrap();
//! let refused = Failure::from(matched.validate(given).unwrap_err());
//! assert_eq!(refused.message(), "Parameter verification failed. (cores: 'x' is not an integer)");
//! ```

#[cfg(feature = "client")]
pub mod client;
pub mod docs;
pub mod error;
mod example;
pub mod openapi;
pub mod pve2;
pub mod route;
pub mod routes;
pub mod schema;
pub mod v1;

/// The README's program, which tests compile.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
