//! The agent in a guest in memory.

use std::collections::BTreeMap;

use async_trait::async_trait;
use serde_json::{Value, json};

use super::live::MemLive;
use super::process::Process;
use crate::error::{Error, ErrorKind, Result};
use crate::ports::{Agent, AgentExec, AgentExecStatus, OpCx, RunState};

/// Most programs remembered per guest; the oldest are forgotten first.
const MAX_PROGRAMS: usize = 256;

#[async_trait]
impl Agent for MemLive {
    fn connected(&self) -> bool {
        self.host.state().processes.get(&self.pid()).is_some_and(|p| p.agent_connected)
    }

    async fn ping(&self, cx: &OpCx) -> Result<()> {
        self.ask(cx, "agent.ping", |p| answers(p, "agent.ping")).await
    }

    async fn exec(&self, cx: &OpCx, exec: AgentExec) -> Result<i64> {
        self.act(cx, "agent.exec", |p| {
            answers(p, "agent.exec")?;
            let pid = p.programs.keys().next_back().map_or(1, |last| last + 1);
            p.programs.insert(pid, run(&exec));
            while p.programs.len() > MAX_PROGRAMS {
                p.programs.pop_first();
            }
            Ok(pid)
        })
        .await
    }

    async fn exec_status(&self, cx: &OpCx, pid: i64) -> Result<AgentExecStatus> {
        self.ask(cx, "agent.exec_status", |p| {
            answers(p, "agent.exec_status")?;
            let found = p.programs.get(&pid).cloned();
            found.ok_or_else(|| Error::not_found("agent.exec_status", format!("program {pid} in the guest")))
        })
        .await
    }

    async fn query(&self, cx: &OpCx, command: &str, _arguments: BTreeMap<String, Value>) -> Result<Value> {
        self.ask(cx, "agent.query", |p| {
            answers(p, "agent.query")?;
            query(p, command)
        })
        .await
    }
}

/// The agent answers while it is connected and the guest's processors run.
fn answers(process: &Process, op: &str) -> Result<()> {
    if process.agent_connected && process.state == RunState::Running {
        return Ok(());
    }
    Err(Error::new(ErrorKind::Unavailable, op, "the guest agent is not running"))
}

/// The guest's programs: `echo` and `cat`; all others are not found.
fn run(exec: &AgentExec) -> AgentExecStatus {
    let ended = |code, out_data: Vec<u8>, err_data: Vec<u8>| AgentExecStatus {
        exited: true,
        exit_code: Some(code),
        out_data,
        err_data,
        ..AgentExecStatus::default()
    };
    let mut words = exec.command.iter();
    match words.next().map(String::as_str) {
        Some("echo" | "/bin/echo") => {
            let text: Vec<&str> = words.map(String::as_str).collect();
            ended(0, format!("{}\n", text.join(" ")).into_bytes(), Vec::new())
        }
        Some("cat" | "/bin/cat") => ended(0, exec.input.clone().unwrap_or_default(), Vec::new()),
        Some(other) => ended(127, Vec::new(), format!("{other}: not found\n").into_bytes()),
        None => ended(127, Vec::new(), b"no command\n".to_vec()),
    }
}

fn query(process: &Process, command: &str) -> Result<Value> {
    let vm = &process.vm;
    match command {
        "get-osinfo" => Ok(json!({
            "id": "gpve-sim", "name": "gpve simulated guest", "pretty-name": "gpve simulated guest",
            "machine": "x86_64", "kernel-release": "0", "kernel-version": "0", "version": "0", "version-id": "0",
        })),
        "get-host-name" => Ok(json!({ "host-name": vm.name })),
        "network-get-interfaces" => {
            let cards = vm.networks.iter().map(|(index, nic)| {
                let [.., a, b, c] = nic.mac.octets();
                json!({
                    "name": format!("eth{}", index.get()),
                    "hardware-address": nic.mac.to_string().to_lowercase(),
                    "ip-addresses": [{ "ip-address-type": "ipv4", "ip-address": format!("10.{a}.{b}.{c}"), "prefix": 8 }],
                })
            });
            Ok(Value::Array(cards.collect()))
        }
        other => Err(Error::unsupported("agent.query", format!("the guest agent does not know guest-{other}"))),
    }
}
