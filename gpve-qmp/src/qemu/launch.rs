//! From a wired guest to a QEMU that is halted before its first instruction and answers.
//!
//! QEMU finds everything already open: its monitor's and consoles' sockets listen before it exists, so connecting is no
//! race, and its disks are descriptors, so it needs no right to any path.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use gpve_core::error::{Error, ErrorKind, Result};
use gpve_core::ports::{OpCx, Port, PortAccess, RunRecord, VolumeAccess, Wired};
use gpve_core::types::{Aio, DirectKernel, DiskBus, DiskFormat, DiskSlot, NicIndex, ResolvedDisk, SerialPort, Vmid};
use gpve_exec::{Identity, Launch, Process, Signal, Tool};
use rustix::fs::MemfdFlags;
use tokio::net::UnixStream;

use super::argv::blockdev::{FileSource, Image};
use super::argv::compose::{Facts, Host, KernelFiles, NicBackend, compose, firmware_files, queues};
use super::argv::switches::{Accelerator, AddFd, ListeningSocket, PeerSocket, TapSource};
use super::driver::Inner;
use super::fault;
use super::image::{self, ImageError, OpenMode, OpenedFile};
use super::live::QemuLive;
use super::procfs;
use super::record::Detail;
use super::runtime_dir::RuntimeDir;
use super::tpm::{self, Emulator};
use crate::protocol::client::{Options, QmpClient};

mod flash;

const OP: &str = "guest.launch";

/// From QEMU's start to its greeting: 30 ms at rest, seconds on a host that is starting everything at once.
const START_TIMEOUT: Duration = Duration::from_secs(30);

/// Descriptors 0 to 2 are QEMU's own.
const FIRST_DESCRIPTOR: i32 = 3;

/// Where the kernel says whether io_uring may be used.
const IO_URING_SWITCH: &str = "/proc/sys/kernel/io_uring_disabled";

/// The device that tap interfaces are opened through.
const TUN_DEVICE: &str = "/dev/net/tun";

/// Launches the guest. On an error, or dropped, it leaves nothing behind.
pub(super) async fn launch(driver: &Arc<Inner>, cx: &OpCx, guest: Wired, accelerator: Accelerator) -> Result<QemuLive> {
    let vmid = guest.vm().vmid;
    for key in &guest.vm().without_effect {
        cx.log(format!("setting without effect: {key}"));
    }
    let mut leftovers = Leftovers { driver: Arc::clone(driver), vmid, process: None, is_armed: true };
    let facts = driver.facts().await?.clone();
    if let Some(arch) = guest.vm().arch.filter(|arch| *arch != facts.arch) {
        return Err(Error::unsupported(OP, format!("arch: this node runs guests of {} only, not of {arch}", facts.arch)));
    }
    let (guest, opened) = open_all(driver, guest, accelerator, facts).await?;
    let (mut detail, ports) = describe(&guest, &opened, accelerator);
    let dir = driver.dir(vmid);
    let started = start(driver, cx, &guest, opened, &dir)?;
    let process = started.qemu;
    leftovers.process = Some(process.clone());
    detail.tpm = started.tpm.as_ref().map(|tpm| procfs::to_port(tpm.id()));
    let client = greet(&dir, &process).await?;
    for pid in [Some(&process), started.tpm.as_ref()].into_iter().flatten().map(|process| process.id().pid) {
        if let Err(error) = driver.cgroups.apply(vmid, pid, guest.limits()) {
            cx.log(format!("warning: its limits are not in force: {error}"));
        }
    }
    let tpm = started.tpm.map(Emulator::started);
    let record = RunRecord {
        vmid,
        process: procfs::to_port(process.id()),
        started: driver.config.clock.now(),
        runtime_dir: dir.path().to_string_lossy().into_owned(),
        ports,
        detail: serde_json::to_value(&detail).map_err(|error| Error::internal(OP, error.to_string()))?,
    };
    let monitor = driver.monitor(vmid, dir, process, tpm);
    driver.pool.insert(&monitor.key, client).await.map_err(|error| fault::qmp(OP, &error))?;
    leftovers.is_armed = false;
    Ok(QemuLive::new(record, detail, monitor, Arc::clone(driver), true))
}

/// What is to be removed unless the launch succeeds.
struct Leftovers {
    driver: Arc<Inner>,
    vmid: Vmid,
    process: Option<Process>,
    is_armed: bool,
}

