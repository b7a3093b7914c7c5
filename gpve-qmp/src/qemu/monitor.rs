//! Follows one guest from launch or adoption to its end: its events, its agent's channel, and how it ended.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use gpve_core::ports::{Exit, LiveEvent, LiveEvents, RunState};
use gpve_core::types::Vmid;
use gpve_exec::{Process, Status};
use serde_json::{Value, json};
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::{broadcast, watch};

use super::argv::compose::AGENT_PORT_ID;
use super::runtime_dir::RuntimeDir;
use super::tpm::Emulator;
use crate::protocol::client::QmpClient;
use crate::protocol::error::{CloseReason, QmpError};
use crate::protocol::events::{EventStream, Notice, QmpEvent};
use crate::protocol::pool::QmpPool;

/// Events held for a subscriber that is behind; guests have few.
const BACKLOG: usize = 64;

/// After QEMU's end its last events are in the socket already; this is for a busy host.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// Wait before a lost monitor is connected again.
const RECONNECT: Duration = Duration::from_millis(200);

/// Which connection of a pool: a guest, and which of its lives.
pub(super) type ConnectionKey = (Vmid, u64);

/// What is known of a guest's process, shared by the live guest and the task that follows it.
#[derive(Debug)]
pub(super) struct Monitor {
    pub(super) process: Process,
    pub(super) key: ConnectionKey,
    tpm: Option<Emulator>,
    dir: RuntimeDir,
    qmp: PathBuf,
    pool: Arc<QmpPool<ConnectionKey>>,
    /// `None` after the guest's end.
    events: Mutex<Option<broadcast::Sender<LiveEvent>>>,
    exit: watch::Sender<Option<Exit>>,
    killed: AtomicBool,
    agent_open: AtomicBool,
}

impl Monitor {
    pub(super) fn new(
        process: Process,
        key: ConnectionKey,
        tpm: Option<Emulator>,
        dir: RuntimeDir,
        pool: Arc<QmpPool<ConnectionKey>>,
    ) -> Self {
        let qmp = dir.qmp();
        Self {
            process,
            key,
            tpm,
            dir,
            qmp,
            pool,
            events: Mutex::new(Some(broadcast::channel(BACKLOG).0)),
            exit: watch::channel(None).0,
            killed: AtomicBool::new(false),
            agent_open: AtomicBool::new(false),
        }
    }

    /// The guest's monitor.
    pub(super) async fn client(&self) -> Result<QmpClient, QmpError> {
        if !self.process.is_running() {
            return Err(QmpError::Closed { command: "connect".to_owned(), reason: Arc::new(CloseReason::Eof) });
        }
        self.pool.get(&self.key, &self.qmp).await
    }

    pub(super) fn forget_connection(&self) {
        self.pool.forget(&self.key);
    }

    /// From now on the guest's end is our doing.
    pub(super) fn mark_killed(&self) {
        self.killed.store(true, Ordering::Relaxed);
    }

    /// What of its hardware does not work while it runs.
    pub(super) fn trouble(&self) -> Option<String> {
        self.tpm.as_ref().and_then(Emulator::trouble)
    }

    pub(super) fn is_agent_open(&self) -> bool {
        self.agent_open.load(Ordering::Relaxed)
    }

    pub(super) fn subscribe(&self) -> Box<dyn LiveEvents> {
        let events = self.events.lock().unwrap_or_else(PoisonError::into_inner);
        let receiver = events.as_ref().map(broadcast::Sender::subscribe);
        Box::new(Subscription(receiver))
    }

    /// Waits for the guest's end. Cancel safe.
    pub(super) async fn ended(&self) -> Exit {
        let mut exit = self.exit.subscribe();
        match exit.wait_for(Option::is_some).await.map(|exit| exit.clone()) {
            Ok(Some(exit)) => exit,
            // The sender lives in `self`.
            _ => Exit::Crashed("its end was not seen".to_owned()),
        }
    }

