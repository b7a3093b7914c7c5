//! A guest's side of a tap: frames out, frames in.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::time::Duration;

use gpve_core::ports::PortRequest;
use gpve_core::types::MacAddr;
use gpve_net::Tap;
use rustix::event::{PollFd, PollFlags, Timespec, poll};

/// IEEE's number for local experiments: nobody else's frames.
const ETHER_TYPE: [u8; 2] = [0x88, 0xb5];
const HEADER_BYTES: usize = 14;
/// What stands before each frame: nothing left to be done with it.
const VIRTIO_HEADER: [u8; 10] = [0; 10];
/// Far longer than a frame takes on a loaded machine.
const PATIENCE: Duration = Duration::from_secs(30);

/// A guest with one card, its tap open.
pub(crate) struct Guest {
    tap: File,
    mac: MacAddr,
}

impl Guest {
    pub(crate) fn open(request: &PortRequest) -> Self {
        let name = request.id.tap_name().parse().unwrap();
        Self { tap: Tap::open(&name, request.queues > 1).unwrap().into(), mac: request.mac }
    }

    /// Sends `payload` to the other guest; an error when the link is down.
    pub(crate) fn send(&self, to: &Guest, payload: &[u8]) -> std::io::Result<()> {
        let frame = [&VIRTIO_HEADER[..], &to.mac.octets(), &self.mac.octets(), &ETHER_TYPE[..], payload].concat();
        (&self.tap).write_all(&frame)
    }

    /// The next payload of a guest that comes within `timeout`, zeros at its end cut; other frames are passed over.
    fn receive_within(&self, timeout: Duration) -> Option<Vec<u8>> {
        let until = std::time::Instant::now() + timeout;
        loop {
            let left = until.saturating_duration_since(std::time::Instant::now());
            let left = Timespec { tv_sec: left.as_secs().try_into().unwrap(), tv_nsec: left.subsec_nanos().into() };
            if poll(&mut [PollFd::new(&self.tap, PollFlags::IN)], Some(&left)).unwrap() == 0 {
                return None;
            }
            let mut frame = vec![0; 1 << 16];
            let len = (&self.tap).read(&mut frame).unwrap();
            frame.truncate(len);
            frame.drain(..VIRTIO_HEADER.len());
            if frame[12..HEADER_BYTES] == ETHER_TYPE {
                let end = frame.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
                return Some(frame[HEADER_BYTES..end.max(HEADER_BYTES)].to_vec());
            }
        }
    }

    /// The next payload that comes.
    pub(crate) fn receive(&self) -> Vec<u8> {
        self.receive_within(PATIENCE).expect("a frame should have come")
    }

    /// Sends until something comes through: a bridge's port forwards a moment after its link is up.
    pub(crate) fn reach(&self, to: &Guest) {
        let until = std::time::Instant::now() + PATIENCE;
        while std::time::Instant::now() < until {
            self.send(to, b"probe").unwrap();
            if to.receive_within(Duration::from_millis(50)).is_some() {
                // Probes that were slow come before the last word.
                self.send(to, b"reached").unwrap();
                while to.receive() != b"reached" {}
                return;
            }
        }
        panic!("no frame came through");
    }
}
