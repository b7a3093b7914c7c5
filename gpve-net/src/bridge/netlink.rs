//! The few rtnetlink requests that are made.

use futures::TryStreamExt as _;
use rtnetlink::{Handle, LinkUnspec};

use super::link::{Link, Wanted};

/// Asks and changes through one netlink socket.
#[derive(Debug, Clone)]
pub(super) struct Netlink(Handle);

/// A refusal of the kernel, or a socket that died.
#[derive(Debug, thiserror::Error)]
pub(super) enum NetlinkError {
    #[error("the kernel refused it: {0}")]
    Refused(#[source] std::io::Error),
    #[error("the netlink socket failed: {0}")]
    Socket(rtnetlink::Error),
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
        Ok(Self(handle))
    }

    /// An interface by name.
    pub(super) async fn link(&self, name: &str) -> Result<Option<Link>, NetlinkError> {
        let found = self.0.link().get().match_name(name).execute().try_next().await.map_err(NetlinkError::from);
        match found {
            Ok(message) => Ok(message.map(Link::read)),
            Err(error) if error.is_absent() => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// All interfaces.
    pub(super) async fn links(&self) -> Result<Vec<Link>, NetlinkError> {
        Ok(self.0.link().get().execute().map_ok(Link::read).try_collect().await?)
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
        Ok(self.0.link().change(message).execute().await?)
    }

    /// Takes an interface up or down.
    pub(super) async fn set_up(&self, index: u32, up: bool) -> Result<(), NetlinkError> {
        let message = LinkUnspec::new_with_index(index);
        let message = if up { message.up() } else { message.down() };
        Ok(self.0.link().change(message.build()).execute().await?)
    }

    /// Deletes an interface; one that is gone is no error.
    pub(super) async fn delete(&self, index: u32) -> Result<(), NetlinkError> {
        match self.0.link().del(index).execute().await.map_err(NetlinkError::from) {
            Err(error) if !error.is_absent() => Err(error),
            _ => Ok(()),
        }
    }
}
