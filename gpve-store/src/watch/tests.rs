use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use bytes::Bytes;
use gpve_core::ports::{Change, Entry, Revision, StoreError, Watch, WatchBatch, WatchRequest};

use super::group::Next;
use super::{Group, History, Hub, MAX_GROUP_BATCHES, MAX_GROUP_BYTES, MAX_HUB_BYTES, MAX_WATCHES, Page, Stream};

fn put(key: &str, revision: u64, bytes: usize) -> Change {
    let (created, modified) = (Revision(revision), Revision(revision));
    let value = Bytes::from(vec![0; bytes]);
    Change::Put(Entry { key: key.parse().unwrap(), value, created, modified, version: 1, lease: None })
}

fn batch(revision: u64, keys: &[&str], bytes: usize) -> Arc<WatchBatch> {
    let changes = keys.iter().map(|key| put(key, revision, bytes)).collect();
    Arc::new(WatchBatch { revision: Revision(revision), changes })
}

fn after(group: &Group, position: u64) -> Option<Arc<WatchBatch>> {
    match group.after(Revision(position)) {
        Next::Batch(batch) => Some(batch),
        Next::Nothing | Next::Closed | Next::Behind(_) => None,
    }
}

fn floor(group: &Group) -> Option<u64> {
    match group.after(Revision(0)) {
        Next::Behind(floor) => Some(floor.0),
        Next::Nothing | Next::Closed | Next::Batch(_) => None,
    }
}

/// Says what was asked of it.
#[derive(Default)]
struct Asked(Mutex<Vec<(u64, u64)>>);

#[async_trait]
impl History for Asked {
    async fn page(&self, _prefix: &str, after: Revision, through: Revision) -> Result<Page, StoreError> {
        self.0.lock().unwrap().push((after.0, through.0));
        let batches = VecDeque::from([WatchBatch::clone(&batch(after.0 + 1, &["/a"], 0))]);
        Ok(Page { batches, through: Revision(after.0 + 1) })
    }
}

#[test]
fn a_commit_reaches_the_groups_of_its_prefixes_and_is_shared_by_them() {
    let hub = Hub::new(Revision(0));
    let seats: Vec<_> = ["", "/g", "/g/", "/g/1", "/h", "/g/10"].iter().map(|p| hub.join(p).unwrap()).collect();
    let woken = hub.publish(&[batch(1, &["/g/1"], 0)]);
    assert_eq!(woken.len(), 4);
    let got: Vec<_> = seats.iter().map(|seat| after(&seat.group, 0)).collect();
    assert_eq!(got.iter().map(Option::is_some).collect::<Vec<_>>(), [true, true, true, true, false, false]);
    assert!(Arc::ptr_eq(got[0].as_ref().unwrap(), got[3].as_ref().unwrap()), "one batch for all");
}

#[test]
fn a_transaction_is_split_by_prefix() {
    let hub = Hub::new(Revision(0));
    let (g, h) = (hub.join("/g/").unwrap(), hub.join("/h/").unwrap());
    hub.publish(&[batch(1, &["/g/1", "/h/1", "/g/2"], 0)]);
    assert_eq!(after(&g.group, 0).unwrap().changes, [put("/g/1", 1, 0), put("/g/2", 1, 0)]);
    assert_eq!(after(&h.group, 0).unwrap().changes, [put("/h/1", 1, 0)]);
}

#[test]
fn a_prefix_may_end_within_a_letter_of_a_key() {
    let hub = Hub::new(Revision(0));
    // "ä" has two bytes and "/aa" ends after the first of them.
    let _shorter = hub.join("/aa").unwrap();
    assert!(hub.publish(&[batch(1, &["/aä"], 0)]).is_empty());
}

#[test]
fn a_group_is_woken_once_until_it_was_woken() {
    let hub = Hub::new(Revision(0));
    let seat = hub.join("").unwrap();
    assert_eq!(hub.publish(&[batch(1, &["/a"], 0), batch(2, &["/a"], 0)]).len(), 1);
    assert!(hub.publish(&[batch(3, &["/a"], 0)]).is_empty());
    seat.group.wake();
    assert_eq!(hub.publish(&[batch(4, &["/a"], 0)]).len(), 1);
}

#[test]
fn a_group_keeps_no_more_than_its_limits() {
    let many = Group::new(Revision(0));
    (1..=MAX_GROUP_BATCHES as u64 + 3).for_each(|n| _ = many.push(batch(n, &["/a"], 0)));
    assert_eq!(floor(&many), Some(3));
    let large = Group::new(Revision(0));
    (1..=5).for_each(|n| _ = large.push(batch(n, &["/a"], MAX_GROUP_BYTES / 3)));
    assert_eq!(floor(&large), Some(3));
    assert!(large.bytes() <= MAX_GROUP_BYTES);
    large.push(batch(6, &["/a"], MAX_GROUP_BYTES + 1));
    assert_eq!((floor(&large), large.bytes()), (Some(6), 0), "what does not fit at all is read from the history");
}

#[test]
fn all_groups_together_keep_no_more_than_the_hub_allows() {
    let hub = Hub::new(Revision(0));
    let seats: Vec<_> = (0..64).map(|n| hub.join(&format!("/{n}/")).unwrap()).collect();
    for revision in 1..=64 {
        hub.publish(&[batch(revision, &[&format!("/{}/a", revision - 1)], MAX_GROUP_BYTES - 100)]);
        let kept: usize = seats.iter().map(|seat| seat.group.bytes()).sum();
        assert!(kept <= MAX_HUB_BYTES, "{kept} bytes after {revision} batches");
    }
    assert_eq!(floor(&seats[0].group), Some(1), "the first group has let go of its only batch");
}

#[test]
fn seats_are_limited_and_given_back() {
    let hub = Hub::new(Revision(0));
    let mut seats: Vec<_> = (0..MAX_WATCHES).map(|_| hub.join("/a").unwrap()).collect();
    assert!(matches!(hub.join("/b"), Err(StoreError::Unavailable(_))));
    seats.clear();
    assert!(hub.publish(&[batch(1, &["/a"], 0)]).is_empty(), "the group is gone with its last watcher");
    hub.join("/b").unwrap();
}

#[tokio::test]
async fn who_is_behind_reads_history_up_to_the_floor_and_not_beyond() {
    let (hub, history) = (Hub::new(Revision(3)), Arc::new(Asked::default()));
    let request = WatchRequest { prefix: "/a".to_owned(), after: Revision(1) };
    let mut stream = Stream::start(&hub, Arc::clone(&history) as Arc<dyn History>, request).unwrap();
    hub.publish(&[batch(4, &["/a"], 0)]);
    for expected in 2..=4 {
        assert_eq!(stream.next().await.unwrap().revision, Revision(expected));
    }
    assert_eq!(*history.0.lock().unwrap(), [(1, 3), (2, 3)]);
}

#[tokio::test]
async fn a_closed_hub_ends_watches_and_starts_none() {
    let hub = Hub::new(Revision(0));
    let request = WatchRequest { prefix: String::new(), after: Revision(0) };
    let mut stream = Stream::start(&hub, Arc::new(Asked::default()), request.clone()).unwrap();
    let waiting = tokio::spawn(async move { stream.next().await });
    tokio::task::yield_now().await;
    hub.close();
    assert!(matches!(waiting.await.unwrap(), Err(StoreError::Unavailable(_))));
    assert!(Stream::start(&hub, Arc::new(Asked::default()), request).is_err());
}
