//! `gpvectl volume`.

use gpve_api::client::Request;
use gpve_api::routes::Operation as Op;
use gpve_api::v1::{List, VolumeView};
use gpve_core::error::Result;
use serde_json::{Value as Json, json};

use super::args::VolumeCommand;
use super::{Ctx, given, input};

pub(super) async fn run(cx: &Ctx, command: VolumeCommand) -> Result<()> {
    match command {
        VolumeCommand::List { storage, vmid, node } => list(cx, of(Op::V1VolumeList, &storage, node).param_opt("vmid", vmid)).await,
        VolumeCommand::Create { storage, vmid, size, name, format, node } => {
            let wanted = [("name", name.map(Json::from)), ("format", format.map(Json::from))];
            let body = given(json!({ "vmid": vmid, "size": size }), wanted);
            let done = format!("volume of {size} for vm {vmid} made on {storage}");
            cx.carry_out(of(Op::V1VolumeCreate, &storage, node).document(&body), &done).await
        }
        VolumeCommand::Delete { volume, node } => {
            let (storage, name) = volume.split_once(':').ok_or_else(|| input("volume", format!("'{volume}' is not STORAGE:NAME")))?;
            cx.carry_out(of(Op::V1VolumeDelete, storage, node).path("volume", name), &format!("{volume} deleted")).await
        }
    }
}

/// A request about one storage.
fn of(operation: Op, storage: &str, node: Option<String>) -> Request {
    Request::to(operation).path("storage", storage).param_opt("node", node)
}

async fn list(cx: &Ctx, request: Request) -> Result<()> {
    let volumes: List<VolumeView> = cx.client.get(request).await?;
    let row = |v: &VolumeView| {
        let owner = v.vmid.map(|vmid| vmid.to_string()).unwrap_or_default();
        vec![v.id.to_string(), v.content.to_string(), v.format.to_string(), v.size.to_string(), owner, v.node.to_string()]
    };
    let rows = volumes.items.iter().map(row).collect();
    cx.output.rows(&volumes, &["id", "content", "format", "size", "vmid", "node"], rows)
}
