//! Consoles.

use serde::Serialize;

/// What a client needs to open a console by WebSocket.
#[derive(Debug, Clone, Serialize)]
pub struct ConsoleTicket {
    /// Who asked; a terminal begins with `USER:TICKET` and a line feed.
    pub user: String,
    /// Opens the console once.
    pub ticket: String,
    /// Named again in the request for the WebSocket.
    pub port: u16,
    /// As of a task; nothing runs under it.
    pub upid: String,
    /// The certificate that the server shows, of displays only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cert: Option<String>,
}
