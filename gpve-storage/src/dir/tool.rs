//! The tool of this plugin is the file system, reached through a descriptor of the storage's directory.
//!
//! The kernel refuses to leave it: every name is opened with `openat2` beneath that descriptor, symbolic links not
//! followed. New files grow under a temporary name and appear under their own, whole, by a rename that never replaces.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use gpve_core::ports::ContentKind;
use rustix::fs::{
    AtFlags, CWD, Dir, FileType, FlockOperation, IFlags, Mode, OFlags, RenameFlags, ResolveFlags, StatVfs, StatxAttributes, StatxFlags,
};
use rustix::io::Errno;

use super::config::DirConfig;
use super::parse::{Place, subdirectory};

/// Files are root's; QEMU gets descriptors.
const FILE_MODE: u32 = 0o640;
/// A template's disk is written no more.
const BASE_MODE: u32 = 0o440;
const DIRECTORY_MODE: u32 = 0o755;
/// How many processes make files in one storage at a time: nodes that share it, and tools beside them.
const SESSIONS_MAX: u32 = 256;
/// How often a directory that another guest's deletion removes in between is made again.
const MAKE_ATTEMPTS_MAX: u32 = 8;
/// `openat2` gives up when directories are renamed meanwhile; the kernel's advice is to ask again.
const OPEN_ATTEMPTS_MAX: u32 = 32;

/// The directory of a storage, by its path. Everything else is done through a [`Root`].
#[derive(Debug)]
pub(super) struct Tree {
    path: PathBuf,
    is_mountpoint: bool,
    mkdir: bool,
    session: Mutex<Option<Session>>,
    drafts: AtomicU64,
}

/// The right to make temporary files, as a lock on a file of the storage. The lock ends with the process, and then
/// whoever comes next knows that the temporary files of this number are nobody's.
#[derive(Debug)]
struct Session {
    number: u32,
    /// Which directory it is of: another file system may be mounted at the path later.
    directory: (u64, u64),
    _lock: OwnedFd,
}

impl Tree {
    pub(super) fn new(config: &DirConfig) -> Self {
        Self {
            path: config.path.clone(),
            is_mountpoint: config.is_mountpoint,
            mkdir: config.mkdir && !config.is_mountpoint,
            session: Mutex::new(None),
            drafts: AtomicU64::new(0),
        }
    }

