//! The guest agent.

use serde::Serialize;
use serde_json::{Value as Json, json};

/// `{"result": ...}`, how every plain command of the agent answers.
pub fn agent_result(result: Json) -> Json {
    json!({ "result": result })
}

/// A program was started.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct AgentExec {
    /// Its number, for `exec-status`.
    pub pid: i64,
}

/// State of a program. `exited` and `exitcode` are numbers.
#[derive(Debug, Clone, Default, Serialize)]
pub struct AgentExecStatus {
    /// 1 when it has ended.
    pub exited: u8,
    /// Its exit status.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exitcode: Option<i64>,
    /// The signal that ended it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub signal: Option<i64>,
    /// Standard output.
    #[serde(rename = "out-data", skip_serializing_if = "Option::is_none")]
    pub out_data: Option<String>,
    /// Standard error.
    #[serde(rename = "err-data", skip_serializing_if = "Option::is_none")]
    pub err_data: Option<String>,
    /// 1 if the output was cut.
    #[serde(rename = "out-truncated", skip_serializing_if = "Option::is_none")]
    pub out_truncated: Option<u8>,
    /// 1 if the error output was cut.
    #[serde(rename = "err-truncated", skip_serializing_if = "Option::is_none")]
    pub err_truncated: Option<u8>,
}

/// A file of the guest.
#[derive(Debug, Clone, Serialize)]
pub struct AgentFile {
    /// Its content, decoded as asked.
    pub content: String,
    /// 1 if there is more.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub truncated: Option<u8>,
}
