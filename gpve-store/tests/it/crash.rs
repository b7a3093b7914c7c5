//! Killed at any point, the store has every write that it acknowledged, whole, and a history without gaps.
//!
//! SIGKILL leaves what was written in the kernel's cache, so this proves the order of write and answer and the recovery;
//! that the data was flushed first is proved by the synchronous mode (`embedded::schema` tests) and the torn log below.

use std::collections::{BTreeMap, HashMap};
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;

use gpve_core::clock::SystemClock;
use gpve_core::ports::{Change, ListRequest, Revision, Store, StoreError, Txn, WatchBatch, WatchRequest};
use gpve_store::{EmbeddedOptions, EmbeddedStore};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use crate::fixture::{Place, commit, key};

const KILLS: u64 = 1_000;
/// At the same time, each with a store of its own.
const LANES: u64 = 4;
const WRITERS: u64 = 6;
/// Small, so that forgetting and sweeping are among the points at which it is killed.
const HISTORY_REVISIONS: u64 = 200;
/// Small, so that writing the log back is another.
const LOG_PAGES: u32 = 40;
const STORE: &str = "GPVE_STORE_CRASH_TEST";

async fn open(path: &Path) -> EmbeddedStore {
    let options = EmbeddedOptions { history_revisions: HISTORY_REVISIONS, log_pages: LOG_PAGES, ..EmbeddedOptions::default() };
    EmbeddedStore::open_with(path, Arc::new(SystemClock::new()), options).await.expect("the store opens after a crash")
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

/// The child's part: writes and reports each acknowledged write, until it is killed.
#[test]
#[ignore = "the crash test starts it as a process of its own"]
fn writes_until_it_is_killed() {
    let Some(path) = std::env::var_os(STORE) else { return };
    runtime().block_on(async {
        let store = open(Path::new(&path)).await;
        futures::future::join_all((0..WRITERS).map(|writer| write_forever(&store, writer))).await;
    });
}

async fn write_forever(store: &EmbeddedStore, writer: u64) {
    let last = key(&format!("/last/{writer}"));
    let known = store.get(&last).await.unwrap();
    let mut n: u64 = known.map_or(0, |entry| std::str::from_utf8(&entry.value).unwrap().parse().unwrap());
    loop {
        n += 1;
        // Two keys that have to agree, one that comes and goes.
        let txn = Txn::put(last.clone(), n.to_string()).and_put(key(&format!("/w/{writer}/{}", n % 8)), n.to_string());
        let blink = key(&format!("/blink/{writer}"));
        let txn = if n.is_multiple_of(2) { txn.and_put(blink, vec![0; 3000]) } else { txn.and_delete(blink) };
        let revision = commit(store, txn).await;
        // One write to the pipe, so that a killed writer leaves no half line.
        let _ = std::io::stdout().write_all(format!("ack {writer} {n} {revision}\n").as_bytes());
    }
}

/// An acknowledged write.
#[derive(Debug, Clone, Copy)]
struct Ack {
    writer: u64,
    n: u64,
    revision: Revision,
}

fn ack(line: &str) -> Option<Ack> {
    let mut words = line.strip_prefix("ack ")?.split(' ').map(str::parse);
    let mut word = || words.next()?.ok();
    Some(Ack { writer: word()?, n: word()?, revision: Revision(word()?) })
}

/// Runs the child until it has acknowledged a random number of writes, waits a random moment, and kills it.
fn run_and_kill(path: &Path, random: &mut StdRng) -> Vec<Ack> {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["crash::writes_until_it_is_killed", "--exact", "--ignored", "--nocapture", "--test-threads=1"])
        .env(STORE, path)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let enough = random.random_range(0..40);
    let spins = random.random_range(0..40_000);
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
    let mut acks: Vec<Ack> = if enough == 0 { Vec::new() } else { lines.by_ref().filter_map(|l| ack(&l)).take(enough).collect() };
    (0..spins).for_each(|_| std::hint::spin_loop());
    child.kill().unwrap();
    acks.extend(lines.filter_map(|line| ack(&line)));
    child.wait().unwrap();
    acks
}

/// What a lane knows of its store.
#[derive(Default)]
struct Lane {
    revision: Revision,
    last: HashMap<u64, u64>,
    acks: usize,
}

impl Lane {
    async fn verify(&mut self, path: &Path, acks: &[Ack]) {
        let store = open(path).await;
        let revision = store.revision().await.unwrap();
        let acked = acks.iter().map(|ack| ack.revision).max().unwrap_or_default();
        assert!(revision >= acked.max(self.revision), "at {revision}, but {acked} was acknowledged and {} seen", self.revision);
        for ack in acks {
            let last = self.last.entry(ack.writer).or_default();
            *last = ack.n.max(*last);
        }
        self.verify_entries(&store).await;
        verify_history(&store, revision, acks).await;
        self.revision = revision;
        self.acks += acks.len();
        store.close().await;
    }

