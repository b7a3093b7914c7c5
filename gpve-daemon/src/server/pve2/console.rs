//! Tickets for consoles, and the WebSocket that one opens.
//!
//! Proxmox VE starts a process per ticket that listens on a port; here a ticket is all there is, and the port is but a part of its
//! protocol. The display needs no password of its own: nobody reaches it without a ticket.

use gpve_api::pve2::Failure;
use gpve_api::pve2::Reply;
use gpve_api::pve2::answer::ConsoleTicket;
use gpve_core::control::GuestObject;
use gpve_core::error::Error;
use gpve_core::ports::{ConsoleKind, Guest as _};
use gpve_core::types::{Timestamp, Upid, Vga};
use hyper::Response;
use hyper::http::request::Parts;

use super::guest::find;
use super::power::running;
use super::{Answered, Ctx};
use crate::server::console::{Grant, relay, relay_terminal};
use crate::server::http::Body;
use crate::server::websocket;

/// The first of the ports that Proxmox VE's consoles have; clients send it back.
const PORT: u16 = 5900;

pub(super) fn vnc_proxy(cx: &Ctx<'_>) -> Answered {
    let guest = find(cx)?;
    running(cx)?;
    match display_port(&guest) {
        Some(port) => Err(Failure::new(500, &format!("the display of VM {} is serial{port}: ask termproxy for it", guest.id()))),
        None if guest.spec().vga == Some(Vga::None) => Err(Failure::new(500, &format!("VM {} has no display (vga: none)", guest.id()))),
        None => ticket(cx, ConsoleKind::Vnc, Some(cx.app.certificate.clone())),
    }
}

pub(super) fn term_proxy(cx: &Ctx<'_>) -> Answered {
    let guest = find(cx)?;
    running(cx)?;
    let asked = cx.params.text("serial").and_then(|name| name.strip_prefix("serial")?.parse::<u8>().ok());
    let ports = &machine(&guest).serials;
    let port = asked.or_else(|| display_port(&guest)).or_else(|| ports.keys().next().copied());
    match port.filter(|port| ports.contains_key(port)) {
        Some(port) => ticket(cx, ConsoleKind::Serial(port), None),
        None => {
            let name = asked.map_or("port".to_owned(), |n| n.to_string());
            Err(Failure::new(500, &format!("VM {} has no serial {name}: set serial0 to socket and start it again", guest.id())))
        }
    }
}

/// The machine as it runs.
fn machine(guest: &GuestObject) -> &gpve_core::types::VmSpec {
    guest.running.as_deref().unwrap_or(guest.spec())
}

/// The serial port that is the display.
fn display_port(guest: &GuestObject) -> Option<u8> {
    match machine(guest).vga? {
        Vga::Serial0 => Some(0),
        Vga::Serial1 => Some(1),
        Vga::Serial2 => Some(2),
        Vga::Serial3 => Some(3),
        _ => None,
    }
}

fn ticket(cx: &Ctx<'_>, kind: ConsoleKind, cert: Option<String>) -> Answered {
    let (vmid, now, user) = (cx.vmid()?, cx.app.now(), cx.who.owner().to_string());
    let ticket = cx.app.tickets.give(Grant { user: user.clone(), vmid, kind }, rand::random(), now);
    let internal = |e: gpve_core::types::TextError| Failure::from(&Error::internal("console", e.to_string()));
    let task = if kind == ConsoleKind::Vnc { "vncproxy" } else { "vncshell" };
    let upid = Upid {
        node: cx.node()?,
        serial: 0,
        start: Timestamp::from_secs(now.0),
        kind: task.parse().map_err(internal)?,
        id: vmid.to_string(),
        user: user.parse().map_err(internal)?,
    };
    Ok(Reply::data(&ConsoleTicket { user, ticket, port: PORT, upid: upid.to_string(), cert }))
}

/// Switches to the console that the ticket was given for.
pub(super) async fn socket(cx: &Ctx<'_>, parts: &mut Parts) -> Result<Response<Body>, Failure> {
    find(cx)?;
    if !websocket::is_asked(parts) {
        return Err(Failure::bad_request("this path is a WebSocket: the request needs the header 'Upgrade: websocket'"));
    }
    let (ticket, user, vmid) = (cx.params.text("vncticket").unwrap_or_default(), cx.who.owner().to_string(), cx.vmid()?);
    let used_up = || Failure::new(401, "invalid vncticket: each opens one console, once, within 30 seconds");
    let kind = cx.app.tickets.redeem(ticket, &user, vmid, cx.app.now()).ok_or_else(used_up)?;
    let stream = cx.app.plane.console(vmid, kind).await.map_err(|e| Failure::from(&e))?;
    let login = format!("{user}:{ticket}");
    let switched = match kind {
        ConsoleKind::Vnc => websocket::accept(parts, move |socket| relay(stream, socket)),
        ConsoleKind::Serial(_) => websocket::accept(parts, move |socket| relay_terminal(stream, socket, login)),
    };
    switched.map_err(|e| Failure::from(&e))
}
