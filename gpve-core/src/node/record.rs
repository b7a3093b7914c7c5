//! What a node writes down of a guest.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::error::{Error, Result};
use crate::lifecycle::vm::Phase;
use crate::ports::{GuestReport, RunRecord, SnapshotReport};
use crate::types::{GuestName, GuestUsage, SnapName, Timestamp, VmSpec, Vmid};

/// A guest's record. Stored as JSON with its version; older versions are converted upward in [`GuestRecord::decode`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct GuestRecord {
    v: u8,
    pub(crate) vmid: Vmid,
    pub(crate) uid: Uuid,
    pub(crate) name: Option<GuestName>,
    /// What was asked, volumes and addresses filled in.
    pub(crate) spec: VmSpec,
    pub(crate) generation: u64,
    pub(crate) phase: Phase,
    /// Spec that the process was started with, plus what was changed in it since.
    pub(crate) running: Option<Box<VmSpec>>,
    pub(crate) run: Option<RunRecord>,
    pub(crate) snapshots: Vec<SnapshotReport>,
    pub(crate) parent: Option<SnapName>,
    pub(crate) created: Timestamp,
    /// Work in progress, in PVE's words of a lock.
    pub(crate) lock: Option<String>,
    /// Why it is in this phase.
    pub(crate) reason: Option<String>,
}

const VERSION: u8 = 1;

impl GuestRecord {
    pub(crate) fn new(vmid: Vmid, uid: Uuid, name: Option<GuestName>, spec: VmSpec, created: Timestamp) -> Self {
        Self {
            v: VERSION,
            vmid,
            uid,
            name,
            spec,
            generation: 1,
            phase: Phase::Pending,
            running: None,
            run: None,
            snapshots: Vec::new(),
            parent: None,
            created,
            lock: None,
            reason: None,
        }
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Self> {
        let broken = |m: String| Error::internal("node.record", format!("a guest's record cannot be read: {m}"));
        let record: Self = serde_json::from_slice(bytes).map_err(|e| broken(e.to_string()))?;
        match record.v {
            VERSION => Ok(record),
            newer => Err(broken(format!("version {newer} is newer than this program's {VERSION}"))),
        }
    }

    pub(crate) fn encode(&self) -> Result<Vec<u8>> {
        serde_json::to_vec(self).map_err(|e| Error::internal("node.record", e.to_string()))
    }

    /// Every volume that the record's owner has: disks of the spec, unused ones, its cloud-init drive, and
    /// those only snapshots name.
    pub(crate) fn volumes(&self) -> std::collections::BTreeSet<crate::types::VolumeId> {
        let of = |s: &VmSpec| s.owned_volumes().chain(s.cloud_init_drive(self.vmid).map(|(_, v)| v)).cloned().collect::<Vec<_>>();
        let snaps = self.snapshots.iter().flat_map(|s| of(&s.spec));
        of(&self.spec).into_iter().chain(snaps).chain(self.running.iter().flat_map(|s| of(s))).collect()
    }

    pub(crate) fn report(&self, usage: GuestUsage, agent_connected: bool) -> GuestReport {
        GuestReport {
            vmid: self.vmid,
            uid: self.uid,
            name: self.name.clone(),
            spec: self.spec.clone(),
            generation: self.generation,
            running: self.running.clone(),
            phase: self.phase.flat(),
            reason: self.reason.clone(),
            lock: self.lock.clone(),
            pid: self.run.as_ref().map(|r| r.process.pid),
            qmp_socket: self.run.as_ref().map(|r| format!("{}/qmp", r.runtime_dir)),
            started: self.run.as_ref().map(|r| r.started),
            created: self.created,
            agent_connected,
            snapshots: self.snapshots.clone(),
            parent: self.parent.clone(),
            usage,
        }
    }
}
