//! Follows one node and makes the store and the cache show what it tells.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use futures_util::{FutureExt as _, StreamExt as _, TryStreamExt as _};
use uuid::Uuid;

use super::create::is_open;
use super::nodes::NodeMirror;
use super::objects::GuestObject;
use super::observe::{events, observed, recreated};
use super::records::{NotInserted, Records};
use super::tasks::word;
use crate::error::{Error, ErrorKind, Result};
use crate::ports::{
    Clock, Event, EventKind, Events, Guest as _, GuestReport, Observation, ObservationStream, Observed, Revision, Seq, TaskReport,
    TaskState, Txn,
};
use crate::types::{GuestPhase, GuestUsage, Upid, Vmid};

/// Most observations taken at once; between batches readers and waiters see progress.
const BATCH_MAX: usize = 1024;
/// Most records written at the same time: enough for a store that commits in groups.
const WRITES_MAX: usize = 64;
/// First pause after a node's stream ended; it doubles up to [`PAUSE_MAX`].
const PAUSE_MIN: Duration = Duration::from_millis(100);
/// Longest pause: a node that comes back is seen within this time.
const PAUSE_MAX: Duration = Duration::from_secs(5);
/// How often the making of guests that their node has not shown is submitted again.
const MAKE_AGAIN_EVERY: Duration = Duration::from_secs(10);
/// Most names tried for the object of a guest that has none.
pub(super) const NAME_TRIES: usize = 3;

/// The mirror of one node.
pub(super) struct Mirror {
    pub(super) records: Records,
    pub(super) node: Arc<NodeMirror>,
    pub(super) events: Arc<dyn Events>,
    pub(super) clock: Arc<dyn Clock>,
}

/// Where the mirror is in the node's observations.
struct Position {
    /// Everything up to here is shown. `None`: everything has to be told anew.
    after: Option<Seq>,
    /// What the node told since it began to tell everything.
    told: Told,
    /// Identity of each guest as the node last told it: a number that is gone may be another guest's record by now,
    /// made through another control plane.
    known: BTreeMap<Vmid, Uuid>,
}

#[derive(Default)]
struct Told {
    whole: bool,
    guests: BTreeMap<Vmid, Uuid>,
    tasks: BTreeSet<String>,
    /// Records written after this revision are newer than what the node told.
    since: Revision,
}

/// How a guest is now.
enum Now {
    Is(Box<GuestReport>),
    Gone(Uuid),
}

/// A batch, the latest of each guest.
#[derive(Default)]
struct Gathered {
    guests: BTreeMap<Vmid, Now>,
    usage: Vec<(Vmid, GuestUsage)>,
    others: Vec<Observed>,
    synced: bool,
}

