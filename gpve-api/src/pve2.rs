//! The dialect that is compatible with Proxmox VE: `/api2/json`.
//!
//! A server answers a request in this order, which is Proxmox VE's; each step is one call:
//!
//! 1. [`Router::find`](crate::route::Router::find): 501 for what does not exist.
//! 2. [`credentials`] and [`gpve_auth::Login::identify`]: 401. Public routes skip this.
//! 3. [`gpve_auth::SessionKeys::verify_csrf`] for writes with a ticket, except uploads: 401.
//! 4. [`request::decode`] the query and body.
//! 5. [`Matched::authorize`](crate::route::Matched::authorize): 403.
//! 6. the node in the path exists, else [`Failure::unknown_node`].
//! 7. [`Matched::validate`](crate::route::Matched::validate): 400 with `errors`.
//! 8. the handler for the route's [`Operation`](crate::routes::Operation), and [`Reply::data`] or [`Failure::reply`].

pub mod answer;
pub mod conf;
pub mod config;
mod credentials;
pub mod phrase;
pub mod property;
mod reply;
pub mod request;

pub use credentials::credentials;
pub use reply::{Failure, JSON, Reply};