    /// Follows the guest, launched just now or adopted, to its end. Never fails: a lost monitor is connected again as long as the process lives.
    pub(super) async fn follow(self: Arc<Self>, is_new: bool) {
        let mut powered_off = false;
        let mut is_first = true;
        while self.process.is_running() {
            match self.client().await {
                Ok(client) => {
                    let events = client.subscribe();
                    if !is_first {
                        self.announce(LiveEvent::Lagged);
                    }
                    // Nobody has opened anything in a guest that has not run.
                    if !(is_first && is_new) {
                        self.look(&client).await;
                    }
                    is_first = false;
                    powered_off |= self.relay(events).await;
                }
                Err(error) => tracing::warn!(vmid = %self.key.0, %error, "the monitor cannot be reached"),
            }
            tokio::select! {
                _ = self.process.exited() => {}
                () = tokio::time::sleep(RECONNECT), if self.process.is_running() => {}
            }
        }
        if let Some(tpm) = &self.tpm {
            tpm.end().await;
        }
        let exit = self.judge(powered_off).await;
        tracing::info!(vmid = %self.key.0, ?exit, "guest ended");
        self.exit.send_replace(Some(exit));
        self.forget_connection();
        *self.events.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// Passes events on until the connection ends; true when the guest powered itself off.
    async fn relay(&self, mut events: EventStream) -> bool {
        let mut powered_off = false;
        let mut ended = false;
        loop {
            let notice = tokio::select! {
                biased;
                notice = events.next() => notice,
                _ = self.process.exited(), if !ended => {
                    ended = true;
                    continue;
                }
                () = tokio::time::sleep(LAST_WORDS), if ended => None,
            };
            match notice {
                Some(Notice::Event(event)) => powered_off |= self.hear(&event),
                Some(Notice::Lagged(_)) => self.announce(LiveEvent::Lagged),
                None => return powered_off,
            }
        }
    }

    /// Tells of hardware that fails while the guest runs. Never returns.
    pub(super) async fn watch(self: Arc<Self>) {
        if let Some(tpm) = &self.tpm {
            tpm.lost(&self.process).await;
            tracing::warn!(vmid = %self.key.0, trouble = self.trouble(), "hardware of a guest has failed");
            self.announce(LiveEvent::Lagged);
        }
        std::future::pending().await
    }

    /// Reads what events would have told before there was a subscriber.
    async fn look(&self, client: &QmpClient) {
        let Ok(chardevs) = client.raw("query-chardev", &json!({})).send().await else { return };
        let is_open = |chardev: &&Value| chardev["label"] == "qga0" && chardev["frontend-open"] == true;
        let open = chardevs.as_array().is_some_and(|chardevs| chardevs.iter().any(|chardev| is_open(&chardev)));
        self.agent_open.store(open, Ordering::Relaxed);
    }

    /// Passes one event on; true when the guest powers itself off.
    fn hear(&self, event: &QmpEvent) -> bool {
        let data: Value = event.decode().unwrap_or_default();
        let heard = match &*event.name {
            "STOP" => LiveEvent::State(RunState::Paused),
            "RESUME" | "WAKEUP" => LiveEvent::State(RunState::Running),
            "SUSPEND" => LiveEvent::State(RunState::Suspended),
            "RESET" => LiveEvent::Reset,
            "GUEST_PANICKED" => LiveEvent::Panicked,
            "BLOCK_IO_ERROR" if data["action"] == "stop" => LiveEvent::State(RunState::IoError),
            "VSERPORT_CHANGE" if data["id"] == AGENT_PORT_ID => {
                let open = data["open"] == true;
                self.agent_open.store(open, Ordering::Relaxed);
                LiveEvent::AgentConnected(open)
            }
            "JOB_STATUS_CHANGE" => {
                let text = |key: &str| data[key].as_str().unwrap_or_default().to_owned();
                LiveEvent::Job { name: text("id"), state: text("status") }
            }
            "SHUTDOWN" => {
                self.announce(LiveEvent::State(RunState::Shutdown));
                if data["guest"] == true {
                    self.announce(LiveEvent::PoweringOff);
                }
                return data["guest"] == true;
            }
            _ => return false,
        };
        self.announce(heard);
        false
    }

    fn announce(&self, event: LiveEvent) {
        if let Some(events) = &*self.events.lock().unwrap_or_else(PoisonError::into_inner) {
            // No subscriber is no error.
            let _ = events.send(event);
        }
    }

    /// Says how the guest ended, from what was seen of it.
    async fn judge(&self, powered_off: bool) -> Exit {
        let status = self.process.exited().await.ok().and_then(|exit| exit.status);
        if powered_off {
            return Exit::GuestPoweroff;
        }
        if self.killed.load(Ordering::Relaxed) {
            return Exit::Killed;
        }
        let how = match status {
            Some(Status::Exited(code)) => format!("QEMU ended with code {code}"),
            Some(Status::Signalled(signal)) => format!("QEMU was ended by signal {signal}"),
            // Not our child: adopted.
            None => "QEMU ended".to_owned(),
        };
        let dir = self.dir.clone();
        let tail = tokio::task::spawn_blocking(move || dir.log_tail()).await.unwrap_or_default();
        Exit::Crashed(if tail.is_empty() { how } else { format!("{how}: {tail}") })
    }
}

struct Subscription(Option<broadcast::Receiver<LiveEvent>>);

#[async_trait]
impl LiveEvents for Subscription {
    async fn next(&mut self) -> Option<LiveEvent> {
        match self.0.as_mut()?.recv().await {
            Ok(event) => Some(event),
            Err(RecvError::Lagged(_)) => Some(LiveEvent::Lagged),
            Err(RecvError::Closed) => None,
        }
    }
}
