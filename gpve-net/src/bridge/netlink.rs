//! The few rtnetlink requests that are made.

use std::sync::Arc;
use std::time::Duration;

use futures::TryStreamExt as _;
use rtnetlink::{Handle, LinkUnspec};
use tokio::sync::Semaphore;

use super::link::{Link, Wanted};

/// Requests under way at a time. The kernel drops answers for which the socket has no room (some 200 KiB; one takes up to
/// 8), and an answer that was dropped never comes.
const REQUESTS_AT_ONCE: u32 = 8;
/// How long an answer may take: the kernel's network lock is held for seconds when thousands of interfaces change.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);

/// Asks and changes through one netlink socket.
#[derive(Debug, Clone)]
pub(super) struct Netlink {
    handle: Handle,
    slots: Arc<Semaphore>,
}

/// A refusal of the kernel, or a socket that died.
#[derive(Debug, thiserror::Error)]
pub(super) enum NetlinkError {
    #[error("the kernel refused it: {0}")]
    Refused(#[source] std::io::Error),
    #[error("the netlink socket failed: {0}")]
    Socket(rtnetlink::Error),
    #[error("the kernel did not answer within {ANSWER_TIMEOUT:?}")]
    NoAnswer,
}

impl From<rtnetlink::Error> for NetlinkError {
    fn from(error: rtnetlink::Error) -> Self {
        match error {
            rtnetlink::Error::NetlinkError(message) => Self::Refused(message.to_io()),
            other => Self::Socket(other),
        }
    }
}

impl NetlinkError {
    pub(super) fn is_absent(&self) -> bool {
        let errno = if let Self::Refused(error) = self { rustix::io::Errno::from_io_error(error) } else { None };
        matches!(errno, Some(rustix::io::Errno::NODEV | rustix::io::Errno::NXIO))
    }
}

impl Netlink {
    /// Opens the socket, in the network namespace of the calling thread; a task of this runtime serves it.
    pub(super) fn open() -> std::io::Result<Self> {
        let (connection, handle, _) = rtnetlink::new_connection()?;
        tokio::spawn(connection);
        Ok(Self { handle, slots: Arc::new(Semaphore::new(REQUESTS_AT_ONCE as usize)) })
    }

    /// An interface by name.
    pub(super) async fn link(&self, name: &str) -> Result<Option<Link>, NetlinkError> {
        let ask = async { self.handle.link().get().match_name(name).execute().try_next().await };
        match self.answer(1, ask).await {
            Ok(message) => Ok(message.map(Link::read)),
            Err(error) if error.is_absent() => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// All interfaces.
    pub(super) async fn links(&self) -> Result<Vec<Link>, NetlinkError> {
        // The list alone may fill the socket.
        self.answer(REQUESTS_AT_ONCE, self.handle.link().get().execute().map_ok(Link::read).try_collect()).await
    }

    /// Makes an interface, taken down, as wanted.
    pub(super) async fn configure(&self, index: u32, wanted: &Wanted) -> Result<(), NetlinkError> {
        // Down first: in the new bridge it must not pass a frame before it is told to.
        self.set_up(index, false).await?;
        let message = LinkUnspec::new_with_index(index)
            .mtu(wanted.mtu)
            .address(wanted.address.to_vec())
            .alias(&wanted.alias)
            .controller(wanted.bridge)
            .build();
        self.answer(1, self.handle.link().change(message).execute()).await
    }

    /// Takes an interface up or down.
    pub(super) async fn set_up(&self, index: u32, up: bool) -> Result<(), NetlinkError> {
        let message = LinkUnspec::new_with_index(index);
        let message = if up { message.up() } else { message.down() };
        self.answer(1, self.handle.link().change(message.build()).execute()).await
    }

    /// Deletes an interface; one that is gone is no error.
    pub(super) async fn delete(&self, index: u32) -> Result<(), NetlinkError> {
        match self.answer(1, self.handle.link().del(index).execute()).await {
            Err(error) if !error.is_absent() => Err(error),
            _ => Ok(()),
        }
    }

    async fn answer<T>(&self, slots: u32, request: impl Future<Output = Result<T, rtnetlink::Error>>) -> Result<T, NetlinkError> {
        // The semaphore is never closed, so a missing permit is no case.
        let _slots = self.slots.acquire_many(slots).await;
        match tokio::time::timeout(ANSWER_TIMEOUT, request).await {
            Ok(answer) => Ok(answer?),
            Err(_elapsed) => Err(NetlinkError::NoAnswer),
        }
    }
}
