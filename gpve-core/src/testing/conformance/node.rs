//! The suite of the [`Node`] port.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::error::ErrorKind;
use crate::patch::SpecPatch;
use crate::ports::{
    AgentCall, ConfigPatch, ConsoleKind, ContentRequest, DeleteOptions, GuestReport, Node, ObservationStream, Observed, Operation,
    OperationRequest, Seq, TaskFilter, TaskReport, TaskState, VolumeFilter,
};
use crate::types::{GuestPhase, OperationId, Upid, UserId, VmSpec, Vmid};

/// What the suite needs of whoever runs it.
#[derive(Debug, Clone)]
pub struct NodeFixture {
    /// A number that no guest has.
    pub vmid: Vmid,
    /// A guest that starts within [`NodeFixture::PATIENCE`], with one disk to be made in its first slot.
    pub spec: VmSpec,
}

impl NodeFixture {
    /// How long the suite waits for a task or an observation.
    pub const PATIENCE: Duration = Duration::from_secs(60);
}

/// Proves that `node` keeps the promises of its port. Leaves it without the fixture's guest.
///
/// # Panics
/// With a sentence that says which promise was broken.
pub async fn node(node: &dyn Node, fixture: NodeFixture) {
    let suite = Suite { node, fixture: &fixture, user: "root@pam".parse().expect("a valid user") };
    suite.strangers_are_refused().await;
    let before = suite.synced().await.1;
    suite.a_guest_is_made_and_seen().await;
    suite.the_same_operation_twice_is_one_task().await;
    suite.bad_input_is_refused_with_its_field().await;
    suite.a_stopped_guest_has_neither_agent_nor_console().await;
    suite.volumes_are_listed().await;
    suite.a_guest_starts_and_a_follower_sees_it(before).await;
    suite.a_change_of_one_field_keeps_the_others().await;
    suite.a_denied_task_fails_with_its_reason_in_the_log().await;
    suite.an_ended_task_can_be_cancelled_without_harm().await;
    suite.a_deleted_guest_is_gone().await;
}

struct Suite<'s> {
    node: &'s dyn Node,
    fixture: &'s NodeFixture,
    user: UserId,
}

