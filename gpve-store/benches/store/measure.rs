//! What is measured, the same for every store.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use tokio::sync::Notify;

const VALUE_BYTES: usize = 512;
/// Each writer goes round so many keys of its own.
const KEYS_PER_WRITER: usize = 100;

/// A store under measurement.
pub(crate) trait Peer {
    type Client: Client;
    type Watcher: Watcher;
    fn name(&self) -> &'static str;
    async fn client(&self) -> Self::Client;
    /// Watches the prefix from now.
    async fn watcher(&self, prefix: &str) -> Self::Watcher;
}

pub(crate) trait Client: Send + 'static {
    /// Returns once the value is durable.
    fn put(&mut self, key: String, value: Vec<u8>) -> impl Future<Output = ()> + Send;
}

pub(crate) trait Watcher: Send + 'static {
    /// Returns with the next change.
    fn next(&mut self) -> impl Future<Output = ()> + Send;
}

pub(crate) struct Writes {
    pub(crate) per_second: f64,
    pub(crate) p50_us: f64,
    pub(crate) p99_us: f64,
}

/// `writers` put values one after the other, for `time`.
pub(crate) async fn writes(peer: &impl Peer, writers: usize, time: Duration) -> Writes {
    let mut tasks = Vec::new();
    for writer in 0..writers {
        let mut client = peer.client().await;
        tasks.push(async move {
            let (mut taken, mut n) = (Vec::new(), 0);
            let start = Instant::now();
            while start.elapsed() < time {
                let before = Instant::now();
                client.put(format!("/bench/{writer}/{}", n % KEYS_PER_WRITER), vec![(n % 251) as u8; VALUE_BYTES]).await;
                taken.push(before.elapsed());
                n += 1;
            }
            taken
        });
    }
    let start = Instant::now();
    let tasks: Vec<_> = tasks.into_iter().map(tokio::spawn).collect();
    let mut taken = Vec::new();
    for task in tasks {
        taken.extend(task.await.unwrap());
    }
    let per_second = taken.len() as f64 / start.elapsed().as_secs_f64();
    let (p50_us, p99_us) = percentiles(taken);
    Writes { per_second, p50_us, p99_us }
}

/// Time from the begin of a put until each of `watchers` has it. The next put waits for the last of them.
pub(crate) async fn fan_out(peer: &impl Peer, watchers: usize, time: Duration) -> (f64, f64) {
    let (base, begun, arrived, all) = (Instant::now(), AtomicU64::new(0), AtomicUsize::new(0), Notify::new());
    let shared = Arc::new((begun, arrived, all));
    let mut tasks = Vec::new();
    for _ in 0..watchers {
        let (mut watcher, shared) = (peer.watcher("/fan/").await, Arc::clone(&shared));
        tasks.push(tokio::spawn(async move {
            let mut taken = Vec::new();
            loop {
                watcher.next().await;
                let begun = shared.0.load(Ordering::SeqCst);
                if begun == u64::MAX {
                    return taken;
                }
                taken.push(base.elapsed() - Duration::from_nanos(begun));
                if shared.1.fetch_add(1, Ordering::SeqCst) + 1 == watchers {
                    shared.2.notify_one();
                }
            }
        }));
    }
    let mut client = peer.client().await;
    while base.elapsed() < time {
        shared.1.store(0, Ordering::SeqCst);
        shared.0.store(u64::try_from(base.elapsed().as_nanos()).unwrap(), Ordering::SeqCst);
        client.put("/fan/key".to_owned(), vec![7; VALUE_BYTES]).await;
        shared.2.notified().await;
    }
    shared.0.store(u64::MAX, Ordering::SeqCst);
    client.put("/fan/end".to_owned(), Vec::new()).await;
    let mut taken = Vec::new();
    for task in tasks {
        taken.extend(task.await.unwrap());
    }
    percentiles(taken)
}

fn percentiles(mut taken: Vec<Duration>) -> (f64, f64) {
    taken.sort_unstable();
    let at = |percent: usize| taken.get(taken.len() * percent / 100).map_or(f64::NAN, |d| d.as_secs_f64() * 1e6);
    (at(50), at(99))
}

/// The figures of all rounds.
#[derive(Default)]
pub(crate) struct Figures(BTreeMap<String, (&'static str, Vec<f64>)>);

impl Figures {
    pub(crate) fn add(&mut self, name: String, unit: &'static str, value: f64) {
        eprintln!("{name}: {value:.0} {unit}");
        self.0.entry(name).or_insert((unit, Vec::new())).1.push((value * 10.0).round() / 10.0);
    }

    /// By name, the values of each ascending.
    pub(crate) fn sorted(self) -> impl Iterator<Item = (String, &'static str, Vec<f64>)> {
        self.0.into_iter().map(|(name, (unit, mut values))| {
            values.sort_by(f64::total_cmp);
            (name, unit, values)
        })
    }
}