    /// Opens the storage's directory as it is now.
    pub(super) fn root(&self) -> io::Result<Root> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let fd = match rustix::fs::openat(CWD, &self.path, flags, Mode::empty()) {
            Err(Errno::NOENT) if self.mkdir => {
                std::fs::create_dir_all(&self.path)?;
                rustix::fs::openat(CWD, &self.path, flags, Mode::empty())?
            }
            opened => opened?,
        };
        if self.is_mountpoint {
            let facts = rustix::fs::statx(&fd, "", AtFlags::EMPTY_PATH, StatxFlags::BASIC_STATS)?;
            if !facts.stx_attributes.contains(StatxAttributes::MOUNT_ROOT) {
                let text = format!("nothing is mounted at {}", self.path.display());
                return Err(io::Error::new(io::ErrorKind::NotConnected, text));
            }
        }
        Ok(Root { fd })
    }

    /// The absolute path of a place, for whoever opens it later.
    pub(super) fn host_path(&self, place: &Place) -> PathBuf {
        self.path.join(place.relative())
    }

    /// Where an absolute path lies in this storage, if it does.
    pub(super) fn place_of(&self, path: &Path) -> Option<Place> {
        Place::of_path(path.strip_prefix(&self.path).ok()?.to_str()?).ok()
    }

    /// Begins a file in the directory of `place`, which is made when missing.
    pub(super) fn draft(&self, place: &Place) -> io::Result<Draft> {
        let root = self.root()?;
        let number = self.session_number(&root)?;
        let name = draft_name(number, self.drafts.fetch_add(1, Ordering::Relaxed));
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        for _ in 0..MAKE_ATTEMPTS_MAX {
            let directory = root.make_directory(&place.directory())?;
            match rustix::fs::openat(&directory, name.as_str(), flags, Mode::from_raw_mode(FILE_MODE)) {
                Ok(fd) => {
                    // The umask may have taken bits away.
                    rustix::fs::fchmod(&fd, Mode::from_raw_mode(FILE_MODE))?;
                    return Ok(Draft { root, place: place.clone(), directory, name, file: File::from(fd), is_published: false });
                }
                Err(Errno::NOENT) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(io::Error::from(Errno::NOENT))
    }

    /// Takes a session and removes what dead ones left, unless that was done.
    pub(super) fn prune(&self) -> io::Result<()> {
        self.session_number(&self.root()?).map(drop)
    }

    fn session_number(&self, root: &Root) -> io::Result<u32> {
        let mut session = self.session.lock().unwrap_or_else(PoisonError::into_inner);
        let stat = rustix::fs::fstat(&root.fd)?;
        let directory = (stat.st_dev, stat.st_ino);
        match &*session {
            Some(held) if held.directory == directory => Ok(held.number),
            _ => {
                let (number, lock) = root.begin_session()?;
                *session = Some(Session { number, directory, _lock: lock });
                Ok(number)
            }
        }
    }
}

fn lock_name(session: u32) -> String {
    format!(".gpve-{session}.lock")
}

fn draft_name(session: u32, number: u64) -> String {
    format!(".gpve-{session}-{number}.part")
}

/// The storage's directory, open.
#[derive(Debug)]
pub(super) struct Root {
    fd: OwnedFd,
}

impl Root {
    /// Space of the file system.
    pub(super) fn space(&self) -> io::Result<StatVfs> {
        Ok(rustix::fs::fstatvfs(&self.fd)?)
    }

    /// Opens a regular file for reading, or for writing too.
    pub(super) fn open(&self, place: &Place, writable: bool) -> io::Result<File> {
        let access = if writable { OFlags::RDWR } else { OFlags::RDONLY };
        // Without NONBLOCK a FIFO in the place of a file would hang this thread.
        let file = File::from(self.beneath(&place.relative(), access | OFlags::NONBLOCK | OFlags::NOCTTY)?);
        if file.metadata()?.is_file() { Ok(file) } else { Err(Errno::NOTDIR.into()) }
    }

    /// Names in a directory, without gpve's own temporary and lock files; empty when there is no such directory.
    pub(super) fn entries(&self, directory: &str) -> io::Result<Vec<Entry>> {
        let fd = match self.beneath(directory, OFlags::RDONLY | OFlags::DIRECTORY) {
            Err(Errno::NOENT) => return Ok(Vec::new()),
            opened => opened?,
        };
        let mut entries = Vec::new();
        for entry in Dir::read_from(&fd)? {
            let entry = entry?;
            let Ok(name) = entry.file_name().to_str() else { continue };
            if name.starts_with('.') {
                continue;
            }
            entries.push(Entry { name: name.to_owned(), kind: kind_of(&fd, name, entry.file_type())? });
        }
        Ok(entries)
    }

    /// Deletes a file and the guest's directory when that was its last; `false` if there was none.
    pub(super) fn remove(&self, place: &Place) -> io::Result<bool> {
        let directory = match self.beneath(&place.directory(), OFlags::PATH | OFlags::DIRECTORY) {
            Err(Errno::NOENT) => return Ok(false),
            opened => opened?,
        };
        let mut was_there = true;
        match rustix::fs::unlinkat(&directory, place.file_name(), AtFlags::empty()) {
            Err(Errno::NOENT) => was_there = false,
            // PVE marks its templates' disks immutable.
            Err(Errno::PERM) => {
                make_mutable(&self.open(place, false)?)?;
                rustix::fs::unlinkat(&directory, place.file_name(), AtFlags::empty())?;
            }
            done => done?,
        }
        if let Place::Disk(disk) = place {
            self.remove_empty_directory(&disk.vmid.to_string());
        }
        Ok(was_there)
    }

    /// Removes a guest's directory if nothing is in it. Whoever is about to make a file there makes it again.
    fn remove_empty_directory(&self, guest: &str) {
        if let Ok(images) = self.beneath(subdirectory(ContentKind::Images), OFlags::PATH | OFlags::DIRECTORY) {
            // Not empty is the usual case.
            let _ = rustix::fs::unlinkat(&images, guest, AtFlags::REMOVEDIR);
        }
    }

    /// Gives a disk its template name and takes the right to write away. Never replaces.
    pub(super) fn rename_to_base(&self, from: &Place, to: &Place) -> io::Result<()> {
        let file = self.open(from, false)?;
        let directory = self.beneath(&from.directory(), OFlags::RDONLY | OFlags::DIRECTORY)?;
        rustix::fs::fchmod(&file, Mode::from_raw_mode(BASE_MODE))?;
        rename_new(&directory, from.file_name(), to.file_name())?;
        Ok(rustix::fs::fsync(&directory)?)
    }

    fn beneath(&self, relative: &str, flags: OFlags) -> Result<OwnedFd, Errno> {
        beneath(&self.fd, relative, flags)
    }

    fn make_directory(&self, relative: &str) -> Result<OwnedFd, Errno> {
        let mut directory = self.beneath(".", OFlags::PATH | OFlags::DIRECTORY)?;
        for part in relative.split('/') {
            match rustix::fs::mkdirat(&directory, part, Mode::from_raw_mode(DIRECTORY_MODE)) {
                Ok(()) | Err(Errno::EXIST) => {}
                Err(error) => return Err(error),
            }
            directory = beneath(&directory, part, OFlags::RDONLY | OFlags::DIRECTORY)?;
        }
        Ok(directory)
    }

    /// Locks the first free session number; on the way, removes what those left whose process is dead.
    fn begin_session(&self) -> io::Result<(u32, OwnedFd)> {
        let mut ours = None;
        for number in 0..SESSIONS_MAX {
            let create = if ours.is_none() { OFlags::CREATE } else { OFlags::empty() };
            let flags = OFlags::RDWR | OFlags::CLOEXEC | OFlags::NOFOLLOW | create;
            let lock = match rustix::fs::openat(&self.fd, lock_name(number), flags, Mode::from_raw_mode(0o600)) {
                Err(Errno::NOENT) => break,
                opened => opened?,
            };
            match rustix::fs::flock(&lock, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => {
                    self.remove_drafts(number)?;
                    ours.get_or_insert((number, lock));
                }
                Err(Errno::WOULDBLOCK) => {}
                Err(error) => return Err(error.into()),
            }
        }
        ours.ok_or_else(|| io::Error::other("too many processes use this storage"))
    }

    fn remove_drafts(&self, session: u32) -> io::Result<()> {
        let (begin, end) = (format!(".gpve-{session}-"), ".part");
        let images = subdirectory(ContentKind::Images);
        let guests: Vec<_> = self.entries(images)?.into_iter().map(|guest| guest.name).collect();
        let of_guests = guests.iter().map(|guest| format!("{images}/{guest}"));
        let directories = ContentKind::ALL.into_iter().map(|content| subdirectory(content).to_owned()).chain(of_guests);
        for directory in directories {
            let Ok(fd) = self.beneath(&directory, OFlags::RDONLY | OFlags::DIRECTORY) else { continue };
            for entry in Dir::read_from(&fd)? {
                let entry = entry?;
                let is_draft = entry.file_name().to_str().is_ok_and(|name| name.starts_with(&begin) && name.ends_with(end));
                if is_draft {
                    rustix::fs::unlinkat(&fd, entry.file_name(), AtFlags::empty())?;
                    tracing::info!(%directory, name = ?entry.file_name(), "removed a file that a dead process left unfinished");
                }
            }
        }
        guests.iter().for_each(|guest| self.remove_empty_directory(guest));
        Ok(())
    }
}

/// A name in a directory.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) name: String,
    pub(super) kind: FileType,
}

