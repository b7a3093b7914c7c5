//! The QEMU Machine Protocol and the guest agent's dialect of it: bytes, messages, connections.
//!
//! | module | is |
//! |---|---|
//! | [`codec`] | bytes to lines and lines to messages, with a limit on each |
//! | [`client`] | one connection: commands by id, out-of-band, descriptors, deadlines |
//! | [`events`] | events as they came, to any number of bounded subscribers |
//! | [`link`] | a connection that comes back, and says what was missed |
//! | [`pool`] | one connection per guest, shared |
//! | [`schema`] | what this QEMU can do, asked of itself |
//! | [`agent`] | the guest agent: one command at a time, resynchronised after silence |

pub mod agent;
pub mod client;
pub mod codec;
mod connection;
pub mod error;
pub mod events;
pub mod link;
pub mod pool;
pub mod schema;