impl Mirror {
    /// Follows the node for ever.
    pub(super) async fn run(self) {
        let mut position = Position { after: None, told: Told::default(), known: BTreeMap::new() };
        let mut pause = PAUSE_MIN;
        loop {
            let before = position.after;
            if let Err(e) = self.follow(&mut position).await {
                tracing::warn!(node = %self.node.name(), error = %e.report(), "observation of the node ended");
            }
            if position.after != before {
                // It told something: most likely it can be followed on at once, and still counts as there.
                pause = PAUSE_MIN;
            } else {
                self.node.write(|s| s.ready = false);
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(PAUSE_MAX);
        }
    }

    /// Follows one stream to its end.
    async fn follow(&self, position: &mut Position) -> Result<()> {
        position.told = Told { whole: position.after.is_none(), since: self.records.cache.snapshot().revision(), ..Told::default() };
        let mut stream = self.node.node.observe(position.after).await?;
        let mut first = true;
        let mut unmade = tokio::time::interval(MAKE_AGAIN_EVERY);
        unmade.reset();
        loop {
            let batch = tokio::select! {
                batch = take(stream.as_mut()) => batch?,
                _ = unmade.tick() => {
                    self.make_unmade().await?;
                    continue;
                }
            };
            if let (true, Some(after), Some(observation)) = (first, position.after, batch.first()) {
                // The next number means that the stream resumes; any other, that the node tells everything.
                position.told.whole = observation.seq.0 != after.0 + 1;
            }
            if first && !position.told.whole {
                self.node.write(|s| s.ready = true);
            }
            first = false;
            self.show(batch, position).await?;
        }
    }

    /// Shows a batch, in the order that readers may rely on: guests first, then the tasks that changed them.
    async fn show(&self, batch: Vec<Observation>, position: &mut Position) -> Result<()> {
        let last = batch.last().map(|o| o.seq);
        let mut gathered = Gathered::default();
        // Known for good only once it is shown: a batch that fails is told again.
        let mut fresh = BTreeMap::new();
        for observation in batch {
            match observation.observed {
                Observed::Guest(report) => {
                    position.told.guests.insert(report.vmid, report.uid);
                    if matches!(gathered.guests.get(&report.vmid), Some(Now::Gone(_))) {
                        self.show_guests(std::mem::take(&mut gathered.guests)).await?;
                    }
                    fresh.insert(report.vmid, report.uid);
                    gathered.usage.push((report.vmid, report.usage));
                    gathered.guests.insert(report.vmid, Now::Is(report));
                }
                Observed::GuestGone(vmid) => {
                    position.told.guests.remove(&vmid);
                    if let Some(uid) = fresh.get(&vmid).or(position.known.get(&vmid)) {
                        gathered.guests.insert(vmid, Now::Gone(*uid));
                    }
                }
                Observed::Usage(figures) => gathered.usage.extend(figures),
                Observed::Synced => gathered.synced = true,
                other => {
                    if let Observed::Task(task) = &other {
                        position.told.tasks.insert(task.upid.to_string());
                    }
                    gathered.others.push(other);
                }
            }
        }
        let synced = gathered.synced;
        self.show_gathered(gathered).await?;
        position.known.append(&mut fresh);
        if synced {
            self.forget_untold(&position.told).await?;
            position.told.whole = false;
            position.known = std::mem::take(&mut position.told.guests);
            self.node.write(|s| s.ready = true);
        }
        if !position.told.whole {
            position.after = last.or(position.after);
        }
        Ok(())
    }

    async fn show_gathered(&self, gathered: Gathered) -> Result<()> {
        self.show_guests(gathered.guests).await?;
        if !gathered.usage.is_empty() {
            self.records.cache.set_usage(&gathered.usage);
        }
        for other in gathered.others {
            self.show_other(other).await?;
        }
        Ok(())
    }

    /// Writes what changed and returns once reads show it.
    async fn show_guests(&self, guests: BTreeMap<Vmid, Now>) -> Result<()> {
        let writes = futures_util::stream::iter(guests).map(|(vmid, now)| async move {
            match now {
                Now::Is(report) => self.write(&report).await,
                Now::Gone(uid) => self.remove(vmid, |guest| guest.object.metadata.uid != uid).await,
            }
        });
        let revisions: Vec<Option<Revision>> = writes.buffer_unordered(WRITES_MAX).try_collect().await?;
        if let Some(last) = revisions.into_iter().flatten().max() {
            self.records.cache.reached(last).await?;
        }
        Ok(())
    }

    async fn show_other(&self, observed: Observed) -> Result<()> {
        let now = self.clock.now();
        match observed {
            Observed::Task(task) => self.show_task(*task).await?,
            Observed::Storage(report) => self.node.write(|s| drop(s.storages.insert(report.id.clone(), report))),
            Observed::Info(info) => self.node.write(|s| s.info = Some(Arc::new(*info))),
            Observed::Event(event) => {
                // The others are told from what changed in the store, once for all.
                if matches!(event.kind, EventKind::GuestPanicked | EventKind::GuestReset | EventKind::GuestAdopted) {
                    self.events.publish(event);
                }
            }
            Observed::Guest(_) | Observed::GuestGone(_) | Observed::Usage(_) | Observed::Synced => {}
        }
        self.node.write(|s| s.last_seen = Some(now));
        Ok(())
    }

    async fn show_task(&self, task: TaskReport) -> Result<()> {
        if let TaskState::Failed(_) | TaskState::Cancelled | TaskState::Stuck(_) = task.state {
            self.settle(&task).await?;
        }
        let (upid, vmid, ended, state) = (task.upid.clone(), task.vmid, task.state.is_final(), task.state.clone());
        let (before, ready) = self.node.write(|s| (s.tasks.put(task), s.ready));
        let kind = match (before, ended) {
            (None, false) => EventKind::TaskStarted,
            (None, true) if ready => EventKind::TaskEnded,
            (Some(b), true) if !b.state.is_final() => EventKind::TaskEnded,
            _ => return Ok(()),
        };
        let details = [("upid", upid.to_string()), ("state", word(&state).to_owned())];
        let details = details.into_iter().map(|(k, v)| (k.to_owned(), v)).collect();
        self.events.publish(Event { time: self.clock.now(), kind, node: upid.node, vmid: Some(vmid), details });
        Ok(())
    }

    /// Makes the record of a guest as its node reports it; the revision, if something changed.
    async fn write(&self, report: &GuestReport) -> Result<Option<Revision>> {
        let (name, now) = (self.node.name(), self.clock.now());
        let change = |before: &GuestObject| {
            if before.object.metadata.uid != report.uid {
                // Another guest of this number: newer than the report, on another node, or lost behind our back. Once
                // the node has told everything, it is clear which.
                tracing::debug!(vmid = %report.vmid, here = %name, there = %before.node(), "a report is of another guest");
                return Ok(None);
            }
            let after = observed(before, report, name, now);
            Ok((after != *before).then_some(after))
        };
        if let Some((before, after)) = self.records.update(report.vmid, change).await? {
            events(Some(&before), Some(&after), now).into_iter().for_each(|e| self.events.publish(e));
            return Ok(Some(after.revision));
        }
        if self.records.cache.guest(report.vmid).is_some() {
            return Ok(None);
        }
        self.recreate(report).await
    }

    /// Makes a record for a guest that has none.
    async fn recreate(&self, report: &GuestReport) -> Result<Option<Revision>> {
        let now = self.clock.now();
        let names = object_names(report.name.as_ref().map(AsRef::as_ref), report.vmid, report.uid);
        for name in names {
            let guest = recreated(report, self.node.name(), name, now);
            match self.records.insert(&guest, Txn::default()).await {
                Ok(revision) => {
                    events(None, Some(&guest), now).into_iter().for_each(|e| self.events.publish(e));
                    return Ok(Some(revision));
                }
                Err(NotInserted::NameTaken) => {}
                // Another control plane was faster.
                Err(NotInserted::VmidTaken(_) | NotInserted::Overtaken) => return Ok(None),
                Err(NotInserted::Failed(e)) => return Err(e),
            }
        }
        Err(Error::internal("guest.recreate", "no object name is free").on(format!("vm {}", report.vmid)))
    }

    /// Removes the record of a guest that its node no longer has, unless it is another node's or `spared`.
    async fn remove(&self, vmid: Vmid, spared: impl Fn(&GuestObject) -> bool) -> Result<Option<Revision>> {
        let spare = |guest: &GuestObject| guest.node() != self.node.name() || spared(guest);
        let Some((gone, revision)) = self.records.remove(vmid, spare).await? else { return Ok(None) };
        events(Some(&gone), None, self.clock.now()).into_iter().for_each(|e| self.events.publish(e));
        Ok(Some(revision))
    }

    /// Ends the record of a guest whose making failed before its node ever showed it.
    async fn settle(&self, task: &TaskReport) -> Result<()> {
        let snapshot = self.records.cache.snapshot();
        let made_by = |g: &GuestObject| g.making.as_ref().is_some_and(|m| m.id == task.operation);
        let Some(entry) = snapshot.iter().find(|e| made_by(&e.guest)) else { return Ok(()) };
        let vmid = entry.guest.id();
        let revision = match &task.state {
            TaskState::Stuck(reason) => self.mark_failed(vmid, reason).await?,
            _ => {
                let removed = self.records.remove(vmid, |g| !made_by(g)).await?;
                removed.map(|(gone, revision)| {
                    events(Some(&gone), None, self.clock.now()).into_iter().for_each(|e| self.events.publish(e));
                    revision
                })
            }
        };
        match revision {
            Some(revision) => self.records.cache.reached(revision).await,
            None => Ok(()),
        }
    }

    async fn mark_failed(&self, vmid: Vmid, reason: &str) -> Result<Option<Revision>> {
        let changed = self.records.update(vmid, |before| {
            let mut after = before.clone();
            after.object.status.phase = GuestPhase::Failed;
            after.object.status.reason = Some(reason.to_owned());
            Ok((after != *before).then_some(after))
        });
        let Some((before, after)) = changed.await? else { return Ok(None) };
        events(Some(&before), Some(&after), self.clock.now()).into_iter().for_each(|e| self.events.publish(e));
        Ok(Some(after.revision))
    }

    /// After the node told everything: what it did not tell is not there.
    async fn forget_untold(&self, told: &Told) -> Result<()> {
        self.node.write(|s| s.tasks.forget_running(|upid| told.tasks.contains(&upid.to_string())));
        let snapshot = self.records.cache.snapshot();
        let mut last = None;
        let mut replaced = false;
        for guest in snapshot.iter().map(|e| &e.guest).filter(|g| g.node() == self.node.name()) {
            match told.guests.get(&guest.id()) {
                Some(uid) if *uid == guest.object.metadata.uid => continue,
                other => replaced |= other.is_some(),
            }
            let revision = match &guest.making {
                Some(_) => self.make_again(guest).await?,
                None => self.remove(guest.id(), |g| g.revision > told.since).await?,
            };
            last = last.max(revision);
        }
        if let Some(revision) = last {
            self.records.cache.reached(revision).await?;
        }
        match replaced && last.is_some() {
            true => Err(Error::new(ErrorKind::Unavailable, "mirror", "records of other guests made room: everything is told again")),
            false => Ok(()),
        }
    }

    /// Submits the making of every guest again that the node has not shown, for example because it did not answer.
    async fn make_unmade(&self) -> Result<()> {
        let snapshot = self.records.cache.snapshot();
        for guest in snapshot.iter().map(|e| &e.guest).filter(|g| g.making.is_some() && g.node() == self.node.name()) {
            self.make_again(guest).await?;
        }
        Ok(())
    }

    /// Submits the making of a guest again: a crash may have come between its record and the node. The same operation
    /// is the same task, so nothing is made twice.
    async fn make_again(&self, guest: &GuestObject) -> Result<Option<Revision>> {
        let Some(request) = &guest.making else { return Ok(None) };
        let spare = |g: &GuestObject| g.making.as_ref().is_none_or(|m| m.id != request.id);
        match self.node.node.submit((**request).clone()).await {
            Ok(upid) => self.settle_known(&upid).await.map(|()| None),
            Err(e) if is_open(e.kind) => Err(e),
            Err(e) => {
                tracing::warn!(vmid = %guest.id(), error = %e.report(), "a guest that was accepted cannot be made");
                Ok(self.records.remove(guest.id(), spare).await?.map(|(_, revision)| revision))
            }
        }
    }

    async fn settle_known(&self, upid: &Upid) -> Result<()> {
        let task = self.node.node.task(upid).await?;
        match task.state {
            TaskState::Failed(_) | TaskState::Cancelled | TaskState::Stuck(_) => self.settle(&task).await,
            _ => Ok(()),
        }
    }
}

/// Names for the object of a guest, best first; the last is free unless the store is damaged.
pub(super) fn object_names(wanted: Option<&str>, vmid: Vmid, uid: Uuid) -> [String; NAME_TRIES] {
    let first = wanted.map_or_else(|| format!("vm-{vmid}"), str::to_owned);
    let second = format!("{}-{vmid}", wanted.unwrap_or("vm"));
    [first, second, format!("vm-{vmid}-{}", uid.simple())]
}

/// The next observation and all that are there already. Cancel safe: it waits for the first alone.
async fn take(stream: &mut dyn ObservationStream) -> Result<Vec<Observation>> {
    let mut batch = vec![stream.next().await?];
    while batch.len() < BATCH_MAX {
        match stream.next().now_or_never() {
            Some(Ok(observation)) => batch.push(observation),
            // An error is met again by the next call.
            Some(Err(_)) | None => break,
        }
    }
    Ok(batch)
}