impl Drop for Leftovers {
    fn drop(&mut self) {
        match &self.process {
            _ if !self.is_armed => return,
            // Failure means that it has ended.
            Some(process) => drop(process.signal(Signal::KILL)),
            // Refused because the guest runs: its directory is in use.
            None if self.driver.is_running(self.vmid) => return,
            None => {}
        }
        let removed = self.driver.dir(self.vmid).remove().map_err(|error| error.to_string());
        let removed = removed.and_then(|()| self.driver.cgroups.remove(self.vmid).map_err(|error| error.to_string()));
        if let Err(error) = removed {
            tracing::warn!(vmid = %self.vmid, %error, "a failed launch left something behind");
        }
    }
}

/// Everything that QEMU inherits, and the host's side of the machine in terms of it.
struct Opened {
    host: Host,
    descriptors: Vec<(i32, OwnedFd)>,
    tpm: Option<tpm::Prepared>,
    log: File,
}

/// What was started of a guest.
struct Started {
    qemu: Process,
    tpm: Option<Process>,
}

async fn open_all(driver: &Arc<Inner>, guest: Wired, accelerator: Accelerator, facts: Facts) -> Result<(Wired, Opened)> {
    let driver = Arc::clone(driver);
    let open = move || {
        let vmid = guest.vm().vmid;
        if driver.is_running(vmid) {
            return Err(Error::precondition(OP, format!("a QEMU of guest {vmid} runs already")));
        }
        let opened = Opening::new(&driver, accelerator, facts).open(&guest)?;
        Ok((guest, opened))
    };
    tokio::task::spawn_blocking(open).await.map_err(|error| Error::internal(OP, error.to_string()))?
}

/// Opens one guest's files and sockets, numbering them as QEMU will.
struct Opening<'a> {
    driver: &'a Inner,
    accelerator: Accelerator,
    facts: Facts,
    descriptors: Vec<(i32, OwnedFd)>,
    sets: Vec<AddFd>,
}

impl<'a> Opening<'a> {
    fn new(driver: &'a Inner, accelerator: Accelerator, facts: Facts) -> Self {
        Self { driver, accelerator, facts, descriptors: Vec::new(), sets: Vec::new() }
    }

    fn open(mut self, guest: &Wired) -> Result<Opened> {
        let vm = guest.vm();
        let dir = self.driver.dir(vm.vmid);
        let identity = self.driver.config.identity.as_ref();
        let failed = |error: io::Error| fault::io(OP, dir.path().display(), &error);
        dir.make(identity).map_err(failed)?;
        let log = dir.open_log().map_err(failed)?;
        let qmp = self.listen(&dir.qmp()).map_err(failed)?;
        let agent = vm.agent.as_ref().map(|_| self.listen(&dir.agent())).transpose().map_err(failed)?;
        let sockets = vm.serials.iter().filter(|(_, port)| **port == SerialPort::Socket);
        let serials = sockets.map(|(number, _)| Ok((*number, self.listen(&dir.serial(*number))?)));
        let serials = serials.collect::<io::Result<_>>().map_err(failed)?;
        // The TPM's state is its emulator's to open.
        let disks = vm.disks.iter().filter(|(slot, _)| slot.bus() != DiskBus::Tpm);
        let images = disks.filter_map(|(slot, disk)| Some(self.drive(guest, *slot, disk).transpose()?.map(|image| (*slot, image))));
        let mut images = images.collect::<Result<BTreeMap<_, _>>>()?;
        let firmware = self.flash(guest, &mut images)?;
        let kernel = vm.kernel.as_ref().map(|kernel| self.kernel(kernel)).transpose()?;
        let nics = self.nics(guest)?;
        let (tpm, tpm_socket) = self.tpm(guest)?.unzip();
        let shared_memory = vm.shared_memory.as_ref().map(|shared| {
            let name = shared.name.as_ref().map_or_else(|| vm.vmid.to_string(), ToString::to_string);
            format!("/dev/shm/pve-shm-{name}").into()
        });
        let host = Host {
            default_aio: default_aio(),
            images,
            firmware,
            nics,
            agent,
            serials,
            shared_memory,
            kernel,
            tpm: tpm_socket,
            descriptors: self.sets,
            ..Host::new(self.facts, self.accelerator, qmp, dir.vnc(), dir.pidfile())
        };
        Ok(Opened { host, descriptors: self.descriptors, tpm, log })
    }

