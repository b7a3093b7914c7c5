//! The guest agent of a live guest.

use std::collections::BTreeMap;
use std::time::Duration;

use async_trait::async_trait;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use gpve_core::error::{Error, ErrorKind, Result};
use gpve_core::ports::{Agent, AgentExec, AgentExecStatus, OpCx};
use qapi::qga;
use serde::Deserialize;
use serde_json::{Value, json};

use super::fault;
use super::live::QemuLive;
use crate::protocol::agent::AgentClient;

/// For commands that the agent answers by itself.
const QUICK: Duration = Duration::from_secs(10);

/// For commands that wait for file systems: a freeze flushes everything first.
const SLOW: Duration = Duration::from_secs(600);

/// Commands of that kind.
const SLOW_COMMANDS: [&str; 4] = ["fsfreeze-freeze", "fsfreeze-freeze-list", "fsfreeze-thaw", "fstrim"];

#[async_trait]
impl Agent for QemuLive {
    fn connected(&self) -> bool {
        self.monitor().is_agent_open()
    }

    async fn ping(&self, cx: &OpCx) -> Result<()> {
        let client = self.present("agent.ping")?;
        cx.run("agent.ping", async {
            client.execute(&qga::guest_ping {}, QUICK).await.map_err(|error| fault::qmp("agent.ping", &error))?;
            Ok(())
        })
        .await
    }

    async fn exec(&self, cx: &OpCx, exec: AgentExec) -> Result<i64> {
        #[derive(Deserialize)]
        struct Started {
            pid: i64,
        }
        let Some((path, arguments)) = exec.command.split_first() else {
            return Err(Error::field("agent.exec", "command", "must name a program"));
        };
        let mut request = json!({"path": path, "arg": arguments, "capture-output": true});
        if let Some(input) = exec.input {
            request["input-data"] = json!(STANDARD.encode(input));
        }
        let started = self.ask(cx, "agent.exec", "guest-exec", &request, QUICK).await?;
        decode::<Started>("agent.exec", started).map(|started| started.pid)
    }

    async fn exec_status(&self, cx: &OpCx, pid: i64) -> Result<AgentExecStatus> {
        const OP: &str = "agent.exec-status";
        let status = self.ask(cx, OP, "guest-exec-status", &json!({ "pid": pid }), QUICK).await?;
        let status: ExecStatus = decode(OP, status)?;
        Ok(AgentExecStatus {
            exited: status.exited,
            exit_code: status.exitcode,
            signal: status.signal,
            out_data: bytes(OP, status.out_data)?,
            err_data: bytes(OP, status.err_data)?,
            truncated: status.out_truncated || status.err_truncated,
        })
    }

    async fn query(&self, cx: &OpCx, command: &str, arguments: BTreeMap<String, Value>) -> Result<Value> {
        const OP: &str = "agent.query";
        if command.is_empty() || !command.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-') {
            return Err(Error::field(OP, "command", "must be lower-case letters, digits and '-', such as get-osinfo"));
        }
        let timeout = if SLOW_COMMANDS.contains(&command) { SLOW } else { QUICK };
        let arguments = Value::Object(arguments.into_iter().collect());
        self.ask(cx, OP, &format!("guest-{command}"), &arguments, timeout).await
    }
}

impl QemuLive {
    async fn ask(&self, cx: &OpCx, op: &'static str, name: &str, arguments: &Value, timeout: Duration) -> Result<Value> {
        let client = self.present(op)?;
        cx.run(op, async { client.raw(name, arguments, timeout).await.map_err(|error| fault::qmp(op, &error)) }).await
    }

    /// The agent, or at once the news that there is none.
    fn present(&self, op: &str) -> Result<&AgentClient> {
        match self.agent_client() {
            Some(client) if self.connected() => Ok(client),
            _ => Err(Error::new(ErrorKind::Unavailable, op, "the guest agent is not running")),
        }
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct ExecStatus {
    exited: bool,
    exitcode: Option<i32>,
    signal: Option<i32>,
    #[serde(default)]
    out_data: String,
    #[serde(default)]
    err_data: String,
    #[serde(default)]
    out_truncated: bool,
    #[serde(default)]
    err_truncated: bool,
}

fn decode<T: serde::de::DeserializeOwned>(op: &str, value: Value) -> Result<T> {
    serde_json::from_value(value).map_err(|error| Error::internal(op, "the agent's answer has an unexpected shape").because(&error))
}

fn bytes(op: &str, text: String) -> Result<Vec<u8>> {
    STANDARD.decode(text).map_err(|error| Error::internal(op, "the agent's answer is not base64").because(&error))
}
