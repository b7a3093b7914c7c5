//! The [`Node`] port over bytes: a transport only has to move them.
//!
//! [`answer`] and [`open`] stand on the node's side of a transport, [`RemoteNode`] on the other. Every message is JSON.
//! What crosses a process is the same conversation as in process; the port's conformance suite runs both ways.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::error::{Error, ErrorKind, Result};
use crate::ports::{
    AgentCall, ByteStream, ConsoleKind, ContentRequest, Node, NodeInfo, Observation, ObservationStream, OperationRequest, Seq, TaskFilter,
    TaskLogLine, TaskReport, VolumeReport,
};
use crate::types::{NodeName, Upid, Vmid};

/// A call that has one answer.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Call {
    Info,
    Submit(Box<OperationRequest>),
    Tasks(TaskFilter),
    Task(Upid),
    TaskLog { upid: Upid, start: u64, limit: u64 },
    Cancel(Upid),
    Agent { vmid: Vmid, call: AgentCall },
    Content(ContentRequest),
}

/// A call that opens a stream.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Open {
    /// Frames are results of observations.
    Observe { after: Option<Seq> },
    /// Bytes as they come.
    Console { vmid: Vmid, kind: ConsoleKind },
}

/// Moves bytes between a [`RemoteNode`] and the functions of this module.
#[async_trait]
pub trait Transport: Send + Sync + 'static {
    /// Gives `request` to [`answer`] on the other side.
    async fn call(&self, request: Bytes) -> Result<Bytes>;

    /// Gives `request` to [`open`] on the other side. Each `read` is one frame, as it was sent.
    async fn open(&self, request: Bytes) -> Result<Box<dyn ByteStream>>;
}

fn encode<T: Serialize>(value: &T) -> Result<Bytes> {
    serde_json::to_vec(value).map(Bytes::from).map_err(|e| Error::internal("node.encode", e.to_string()))
}

fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T> {
    serde_json::from_slice(bytes).map_err(|e| Error::internal("node.decode", format!("a message cannot be read: {e}")))
}

/// Answers a call on the node's side. Errors are part of the answer.
pub async fn answer(node: &dyn Node, request: &[u8]) -> Result<Bytes> {
    match decode(request)? {
        Call::Info => encode(&node.info().await),
        Call::Submit(operation) => encode(&node.submit(*operation).await),
        Call::Tasks(filter) => encode(&node.tasks(&filter).await),
        Call::Task(upid) => encode(&node.task(&upid).await),
        Call::TaskLog { upid, start, limit } => encode(&node.task_log(&upid, start, limit).await),
        Call::Cancel(upid) => encode(&node.cancel(&upid).await),
        Call::Agent { vmid, call } => encode(&node.agent(vmid, call).await),
        Call::Content(request) => encode(&node.content(&request).await),
    }
}

/// Opens a stream on the node's side.
pub async fn open(node: &dyn Node, request: &[u8]) -> Result<Box<dyn ByteStream>> {
    match decode(request)? {
        Open::Observe { after } => Ok(Box::new(Observing(node.observe(after).await?))),
        Open::Console { vmid, kind } => node.console(vmid, kind).await,
    }
}

/// Observations as frames. Ends after the first error.
struct Observing(Box<dyn ObservationStream>);

#[async_trait]
impl ByteStream for Observing {
    async fn read(&mut self) -> Result<Option<Bytes>> {
        encode(&self.0.next().await).map(Some)
    }

    async fn write(&mut self, _bytes: Bytes) -> Result<()> {
        Err(Error::unsupported("node.observe", "observations are read only"))
    }
}

/// A node behind a transport.
pub struct RemoteNode {
    name: NodeName,
    transport: Arc<dyn Transport>,
}

impl RemoteNode {
    /// The node called `name` at the other end of `transport`.
    pub fn new(name: NodeName, transport: Arc<dyn Transport>) -> Self {
        Self { name, transport }
    }

    async fn call<T: DeserializeOwned>(&self, call: &Call) -> Result<T> {
        let answer: Result<T> = decode(&self.transport.call(encode(call)?).await?)?;
        answer
    }
}

#[async_trait]
impl Node for RemoteNode {
    fn name(&self) -> &NodeName {
        &self.name
    }

    async fn info(&self) -> Result<NodeInfo> {
        self.call(&Call::Info).await
    }

    async fn submit(&self, request: OperationRequest) -> Result<Upid> {
        self.call(&Call::Submit(Box::new(request))).await
    }

    async fn observe(&self, after: Option<Seq>) -> Result<Box<dyn ObservationStream>> {
        let stream = self.transport.open(encode(&Open::Observe { after })?).await?;
        Ok(Box::new(Observed(stream)))
    }

    async fn tasks(&self, filter: &TaskFilter) -> Result<Vec<TaskReport>> {
        self.call(&Call::Tasks(filter.clone())).await
    }

    async fn task(&self, upid: &Upid) -> Result<TaskReport> {
        self.call(&Call::Task(upid.clone())).await
    }

    async fn task_log(&self, upid: &Upid, start: u64, limit: u64) -> Result<(Vec<TaskLogLine>, u64)> {
        self.call(&Call::TaskLog { upid: upid.clone(), start, limit }).await
    }

    async fn cancel(&self, upid: &Upid) -> Result<()> {
        self.call(&Call::Cancel(upid.clone())).await
    }

    async fn agent(&self, vmid: Vmid, call: AgentCall) -> Result<serde_json::Value> {
        self.call(&Call::Agent { vmid, call }).await
    }

    async fn content(&self, request: &ContentRequest) -> Result<Vec<VolumeReport>> {
        self.call(&Call::Content(request.clone())).await
    }

    async fn console(&self, vmid: Vmid, kind: ConsoleKind) -> Result<Box<dyn ByteStream>> {
        self.transport.open(encode(&Open::Console { vmid, kind })?).await
    }
}

/// Frames as observations.
struct Observed(Box<dyn ByteStream>);

#[async_trait]
impl ObservationStream for Observed {
    async fn next(&mut self) -> Result<Observation> {
        let frame = self.0.read().await?;
        let frame = frame.ok_or_else(|| Error::new(ErrorKind::Unavailable, "node.observe", "the connection has ended"))?;
        decode::<Result<Observation>>(&frame)?
    }
}

/// A transport within one process that still turns every message into bytes and back.
pub struct Loopback(Arc<dyn Node>);

impl Loopback {
    /// To this node.
    pub fn new(node: Arc<dyn Node>) -> Self {
        Self(node)
    }
}

#[async_trait]
impl Transport for Loopback {
    async fn call(&self, request: Bytes) -> Result<Bytes> {
        answer(self.0.as_ref(), &request).await
    }

    async fn open(&self, request: Bytes) -> Result<Box<dyn ByteStream>> {
        open(self.0.as_ref(), &request).await
    }
}
