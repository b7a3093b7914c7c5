//! Nodes that are cut off, do not answer, or restart: what is shown becomes what is.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, RwLock};
use std::time::Duration;

use async_trait::async_trait;
use gpve_core::bus::Bus;
use gpve_core::clock::SystemClock;
use gpve_core::control::{Answer, ControlPlane, CreateGuest, DeleteGuest};
use gpve_core::error::{Error, ErrorKind, Result};
use gpve_core::node::NodeEngine;
use gpve_core::ports::{
    AgentCall, ByteStream, ConsoleKind, ContentRequest, Guest as _, Node, NodeInfo, Observation, ObservationStream, OperationRequest, Seq,
    Store, TaskFilter, TaskLogLine, TaskReport, VolumeReport,
};
use gpve_core::types::{GuestPhase, NodeName, Upid, Vmid};
use gpve_store::MemStore;

use crate::control_world::{self, PATIENCE, numbered, root, tiny, vmid, within};

/// A node behind a bad line.
struct BadLine {
    name: NodeName,
    node: RwLock<NodeEngine>,
    /// Observations until each stream is cut; 0 means never.
    cut_after: AtomicU32,
    streams: AtomicU32,
    /// Nothing gets through.
    down: AtomicBool,
    /// Cuts the streams that are open.
    cut: tokio::sync::watch::Sender<()>,
}

impl BadLine {
    fn new(node: NodeEngine) -> Arc<Self> {
        let (name, node) = (node.name().clone(), RwLock::new(node));
        let (cut_after, streams, down) = (AtomicU32::new(0), AtomicU32::new(0), AtomicBool::new(false));
        Arc::new(Self { name, node, cut_after, streams, down, cut: tokio::sync::watch::Sender::new(()) })
    }

    fn line(&self) -> Result<NodeEngine> {
        match self.down.load(Ordering::SeqCst) {
            true => Err(Error::new(ErrorKind::Unavailable, "node", "the line is down")),
            false => Ok(self.node.read().unwrap().clone()),
        }
    }
}

struct BadStream {
    line: Arc<BadLine>,
    inner: Box<dyn ObservationStream>,
    told: u32,
    cut: tokio::sync::watch::Receiver<()>,
}

#[async_trait]
impl ObservationStream for BadStream {
    async fn next(&mut self) -> Result<Observation> {
        let cut = || Err(Error::new(ErrorKind::Unavailable, "node.observe", "the line was cut"));
        let cut_after = self.line.cut_after.load(Ordering::SeqCst);
        if cut_after > 0 && self.told >= cut_after {
            return cut();
        }
        self.told += 1;
        tokio::select! {
            observation = self.inner.next() => observation,
            _ = self.cut.changed() => cut(),
        }
    }
}

struct Shared(Arc<BadLine>);

#[async_trait]
impl Node for Shared {
    fn name(&self) -> &NodeName {
        &self.0.name
    }

    async fn info(&self) -> Result<NodeInfo> {
        self.0.line()?.info().await
    }

    async fn submit(&self, request: OperationRequest) -> Result<Upid> {
        self.0.line()?.submit(request).await
    }

    async fn observe(&self, after: Option<Seq>) -> Result<Box<dyn ObservationStream>> {
        // Every third follower is told that what it asks for is too long ago.
        let forget = self.0.streams.fetch_add(1, Ordering::SeqCst) % 3 == 2;
        let inner = self.0.line()?.observe(after.filter(|_| !forget)).await?;
        Ok(Box::new(BadStream { line: self.0.clone(), inner, told: 0, cut: self.0.cut.subscribe() }))
    }

    async fn tasks(&self, filter: &TaskFilter) -> Result<Vec<TaskReport>> {
        self.0.line()?.tasks(filter).await
    }

    async fn task(&self, upid: &Upid) -> Result<TaskReport> {
        self.0.line()?.task(upid).await
    }

    async fn task_log(&self, upid: &Upid, start: u64, limit: u64) -> Result<(Vec<TaskLogLine>, u64)> {
        self.0.line()?.task_log(upid, start, limit).await
    }

    async fn cancel(&self, upid: &Upid) -> Result<()> {
        self.0.line()?.cancel(upid).await
    }

    async fn agent(&self, vmid: Vmid, call: AgentCall) -> Result<serde_json::Value> {
        self.0.line()?.agent(vmid, call).await
    }

    async fn content(&self, request: &ContentRequest) -> Result<Vec<VolumeReport>> {
        self.0.line()?.content(request).await
    }

    async fn console(&self, vmid: Vmid, kind: ConsoleKind) -> Result<Box<dyn ByteStream>> {
        self.0.line()?.console(vmid, kind).await
    }
}

