//! Consoles of a guest in memory.

use async_trait::async_trait;
use bytes::Bytes;
use tokio::sync::{broadcast, watch};

use super::host::MemHost;
use super::live::MemLive;
use crate::error::{Error, Result};
use crate::ports::{ByteStream, Console, ConsoleKind, Exit, OpCx};
use crate::types::Vga;

#[async_trait]
impl Console for MemLive {
    async fn open(&self, cx: &OpCx, kind: ConsoleKind) -> Result<Box<dyn ByteStream>> {
        let (host, pid) = (self.host.clone(), self.pid());
        self.ask(cx, "console.open", |p| match kind {
            ConsoleKind::Serial(port) => {
                let line = p.consoles.get(&port).ok_or_else(|| Error::not_found("console.open", format!("serial port {port}")))?;
                let (kept, coming) = line.listen();
                let kept = Some(kept).filter(|k| !k.is_empty());
                let exit = p.exit.subscribe();
                Ok(Box::new(SerialStream { host, pid, port, kept, coming, exit }) as Box<dyn ByteStream>)
            }
            ConsoleKind::Vnc => match p.vm.vga.unwrap_or(Vga::Std) {
                Vga::Std | Vga::Cirrus | Vga::Vmware | Vga::Qxl | Vga::Qxl2 | Vga::Qxl3 | Vga::Qxl4 | Vga::Virtio | Vga::VirtioGl => {
                    Ok(Box::new(VncStream { greeting: Some(Bytes::from_static(b"RFB 003.008\n")), exit: p.exit.subscribe() }) as _)
                }
                Vga::Serial0 | Vga::Serial1 | Vga::Serial2 | Vga::Serial3 | Vga::None => Err(Error::not_found("console.open", "display")),
            },
        })
        .await
    }
}

struct SerialStream {
    host: MemHost,
    pid: u32,
    port: u8,
    kept: Option<Bytes>,
    coming: broadcast::Receiver<Bytes>,
    exit: watch::Receiver<Option<Exit>>,
}

#[async_trait]
impl ByteStream for SerialStream {
    async fn read(&mut self) -> Result<Option<Bytes>> {
        use broadcast::error::RecvError;
        if let Some(kept) = self.kept.take() {
            return Ok(Some(kept));
        }
        loop {
            tokio::select! {
                biased;
                chunk = self.coming.recv() => match chunk {
                    Ok(chunk) => return Ok(Some(chunk)),
                    Err(RecvError::Lagged(_)) => {}
                    Err(RecvError::Closed) => return Ok(None),
                },
                _ = self.exit.wait_for(Option::is_some) => return Ok(self.coming.try_recv().ok()),
            }
        }
    }

    async fn write(&mut self, bytes: Bytes) -> Result<()> {
        let mut state = self.host.state();
        let process = state.process("console.write", self.pid)?;
        if let Some(line) = process.consoles.get_mut(&self.port) {
            line.typed(&bytes);
        }
        Ok(())
    }
}

/// A display that says which protocol it speaks and then nothing more.
struct VncStream {
    greeting: Option<Bytes>,
    exit: watch::Receiver<Option<Exit>>,
}

#[async_trait]
impl ByteStream for VncStream {
    async fn read(&mut self) -> Result<Option<Bytes>> {
        if let Some(greeting) = self.greeting.take() {
            return Ok(Some(greeting));
        }
        // Ends with the guest; an error means that its process was dropped, which is an end as well.
        let _ = self.exit.wait_for(Option::is_some).await;
        Ok(None)
    }

    async fn write(&mut self, _bytes: Bytes) -> Result<()> {
        Ok(())
    }
}