impl Suite<'_> {
    fn vmid(&self) -> Vmid {
        self.fixture.vmid
    }

    fn fresh(&self) -> OperationId {
        uuid::Uuid::now_v7().simple().to_string().parse().expect("a valid operation id")
    }

    fn request(&self, id: OperationId, operation: Operation) -> OperationRequest {
        OperationRequest { id, user: self.user.clone(), vmid: self.vmid(), operation }
    }

    async fn submit(&self, operation: Operation) -> Upid {
        self.node.submit(self.request(self.fresh(), operation)).await.expect("the operation is accepted")
    }

    /// The task's end, found by asking, as clients do that do not follow.
    async fn ended(&self, upid: &Upid) -> TaskReport {
        let mut follower = self.node.observe(None).await.expect("a node can be observed");
        let wait = async {
            loop {
                let report = self.node.task(upid).await.expect("an accepted task is known");
                if report.state.is_final() {
                    return report;
                }
                follower.next().await.expect("observations go on");
            }
        };
        tokio::time::timeout(NodeFixture::PATIENCE, wait).await.expect("a task ends")
    }

    async fn ok(&self, operation: Operation) {
        let upid = self.submit(operation).await;
        let report = self.ended(&upid).await;
        assert_eq!(report.state, TaskState::Ok, "the task succeeds: {:?}", self.node.task_log(&upid, 0, 100).await);
        assert!(report.ended.is_some(), "an ended task says when");
    }

    /// A stream after everything that is there was told, with where it is and the guests.
    async fn synced(&self) -> (Box<dyn ObservationStream>, Seq, BTreeMap<Vmid, GuestReport>) {
        let mut stream = self.node.observe(None).await.expect("a node can be observed");
        let mut guests = BTreeMap::new();
        loop {
            let next = tokio::time::timeout(NodeFixture::PATIENCE, stream.next()).await.expect("the state comes without delay");
            let o = next.expect("the state is told whole");
            match o.observed {
                Observed::Guest(g) => drop(guests.insert(g.vmid, *g)),
                Observed::Synced => return (stream, o.seq, guests),
                _ => {}
            }
        }
    }

    async fn strangers_are_refused(&self) {
        let unknown = self.node.submit(self.request(self.fresh(), Operation::Start)).await;
        assert_eq!(unknown.expect_err("an unknown guest is refused at once").kind, ErrorKind::NotFound);
        let upid: Upid = "UPID:nowhere:0000FFFF:0000FFFF:00000001:qmstart:100:root@pam:".parse().expect("a valid task id");
        assert_eq!(self.node.task(&upid).await.expect_err("an unknown task is an error").kind, ErrorKind::NotFound);
        assert_eq!(self.node.task_log(&upid, 0, 1).await.expect_err("so is its log").kind, ErrorKind::NotFound);
        assert_eq!(self.node.cancel(&upid).await.expect_err("it cannot be cancelled").kind, ErrorKind::NotFound);
    }

    async fn a_guest_is_made_and_seen(&self) {
        let spec = Box::new(self.fixture.spec.clone());
        self.ok(Operation::Create { uid: uuid::Uuid::now_v7(), name: None, spec, start: false }).await;
        let (_, _, guests) = self.synced().await;
        let guest = guests.get(&self.vmid()).expect("a made guest is told");
        assert_eq!(guest.phase, GuestPhase::Stopped, "a made guest is stopped");
        assert!(guest.spec.disks.values().all(|d| d.volume().is_some()), "its volumes are filled in");
        assert!(guest.running.is_none() && guest.pid.is_none(), "it has no process");
    }

    async fn the_same_operation_twice_is_one_task(&self) {
        let id = self.fresh();
        let first = self.node.submit(self.request(id.clone(), Operation::Stop)).await.expect("accepted");
        let again = self.node.submit(self.request(id, Operation::Stop)).await.expect("accepted again");
        assert_eq!(first, again, "the same operation id gives the same task");
        self.ended(&first).await;
    }

    async fn bad_input_is_refused_with_its_field(&self) {
        let mut spec = self.fixture.spec.clone();
        spec.cpu.sockets = 0;
        let request = OperationRequest {
            vmid: self.vmid().next().expect("there is a next number"),
            ..self.request(self.fresh(), Operation::Create { uid: uuid::Uuid::now_v7(), name: None, spec: Box::new(spec), start: false })
        };
        let refused = self.node.submit(request).await.expect_err("an impossible machine is refused at once");
        assert_eq!(refused.kind, ErrorKind::InvalidInput);
        assert!(refused.fields.iter().any(|f| f.field == "sockets"), "the refused field is named: {refused:?}");
    }

    async fn a_stopped_guest_has_neither_agent_nor_console(&self) {
        let refused = self.node.agent(self.vmid(), AgentCall::Ping).await;
        assert!(refused.is_err(), "the agent of a stopped guest does not answer");
        let refused = self.node.console(self.vmid(), ConsoleKind::Serial(0)).await;
        assert!(refused.is_err(), "a stopped guest has no console");
    }

    async fn volumes_are_listed(&self) {
        let (_, _, guests) = self.synced().await;
        let volume = guests[&self.vmid()].spec.owned_volumes().next().expect("the fixture has a disk").clone();
        let filter = VolumeFilter { owner: Some(self.vmid()), content: None };
        let mut request = ContentRequest { storage: volume.storage().clone(), filter, name: None };
        let listed = self.node.content(&request).await.expect("a storage can be listed");
        assert!(listed.iter().any(|v| v.volume.id == volume), "the guest's disk is listed");
        request.name = Some(volume.name().clone());
        assert_eq!(self.node.content(&request).await.expect("one volume can be asked for").len(), 1);
        request.storage = "no-such-storage".parse().expect("a valid id");
        assert_eq!(self.node.content(&request).await.expect_err("an unknown storage is an error").kind, ErrorKind::NotFound);
    }

    async fn a_guest_starts_and_a_follower_sees_it(&self, from: Seq) {
        let mut resumed = self.node.observe(Some(from)).await.expect("a follower resumes");
        self.ok(Operation::Start).await;
        let mut last = from;
        let wait = async {
            loop {
                let o = resumed.next().await.expect("observations go on");
                assert_eq!(o.seq.0, last.0 + 1, "observations are numbered without gaps");
                last = o.seq;
                if matches!(&o.observed, Observed::Guest(g) if g.vmid == self.vmid() && g.phase == GuestPhase::Running) {
                    return;
                }
            }
        };
        tokio::time::timeout(NodeFixture::PATIENCE, wait).await.expect("the start is observed");
    }

    async fn a_change_of_one_field_keeps_the_others(&self) {
        let (_, _, guests) = self.synced().await;
        let old = &guests[&self.vmid()].spec;
        let mut new = old.clone();
        new.cpu.cores += 1;
        let spec = SpecPatch::between(old, &new).expect("two specs can be compared");
        self.ok(Operation::Update(ConfigPatch { spec, ..ConfigPatch::default() })).await;
        let (_, _, guests) = self.synced().await;
        let guest = &guests[&self.vmid()];
        assert_eq!(guest.spec, new, "what was asked is in the spec, and nothing else changed");
        let running = guest.running.as_ref().expect("it runs");
        assert_eq!(running.cpu.cores, old.cpu.cores, "what runs is what runs");
    }

    async fn a_denied_task_fails_with_its_reason_in_the_log(&self) {
        let upid = self.submit(Operation::Start).await;
        let report = self.ended(&upid).await;
        let expected = format!("VM {} already running", self.vmid());
        assert_eq!(report.state, TaskState::Failed(expected.clone()));
        let (lines, total) = self.node.task_log(&upid, 0, 1000).await.expect("the log can be read");
        assert_eq!(lines.len() as u64, total, "the whole log fits");
        assert!(lines.iter().zip(1..).all(|(l, n)| l.n == n), "lines are numbered from 1");
        assert_eq!(lines.last().map(|l| l.t.clone()), Some(format!("TASK ERROR: {expected}")));
    }

    async fn an_ended_task_can_be_cancelled_without_harm(&self) {
        let filter = TaskFilter { vmid: Some(self.vmid()), limit: 1, ..TaskFilter::default() };
        let newest = self.node.tasks(&filter).await.expect("tasks can be listed");
        assert_eq!(newest.len(), 1, "the limit is kept");
        self.node.cancel(&newest[0].upid).await.expect("cancelling an ended task is no error");
        assert_eq!(self.node.task(&newest[0].upid).await.expect("it is known"), newest[0], "and changes nothing");
    }

    async fn a_deleted_guest_is_gone(&self) {
        self.ok(Operation::Stop).await;
        self.ok(Operation::Delete(DeleteOptions::default())).await;
        let (_, _, guests) = self.synced().await;
        assert!(!guests.contains_key(&self.vmid()), "a deleted guest is not told any more");
    }
}