async fn behind_a_bad_line() -> (Arc<BadLine>, ControlPlane) {
    let (_host, node) = control_world::node("n1").await;
    let line = BadLine::new(node);
    let store: Arc<dyn Store> = Arc::new(MemStore::new(Arc::new(SystemClock::new())));
    let builder = ControlPlane::builder(store, Arc::new(SystemClock::new()), Arc::new(Bus::new()));
    let plane = builder.node(Arc::new(Shared(line.clone()))).build().await.unwrap();
    assert!(plane.ready(PATIENCE).await.is_empty());
    (line, plane)
}

async fn create(plane: &ControlPlane, request: CreateGuest) -> Result<Vmid> {
    let made = plane.create(&root(), request).await?.accepted()?;
    plane.wait(&made.upid).await?;
    Ok(made.vmid)
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_is_cut_again_and_again_converges() {
    let (line, plane) = behind_a_bad_line().await;
    line.cut_after.store(40, Ordering::SeqCst);
    for n in 100..110 {
        // Between two streams the node counts as away; whoever asks again gets through.
        while let Err(e) = create(&plane, numbered(n, tiny())).await {
            assert_eq!(e.kind, ErrorKind::Unavailable, "{e}");
            plane.ready(PATIENCE).await;
        }
        let started = plane.start(&root(), vmid(n)).await.unwrap().accepted().unwrap();
        plane.wait(&started.upid).await.unwrap();
    }
    for n in 105..110 {
        let request = DeleteGuest { stop_first: true, ..DeleteGuest::default() };
        let gone = plane.delete(&root(), vmid(n), request).await.unwrap().accepted().unwrap();
        plane.wait(&gone.upid).await.unwrap();
    }
    let node = line.line().unwrap();
    for n in 100..110 {
        let wanted = node.guest(vmid(n)).ok().map(|r| (r.uid, r.phase));
        let shown = |g: Option<&gpve_core::control::GuestObject>| g.map(|g| (g.object.metadata.uid, g.phase())) == wanted;
        within(plane.wait_guest(vmid(n), shown)).await.unwrap();
    }
    assert_eq!(plane.guests().len(), 5);
    assert!(line.streams.load(Ordering::SeqCst) > 3);
}

#[tokio::test(start_paused = true)]
async fn a_node_that_does_not_answer_gets_nothing_new() {
    let (line, plane) = behind_a_bad_line().await;
    create(&plane, numbered(100, tiny())).await.unwrap();
    line.down.store(true, Ordering::SeqCst);
    line.cut.send_replace(());
    let node = line.name.clone();
    while plane.node(&node).unwrap().ready {
        tokio::time::advance(Duration::from_millis(1)).await;
    }
    let placed = CreateGuest { node: Some(node), ..numbered(101, tiny()) };
    let e = plane.create(&root(), placed).await.unwrap_err();
    assert_eq!(e.kind, ErrorKind::Unavailable);
    assert_eq!(plane.start(&root(), vmid(100)).await.unwrap_err().kind, ErrorKind::Unavailable);
    // What is known of it stays readable.
    assert_eq!(plane.guest(vmid(100)).unwrap().phase(), GuestPhase::Stopped);
}

#[tokio::test(start_paused = true)]
async fn a_guest_whose_node_was_away_is_made_when_it_answers_or_given_up() {
    let (line, plane) = behind_a_bad_line().await;
    line.down.store(true, Ordering::SeqCst);
    for n in [100, 101] {
        let e = plane.create(&root(), numbered(n, tiny())).await.unwrap_err();
        assert_eq!(e.kind, ErrorKind::Unavailable);
        assert!(e.message.contains(&format!("vm delete {n}")), "{}", e.message);
    }
    let given_up = plane.delete(&root(), vmid(101), DeleteGuest::default()).await.unwrap();
    assert_eq!(given_up, Answer::Unchanged(vmid(101)));
    line.down.store(false, Ordering::SeqCst);
    let made = |g: Option<&gpve_core::control::GuestObject>| g.is_some_and(|g| g.making.is_none() && g.phase() == GuestPhase::Stopped);
    within(plane.wait_guest(vmid(100), made)).await.unwrap();
    assert!(plane.guest(vmid(101)).is_none() && line.line().unwrap().guest(vmid(101)).is_err());
}

#[tokio::test(start_paused = true)]
async fn another_engine_under_the_same_name_is_followed_and_what_it_lacks_goes() {
    let (line, plane) = behind_a_bad_line().await;
    create(&plane, numbered(100, tiny())).await.unwrap();
    let (_host, fresh) = control_world::node("n1").await;
    let old = std::mem::replace(&mut *line.node.write().unwrap(), fresh);
    old.close();
    line.cut.send_replace(());
    within(plane.wait_guest(vmid(100), |g| g.is_none())).await.unwrap();
    plane.ready(PATIENCE).await;
    create(&plane, numbered(101, tiny())).await.unwrap();
    assert!(line.line().unwrap().guest(vmid(101)).is_ok());
}