/// A file that is being written. Dropped without [`publish`](Self::publish), it is gone.
#[derive(Debug)]
pub(super) struct Draft {
    root: Root,
    place: Place,
    directory: OwnedFd,
    name: String,
    file: File,
    is_published: bool,
}

impl Draft {
    pub(super) fn file(&self) -> &File {
        &self.file
    }

    /// Makes the bytes durable and gives the file the name of its place. Refuses a name that is taken.
    pub(super) fn publish(mut self) -> io::Result<()> {
        self.file.sync_all()?;
        rename_new(&self.directory, &self.name, self.place.file_name())?;
        self.is_published = true;
        Ok(rustix::fs::fsync(&self.directory)?)
    }

    /// As [`Self::publish`], in the place of the file that has the name: who has that open keeps it.
    pub(super) fn replace(mut self) -> io::Result<()> {
        self.file.sync_all()?;
        rustix::fs::renameat(&self.directory, &self.name, &self.directory, self.place.file_name())?;
        self.is_published = true;
        Ok(rustix::fs::fsync(&self.directory)?)
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        if self.is_published {
            return;
        }
        if let Err(error) = rustix::fs::unlinkat(&self.directory, self.name.as_str(), AtFlags::empty()) {
            tracing::warn!(name = %self.name, %error, "an unfinished file stays until the next start");
        }
        if let Place::Disk(disk) = &self.place {
            self.root.remove_empty_directory(&disk.vmid.to_string());
        }
    }
}

fn beneath(directory: impl AsFd, relative: &str, flags: OFlags) -> Result<OwnedFd, Errno> {
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS | ResolveFlags::NO_SYMLINKS;
    for _ in 0..OPEN_ATTEMPTS_MAX {
        match rustix::fs::openat2(&directory, relative, flags | OFlags::CLOEXEC, Mode::empty(), resolve) {
            Err(Errno::AGAIN) => {}
            opened => return opened,
        }
    }
    Err(Errno::AGAIN)
}

fn rename_new(directory: impl AsFd, from: &str, to: &str) -> Result<(), Errno> {
    match rustix::fs::renameat_with(&directory, from, &directory, to, RenameFlags::NOREPLACE) {
        // File systems without that flag (NFS) have hard links, which never replace either.
        Err(Errno::INVAL | Errno::NOSYS) => {
            rustix::fs::linkat(&directory, from, &directory, to, AtFlags::empty())?;
            rustix::fs::unlinkat(&directory, from, AtFlags::empty())
        }
        done => done,
    }
}

fn make_mutable(file: &File) -> Result<(), Errno> {
    let flags = rustix::fs::ioctl_getflags(file)?;
    rustix::fs::ioctl_setflags(file, flags.difference(IFlags::IMMUTABLE))
}

fn kind_of(directory: impl AsFd, name: &str, kind: FileType) -> Result<FileType, Errno> {
    if kind != FileType::Unknown {
        return Ok(kind);
    }
    match rustix::fs::statat(directory, name, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(stat) => Ok(FileType::from_raw_mode(stat.st_mode)),
        Err(Errno::NOENT) => Ok(FileType::Unknown),
        Err(error) => Err(error),
    }
}
