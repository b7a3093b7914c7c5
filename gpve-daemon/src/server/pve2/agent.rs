//! The guest agent.

use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use gpve_api::pve2::answer::{AgentExec, AgentExecStatus, AgentFile, agent_result};
use gpve_api::pve2::{Failure, Reply};
use gpve_core::error::{Error, ErrorKind};
use gpve_core::ports::{AgentCall, AgentExec as Exec, AgentExecStatus as ExecStatus};
use serde_json::{Value, json};

use super::guest::find;
use super::{Answered, Ctx, nothing};

/// Largest piece of a file in one call of the agent.
const CHUNK: u64 = 1 << 20;

async fn call(cx: &Ctx<'_>, call: AgentCall) -> Result<Value, Failure> {
    let guest = find(cx)?;
    if !guest.spec().agent.is_some_and(|a| a.enabled) {
        return Err(Failure::new(500, "No QEMU guest agent configured"));
    }
    let vmid = cx.vmid()?;
    if guest.object.status.pid.is_none() {
        return Err(Failure::new(500, &format!("VM {vmid} is not running")));
    }
    // Clients compare the status line: an agent that does not answer has one text.
    let silent = |e: Error| match e.kind {
        ErrorKind::Unavailable | ErrorKind::Timeout => Failure::new(500, "QEMU guest agent is not running"),
        _ => Failure::from(&e),
    };
    cx.app.plane.agent(vmid, call).await.map_err(silent)
}

async fn query(cx: &Ctx<'_>, command: &str, arguments: BTreeMap<String, Value>) -> Result<Value, Failure> {
    call(cx, AgentCall::Query { command: command.to_owned(), arguments }).await
}

pub(super) async fn command(cx: &Ctx<'_>) -> Answered {
    let name = cx.matched.route.verb.or(cx.params.text("command")).unwrap_or_default().to_owned();
    let result = match name.as_str() {
        "ping" => call(cx, AgentCall::Ping).await?,
        other => query(cx, other, BTreeMap::new()).await?,
    };
    Ok(Reply::data(&agent_result(result)))
}

pub(super) async fn exec(cx: &Ctx<'_>) -> Answered {
    let command = cx.params.list("command").to_vec();
    let input = cx.params.text("input-data").map(|d| d.as_bytes().to_vec());
    let answer = call(cx, AgentCall::Exec(Exec { command, input })).await?;
    Ok(Reply::data(&AgentExec { pid: answer.get("pid").and_then(Value::as_i64).unwrap_or_default() }))
}

pub(super) async fn exec_status(cx: &Ctx<'_>) -> Answered {
    let answer = call(cx, AgentCall::ExecStatus { pid: cx.params.int("pid").unwrap_or_default() }).await?;
    let status: ExecStatus = serde_json::from_value(answer).map_err(|e| Failure::from(&Error::internal("agent", e.to_string())))?;
    let text = |bytes: &[u8]| (!bytes.is_empty()).then(|| String::from_utf8_lossy(bytes).into_owned());
    Ok(Reply::data(&AgentExecStatus {
        exited: u8::from(status.exited),
        exitcode: status.exit_code.map(i64::from),
        signal: status.signal.map(i64::from),
        out_data: text(&status.out_data),
        err_data: text(&status.err_data),
        out_truncated: status.truncated.then_some(1),
        err_truncated: None,
    }))
}

fn argument(name: &str, value: Value) -> (String, Value) {
    (name.to_owned(), value)
}

async fn open(cx: &Ctx<'_>, mode: &str) -> Result<Value, Failure> {
    let path = cx.params.text("file").unwrap_or_default();
    query(cx, "file-open", [argument("path", json!(path)), argument("mode", json!(mode))].into()).await
}

async fn close(cx: &Ctx<'_>, handle: &Value) -> Result<(), Failure> {
    query(cx, "file-close", [argument("handle", handle.clone())].into()).await.map(drop)
}

pub(super) async fn file_read(cx: &Ctx<'_>) -> Answered {
    let handle = open(cx, "rb").await?;
    let read = read_all(cx, &handle).await;
    close(cx, &handle).await?;
    let (bytes, truncated) = read?;
    let content = match cx.params.bool("decode") {
        Some(false) => STANDARD.encode(&bytes),
        _ => String::from_utf8_lossy(&bytes).into_owned(),
    };
    Ok(Reply::data(&AgentFile { content, truncated: truncated.then_some(1) }))
}

async fn read_all(cx: &Ctx<'_>, handle: &Value) -> Result<(Vec<u8>, bool), Failure> {
    let most = cx.params.count("count").unwrap_or(16 << 20);
    let mut bytes = Vec::new();
    while (bytes.len() as u64) < most {
        let want = CHUNK.min(most - bytes.len() as u64);
        let part = query(cx, "file-read", [argument("handle", handle.clone()), argument("count", json!(want))].into()).await?;
        let text = part.get("buf-b64").and_then(Value::as_str).unwrap_or_default();
        bytes.extend(STANDARD.decode(text).unwrap_or_default());
        if part.get("eof").and_then(Value::as_bool).unwrap_or(true) {
            return Ok((bytes, false));
        }
    }
    Ok((bytes, true))
}

pub(super) async fn file_write(cx: &Ctx<'_>) -> Answered {
    let content = cx.params.text("content").unwrap_or_default();
    let encoded = if cx.params.bool("encode") == Some(false) { content.to_owned() } else { STANDARD.encode(content) };
    let handle = open(cx, "wb").await?;
    let written = query(cx, "file-write", [argument("handle", handle.clone()), argument("buf-b64", json!(encoded))].into()).await;
    close(cx, &handle).await?;
    written?;
    nothing()
}

pub(super) async fn set_user_password(cx: &Ctx<'_>) -> Answered {
    let password = STANDARD.encode(cx.params.text("password").unwrap_or_default());
    let arguments = [
        argument("username", json!(cx.params.text("username"))),
        argument("password", json!(password)),
        argument("crypted", json!(cx.params.flag("crypted"))),
    ];
    let result = query(cx, "set-user-password", arguments.into()).await?;
    Ok(Reply::data(&agent_result(result)))
}
