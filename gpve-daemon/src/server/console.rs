//! Consoles over WebSockets, of both dialects: tickets that open one, and the bytes.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use bytes::Bytes;
use futures::{SinkExt, StreamExt};
use gpve_auth::UnixTime;
use gpve_core::ports::{ByteStream, ConsoleKind};
use gpve_core::types::Vmid;
use tokio_tungstenite::tungstenite::Message;

use super::websocket::Socket;

/// How long a ticket opens its console.
const TICKET_SECONDS: u64 = 30;
/// Most tickets that wait to be used; a further one takes the place of the oldest.
const TICKETS_MAX: usize = 1000;
/// Largest frame of a terminal's client, header and text.
const FRAME_MAX: usize = 64 * 1024;

/// What a ticket opens, and for whom.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Grant {
    /// Who asked for it; nobody else may use it.
    pub(super) user: String,
    /// The guest.
    pub(super) vmid: Vmid,
    /// Its console.
    pub(super) kind: ConsoleKind,
}

/// Tickets that wait to be used: each once, by whom it was given to, for the guest it was given for, within 30 seconds.
#[derive(Debug, Default)]
pub(super) struct Tickets(Mutex<HashMap<String, (UnixTime, Grant)>>);

impl Tickets {
    /// A new one. `secret` is from a cryptographic random source.
    pub(super) fn give(&self, grant: Grant, secret: [u8; 32], now: UnixTime) -> String {
        let ticket = format!("PVEVNC:{:08X}::{}", now.0, hex(&secret));
        let mut waiting = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.retain(|_, (given, _)| is_fresh(*given, now));
        if waiting.len() >= TICKETS_MAX
            && let Some(oldest) = waiting.iter().min_by_key(|(_, (given, _))| given.0).map(|(ticket, _)| ticket.clone())
        {
            waiting.remove(&oldest);
        }
        waiting.insert(ticket.clone(), (now, grant));
        ticket
    }

    /// What a ticket opens for `user` and `vmid`. A ticket that somebody else shows is used up too.
    pub(super) fn redeem(&self, ticket: &str, user: &str, vmid: Vmid, now: UnixTime) -> Option<ConsoleKind> {
        let (given, grant) = self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(ticket)?;
        (is_fresh(given, now) && grant.user == user && grant.vmid == vmid).then_some(grant.kind)
    }
}

fn is_fresh(given: UnixTime, now: UnixTime) -> bool {
    given.0 <= now.0 && now.0 - given.0 <= TICKET_SECONDS
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

/// Carries bytes until either side ends.
pub(super) async fn relay(stream: Box<dyn ByteStream>, socket: Socket) {
    carry(stream, socket, &mut |said| Some(said)).await;
}

/// Carries a terminal in Proxmox VE's framing, after its client has said whose ticket it has.
pub(super) async fn relay_terminal(stream: Box<dyn ByteStream>, mut socket: Socket, login: String) {
    let mut frames = Frames::default();
    while let Some(Ok(message)) = socket.next().await {
        let (Message::Binary(_) | Message::Text(_)) = &message else { continue };
        frames.push(&message.into_data());
        match frames.line() {
            Some(line) if line == login => {
                if socket.send(Message::binary(&b"OK"[..])).await.is_ok() {
                    carry(stream, socket, &mut |said| frames.typed(&said)).await;
                }
                return;
            }
            Some(_) => break,
            None if frames.0.len() > login.len() => break,
            None => {}
        }
    }
    let _already_gone = socket.close(None).await;
}

/// `typed` makes of a message what is typed into the guest; `None` ends the console.
async fn carry(mut stream: Box<dyn ByteStream>, socket: Socket, typed: &mut (dyn FnMut(Bytes) -> Option<Bytes> + Send)) {
    let (mut sink, mut source) = socket.split();
    loop {
        let said = tokio::select! {
            read = stream.read() => match read {
                Ok(Some(bytes)) => match sink.send(Message::binary(bytes)).await {
                    Ok(()) => continue,
                    Err(_) => return,
                },
                Ok(None) | Err(_) => break,
            },
            said = source.next() => match said {
                Some(Ok(Message::Binary(bytes))) => bytes,
                Some(Ok(Message::Text(text))) => text.into(),
                Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_))) => continue,
                Some(Ok(Message::Close(_)) | Err(_)) | None => break,
            },
        };
        let Some(keys) = typed(said) else { break };
        if !keys.is_empty() && stream.write(keys).await.is_err() {
            break;
        }
    }
    let _already_gone = sink.close().await;
}

/// What a terminal's client sends: `0:LENGTH:TEXT` is typed, `1:COLUMNS:ROWS:` tells its size, `2` that it is there. Frames and
/// messages need not begin together.
#[derive(Debug, Default)]
struct Frames(Vec<u8>);

impl Frames {
    fn push(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
    }

    /// A first line, taken out.
    fn line(&mut self) -> Option<String> {
        let end = self.0.iter().position(|b| *b == b'\n')?;
        let line = String::from_utf8_lossy(&self.0[..end]).into_owned();
        self.0.drain(..=end);
        Some(line)
    }

