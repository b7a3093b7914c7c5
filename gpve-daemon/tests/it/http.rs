//! HTTP as bytes, so that what a library would hide or refuse to send can be tested.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use serde_json::Value as Json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::{
    self,
    client::IntoClientRequest,
    http::{HeaderName, HeaderValue},
};

use crate::support::PATIENCE;

#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) reason: String,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    pub(crate) fn json(&self) -> Json {
        serde_json::from_slice(&self.body).unwrap_or_else(|e| panic!("{e}: {}", String::from_utf8_lossy(&self.body)))
    }

    pub(crate) fn data(&self) -> Json {
        self.json()["data"].clone()
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n == name).map(|(_, v)| v.as_str())
    }
}

pub(crate) struct Connection(TlsStream<TcpStream>);

impl Connection {
    pub(crate) async fn open(address: SocketAddr, ca: &Path) -> Self {
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_file(ca).unwrap()).unwrap();
        let mut config = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        let stream = TcpStream::connect(address).await.unwrap();
        let name = ServerName::try_from(address.ip().to_string()).unwrap();
        let stream = TlsConnector::from(Arc::new(config)).connect(name, stream).await.unwrap();
        // Reason phrases need HTTP/1.1.
        assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"http/1.1"[..]));
        Self(stream)
    }

    /// Becomes a WebSocket; the status where the server does not agree.
    pub(crate) async fn websocket(self, path: &str, headers: &[(&str, &str)]) -> Result<WebSocketStream<TlsStream<TcpStream>>, u16> {
        let mut request = format!("wss://test{path}").into_client_request().unwrap();
        for (name, value) in headers {
            request.headers_mut().insert(HeaderName::try_from(*name).unwrap(), HeaderValue::try_from(*value).unwrap());
        }
        match tokio_tungstenite::client_async(request, self.0).await {
            Ok((socket, _)) => Ok(socket),
            Err(tungstenite::Error::Http(answer)) => Err(answer.status().as_u16()),
            Err(other) => panic!("{other}"),
        }
    }

    pub(crate) async fn write(&mut self, bytes: &[u8]) {
        // A server that refuses a request may close before it was sent whole.
        let _ = self.0.write_all(bytes).await;
        let _ = self.0.flush().await;
    }

    /// Sends a request and reads its answer; the connection ends with it.
    pub(crate) async fn send(mut self, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Answer {
        let mut head = format!("{method} {path} HTTP/1.1\r\nhost: test\r\nconnection: close\r\ncontent-length: {}\r\n", body.len());
        for (name, value) in headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        head.push_str("\r\n");
        self.write(head.as_bytes()).await;
        self.write(body).await;
        self.read().await
    }

    /// Reads to the end.
    pub(crate) async fn read(mut self) -> Answer {
        let mut bytes = Vec::new();
        // The end without a TLS farewell is as good as one with.
        let end = tokio::time::timeout(PATIENCE, self.0.read_to_end(&mut bytes)).await.expect("the server answers and closes");
        assert!(end.is_ok() || !bytes.is_empty(), "no answer: {end:?}");
        parse(&bytes)
    }

    /// Reads until `wanted` gives something of what came so far.
    pub(crate) async fn read_until<T>(&mut self, wanted: impl Fn(&str) -> Option<T>) -> T {
        let (mut all, mut buffer) = (Vec::new(), vec![0; 65536]);
        let read = async {
            loop {
                if let Some(found) = wanted(&String::from_utf8_lossy(&all)) {
                    return found;
                }
                let n = self.0.read(&mut buffer).await.unwrap();
                assert!(n > 0, "the stream ended: {}", String::from_utf8_lossy(&all));
                all.extend_from_slice(&buffer[..n]);
            }
        };
        tokio::time::timeout(PATIENCE, read).await.expect("the stream goes on")
    }
}

fn parse(bytes: &[u8]) -> Answer {
    let end = bytes.windows(4).position(|w| w == b"\r\n\r\n").unwrap_or_else(|| panic!("no answer: {}", String::from_utf8_lossy(bytes)));
    let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
    let mut lines = head.lines();
    let status_line = lines.next().unwrap();
    let mut parts = status_line.splitn(3, ' ');
    let (_, status, reason) = (parts.next(), parts.next().unwrap(), parts.next().unwrap_or_default());
    let headers = lines.filter_map(|l| l.split_once(':')).map(|(n, v)| (n.to_ascii_lowercase(), v.trim().to_owned())).collect();
    Answer { status: status.parse().unwrap(), reason: reason.to_owned(), headers, body: bytes[end + 4..].to_vec() }
}