    fn inherit(&mut self, descriptor: OwnedFd) -> i32 {
        let last = self.descriptors.last().map_or(FIRST_DESCRIPTOR - 1, |(number, _)| *number);
        self.descriptors.push((last + 1, descriptor));
        last + 1
    }

    fn listen(&mut self, path: &Path) -> io::Result<ListeningSocket> {
        let listener = RuntimeDir::listen(path)?;
        Ok(ListeningSocket::Inherited(self.inherit(listener)))
    }

    /// A descriptor that QEMU can open by the number of its set.
    fn lend(&mut self, descriptor: OwnedFd) -> Result<u32> {
        let fd = self.inherit(descriptor);
        let set = u32::try_from(fd).map_err(|_| Error::internal(OP, "a descriptor has no number"))?;
        self.sets.push(AddFd { fd, set });
        Ok(set)
    }

    /// The firmware's code; its variables among the images, of which a raw one ends with the template.
    fn flash(&mut self, guest: &Wired, images: &mut BTreeMap<DiskSlot, Image>) -> Result<Option<FileSource>> {
        let vm = guest.vm();
        let files = firmware_files(vm, &self.facts).map_err(|refusal| refusal.into_error(OP))?;
        let Some(files) = files else { return Ok(None) };
        let path = flash::find(files.code)?;
        let code = File::open(&path).map_err(|error| fault::io(OP, path.display(), &error))?;
        let code = FileSource::Descriptor(self.lend(code.into())?);
        let template = flash::template(files)?;
        let slot = DiskSlot::new(DiskBus::Efi, 0).map_err(|error| Error::internal(OP, error.to_string()))?;
        if !images.contains_key(&slot) && files.variables.is_some() {
            let path = self.driver.dir(vm.vmid).path().join("efivars.fd");
            let file = flash::temporary(&path, &template).map_err(|error| fault::io(OP, path.display(), &error))?;
            images.insert(slot, Image::at(DiskFormat::Raw, FileSource::Descriptor(self.lend(file.into())?)));
        }
        if let Some(image) = images.get_mut(&slot) {
            image.size = Some(template.len() as u64).filter(|size| *size > 0);
        }
        Ok(Some(code))
    }

    /// What is in a drive: a volume, or a file or device of the host; an empty one has nothing.
    fn drive(&mut self, guest: &Wired, slot: DiskSlot, disk: &ResolvedDisk) -> Result<Option<Image>> {
        match (guest.volumes().get(&slot), &disk.host) {
            (Some(volume), _) => self.image(guest, slot, disk, &volume.access).map(Some),
            (None, Some(path)) => {
                let access = image::of_host(path, disk.options.format).map_err(|error| refused(slot, &error))?;
                let mut image = self.image(guest, slot, disk, &access)?;
                image.storage.is_cdrom_drive = disk.cdrom && image::is_cdrom_drive(path);
                Ok(Some(image))
            }
            (None, None) => Ok(None),
        }
    }

    fn image(&mut self, guest: &Wired, slot: DiskSlot, disk: &ResolvedDisk, access: &VolumeAccess) -> Result<Image> {
        let unknown = || Error::internal(OP, format!("{slot} is a volume without images"));
        let mut mode = OpenMode::of(&disk.options, disk.cdrom);
        if slot.bus() == DiskBus::Efi {
            // As its nodes have it.
            mode.direct = false;
            self.begin_variables(guest, access)?;
        }
        let chain = image::open_chain(access, mode).map_err(|error| refused(slot, &error))?;
        let mut parts = Vec::new();
        for (descriptor, shape) in chain.into_iter().map(OpenedFile::into_parts) {
            parts.push((shape, self.lend(descriptor)?));
        }
        image::nodes(parts.into_iter()).ok_or_else(unknown)
    }

    fn begin_variables(&self, guest: &Wired, access: &VolumeAccess) -> Result<()> {
        let files = firmware_files(guest.vm(), &self.facts).map_err(|refusal| refusal.into_error(OP))?;
        let (path, format) = match access {
            VolumeAccess::File { path, format, read_only: false, .. } => (path, *format),
            VolumeAccess::Block { path, read_only: false } => (path, DiskFormat::Raw),
            _ => return Ok(()),
        };
        let Some(files) = files else { return Ok(()) };
        flash::begin(path, format, &flash::template(files)?).map_err(|error| fault::io(OP, path.display(), &error))
    }