    /// What the frames that are complete now type; `None` for what is no frame.
    fn typed(&mut self, more: &[u8]) -> Option<Bytes> {
        self.push(more);
        let mut keys = Vec::new();
        loop {
            match self.next_frame()? {
                Frame::Partial => return Some(keys.into()),
                Frame::Keys(typed) => keys.extend(typed),
                // A serial port has no size, and need not be told that somebody is there.
                Frame::Other => {}
            }
        }
    }

    fn next_frame(&mut self) -> Option<Frame> {
        let is_short = self.0.len() < FRAME_MAX;
        let mut fields = self.0.splitn(3, |b| *b == b':');
        let number = |field: Option<&[u8]>| std::str::from_utf8(field?).ok()?.parse::<usize>().ok();
        let (frame, length) = match self.0.first() {
            None => return Some(Frame::Partial),
            Some(b'2') => (Frame::Other, 1),
            Some(b'0') => {
                let (Some(b"0"), length, Some(text)) = (fields.next(), fields.next(), fields.next()) else {
                    return is_short.then_some(Frame::Partial);
                };
                let wanted = number(length).filter(|n| *n <= FRAME_MAX)?;
                let Some(keys) = text.get(..wanted) else { return Some(Frame::Partial) };
                (Frame::Keys(keys.to_vec()), self.0.len() - text.len() + wanted)
            }
            Some(b'1') => {
                let Some(end) = self.0.iter().enumerate().filter(|(_, b)| **b == b':').nth(2) else {
                    return is_short.then_some(Frame::Partial);
                };
                (Frame::Other, end.0 + 1)
            }
            Some(_) => return None,
        };
        self.0.drain(..length);
        Some(frame)
    }
}

enum Frame {
    /// More is needed.
    Partial,
    Keys(Vec<u8>),
    Other,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grant(user: &str) -> Grant {
        Grant { user: user.to_owned(), vmid: 100.try_into().unwrap(), kind: ConsoleKind::Vnc }
    }

    #[test]
    fn a_ticket_opens_once_for_one_user_and_guest_and_not_for_long() {
        let (tickets, now) = (Tickets::default(), UnixTime(1000));
        let vmid = |n: u32| Vmid::try_from(n).unwrap();
        let give = |secret| tickets.give(grant("a@pam"), [secret; 32], now);
        assert_eq!(tickets.redeem(&give(1), "a@pam", vmid(100), UnixTime(1030)), Some(ConsoleKind::Vnc));
        assert_eq!(tickets.redeem(&give(2), "a@pam", vmid(100), UnixTime(1031)), None, "too late");
        assert_eq!(tickets.redeem(&give(3), "a@pam", vmid(100), UnixTime(999)), None, "from the future");
        for (user, guest) in [("b@pam", 100), ("a@pam", 101)] {
            let ticket = give(4);
            assert_eq!(tickets.redeem(&ticket, user, vmid(guest), now), None);
            assert_eq!(tickets.redeem(&ticket, "a@pam", vmid(100), now), None, "what somebody else showed is used up");
        }
        let ticket = give(5);
        assert!(tickets.redeem(&ticket, "a@pam", vmid(100), now).is_some() && tickets.redeem(&ticket, "a@pam", vmid(100), now).is_none());
    }

    #[test]
    fn tickets_that_nobody_uses_do_not_pile_up() {
        let tickets = Tickets::default();
        let mut first = None;
        for n in 0..=TICKETS_MAX {
            let mut secret = [0; 32];
            secret[..8].copy_from_slice(&n.to_be_bytes());
            let ticket = tickets.give(grant("a@pam"), secret, UnixTime(if n == 0 { 1 } else { 2 }));
            first.get_or_insert(ticket);
        }
        assert_eq!(tickets.0.lock().unwrap().len(), TICKETS_MAX);
        assert!(!tickets.0.lock().unwrap().contains_key(&first.unwrap()));
        tickets.give(grant("a@pam"), [9; 32], UnixTime(100));
        assert_eq!(tickets.0.lock().unwrap().len(), 1, "the expired ones are gone");
    }

    #[test]
    fn a_terminals_frames_may_be_cut_anywhere() {
        let stream = b"1:80:24:0:5:a:b\nc20:0:0:1:x1:100:50:2";
        for cut in 0..=stream.len() {
            let mut frames = Frames::default();
            let mut typed = frames.typed(&stream[..cut]).unwrap().to_vec();
            typed.extend(frames.typed(&stream[cut..]).unwrap());
            assert_eq!(typed, b"a:b\ncx", "cut at {cut}");
        }
        for wrong in [&b"3"[..], b"0:x:y", b"0:99999999:y", b"GET / HTTP"] {
            assert_eq!(Frames::default().typed(wrong), None, "{wrong:?}");
        }
        let endless = vec![b'1'; FRAME_MAX];
        assert_eq!(Frames::default().typed(&endless), None);
    }
}
