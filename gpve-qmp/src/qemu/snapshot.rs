//! Snapshots of a running guest's disks, inside their qcow2 images.

use async_trait::async_trait;
use gpve_core::error::{Error, ErrorKind, Result};
use gpve_core::ports::{LiveSnapshots, OpCx};
use gpve_core::types::{DiskSlot, SnapName};
use serde_json::{Value, json};

use super::argv::blockdev::{format_node, top_node};
use super::fault;
use super::live::QemuLive;
use crate::protocol::client::QmpClient;

#[async_trait]
impl LiveSnapshots for QemuLive {
    fn covers(&self, slots: &[DiskSlot]) -> bool {
        slots.iter().all(|slot| self.format(*slot).is_some_and(|format| format == "qcow2"))
    }

    async fn take(&self, cx: &OpCx, name: &SnapName, slots: &[DiskSlot]) -> Result<()> {
        const OP: &str = "snapshot.take";
        self.check_covered(OP, slots)?;
        self.with_client(cx, OP, async |client| {
            let there = holders(&client, OP, name, slots).await?;
            let action = |slot: &DiskSlot| {
                json!({"type": "blockdev-snapshot-internal-sync", "data": {"device": top_node(&slot.to_string()), "name": name.to_string()}})
            };
            // A step that is repeated after a crash finds all there or, as a transaction is all or none, nothing.
            let actions: Vec<_> = slots.iter().filter(|slot| !there.contains(slot)).map(action).collect();
            if !actions.is_empty() {
                run(&client, OP, "transaction", json!({ "actions": actions })).await?;
            }
            Ok(())
        })
        .await
    }

    async fn delete(&self, cx: &OpCx, name: &SnapName, slots: &[DiskSlot]) -> Result<()> {
        const OP: &str = "snapshot.delete";
        self.check_covered(OP, slots)?;
        self.with_client(cx, OP, async |client| {
            for slot in holders(&client, OP, name, slots).await? {
                let arguments = json!({"device": top_node(&slot.to_string()), "name": name.to_string()});
                run(&client, OP, "blockdev-snapshot-delete-internal-sync", arguments).await?;
            }
            Ok(())
        })
        .await
    }
}

impl QemuLive {
    fn check_covered(&self, op: &str, slots: &[DiskSlot]) -> Result<()> {
        if self.covers(slots) {
            return Ok(());
        }
        Err(Error::new(ErrorKind::Unsupported, op, "only qcow2 disks of the running guest hold snapshots"))
    }
}

async fn run(client: &QmpClient, op: &str, command: &str, arguments: Value) -> Result<Value> {
    client.raw(command, &arguments).send().await.map_err(|error| fault::qmp(op, &error))
}

/// Those of the disks whose image holds a snapshot of this name.
async fn holders(client: &QmpClient, op: &str, name: &SnapName, slots: &[DiskSlot]) -> Result<Vec<DiskSlot>> {
    let nodes = run(client, op, "query-named-block-nodes", json!({"flat": true})).await?;
    let nodes = nodes.as_array().map(Vec::as_slice).unwrap_or_default();
    let holds = |slot: &&DiskSlot| {
        let node = nodes.iter().find(|node| node["node-name"] == format_node(&slot.to_string()));
        let snapshots = node.and_then(|node| node["image"]["snapshots"].as_array());
        snapshots.is_some_and(|snapshots| snapshots.iter().any(|snapshot| snapshot["name"] == name.to_string()))
    };
    Ok(slots.iter().filter(holds).copied().collect())
}