    /// The emulator of the TPM, and QEMU's connection to it.
    fn tpm(&mut self, guest: &Wired) -> Result<Option<(tpm::Prepared, PeerSocket)>> {
        let Some((slot, volume)) = guest.volumes().iter().find(|(slot, _)| slot.bus() == DiskBus::Tpm) else { return Ok(None) };
        let version = guest.vm().disks.get(slot).and_then(|disk| disk.options.tpm_version);
        let config = &self.driver.config;
        let (prepared, of_qemu) = tpm::Prepared::open(&volume.access, version, config.identity.as_ref(), &config.tools)?;
        Ok(Some((prepared, PeerSocket::Inherited(self.inherit(of_qemu)))))
    }

    fn nics(&mut self, guest: &Wired) -> Result<BTreeMap<NicIndex, NicBackend>> {
        let ports = guest.ports().iter();
        ports.map(|(index, port)| Ok((*index, self.nic(guest, *index, &port.port)?))).collect()
    }

    fn nic(&mut self, guest: &Wired, index: NicIndex, port: &Port) -> Result<NicBackend> {
        let interface = match &port.access {
            PortAccess::Tap { interface } => interface,
            PortAccess::User => return Ok(NicBackend::User),
            PortAccess::Memory => {
                return Err(Error::unsupported(OP, format!("{index}: its port is no interface that QEMU could open")));
            }
        };
        let queues = guest.vm().networks.get(&index).and_then(queues).unwrap_or(1);
        let opened = self.driver.open_tap(interface, queues).map_err(|error| fault::io(OP, interface, &error))?;
        let source = match opened {
            Some(opened) => TapSource::Descriptors(opened.into_iter().map(|queue| self.inherit(queue).to_string()).collect()),
            None => {
                check_tun(self.driver.config.identity.as_ref())?;
                TapSource::Interface(interface.to_string())
            }
        };
        Ok(NicBackend::Tap { source, mtu: port.mtu.map(u16::from) })
    }

    fn kernel(&mut self, kernel: &DirectKernel) -> Result<KernelFiles> {
        let has_identity = self.driver.config.identity.is_some();
        let mut open = |field: &str, path: &Path| -> Result<String> {
            let file = readable(path, has_identity);
            let file = file.map_err(|error| Error::field(OP, field, format!("{}: {error}", path.display())))?;
            Ok(format!("/dev/fd/{}", self.inherit(file.into())))
        };
        let files = KernelFiles {
            kernel: open("kernel", &kernel.kernel)?,
            initrd: kernel.initrd.as_deref().map(|path| open("initrd", path)).transpose()?,
        };
        Ok(files)
    }
}

fn refused(slot: DiskSlot, error: &ImageError) -> Error {
    let kind = match error {
        ImageError::Io { source, .. } if source.kind() == io::ErrorKind::NotFound => ErrorKind::NotFound,
        ImageError::Io { .. } => ErrorKind::Unavailable,
        ImageError::NotAnImage { .. } | ImageError::NotDirect { .. } | ImageError::TooLong { .. } => ErrorKind::FailedPrecondition,
        ImageError::NoFile => ErrorKind::Unsupported,
    };
    Error::new(kind, OP, format!("{slot}: {error}")).because(error)
}

/// A file that QEMU can open again by its descriptor. QEMU reads kernels by name only, and opening a descriptor's name
/// asks for the file's own permissions: one that its user lacks is copied into memory first.
fn readable(path: &Path, for_another: bool) -> io::Result<File> {
    const OTHERS_READ: u32 = 0o004;
    let mut file = File::open(path)?;
    let metadata = file.metadata()?;
    if !metadata.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a regular file"));
    }
    if !for_another || metadata.mode() & OTHERS_READ != 0 {
        return Ok(file);
    }
    let mut copy = File::from(rustix::fs::memfd_create("gpve-kernel", MemfdFlags::CLOEXEC)?);
    io::copy(&mut file, &mut copy)?;
    Ok(copy)
}

