use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;

use gpve_core::types::IfName;
use rustix::ioctl::{IntegerSetter, Opcode, Updater, ioctl, opcode};

const DEVICE: &str = "/dev/net/tun";
/// The kernel's `struct ifreq` is this long, whatever the request.
const REQUEST_BYTES: usize = 40;
const NAME_BYTES: usize = 16;

const TUNSETIFF: Opcode = opcode::write::<i32>(b'T', 202);
const TUNSETPERSIST: Opcode = opcode::write::<i32>(b'T', 203);
const TUNSETOWNER: Opcode = opcode::write::<i32>(b'T', 204);
const TUNGETIFF: Opcode = opcode::read::<u32>(b'T', 210);

const IFF_TAP: u16 = 0x0002;
const IFF_MULTI_QUEUE: u16 = 0x0100;
const IFF_PERSIST: u16 = 0x0800;
const IFF_NO_PI: u16 = 0x1000;
const IFF_VNET_HDR: u16 = 0x4000;
const IFF_TUN_EXCL: u16 = 0x8000;

/// The part of `struct ifreq` that `TUNSETIFF` and `TUNGETIFF` read and write.
#[repr(C)]
struct InterfaceRequest {
    name: [u8; NAME_BYTES],
    flags: u16,
    rest: [u8; REQUEST_BYTES - NAME_BYTES - 2],
}

impl InterfaceRequest {
    fn new(flags: u16) -> Self {
        Self { name: [0; NAME_BYTES], flags, rest: [0; REQUEST_BYTES - NAME_BYTES - 2] }
    }
}

const _: () = assert!(size_of::<InterfaceRequest>() == REQUEST_BYTES);

/// One queue of a tap interface, as QEMU wants it: each read is a frame that the host sends, each write one that it receives,
/// with a `virtio_net_hdr` of 10 bytes before it, so that checksums and segmentation are left to whoever does them best.
///
/// Blocking; dropping it closes the queue and leaves the interface.
#[derive(Debug)]
pub struct Tap(File);

impl Tap {
    /// Makes a persistent tap interface, down and in no bridge, that `owner` may open without privileges.
    ///
    /// # Errors
    /// [`io::ErrorKind::ResourceBusy`] when the name is taken; [`io::ErrorKind::PermissionDenied`] without `CAP_NET_ADMIN`.
    pub fn make(name: &IfName, owner: u32, is_multi_queue: bool) -> io::Result<()> {
        let file = device()?;
        set_interface(&file, name, flags(is_multi_queue) | IFF_TUN_EXCL)?;
        // Until it is persistent the interface vanishes with the descriptor: there is no half-made one to clean up.
        set_owner(&file, owner)?;
        set_persistent(&file)
    }

    /// Opens a queue of an interface that exists, as its owner or as root.
    ///
    /// # Errors
    /// [`io::ErrorKind::NotFound`] when there is no persistent tap of this name; [`io::ErrorKind::PermissionDenied`] for anybody else; [`io::ErrorKind::InvalidInput`] when `is_multi_queue` is not what
    /// the interface is; [`io::ErrorKind::ResourceBusy`] when all of its queues are open.
    pub fn open(name: &IfName, is_multi_queue: bool) -> io::Result<Self> {
        Self::open_through(device()?, name, is_multi_queue)
    }

    /// The same through a descriptor of `/dev/net/tun`, for a process that may not open that itself.
    ///
    /// # Errors
    /// Those of [`open`](Self::open).
    pub fn open_through(device: File, name: &IfName, is_multi_queue: bool) -> io::Result<Self> {
        set_interface(&device, name, flags(is_multi_queue))?;
        // For root the kernel makes what is missing; that vanishes with the descriptor.
        if get_flags(&device)? & IFF_PERSIST == 0 {
            return Err(io::Error::new(io::ErrorKind::NotFound, format!("there is no tap {name}")));
        }
        Ok(Self(device))
    }
}

impl From<Tap> for OwnedFd {
    fn from(tap: Tap) -> Self {
        tap.0.into()
    }
}

impl From<Tap> for File {
    fn from(tap: Tap) -> Self {
        tap.0
    }
}

/// Why this process can make no taps, if it cannot.
pub(crate) fn check_device() -> io::Result<()> {
    device().map(drop)
}

fn device() -> io::Result<File> {
    File::options().read(true).write(true).open(DEVICE)
}

const fn flags(is_multi_queue: bool) -> u16 {
    IFF_TAP | IFF_NO_PI | IFF_VNET_HDR | if is_multi_queue { IFF_MULTI_QUEUE } else { 0 }
}

#[allow(unsafe_code, reason = "no crate wraps this ioctl without further effects; see SAFETY")]
fn set_interface(device: &File, name: &IfName, flags: u16) -> io::Result<()> {
    let mut request = InterfaceRequest::new(flags);
    // An IfName is at most 15 bytes, so the last stays NUL.
    for (to, from) in request.name.iter_mut().zip(name.as_str().bytes()) {
        *to = from;
    }
    // SAFETY: TUNSETIFF reads and writes one `struct ifreq` of 40 bytes at the pointer and keeps no reference to it;
    // `request` is that long (asserted above), has its layout, lives until the call returns, and any bytes are valid in it.
    unsafe { ioctl(device, Updater::<TUNSETIFF, InterfaceRequest>::new(&mut request)) }?;
    Ok(())
}

#[allow(unsafe_code, reason = "no crate wraps this ioctl without further effects; see SAFETY")]
fn get_flags(device: &File) -> io::Result<u16> {
    let mut request = InterfaceRequest::new(0);
    // SAFETY: TUNGETIFF writes one `struct ifreq` of 40 bytes at the pointer and keeps no reference to it (its number says
    // four bytes, for history's sake); `request` is as in `set_interface`.
    unsafe { ioctl(device, Updater::<TUNGETIFF, InterfaceRequest>::new(&mut request)) }?;
    Ok(request.flags)
}

#[allow(unsafe_code, reason = "no crate wraps this ioctl without further effects; see SAFETY")]
fn set_owner(device: &File, owner: u32) -> io::Result<()> {
    // SAFETY: TUNSETOWNER takes a user id by value, no pointer.
    unsafe { ioctl(device, IntegerSetter::<TUNSETOWNER>::new_usize(owner as usize)) }?;
    Ok(())
}

#[allow(unsafe_code, reason = "no crate wraps this ioctl without further effects; see SAFETY")]
fn set_persistent(device: &File) -> io::Result<()> {
    // SAFETY: TUNSETPERSIST takes a truth value by value, no pointer.
    unsafe { ioctl(device, IntegerSetter::<TUNSETPERSIST>::new_usize(1)) }?;
    Ok(())
}
