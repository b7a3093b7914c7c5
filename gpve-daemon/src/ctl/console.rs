//! `gpvectl vm console`: the terminal becomes the guest's serial port.

use std::io::{IsTerminal, Write};

use bytes::Bytes;
use gpve_core::error::{Error, ErrorKind, Result};
use gpve_core::ports::ByteStream;
use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};
use tokio::io::AsyncReadExt;

use super::Ctx;

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
pub(super) async fn attach(cx: &Ctx, name: &str, port: u8) -> Result<()> {
    let failed = |e: std::io::Error| Error::new(ErrorKind::Unavailable, "console", e.to_string());
    let console = cx.client.virtual_machines(&cx.namespace).console(name, port).await?;
    let terminal = if std::io::stdin().is_terminal() { Some(Quiet::raw().map_err(failed)?) } else { None };
    if terminal.is_some() {
        eprint!("attached to {name}; Ctrl-] ends it\r\n");
    }
    relay(console).await;
    Ok(())
}

async fn relay(mut console: Box<dyn ByteStream>) {
    let (mut keys, mut buffer) = (tokio::io::stdin(), vec![0; 4096]);
    let mut open = true;
    loop {
        tokio::select! {
            read = keys.read(&mut buffer), if open => {
                let n = read.unwrap_or(0);
                let typed = &buffer[..n];
                let end = typed.iter().position(|b| *b == ESCAPE);
                let sent = &typed[..end.unwrap_or(n)];
                if !sent.is_empty() && console.write(Bytes::copy_from_slice(sent)).await.is_err() {
                    return;
                }
                if end.is_some() {
                    return;
                }
                // Input that ended, as from a pipe, leaves the output open.
                open = n > 0;
            }
            said = console.read() => match said {
                Ok(Some(bytes)) => show(&bytes),
                Ok(None) | Err(_) => return,
            },
        }
    }
}

fn show(bytes: &[u8]) {
    let mut out = std::io::stdout().lock();
    // A closed terminal ends us by its signal.
    let _ = out.write_all(bytes).and_then(|()| out.flush());
}
