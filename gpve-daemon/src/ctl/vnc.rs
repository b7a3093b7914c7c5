//! `gpvectl vm vnc`: a port on this machine that is the guest's display.

use std::net::SocketAddr;

use bytes::Bytes;
use gpve_core::error::{Error, ErrorKind, Result};
use gpve_core::ports::ByteStream;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::Ctx;

/// Serves viewers, each with a connection of its own to the server, until Ctrl-C.
pub(super) async fn serve(cx: &Ctx, name: &str, listen: SocketAddr) -> Result<()> {
    let machines = cx.client.virtual_machines(&cx.namespace);
    // Whether there is a display is said now, not to the first viewer.
    drop(machines.display(name).await?);
    let cannot = |e: std::io::Error| {
        let why = format!("cannot listen on {listen}: {e}; choose another with --listen, as 127.0.0.1:0");
        Error::new(ErrorKind::FailedPrecondition, "vnc", why)
    };
    let listener = TcpListener::bind(listen).await.map_err(cannot)?;
    println!("{name}'s display is at vnc://{}; Ctrl-C ends it", listener.local_addr().map_err(cannot)?);
    loop {
        let (viewer, _) = listener.accept().await.map_err(cannot)?;
        match machines.display(name).await {
            Ok(display) => drop(tokio::spawn(carry(viewer, display))),
            // The viewer sees its connection close; others may come when the guest runs again.
            Err(e) => eprintln!("{}", e.report()),
        }
    }
}

async fn carry(mut viewer: TcpStream, mut display: Box<dyn ByteStream>) {
    let (mut from, mut to) = viewer.split();
    let mut buffer = vec![0; 16 * 1024];
    loop {
        tokio::select! {
            read = from.read(&mut buffer) => match read {
                Ok(n @ 1..) if display.write(Bytes::copy_from_slice(&buffer[..n])).await.is_ok() => {}
                _ => return,
            },
            shown = display.read() => match shown {
                Ok(Some(bytes)) if to.write_all(&bytes).await.is_ok() => {}
                _ => return,
            },
        }
    }
}