/// QEMU opens tap interfaces itself; where only root may, it says so in words that nobody understands.
fn check_tun(identity: Option<&Identity>) -> Result<()> {
    const OTHERS_USE: u32 = 0o006;
    let Some(identity) = identity else { return Ok(()) };
    let metadata = std::fs::metadata(TUN_DEVICE).map_err(|error| fault::io(OP, TUN_DEVICE, &error))?;
    let may = |bits: u32| metadata.mode() & bits == bits;
    let by_group = metadata.gid() == identity.gid || identity.groups.contains(&metadata.gid());
    if may(OTHERS_USE) || by_group && may(OTHERS_USE << 3) || metadata.uid() == identity.uid && may(OTHERS_USE << 6) {
        return Ok(());
    }
    let message = format!("user {} may not open {TUN_DEVICE}; as root: chmod 0666 {TUN_DEVICE} (udev's default)", identity.uid);
    Err(Error::new(ErrorKind::FailedPrecondition, OP, message))
}

/// io_uring where the kernel lets everyone use it, else threads, which work everywhere.
fn default_aio() -> Aio {
    match std::fs::read_to_string(IO_URING_SWITCH) {
        Ok(text) if text.trim() == "0" => Aio::IoUring,
        _ => Aio::Threads,
    }
}

fn describe(guest: &Wired, opened: &Opened, accelerator: Accelerator) -> (Detail, Vec<gpve_core::ports::PortId>) {
    let taps = guest.ports().values().filter_map(|port| match &port.port.access {
        PortAccess::Tap { interface } => Some(interface.to_string()),
        PortAccess::User | PortAccess::Memory => None,
    });
    let detail = Detail {
        vm: guest.vm().clone(),
        accelerator,
        default_aio: opened.host.default_aio,
        facts: opened.host.facts.clone(),
        limits: guest.limits().clone(),
        formats: opened.host.images.iter().map(|(slot, image)| (*slot, image.format.to_string())).collect(),
        taps: taps.collect(),
        tpm: None,
    };
    (detail, guest.ports().values().map(|port| port.port.id).collect())
}

fn start(driver: &Inner, cx: &OpCx, guest: &Wired, opened: Opened, dir: &RuntimeDir) -> Result<Started> {
    let composed = compose(guest.vm(), &opened.host).map_err(|refusal| refusal.into_error(OP))?;
    for warning in &composed.warnings {
        cx.log(format!("warning: {warning}"));
    }
    let (identity, tools) = (driver.config.identity.as_ref(), &driver.config.tools);
    // It ends by itself if QEMU does not start: the other end of its connection goes with `opened`.
    let tpm = opened.tpm.map(|tpm| tpm.start(dir, identity, tools)).transpose()?;
    let mut launch = Launch::new(Tool::QEMU_SYSTEM_X86_64).args(composed.arguments).log(opened.log).directory(dir.path());
    for (number, descriptor) in opened.descriptors {
        launch = launch.descriptor(number, descriptor);
    }
    if let Some(identity) = identity {
        launch = launch.identity(identity.clone());
    }
    let qemu = launch.spawn(tools).map_err(|error| fault::exec(OP, &error))?;
    Ok(Started { qemu, tpm })
}

/// Waits for QEMU's greeting, or says why there will be none.
async fn greet(dir: &RuntimeDir, process: &Process) -> Result<QmpClient> {
    let path = dir.qmp();
    let stream = UnixStream::connect(&path).await.map_err(|error| fault::io(OP, path.display(), &error))?;
    let options = Options { handshake_timeout: START_TIMEOUT, ..Options::default() };
    let greeted = tokio::select! {
        biased;
        greeted = QmpClient::over(stream, options) => greeted,
        _ = process.exited() => return Err(stillborn(dir, "ended at once")),
    };
    match greeted {
        Ok(client) => Ok(client),
        // It hung up: what it wrote says more than the socket.
        Err(error) if error.is_disconnected() => Err(stillborn(dir, "did not start")),
        Err(error) => Err(fault::qmp(OP, &error)),
    }
}

fn stillborn(dir: &RuntimeDir, what: &str) -> Error {
    let mut tail = dir.log_tail();
    if tail.contains("tpm-emulator") {
        tail.push_str(&format!(" (swtpm: {})", dir.tpm_log_tail()));
    }
    let message = if tail.is_empty() { format!("QEMU {what} and wrote nothing") } else { format!("QEMU {what}: {tail}") };
    Error::new(ErrorKind::FailedPrecondition, OP, message)
}
