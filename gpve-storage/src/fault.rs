use std::io;

use gpve_core::error::{Error, ErrorKind};
use gpve_exec::ExecError;
use rustix::io::Errno;

use crate::image::{HeaderError, ImageError};

/// Why a step of a storage operation failed, before it is known in which operation and on what.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Fault {
    #[error("the file system refused it")]
    Io(#[from] io::Error),
    #[error(transparent)]
    Image(#[from] ImageError),
    #[error(transparent)]
    Refused(#[from] Error),
}

impl From<HeaderError> for Fault {
    fn from(error: HeaderError) -> Self {
        match error {
            HeaderError::Read(source) => Self::Io(source),
            other => Self::Image(other.into()),
        }
    }
}

impl From<Errno> for Fault {
    fn from(error: Errno) -> Self {
        Self::Io(error.into())
    }
}

impl From<ExecError> for Fault {
    fn from(error: ExecError) -> Self {
        Self::Image(error.into())
    }
}

impl Fault {
    /// The boundary error of operation `op` on `subject`.
    pub(crate) fn boundary(self, op: &str, subject: &str) -> Error {
        match self {
            Self::Io(source) => io_error(op, subject, &source),
            Self::Image(source) => image_error(op, subject, &source),
            Self::Refused(error) => match error.subject.is_empty() {
                true => error.on(subject),
                false => error,
            },
        }
    }
}

fn io_error(op: &str, subject: &str, source: &io::Error) -> Error {
    let error = |kind, text: &str| Error::new(kind, op, format!("{subject}: {text}")).on(subject).because(source);
    match Errno::from_io_error(source) {
        Some(Errno::NOENT) => Error::not_found(op, subject).because(source),
        Some(Errno::EXIST) => Error::already_exists(op, subject).because(source),
        Some(Errno::NOSPC | Errno::DQUOT) => error(ErrorKind::ResourceExhausted, "no space left on the storage"),
        Some(Errno::FBIG | Errno::INVAL) => error(ErrorKind::InvalidInput, "the storage's file system refuses this size or name"),
        Some(Errno::ROFS) => error(ErrorKind::FailedPrecondition, "the storage is mounted read-only"),
        Some(Errno::ACCESS | Errno::PERM) => error(ErrorKind::FailedPrecondition, "gpve may not do this in the storage's directory"),
        Some(Errno::XDEV | Errno::LOOP) => error(ErrorKind::PermissionDenied, "it leads through a symbolic link, which is not followed"),
        Some(Errno::NOTDIR | Errno::ISDIR) => error(ErrorKind::FailedPrecondition, "it is not a regular file"),
        Some(Errno::NOSYS) => error(ErrorKind::Unsupported, "the kernel has no openat2 (Linux 5.6)"),
        Some(Errno::IO | Errno::STALE | Errno::NOTCONN | Errno::HOSTDOWN | Errno::TIMEDOUT) => {
            error(ErrorKind::Unavailable, "the storage does not answer")
        }
        _ => error(ErrorKind::Internal, "the file system failed"),
    }
}

fn image_error(op: &str, subject: &str, source: &ImageError) -> Error {
    let kind = match source {
        ImageError::Header(HeaderError::Read(io)) => return io_error(op, subject, io),
        ImageError::Header(_) => ErrorKind::InvalidInput,
        ImageError::Tool(ExecError::ToolMissing { .. }) => ErrorKind::Unsupported,
        ImageError::Tool(ExecError::Deadline { .. }) => ErrorKind::Timeout,
        ImageError::Tool(_) => ErrorKind::Internal,
    };
    Error::new(kind, op, format!("{subject}: {source}")).on(subject).because(source)
}
