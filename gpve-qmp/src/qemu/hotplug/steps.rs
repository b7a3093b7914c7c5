//! The monitor commands of a change, and their undoing.

use std::os::fd::OwnedFd;
use std::time::Duration;

use gpve_core::error::{Error, ErrorKind, Result};
use gpve_core::types::{ByteSize, DiskSlot, NicIndex};
use serde_json::{Value, json};

use super::super::argv::blockdev::{Blockdev, Image, base_label, file_node, format_node, throttle_group, top_node};
use super::super::argv::compose::DiskDevices;
use super::super::argv::device::{Device, Object};
use super::super::fault;
use super::super::image::{self, MAX_CHAIN, OpenedFile};
use super::OP;
use crate::protocol::client::QmpClient;
use crate::protocol::error::QmpError;

/// How long a guest may take to let go of a device: Linux takes half a second, a guest that is booting does not answer.
const UNPLUG_TIMEOUT: Duration = Duration::from_secs(30);

/// Commands given so far and what takes each of them back.
#[derive(Debug)]
pub(super) struct Steps {
    client: QmpClient,
    undo: Vec<(&'static str, Value)>,
}

impl Steps {
    pub(super) fn new(client: QmpClient) -> Self {
        Self { client, undo: Vec::new() }
    }

    pub(super) async fn run(&self, command: &str, arguments: Value) -> Result<Value> {
        self.client.raw(command, &arguments).send().await.map_err(|error| fault::qmp(OP, &error))
    }

