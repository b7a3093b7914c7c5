//! Listeners: TLS 1.3 with HTTP/1.1 only, and a graceful end.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use gpve_core::error::{Error, ErrorKind, Result};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

use super::App;
use super::http;

/// How long a client may take for the TLS handshake, and for the headers of a request.
const HANDSHAKE: Duration = Duration::from_secs(30);
const HEADERS: Duration = Duration::from_secs(30);
/// How long open requests may take to end once the server was asked to stop.
const GRACE: Duration = Duration::from_secs(10);
/// Connections at a time, over all listeners; more wait in the kernel's queue.
const CONNECTIONS_MAX: usize = 4096;
/// Largest head of a request in bytes; tickets and paths fit many times over.
const HEAD_MAX: usize = 64 * 1024;

/// A server's certificate and key.
pub struct Tls {
    config: Arc<rustls::ServerConfig>,
    /// SHA-256 of the certificate, as PVE shows it.
    pub fingerprint: String,
    /// The certificate in PEM form, with its chain.
    pub certificate: String,
}

impl Tls {
    /// From PEM files. Offers TLS 1.3 and, in ALPN, HTTP/1.1 only: HTTP/2 has no reason phrase, and clients read it.
    pub fn load(certificate: &Path, key: &Path) -> Result<Self> {
        let bad = |what: &Path, e: String| Error::new(ErrorKind::FailedPrecondition, "tls.load", format!("{}: {e}", what.display()));
        let chain: std::result::Result<Vec<_>, _> =
            CertificateDer::pem_file_iter(certificate).and_then(|certificates| certificates.collect());
        let chain = chain.map_err(|e| bad(certificate, e.to_string()))?;
        let secret = PrivateKeyDer::from_pem_file(key).map_err(|e| bad(key, e.to_string()))?;
        let pem = std::fs::read_to_string(certificate).map_err(|e| bad(certificate, e.to_string()))?;
        let fingerprint = chain.first().map(|c| fingerprint(c)).unwrap_or_default();
        let builder = rustls::ServerConfig::builder_with_protocol_versions(&[&rustls::version::TLS13]);
        let mut config = builder.with_no_client_auth().with_single_cert(chain, secret).map_err(|e| bad(certificate, e.to_string()))?;
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Self { config: Arc::new(config), fingerprint, certificate: pem })
    }
}

fn fingerprint(certificate: &[u8]) -> String {
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, certificate);
    digest.as_ref().iter().map(|b| format!("{b:02X}")).collect::<Vec<_>>().join(":")
}

/// Running listeners.
pub struct Listening {
    /// Where they listen, in the order asked.
    pub addresses: Vec<SocketAddr>,
    stop: watch::Sender<bool>,
    tasks: Vec<tokio::task::JoinHandle<()>>,
}

impl Listening {
    /// Accepts nothing more, lets open requests end, and returns.
    pub async fn stop(self) {
        self.stop.send_replace(true);
        for task in self.tasks {
            // A task that panicked has nothing left to stop.
            let _ = task.await;
        }
    }
}

/// Serves `app` on `addresses`.
///
/// # Errors
/// An address that cannot be listened on; then on none.
pub async fn listen(app: App, tls: &Tls, addresses: &[SocketAddr]) -> Result<Listening> {
    let mut sockets = Vec::new();
    for address in addresses {
        let bad = |e: std::io::Error| {
            let message = format!("cannot listen on {address}: {e}: stop what uses it, or choose another with --listen");
            Error::new(ErrorKind::Unavailable, "listen", message)
        };
        sockets.push(TcpListener::bind(address).await.map_err(bad)?);
    }
    let stop = watch::Sender::new(false);
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let acceptor = TlsAcceptor::from(Arc::clone(&tls.config));
    let (mut local, mut tasks) = (Vec::new(), Vec::new());
    for socket in sockets {
        local.extend(socket.local_addr());
        tasks.push(tokio::spawn(accept(app.clone(), socket, acceptor.clone(), stop.subscribe(), Arc::clone(&places))));
    }
    Ok(Listening { addresses: local, stop, tasks })
}

async fn accept(app: App, socket: TcpListener, acceptor: TlsAcceptor, mut stop: watch::Receiver<bool>, places: Arc<Semaphore>) {
    let mut open = JoinSet::new();
    loop {
        let Ok(place) = Arc::clone(&places).acquire_owned().await else { break };
        let accepted = tokio::select! {
            accepted = socket.accept() => accepted,
            () = asked(&mut stop) => break,
        };
        let (stream, peer) = match accepted {
            Ok(found) => found,
            Err(e) => {
                // Out of descriptors, mostly: the next may succeed once something was closed.
                tracing::warn!(error = %e, "a connection could not be accepted");
                tokio::time::sleep(Duration::from_millis(50)).await;
                continue;
            }
        };
        let (app, acceptor, stop) = (app.clone(), acceptor.clone(), stop.clone());
        open.spawn(async move {
            connection(app, stream, peer, acceptor, stop).await;
            drop(place);
        });
        while open.try_join_next().is_some() {}
    }
    drop(socket);
    let ended = async { while open.join_next().await.is_some() {} };
    if tokio::time::timeout(GRACE, ended).await.is_err() {
        tracing::warn!("requests that were still open were cut off");
    }
}

/// Returns once the server shall stop, or is gone.
async fn asked(stop: &mut watch::Receiver<bool>) {
    let _gone = stop.wait_for(|s| *s).await;
}

async fn connection(app: App, stream: TcpStream, peer: SocketAddr, acceptor: TlsAcceptor, mut stop: watch::Receiver<bool>) {
    // Answers are small and written at once: waiting for more only delays them.
    let _ = stream.set_nodelay(true);
    let Ok(Ok(stream)) = tokio::time::timeout(HANDSHAKE, acceptor.accept(stream)).await else { return };
    let service = service_fn(move |request: hyper::Request<Incoming>| http::answer(app.clone(), request, peer));
    let mut builder = hyper::server::conn::http1::Builder::new();
    builder.timer(TokioTimer::new()).header_read_timeout(HEADERS).max_buf_size(HEAD_MAX);
    let mut connection = std::pin::pin!(builder.serve_connection(TokioIo::new(stream), service).with_upgrades());
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = asked(&mut stop) => {
            // The request that is open is answered; a next one is not read.
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(e) = ended {
        tracing::debug!(%peer, error = %e, "a connection ended with an error");
    }
}
