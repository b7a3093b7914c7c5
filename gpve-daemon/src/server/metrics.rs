//! Figures for Prometheus, on a listener of their own.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use bytes::Bytes;
use gpve_core::error::{Error, ErrorKind, Result};
use gpve_core::ports::{Guest, TaskFilter, TaskState};
use http_body_util::Full;
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use prometheus_client::encoding::{EncodeLabelSet, text};
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Registry;
use tokio::net::TcpListener;
use tokio::task::AbortHandle;

use super::App;

/// Content type of the OpenMetrics text format.
const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
/// How long a scraper may take to send its request.
const HEADERS: Duration = Duration::from_secs(10);

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfRequest {
    method: String,
    route: String,
    status: u16,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfGuest {
    vmid: u32,
    node: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfPhase {
    phase: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfTask {
    state: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfNode {
    node: String,
}

/// What is counted while the server runs. Everything else is read at each scrape.
#[derive(Debug, Clone)]
pub struct Metrics {
    requests: Family<OfRequest, Histogram, fn() -> Histogram>,
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

fn latency() -> Histogram {
    // 0.5 ms to about 16 s: from a cached read to a change that waits for its task.
    Histogram::new(exponential_buckets(0.0005, 2.0, 16))
}

impl Metrics {
    /// Nothing counted yet.
    pub fn new() -> Self {
        Self { requests: Family::new_with_constructor(latency) }
    }

    /// A request was answered. `route` is the table's path, so that the number of series has a bound.
    pub fn request(&self, method: &str, route: &str, status: u16, took: Duration) {
        let labels = OfRequest { method: method.to_owned(), route: route.to_owned(), status };
        self.requests.get_or_create(&labels).observe(took.as_secs_f64());
    }

    /// Everything, in the OpenMetrics text format.
    pub fn render(&self, app: &App) -> String {
        let mut registry = Registry::with_prefix("gpve");
        registry.register("api_request_duration_seconds", "Time to answer API requests", self.requests.clone());
        guests(app, &mut registry);
        tasks(app, &mut registry);
        nodes(app, &mut registry);
        let mut out = String::new();
        // Writing into a string cannot fail.
        let _ = text::encode(&mut out, &registry);
        out
    }
}

type FloatGauge = Gauge<f64, AtomicU64>;

fn guests(app: &App, registry: &mut Registry) {
    let (phases, cpu, memory) =
        (Family::<OfPhase, Gauge>::default(), Family::<OfGuest, FloatGauge>::default(), Family::<OfGuest, Gauge>::default());
    for entry in app.plane.guests().iter() {
        let guest = &entry.guest;
        phases.get_or_create(&OfPhase { phase: guest.phase().to_string() }).inc();
        if guest.object.status.pid.is_none() {
            continue;
        }
        let labels = OfGuest { vmid: guest.id().get(), node: guest.node().to_string() };
        cpu.get_or_create(&labels).set(entry.usage.cpu_cores / f64::from(guest.spec().cpu.total().max(1)));
        memory.get_or_create(&labels).set(i64::try_from(entry.usage.memory.bytes()).unwrap_or(i64::MAX));
    }
    registry.register("guests", "Guests by phase", phases);
    registry.register("vm_cpu_usage_ratio", "Share of its processors that a running guest uses", cpu);
    registry.register("vm_memory_usage_bytes", "Host memory that a running guest uses", memory);
}

fn tasks(app: &App, registry: &mut Registry) {
    let states = Family::<OfTask, Gauge>::default();
    for task in app.plane.tasks(None, &TaskFilter::default()) {
        let state = match task.state {
            TaskState::Queued => "queued",
            TaskState::Running => "running",
            TaskState::Undoing => "undoing",
            TaskState::Ok | TaskState::Warnings(_) => "succeeded",
            TaskState::Failed(_) => "failed",
            TaskState::Cancelled => "cancelled",
            TaskState::Stuck(_) => "stuck",
        };
        states.get_or_create(&OfTask { state }).inc();
    }
    registry.register("tasks", "Tasks on record by state", states);
}

fn nodes(app: &App, registry: &mut Registry) {
    let (ready, cores) = (Family::<OfNode, Gauge>::default(), Family::<OfNode, Gauge>::default());
    for node in app.plane.nodes() {
        let labels = OfNode { node: node.name.to_string() };
        ready.get_or_create(&labels).set(i64::from(node.ready));
        if let Some(info) = &node.info {
            cores.get_or_create(&labels).set(i64::from(info.cpus));
        }
    }
    registry.register("node_ready", "1 for a node that answers", ready);
    registry.register("node_allocatable_cpu_cores", "Processors of a node", cores);
}

/// A running listener for scrapers; ends when dropped.
#[derive(Debug)]
pub struct Scraped {
    /// Where it listens.
    pub address: SocketAddr,
    task: AbortHandle,
}

impl Drop for Scraped {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Serves `GET /metrics`, `/healthz` and `/readyz` in clear text on `address`.
///
/// # Errors
/// An address that cannot be listened on.
pub async fn scrape(app: App, address: SocketAddr) -> Result<Scraped> {
    let bad = |e: std::io::Error| Error::new(ErrorKind::Unavailable, "metrics.listen", format!("cannot listen on {address}: {e}"));
    let socket = TcpListener::bind(address).await.map_err(bad)?;
    let address = socket.local_addr().map_err(bad)?;
    let task = tokio::spawn(async move {
        loop {
            let Ok((stream, _)) = socket.accept().await else {
                tokio::time::sleep(Duration::from_millis(50)).await;
                continue;
            };
            let app = app.clone();
            tokio::spawn(async move {
                let service = service_fn(move |request| answer(app.clone(), request));
                let mut builder = hyper::server::conn::http1::Builder::new();
                builder.timer(TokioTimer::new()).header_read_timeout(HEADERS);
                // A scraper that went away is its own affair.
                let _ = builder.serve_connection(TokioIo::new(stream), service).await;
            });
        }
    });
    Ok(Scraped { address, task: task.abort_handle() })
}

async fn answer(app: App, request: Request<hyper::body::Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    let (status, kind, body) = match request.uri().path() {
        "/metrics" => (200, OPEN_METRICS, app.metrics.render(&app)),
        "/healthz" => (200, "text/plain", "ok\n".to_owned()),
        "/readyz" if app.plane.ready(Duration::ZERO).await.is_empty() => (200, "text/plain", "ready\n".to_owned()),
        "/readyz" => (503, "text/plain", "the node has not told what it has yet\n".to_owned()),
        _ => (404, "text/plain", "not found: /metrics, /healthz, /readyz\n".to_owned()),
    };
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = StatusCode::from_u16(status).unwrap_or_default();
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    Ok(response)
}