    /// Runs a command that `undo` takes back.
    async fn step(&mut self, command: &str, arguments: Value, undo: (&'static str, Value)) -> Result<Value> {
        let value = self.run(command, arguments).await?;
        self.undo.push(undo);
        Ok(value)
    }

    /// Passes the outcome on; after a failure everything is taken back first.
    pub(super) async fn end(self, done: Result<()>) -> Result<()> {
        if done.is_err() {
            for (command, arguments) in self.undo.iter().rev() {
                if let Err(error) = self.run(command, arguments.clone()).await {
                    tracing::warn!(command, %error, "a step could not be taken back");
                }
            }
        }
        done
    }

    /// Gives QEMU the files of a chain.
    pub(super) async fn give(&mut self, chain: Vec<OpenedFile>) -> Result<Option<Image>> {
        let mut parts = Vec::new();
        for (descriptor, shape) in chain.into_iter().map(OpenedFile::into_parts) {
            let nothing = json!({});
            let given = self.client.raw("add-fd", &nothing).descriptor(descriptor).send().await;
            let given: Value = given.map_err(|error| fault::qmp(OP, &error))?;
            let set = given["fdset-id"].as_u64().and_then(|set| u32::try_from(set).ok());
            let set = set.ok_or_else(|| Error::internal(OP, "QEMU did not name the set of a descriptor"))?;
            self.undo.push(("remove-fd", json!({"fdset-id": set})));
            parts.push((shape, set));
        }
        Ok(image::nodes(parts.into_iter()))
    }

    /// Gives QEMU descriptors under names. A netdev that takes one closes it at its own end.
    pub(super) async fn name_descriptors(&mut self, descriptors: Vec<(String, OwnedFd)>) -> Result<()> {
        for (name, descriptor) in descriptors {
            let arguments = json!({ "fdname": name });
            let given = self.client.raw("getfd", &arguments).descriptor(descriptor).send().await;
            given.map_err(|error| fault::qmp(OP, &error))?;
            self.undo.push(("closefd", arguments));
        }
        Ok(())
    }

    pub(super) async fn add_disk(&mut self, slot: DiskSlot, parts: &DiskDevices) -> Result<()> {
        for object in &parts.objects {
            let arguments = object.to_json();
            let id = arguments["id"].clone();
            self.step("object-add", arguments, ("object-del", json!({ "id": id }))).await?;
        }
        if let Some((id, device)) = &parts.controller
            && !self.has_device(id).await?
        {
            self.step("device_add", device.to_json(), ("device_del", json!({ "id": id }))).await?;
        }
        if let Some(nodes) = &parts.blockdev {
            let top = json!({"node-name": nodes.to_json()["node-name"]});
            self.step("blockdev-add", nodes.to_json().clone(), ("blockdev-del", top)).await?;
        }
        self.run("device_add", parts.device.to_json()).await?;
        self.require_device(&slot.to_string()).await
    }

    pub(super) async fn remove_disk(&self, slot: DiskSlot, is_single: bool) -> Result<()> {
        let label = slot.to_string();
        self.unplug(&label).await?;
        self.drop_nodes(&label).await?;
        if is_single {
            let controller = format!("virtioscsi{}", slot.index());
            self.unplug(&controller).await?;
            self.drop_object(&format!("iothread-{controller}")).await?;
        }
        self.drop_object(&format!("iothread-{label}")).await
    }

    pub(super) async fn change_medium(&mut self, slot: DiskSlot, label: &str, nodes: Option<&Blockdev>) -> Result<()> {
        let id = json!({"id": slot.to_string()});
        let with_node = |node: &str| json!({"id": slot.to_string(), "node-name": node});
        let before = self.inserted(slot).await?;
        if let Some(nodes) = nodes {
            let group = Object::throttle_group(throttle_group(label), serde_json::Map::new());
            self.step("object-add", group.to_json(), ("object-del", json!({"id": throttle_group(label)}))).await?;
            let top = json!({"node-name": top_node(label)});
            self.step("blockdev-add", nodes.to_json().clone(), ("blockdev-del", top)).await?;
        }
        let open = json!({"id": slot.to_string(), "force": true});
        self.step("blockdev-open-tray", open, ("blockdev-close-tray", id.clone())).await?;
        if let Some(before) = &before {
            self.step("blockdev-remove-medium", id.clone(), ("blockdev-insert-medium", with_node(before))).await?;
        }
        if nodes.is_some() {
            self.step("blockdev-insert-medium", with_node(&top_node(label)), ("blockdev-remove-medium", id.clone())).await?;
        }
        self.run("blockdev-close-tray", id).await?;
        // The change is done; what is left of the old medium is only memory.
        self.undo.clear();
        if let Some(old) = before.as_deref().and_then(|node| node.strip_prefix("drive-"))
            && let Err(error) = self.drop_nodes(old).await
        {
            tracing::warn!(%slot, %error, "the old medium's nodes remain");
        }
        Ok(())
    }

    pub(super) async fn resize(&self, slot: DiskSlot, size: ByteSize) -> Result<()> {
        let label = slot.to_string();
        self.run("block_resize", json!({"node-name": top_node(&label), "size": size.bytes()})).await?;
        let nodes = self.nodes().await?;
        let node = nodes.iter().find(|node| node["node-name"] == format_node(&label));
        let now = node.and_then(|node| node["image"]["virtual-size"].as_u64());
        // A raw image is as large as its last sector.
        if now.is_some_and(|now| now >= size.bytes()) {
            return Ok(());
        }
        Err(Error::internal(OP, format!("{slot} did not grow: QEMU reports {now:?} bytes")))
    }

    pub(super) async fn add_nic(&mut self, index: NicIndex, host_side: Value, card: &Device) -> Result<()> {
        let id = index.to_string();
        self.step("netdev_add", host_side, ("netdev_del", json!({ "id": id }))).await?;
        self.run("device_add", card.to_json()).await?;
        self.require_device(&id).await
    }

    pub(super) async fn remove_nic(&self, index: NicIndex) -> Result<()> {
        let id = index.to_string();
        self.unplug(&id).await?;
        self.run("netdev_del", json!({ "id": id })).await.map(drop)
    }

    /// Takes a device out and waits until the guest has let go of it.
    async fn unplug(&self, id: &str) -> Result<()> {
        let mut events = self.client.subscribe();
        self.run("device_del", json!({ "id": id })).await?;
        let gone = async {
            loop {
                let event = events.wait_for("DEVICE_DELETED").await?;
                if event.decode::<Value>().is_ok_and(|data| data["device"] == id) {
                    return Some(());
                }
            }
        };
        match tokio::time::timeout(UNPLUG_TIMEOUT, gone).await {
            Ok(Some(())) => Ok(()),
            Ok(None) => Err(Error::new(ErrorKind::Unavailable, OP, "the guest ended")),
            // An event may have been missed; the machine itself knows.
            Err(_) if !self.has_device(id).await? => Ok(()),
            Err(_) => Err(Error::new(ErrorKind::Timeout, OP, format!("the guest does not let go of {id}; nothing was changed"))),
        }
    }

    /// Removes a disk's nodes, throttle group and descriptors.
    async fn drop_nodes(&self, label: &str) -> Result<()> {
        let nodes = self.nodes().await?;
        if !nodes.iter().any(|node| node["node-name"] == top_node(label)) {
            return Ok(());
        }
        self.run("blockdev-del", json!({"node-name": top_node(label)})).await?;
        self.drop_object(&throttle_group(label)).await?;
        let labels = std::iter::successors(Some(label.to_owned()), |label| Some(base_label(label))).take(MAX_CHAIN);
        for name in labels.map(|label| file_node(&label)) {
            let node = nodes.iter().find(|node| node["node-name"] == name);
            let set = node.and_then(|node| node["file"].as_str()).and_then(|file| file.strip_prefix("/dev/fdset/"));
            if let Some(set) = set.and_then(|set| set.parse::<u64>().ok()) {
                self.run("remove-fd", json!({"fdset-id": set})).await?;
            }
        }
        Ok(())
    }

    /// Removes an object; one that is not there is fine.
    async fn drop_object(&self, id: &str) -> Result<()> {
        if self.children("/objects").await?.iter().any(|name| name == id) {
            self.run("object-del", json!({ "id": id })).await?;
        }
        Ok(())
    }

    /// A label for a new medium that the old one does not use.
    pub(super) async fn free_label(&self, slot: DiskSlot) -> Result<String> {
        let label = slot.to_string();
        let nodes = self.nodes().await?;
        let is_taken = nodes.iter().any(|node| node["node-name"] == top_node(&label));
        Ok(if is_taken { format!("{label}-x") } else { label })
    }

    /// The top node of the medium in a drive.
    async fn inserted(&self, slot: DiskSlot) -> Result<Option<String>> {
        let blocks = self.run("query-block", json!({})).await?;
        let id = slot.to_string();
        // A device without a name of its own is known by its path, which ends with its id for some.
        let is_drive = |block: &&Value| {
            let qdev = block["qdev"].as_str().unwrap_or_default();
            qdev.split('/').any(|part| part == id)
        };
        let drives = blocks.as_array().map(Vec::as_slice).unwrap_or_default();
        let drive = drives.iter().find(is_drive).ok_or_else(|| Error::not_found(OP, slot))?;
        Ok(drive["inserted"]["node-name"].as_str().map(str::to_owned))
    }

    async fn nodes(&self) -> Result<Vec<Value>> {
        let nodes = self.run("query-named-block-nodes", json!({"flat": true})).await?;
        Ok(nodes.as_array().cloned().unwrap_or_default())
    }

    async fn has_device(&self, id: &str) -> Result<bool> {
        Ok(self.children("/machine/peripheral").await?.iter().any(|name| name == id))
    }

    async fn require_device(&self, id: &str) -> Result<()> {
        if self.has_device(id).await? { Ok(()) } else { Err(Error::internal(OP, format!("QEMU took {id} and does not show it"))) }
    }

    async fn children(&self, path: &str) -> Result<Vec<String>> {
        let arguments = json!({ "path": path });
        let listed: Result<Vec<Value>, QmpError> = self.client.raw("qom-list", &arguments).returning().send().await;
        let listed = listed.map_err(|error| fault::qmp(OP, &error))?;
        Ok(listed.iter().filter_map(|child| child["name"].as_str()).map(str::to_owned).collect())
    }
}