    async fn verify_entries(&self, store: &EmbeddedStore) {
        let listing = store.list(ListRequest::default()).await.unwrap();
        let number = |text: &[u8]| std::str::from_utf8(text).unwrap().parse::<u64>().unwrap();
        let entries: BTreeMap<String, &[u8]> = listing.entries.iter().map(|e| (e.key.to_string(), &e.value[..])).collect();
        for (writer, acked) in &self.last {
            let last = number(entries[&format!("/last/{writer}")]);
            assert!(last >= *acked, "writer {writer} was told that {acked} is durable; the store has {last}");
            assert_eq!(number(entries[&format!("/w/{writer}/{}", last % 8)]), last, "half a transaction");
            assert_eq!(entries.contains_key(&format!("/blink/{writer}")), last.is_multiple_of(2), "half a transaction");
        }
    }
}

/// The history that is kept has every revision up to `now`, with what was acknowledged.
async fn verify_history(store: &EmbeddedStore, now: Revision, acks: &[Ack]) {
    let watch = async |after| store.watch(WatchRequest { prefix: String::new(), after }).await.unwrap();
    let mut after = Revision(0);
    if now > after
        && let Err(StoreError::Compacted { oldest, .. }) = watch(after).await.next().await
    {
        after = oldest;
    }
    let mut running = watch(after).await;
    let mut batches = HashMap::new();
    for expected in after.0 + 1..=now.0 {
        let batch = running.next().await.unwrap();
        assert_eq!(batch.revision, Revision(expected), "the history has a gap");
        batches.insert(batch.revision, batch);
    }
    for ack in acks.iter().filter(|ack| ack.revision > after) {
        assert_eq!(last_in(&batches[&ack.revision], ack.writer), Some(ack.n.to_string()), "{ack:?}");
    }
}

fn last_in(batch: &WatchBatch, writer: u64) -> Option<String> {
    let name = format!("/last/{writer}");
    batch.changes.iter().find_map(|change| match change {
        Change::Put(entry) if entry.key.as_str() == name => Some(String::from_utf8(entry.value.to_vec()).unwrap()),
        _ => None,
    })
}

#[test]
fn every_acknowledged_write_survives_a_thousand_kills() {
    let seed: u64 = rand::random();
    println!("seed {seed}");
    let lane = |number: u64| {
        let (place, mut lane, mut random) = (Place::new(), Lane::default(), StdRng::seed_from_u64(seed ^ number));
        for _ in 0..KILLS / LANES {
            let acks = run_and_kill(&place.path, &mut random);
            runtime().block_on(lane.verify(&place.path, &acks));
        }
        (lane.acks, lane.revision)
    };
    let lanes: Vec<_> = std::thread::scope(|scope| {
        let lanes: Vec<_> = (0..LANES).map(|number| scope.spawn(move || lane(number))).collect();
        lanes.into_iter().map(|lane| lane.join().expect("the lane holds")).collect()
    });
    let acks: usize = lanes.iter().map(|(acks, _)| acks).sum();
    println!("{KILLS} kills, {acks} acknowledged writes, revisions {:?}", lanes.iter().map(|(_, r)| r.0).collect::<Vec<_>>());
    assert!(acks > 10 * usize::try_from(KILLS).unwrap(), "only {acks} writes were acknowledged: the test proves little");
}

#[tokio::test]
async fn a_torn_or_damaged_log_opens_as_a_whole_earlier_state() {
    const WRITES: u64 = 150;
    let place = Place::new();
    let store = place.open().await;
    for n in 1..=WRITES {
        commit(&store, Txn::put(key(&format!("/{}", n % 7)), n.to_string()).and_put(key("/last"), n.to_string())).await;
    }
    // As the disk would hold them after a loss of power: nothing was written back into the file yet.
    let (file, log) = (std::fs::read(&place.path).unwrap(), std::fs::read(beside(&place.path, "-wal")).unwrap());
    let seed: u64 = rand::random();
    println!("seed {seed}");
    let mut random = StdRng::seed_from_u64(seed);
    let mut revisions = Vec::new();
    for round in 0..60 {
        let mut torn = log.clone();
        let at = random.random_range(0..torn.len());
        if round % 2 == 0 {
            torn.truncate(at)
        } else {
            torn[at] ^= 0x55
        }
        let copy = Place::new();
        std::fs::write(&copy.path, &file).unwrap();
        std::fs::write(beside(&copy.path, "-wal"), &torn).unwrap();
        revisions.push(opens_as_a_whole_state(&copy).await);
    }
    assert!(revisions.iter().any(|r| (1..WRITES).contains(r)), "some were torn in the middle: {revisions:?}");
}

async fn opens_as_a_whole_state(copy: &Place) -> u64 {
    let store = copy.open().await;
    let revision = store.revision().await.unwrap().0;
    let entries = store.list(ListRequest::default()).await.unwrap().entries;
    let shown: BTreeMap<String, String> =
        entries.iter().map(|e| (e.key.to_string(), String::from_utf8(e.value.to_vec()).unwrap())).collect();
    let mut expected: BTreeMap<String, String> = (1..=revision).map(|n| (format!("/{}", n % 7), n.to_string())).collect();
    if revision > 0 {
        expected.insert("/last".to_owned(), revision.to_string());
    }
    assert_eq!(shown, expected, "at revision {revision}");
    revision
}

fn beside(path: &Path, suffix: &str) -> PathBuf {
    PathBuf::from(format!("{}{suffix}", path.display()))
}
