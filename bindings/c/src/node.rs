//! Nodes in this process.

use std::ffi::c_char;
use std::path::PathBuf;
use std::sync::Arc;

use engine::{DirConfig, Error, Local, Result};
use serde::Deserialize;

use crate::client::gpve_client;
use crate::error::{gpve_error, gpve_status};
use crate::raw::{self, Caller, Object};
use crate::runtime::Runtime;

/// The virtual machines of this host, without a server.
pub struct gpve_node {
    runtime: Arc<Runtime>,
    local: Local,
}

impl Object for gpve_node {
    const MARK: u64 = u64::from_be_bytes(*b"gpve:nod");
    const NAME: &'static str = "node";
}

impl Drop for gpve_node {
    fn drop(&mut self) {
        // Within a callback that may not block, the store closes when the last client is freed.
        let _closed = self.runtime.wait(self.local.close());
    }
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Options {
    directory: PathBuf,
    #[serde(default)]
    simulated: bool,
    runtime_dir: Option<PathBuf>,
    guest_user: Option<String>,
    node: Option<String>,
    #[serde(default)]
    storages: Vec<DirConfig>,
}

impl Options {
    async fn open(self) -> Result<Local> {
        let mut builder = Local::builder(self.directory).simulated(self.simulated);
        if let Some(directory) = self.runtime_dir {
            builder = builder.runtime_dir(directory);
        }
        if let Some(user) = self.guest_user {
            builder = builder.guest_user(user);
        }
        if let Some(name) = self.node {
            builder = match name.parse() {
                Ok(name) => builder.node(name),
                Err(e) => return Err(Error::field("gpve_node_open", "node", e.to_string())),
            };
        }
        self.storages.into_iter().fold(builder, |builder, storage| builder.storage(storage)).open().await
    }
}

/// Opens the node whose state is in a directory: takes up its running guests and goes on with interrupted work. `options` is JSON:
///   "directory"   where state is kept: an absolute path, made if it is not there, for one process at a time
///   "simulated"   true: everything in memory, without QEMU, disks and bridges
///   "runtimeDir"  where guests' sockets are: a short path; "run" below the directory unless given
///   "guestUser"   whom guests run as if this process is root: "nobody" unless given
///   "node"        the node's name: "localhost" unless given
///   "storages"    [{"id": "fast", "path": "/srv/fast"}]; one called "local" below the directory unless given
/// Only "directory" is needed. Blocks while it starts, some seconds at most. Any thread.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn gpve_node_open(options: *const c_char, node: *mut *mut gpve_node, error: *mut *mut gpve_error) -> gpve_status {
    // SAFETY: the header says what each pointer must be.
    let c = unsafe { Caller::new("gpve_node_open", error) };
    c.run(|| {
        let out = c.pointer(node, "node")?;
        let options: Options = c.json(options, "options")?;
        if !options.directory.is_absolute() {
            return Err(c.refuse("directory", "is not an absolute path"));
        }
        let runtime = Runtime::start()?;
        let local = runtime.wait(options.open())??;
        out.hand_over(gpve_node { runtime, local });
        Ok(())
    })
}

/// A client of the node, which works like that of a server. Does not block. Any thread.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn gpve_node_client(
    node: *const gpve_node,
    client: *mut *mut gpve_client,
    error: *mut *mut gpve_error,
) -> gpve_status {
    // SAFETY: the header says what each pointer must be.
    let c = unsafe { Caller::new("gpve_node_client", error) };
    c.run(|| {
        let out = c.pointer(client, "client")?;
        let node = c.object(node)?;
        out.hand_over(gpve_client { runtime: Arc::clone(&node.runtime), client: node.local.client() });
        Ok(())
    })
}

/// Closes a node and frees it; nothing for NULL. Guests go on running and are taken up again by the next gpve_node_open of the
/// directory. Its clients, which are still to be freed, get errors from then on. Blocks until its stores are closed. Any thread, while
/// no other uses it; not from a gpve_machine_test.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn gpve_node_free(node: *mut gpve_node) -> gpve_status {
    // SAFETY: the header says what the pointer must be.
    unsafe { raw::free("gpve_node_free", node) }
}
