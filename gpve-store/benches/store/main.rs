//! Durable writes and watch fan-out of the embedded store, beside etcd on the same disk in the same run.
//!
//! `cargo bench -p gpve-store` prints one JSON object per figure: `name`, `value` (the median of the rounds), `unit`, and
//! the lowest and highest round. The stores take turns, so that both see the same noise. `GPVE_BENCH_DIR` chooses the disk,
//! `GPVE_BENCH_ROUNDS` and `GPVE_BENCH_SECONDS` the effort.
//!
//! Where other work takes the cores, run it as `chrt -r 5 cargo bench -p gpve-store` (build it before): both stores and
//! their clients then get a core when they want one.
//!
//! The embedded store is called in its process, as gpve does. etcd is one member with its defaults, called through its
//! native gRPC over loopback TCP, on as many connections as clients up to 16, by a client that does nothing else.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a benchmark that cannot run says so by panicking")]
#![allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "a benchmark reads clocks and starts its peer")]

mod embedded;
mod etcd;
mod measure;

use std::path::PathBuf;
use std::time::Duration;

use serde_json::json;

use self::measure::{Figures, Peer, fan_out, writes};

const WRITERS: [usize; 3] = [1, 16, 256];
const WATCHERS: usize = 1_000;

fn main() {
    // `cargo test --all-targets` starts benchmarks without this.
    if !std::env::args().any(|argument| argument == "--bench") {
        return;
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.block_on(run());
}

async fn run() {
    let number = |name: &str, default: u64| std::env::var(name).map_or(default, |text| text.parse().expect(name));
    let rounds = number("GPVE_BENCH_ROUNDS", 5);
    let time = Duration::from_secs(number("GPVE_BENCH_SECONDS", 2));
    let disk = std::env::var_os("GPVE_BENCH_DIR").map_or_else(std::env::temp_dir, PathBuf::from);
    let mut figures = Figures::default();
    for _ in 0..rounds {
        round(&embedded::Embedded::start(&disk).await, time, &mut figures).await;
        match etcd::Etcd::start(&disk).await {
            Ok(etcd) => round(&etcd, time, &mut figures).await,
            Err(why) => eprintln!("SKIP etcd: {why}"),
        }
    }
    for (name, unit, values) in figures.sorted() {
        let (low, high, median) = (values[0], values[values.len() - 1], values[values.len() / 2]);
        println!("{}", json!({ "name": name, "value": median, "unit": unit, "low": low, "high": high }));
    }
}

async fn round(peer: &impl Peer, time: Duration, figures: &mut Figures) {
    for writers in WRITERS {
        let done = writes(peer, writers, time).await;
        figures.add(format!("store/{}/durable-writes/{writers}-writers", peer.name()), "writes/s", done.per_second);
        figures.add(format!("store/{}/durable-write-p50/{writers}-writers", peer.name()), "us", done.p50_us);
        figures.add(format!("store/{}/durable-write-p99/{writers}-writers", peer.name()), "us", done.p99_us);
    }
    let (p50, p99) = fan_out(peer, WATCHERS, time).await;
    figures.add(format!("store/{}/watch-fan-out-p50/{WATCHERS}-watchers", peer.name()), "us", p50);
    figures.add(format!("store/{}/watch-fan-out-p99/{WATCHERS}-watchers", peer.name()), "us", p99);
}
