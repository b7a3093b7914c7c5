//! The ready-made gpve: server, agent and command line in one binary, composed from the gpve crates.
//!
//! | module | what it holds |
//! | --- | --- |
//! | [`program`] | the command line of the server, and the names that the binary has |
//! | [`setup`] | `init`: data directory, certificates, the administrator |
//! | [`wire`] | the composition root: the server's parts around the node that `gpve` composes |
//! | [`server`] | listeners, TLS, requests, handlers of both dialects |
//! | [`config`] | the configuration files of both spellings, checked to the line |
//! | [`ctl`] | `gpvectl` |
//!
//! # Invariants
//! - A handler extracts, is authorized by the route table, makes one call of the engine, and maps the result.
//! - No handler touches a disk, a process or a guest's host; all of that is behind the control plane's ports.
//! - Secrets are printed once, by `init`, and never logged.
//! - Ending the server leaves guests running.

pub mod config;
pub mod ctl;
pub mod program;
pub mod server;
pub mod setup;
pub mod wire;

/// The README's program, which tests compile.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
