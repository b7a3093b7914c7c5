//! Figures of guests, storages and the host, sampled every few seconds so that no client's read waits for a device.

use std::sync::Arc;
use std::time::Duration;

use super::engine::Inner;
use crate::ports::{Observed, OpCx};

/// Time between two samples. PVE's daemon takes 10 s; clients' patience for stale figures is about half of that.
const INTERVAL: Duration = Duration::from_secs(5);
/// How long one guest may take to answer before its old figures stay.
const GUEST_TIMEOUT: Duration = Duration::from_secs(1);

/// Samples until the engine ends.
pub(super) async fn run(node: Arc<Inner>) {
    let clock = Arc::clone(&node.ports.clock);
    loop {
        let started = clock.monotonic();
        sample_host(&node).await;
        sample_guests(&node).await;
        for report in super::volumes::storage_reports(&node).await {
            node.hub.publish(Observed::Storage(report));
        }
        clock.sleep_until(started + INTERVAL).await;
    }
}

async fn sample_host(node: &Inner) {
    match node.ports.host.sample().await {
        Ok(info) => {
            node.info.send_replace(Some(info.clone()));
            node.hub.publish(Observed::Info(Box::new(info)));
        }
        Err(e) => tracing::warn!(error = %e.report(), "the host could not be sampled"),
    }
}

async fn sample_guests(node: &Inner) {
    let mut fresh = Vec::new();
    let now = node.ports.clock.monotonic();
    for guest in node.guests() {
        let Some(live) = guest.live() else { continue };
        let cx = OpCx::background().within(GUEST_TIMEOUT);
        if let Ok(status) = cx.run("guest.observe", live.observe(&cx)).await {
            let mut usage = status.usage;
            usage.cpu_cores = guest.cores_in_use(now, usage.cpu_time_ms);
            guest.set_usage(usage);
            fresh.push((guest.vmid, usage));
        }
    }
    if !fresh.is_empty() {
        node.hub.publish(Observed::Usage(fresh));
    }
}
