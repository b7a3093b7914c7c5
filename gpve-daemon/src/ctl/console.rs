//! `gpvectl vm console`: the terminal becomes the guest's serial port.

use std::io::{IsTerminal, Write};
use std::sync::Arc;

use futures::{SinkExt, StreamExt};
use gpve_api::client::Trust;
use gpve_core::error::{Error, ErrorKind, Result};
use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::http::{HeaderName, HeaderValue};

use super::Ctx;
use super::session::Raw;

/// Ctrl-], as in telnet: ends the console.
const ESCAPE: u8 = 0x1d;

/// A terminal without echo; as it was when dropped.
pub(super) struct Quiet(Termios);

impl Quiet {
    /// Without echo, still by lines.
    pub(super) fn new() -> std::io::Result<Self> {
        let before = tcgetattr(std::io::stdin())?;
        let mut quiet = before.clone();
        quiet.local_modes.remove(LocalModes::ECHO);
        tcsetattr(std::io::stdin(), OptionalActions::Flush, &quiet)?;
        Ok(Self(before))
    }

    /// Every key as it is pressed.
    fn raw() -> std::io::Result<Self> {
        let before = tcgetattr(std::io::stdin())?;
        let mut raw = before.clone();
        raw.make_raw();
        tcsetattr(std::io::stdin(), OptionalActions::Flush, &raw)?;
        Ok(Self(before))
    }
}

impl Drop for Quiet {
    fn drop(&mut self) {
        // There is nothing to do about a terminal that is gone.
        let _ = tcsetattr(std::io::stdin(), OptionalActions::Flush, &self.0);
    }
}

/// Attaches the terminal until the guest ends, the server does, or the escape key is pressed.
pub(super) async fn attach(cx: &Ctx, how: &Raw, name: &str, port: u8) -> Result<()> {
    let failed = |e: &dyn std::fmt::Display| Error::new(ErrorKind::Unavailable, "console", e.to_string());
    // Asked first over the ordinary client: its errors are the server's own words.
    cx.client.send(cx.of(gpve_api::routes::Operation::V1VmRead, name)).await?;
    let target = format!("{}/api/v1/namespaces/{}/virtualmachines/{name}/console?port={port}", how.url, cx.namespace);
    let mut request = target.replacen("https://", "wss://", 1).into_client_request().map_err(|e| failed(&e))?;
    for (header, value) in &how.headers {
        let value = HeaderValue::try_from(value).map_err(|e| failed(&e))?;
        request.headers_mut().insert(HeaderName::from_static(header), value);
    }
    let stream = connect(how).await?;
    let answered = tokio_tungstenite::client_async(request, stream).await;
    let (socket, _) = answered.map_err(|e| refusal(&e))?;
    let terminal = if std::io::stdin().is_terminal() { Some(Quiet::raw().map_err(|e| failed(&e))?) } else { None };
    if terminal.is_some() {
        eprint!("attached to {name}; Ctrl-] ends it\r\n");
    }
    relay(socket).await
}

/// The server's reason for not opening the console.
fn refusal(e: &tokio_tungstenite::tungstenite::Error) -> Error {
    if let tokio_tungstenite::tungstenite::Error::Http(response) = e
        && let Some(problem) = response.body().as_deref().and_then(|b| serde_json::from_slice::<gpve_api::v1::Problem>(b).ok())
    {
        return problem.to_error();
    }
    Error::new(ErrorKind::Unavailable, "console", e.to_string())
}

async fn relay<S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin>(socket: tokio_tungstenite::WebSocketStream<S>) -> Result<()> {
    let (mut sink, mut source) = socket.split();
    let (mut keys, mut buffer) = (tokio::io::stdin(), vec![0; 4096]);
    let mut open = true;
    loop {
        tokio::select! {
            read = keys.read(&mut buffer), if open => {
                let n = read.unwrap_or(0);
                let typed = &buffer[..n];
                let end = typed.iter().position(|b| *b == ESCAPE);
                let sent = &typed[..end.unwrap_or(n)];
                if !sent.is_empty() && sink.send(Message::binary(sent.to_vec())).await.is_err() {
                    break;
                }
                if end.is_some() {
                    break;
                }
                // Input that ended, as from a pipe, leaves the output open.
                open = n > 0;
            }
            said = source.next() => match said {
                Some(Ok(Message::Binary(bytes))) => show(&bytes),
                Some(Ok(Message::Text(text))) => show(text.as_bytes()),
                Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_))) => {}
                Some(Ok(Message::Close(_)) | Err(_)) | None => break,
            },
        }
    }
    let _already_gone = sink.close().await;
    Ok(())
}

fn show(bytes: &[u8]) {
    let mut out = std::io::stdout().lock();
    // A closed terminal ends us by its signal.
    let _ = out.write_all(bytes).and_then(|()| out.flush());
}

async fn connect(how: &Raw) -> Result<tokio_rustls::client::TlsStream<TcpStream>> {
    let failed = |e: &dyn std::fmt::Display| Error::new(ErrorKind::Unavailable, "console", format!("{}: {e}", how.url));
    let authority = how.url.trim_start_matches("https://");
    let address = if authority.rsplit(':').next().is_some_and(|p| p.parse::<u16>().is_ok()) {
        authority.to_owned()
    } else {
        format!("{authority}:443")
    };
    let host = address.rsplit_once(':').map_or(address.as_str(), |(h, _)| h).trim_matches(['[', ']']).to_owned();
    let stream = TcpStream::connect(&address).await.map_err(|e| failed(&e))?;
    let config = ClientConfig::builder_with_protocol_versions(&[&rustls::version::TLS13]);
    let config = match &how.trust {
        Trust::Authority(pem) => {
            let mut roots = RootCertStore::empty();
            for certificate in CertificateDer::pem_slice_iter(pem) {
                roots.add(certificate.map_err(|e| failed(&e))?).map_err(|e| failed(&e))?;
            }
            config.with_root_certificates(roots).with_no_client_auth()
        }
        Trust::System | Trust::Anyone => {
            let message = "the console needs the server's authority: log in with --ca-file";
            return Err(Error::new(ErrorKind::InvalidInput, "console", message));
        }
    };
    let name = ServerName::try_from(host).map_err(|e| failed(&e))?;
    tokio_rustls::TlsConnector::from(Arc::new(config)).connect(name, stream).await.map_err(|e| failed(&e))
}
