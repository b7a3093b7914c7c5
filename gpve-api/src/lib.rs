//! Wire dialects of gpve.
pub mod error;
pub mod pve2;
pub mod route;
pub mod routes;
pub mod v1;
