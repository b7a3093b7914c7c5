//! The dialect that is compatible with Proxmox VE: `/api2/json`.

pub mod property;
