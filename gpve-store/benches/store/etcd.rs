//! etcd through its native gRPC, spoken directly over HTTP/2: the two calls that are measured need no generated client.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use bytes::{Buf, BufMut, Bytes, BytesMut};
use h2::client::SendRequest;
use h2::{RecvStream, SendStream};
use http::Request;
use tempfile::TempDir;
use tokio::net::TcpStream;

use crate::measure::{Client, Peer, Watcher};

/// More clients share connections, as etcd's own benchmark advises.
const CONNECTIONS: usize = 16;
const START: Duration = Duration::from_secs(30);
/// Larger than anything in flight, so that flow control does not slow etcd down.
const WINDOW_BYTES: u32 = 16 * 1024 * 1024;

pub(crate) struct Etcd {
    process: Child,
    address: SocketAddr,
    connections: Mutex<Vec<SendRequest<Bytes>>>,
    next: Mutex<usize>,
    _directory: TempDir,
}

impl Etcd {
    pub(crate) async fn start(disk: &Path) -> Result<Self, String> {
        let directory = tempfile::tempdir_in(disk).unwrap();
        let (client, peer) = (free_address(), free_address());
        let process = Command::new("etcd")
            .arg("--data-dir")
            .arg(directory.path())
            .args(["--listen-client-urls", &format!("http://{client}"), "--advertise-client-urls", &format!("http://{client}")])
            .args(["--listen-peer-urls", &format!("http://{peer}"), "--initial-advertise-peer-urls", &format!("http://{peer}")])
            .args(["--initial-cluster", &format!("default=http://{peer}")])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .map_err(|e| format!("{e}: apt-get install etcd-server"))?;
        let connections = Mutex::default();
        let etcd = Self { process, address: client, connections, next: Mutex::new(0), _directory: directory };
        let begin = Instant::now();
        while begin.elapsed() < START {
            if let Ok(connection) = connect(client).await
                && put(&mut connection.clone(), "/ready", b"").await.is_ok()
            {
                return Ok(etcd);
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        Err(format!("it does not answer at {client} within {START:?}"))
    }

    async fn connection(&self) -> SendRequest<Bytes> {
        let index = {
            let mut next = self.next.lock().unwrap();
            *next += 1;
            *next % CONNECTIONS
        };
        while self.connections.lock().unwrap().len() <= index {
            let connection = connect(self.address).await.unwrap();
            self.connections.lock().unwrap().push(connection);
        }
        self.connections.lock().unwrap()[index].clone()
    }
}

impl Drop for Etcd {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Peer for Etcd {
    type Client = EtcdClient;
    type Watcher = EtcdWatcher;

    fn name(&self) -> &'static str {
        "etcd"
    }

    async fn client(&self) -> EtcdClient {
        EtcdClient(self.connection().await)
    }

    async fn watcher(&self, prefix: &str) -> EtcdWatcher {
        let mut end = prefix.as_bytes().to_vec();
        *end.last_mut().unwrap() += 1;
        let create = [field(1, prefix.as_bytes()), field(2, &end)].concat();
        let (send, receive) = call(&mut self.connection().await, "Watch/Watch", &field(1, &create), false).await.unwrap();
        let mut watcher = EtcdWatcher { _send: send, messages: Messages { receive, buffer: BytesMut::new() } };
        watcher.messages.next().await.expect("etcd says that it watches");
        watcher
    }
}

pub(crate) struct EtcdClient(SendRequest<Bytes>);

impl Client for EtcdClient {
    async fn put(&mut self, key: String, value: Vec<u8>) {
        put(&mut self.0, &key, &value).await.unwrap();
    }
}

pub(crate) struct EtcdWatcher {
    _send: SendStream<Bytes>,
    messages: Messages,
}

impl Watcher for EtcdWatcher {
    async fn next(&mut self) {
        self.messages.next().await.expect("the watch goes on");
    }
}

/// The messages of a gRPC answer.
struct Messages {
    receive: RecvStream,
    buffer: BytesMut,
}

impl Messages {
    /// `None` at the end of a call that succeeded.
    async fn next(&mut self) -> Result<Bytes, String> {
        loop {
            if let Some(len) = self.buffer.get(1..5).map(|mut len| len.get_u32() as usize)
                && self.buffer.len() >= 5 + len
            {
                self.buffer.advance(5);
                return Ok(self.buffer.split_to(len).freeze());
            }
            let Some(data) = self.receive.data().await else {
                let trailers = self.receive.trailers().await;
                return Err(format!("the call ended with {trailers:?}"));
            };
            let data = data.map_err(|e| e.to_string())?;
            self.receive.flow_control().release_capacity(data.len()).map_err(|e| e.to_string())?;
            self.buffer.extend_from_slice(&data);
        }
    }
}

async fn connect(address: SocketAddr) -> Result<SendRequest<Bytes>, String> {
    let socket = TcpStream::connect(address).await.map_err(|e| e.to_string())?;
    socket.set_nodelay(true).map_err(|e| e.to_string())?;
    let mut builder = h2::client::Builder::new();
    builder.initial_window_size(WINDOW_BYTES).initial_connection_window_size(WINDOW_BYTES);
    let (send, connection) = builder.handshake(socket).await.map_err(|e| e.to_string())?;
    tokio::spawn(connection);
    send.ready().await.map_err(|e| e.to_string())
}

async fn put(connection: &mut SendRequest<Bytes>, key: &str, value: &[u8]) -> Result<(), String> {
    let message = [field(1, key.as_bytes()), field(2, value)].concat();
    let (_, receive) = call(connection, "KV/Put", &message, true).await?;
    let mut answer = Messages { receive, buffer: BytesMut::new() };
    answer.next().await.map(drop)
}

async fn call(to: &mut SendRequest<Bytes>, method: &str, message: &[u8], last: bool) -> Result<(SendStream<Bytes>, RecvStream), String> {
    let request = Request::post(format!("http://etcd/etcdserverpb.{method}"))
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .body(())
        .map_err(|e| e.to_string())?;
    let (answer, mut send) = to.send_request(request, false).map_err(|e| e.to_string())?;
    let mut framed = BytesMut::with_capacity(5 + message.len());
    framed.put_u8(0);
    framed.put_u32(u32::try_from(message.len()).map_err(|e| e.to_string())?);
    framed.put_slice(message);
    send.send_data(framed.freeze(), last).map_err(|e| e.to_string())?;
    Ok((send, answer.await.map_err(|e| e.to_string())?.into_body()))
}

/// A length-delimited field of a protocol buffer.
fn field(number: u8, bytes: &[u8]) -> Vec<u8> {
    let (mut out, mut len) = (vec![number << 3 | 2], bytes.len());
    while len >= 0x80 {
        out.push((len & 0x7f) as u8 | 0x80);
        len >>= 7;
    }
    out.push(len as u8);
    out.extend_from_slice(bytes);
    out
}

fn free_address() -> SocketAddr {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap()
}
