//! The native dialect (`gpve.io/v1`) as calls of a control plane: what `/api/v1` answers, without HTTP.
//!
//! The server wraps it in HTTP, [`Local`](crate::Local) calls it in the same process: one behaviour for both.

mod guest;
mod host_access;
mod snapshot;
mod storage;
mod task;
mod watch;

use std::sync::Arc;

use bytes::Bytes;
use gpve_api::route::{Matched, Params};
use gpve_api::routes::Operation as Op;
use gpve_core::control::{Answer, Call, ControlPlane, GuestObject};
use gpve_core::error::{Error, Result};
use gpve_core::ports::{ByteStream, ConsoleKind};
use gpve_core::types::{Namespace, Vmid};
use serde::Serialize;
use serde_json::json;

pub use watch::Watch;

/// What every path of the dialect begins with.
const PREFIX: &str = "/api/v1";

/// A request whose caller is known and may do it, and whose parameters are checked.
#[derive(Debug, Clone)]
pub struct Asked {
    /// Decides.
    pub plane: ControlPlane,
    /// The route.
    pub matched: Matched,
    /// Parameters of path and query.
    pub params: Params,
    /// Who asks and how.
    pub call: Call,
    /// The document, if the route carries one.
    pub body: Bytes,
    /// The caller may set what reaches the host itself.
    pub is_root: bool,
    /// The document is YAML.
    pub is_yaml: bool,
}

/// An answer: a JSON document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answered {
    /// HTTP's status for it.
    pub status: u16,
    /// What else there is to say, such as `gpve-task`.
    pub headers: Vec<(&'static str, String)>,
    /// JSON.
    pub body: Vec<u8>,
}

impl Answered {
    /// A document.
    pub fn document(status: u16, value: &impl Serialize) -> Self {
        // Every answer is plain data, which cannot fail to serialize; a defect shows as an empty body.
        Self { status, headers: Vec::new(), body: serde_json::to_vec(value).unwrap_or_default() }
    }

    fn with_header(mut self, name: &'static str, value: String) -> Self {
        self.headers.push((name, value));
        self
    }
}

fn document(status: u16, value: &impl Serialize) -> Answered {
    Answered::document(status, value)
}

impl Asked {
    /// Performs the operation. Dropping the future leaves a change that was accepted under way.
    ///
    /// # Errors
    /// The engine's, and [`ErrorKind::Internal`](gpve_core::error::ErrorKind::Internal) for routes that are no operations of this dialect
    /// or answer with a stream: see [`Watch`] and [`Self::console`].
    pub async fn answer(&self) -> Result<Answered> {
        match self.matched.route.operation {
            Op::V1Index => Ok(document(200, &json!({ "apiVersion": gpve_api::v1::API_VERSION, "kinds": ["VirtualMachine"] }))),
            Op::V1OpenApi => Ok(document(200, &gpve_api::openapi::openapi(gpve_api::route::Dialect::V1))),
            Op::V1GuestList => guest::summaries(self),
            Op::V1VmList => guest::list(self),
            Op::V1VmCreate => guest::create(self).await,
            Op::V1VmRead => guest::read(self),
            Op::V1VmReplace => guest::replace(self).await,
            Op::V1VmApply => guest::apply(self).await,
            Op::V1VmDelete => guest::delete(self).await,
            Op::V1VmAction => guest::action(self).await,
            Op::V1VmClone => guest::clone(self).await,
            Op::V1VmResizeDisk => guest::resize(self).await,
            Op::V1VmTemplate => guest::template(self).await,
            Op::V1SnapshotList => snapshot::list(self),
            Op::V1SnapshotCreate => snapshot::create(self).await,
            Op::V1SnapshotDescribe => snapshot::describe(self).await,
            Op::V1SnapshotDelete => snapshot::delete(self).await,
            Op::V1SnapshotRollback => snapshot::rollback(self).await,
            Op::V1VolumeList => storage::list(self).await,
            Op::V1VolumeCreate => storage::create(self).await,
            Op::V1VolumeDelete => storage::delete(self).await,
            Op::V1TaskList => task::list(self),
            Op::V1TaskRead => task::read(self).await,
            Op::V1TaskLog => task::log(self).await,
            Op::V1TaskCancel => task::cancel(self).await,
            // The router of this dialect finds no routes of the other one.
            other => Err(Error::internal("api", format!("{other:?} is no operation of the native dialect that answers with a document"))),
        }
    }

    /// The console that the request asks for.
    ///
    /// # Errors
    /// [`ErrorKind::FailedPrecondition`](gpve_core::error::ErrorKind::FailedPrecondition) when the guest does not run.
    pub async fn console(&self) -> Result<Box<dyn ByteStream>> {
        let port = self.params.count("port").and_then(|n| u8::try_from(n).ok()).unwrap_or(0);
        let kind = if self.params.flag("display") { ConsoleKind::Vnc } else { ConsoleKind::Serial(port) };
        self.plane.console(self.vmid()?, kind).await
    }

    fn namespace(&self) -> Result<Namespace> {
        self.params.parse("namespace")
    }

    /// The guest that the path names, by its object's name or its number.
    fn guest(&self) -> Result<Arc<GuestObject>> {
        let (namespace, name) = (self.namespace()?, self.params.text("name").unwrap_or_default());
        let by_number = || {
            let guest = self.plane.guest(name.parse::<Vmid>().ok()?)?;
            (guest.object.metadata.namespace == namespace).then_some(guest)
        };
        let found = self.plane.guest_named(&namespace, name).or_else(by_number);
        found.ok_or_else(|| Error::not_found("vm.read", format!("virtual machine {namespace}/{name}")))
    }

    fn vmid(&self) -> Result<Vmid> {
        Ok(self.guest()?.object.spec.vmid)
    }

    /// The JSON document in the body.
    fn document<T: serde::de::DeserializeOwned>(&self) -> Result<T> {
        let body = if self.body.is_empty() { b"{}".as_slice() } else { &self.body };
        serde_json::from_slice(body).map_err(|e| Error::field("api", "body", e.to_string()))
    }

    /// The answer of a call that a task does: 202 with the task, or the plan of a dry run.
    async fn task(&self, answer: Answer) -> Result<Answered> {
        match answer {
            Answer::Accepted(a) => {
                let task = gpve_api::v1::Task::from(self.plane.task(&a.upid).await?.as_ref());
                Ok(document(202, &task).with_header("gpve-revision", a.revision.to_string()))
            }
            Answer::Unchanged(vmid) => Ok(document(200, &json!({ "unchanged": true, "vmid": vmid }))),
            Answer::Plan(plan) => Ok(document(200, &plan)),
        }
    }
}
