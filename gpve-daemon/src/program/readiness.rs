//! What systemd waits for under `Type=notify`: the word that this program is ready (`sd_notify(3)`).

use std::ffi::OsStr;
use std::io;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};

/// Tells whoever started this program, and said where in `NOTIFY_SOCKET`, that it is ready. Nobody may be there any more: a log line then,
/// no reason to end.
pub(super) fn tell() {
    if let Some(socket) = std::env::var_os("NOTIFY_SOCKET")
        && let Err(error) = send(&socket, b"READY=1")
    {
        tracing::warn!(socket = %socket.display(), %error, "the service manager cannot be told that this program is ready");
    }
}

/// One datagram to a path, or, behind an `@`, to an abstract name.
fn send(socket: &OsStr, word: &[u8]) -> io::Result<()> {
    let address = match socket.as_bytes() {
        [b'@', name @ ..] => SocketAddr::from_abstract_name(name)?,
        path => SocketAddr::from_pathname(OsStr::from_bytes(path))?,
    };
    UnixDatagram::unbound()?.send_to_addr(word, &address).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn heard(at: &UnixDatagram) -> Vec<u8> {
        let mut buffer = [0; 32];
        let length = at.recv(&mut buffer).unwrap();
        buffer[..length].to_vec()
    }

    #[test]
    fn a_socket_has_a_path_or_an_abstract_name() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("notify");
        let at = UnixDatagram::bind(&path).unwrap();
        send(path.as_os_str(), b"READY=1").unwrap();
        assert_eq!(heard(&at), b"READY=1");

        let name = path.to_string_lossy().into_owned();
        let at = UnixDatagram::bind_addr(&SocketAddr::from_abstract_name(&name).unwrap()).unwrap();
        send(OsStr::new(&format!("@{name}")), b"READY=1").unwrap();
        assert_eq!(heard(&at), b"READY=1");
    }

    #[test]
    fn a_socket_that_is_gone_is_an_error_and_does_not_block() {
        assert!(send(OsStr::new("/nowhere/notify"), b"READY=1").is_err());
        assert!(send(OsStr::new("@gpve-nobody-listens"), b"READY=1").is_err());
    }
}
