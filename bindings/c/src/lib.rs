//! The C library `libgpve`: virtual machines on QEMU, embedded in a C program or on a server.
//!
//! The functions are those of `gpve::client`, one by one; `include/gpve.h` is made of this crate's comments, so they speak of C.
//!
//! # Invariants
//! - No panic crosses into C: every entry runs its work under one guard.
//! - What C gave is read in [`raw`] only. An entry has one unsafe block, which says that C keeps what the header asks for.
//! - There is no global state: a client or node owns its runtime, and what was made of it keeps that alive.
#![allow(non_camel_case_types, reason = "types are named as C names them")]
#![allow(clippy::missing_safety_doc, reason = "one rule for all entries: pointers are what the header says")]
#![allow(clippy::too_many_arguments, reason = "results and errors of a C function are arguments")]

pub mod client;
pub mod console;
pub mod document;
pub mod error;
pub mod job;
pub mod machines;
pub mod node;
pub mod plan;
mod raw;
mod runtime;
pub mod storage;
pub mod version;
pub mod watch;
