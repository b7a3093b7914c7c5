use std::fmt::Write as _;
use std::fs::File;
use std::os::fd::AsRawFd as _;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use gpve_core::ports::OpCx;
use gpve_core::types::{ByteSize, DiskFormat, SnapName};
use gpve_exec::{ExecError, Invocation, Runner, Tool};
use serde::{Deserialize, Serialize};

use super::convert::{CopyCommand, CopyEnd};
use super::header::HeaderError;
use super::info::{ImageInfo, parse_info};
use super::progress::Progress;

/// How long a conversion may take when the operation has no deadline: 16 TiB at 200 MB/s take a day.
pub const CONVERT_DEADLINE: Duration = Duration::from_secs(24 * 3600);
/// Taking or dropping an internal snapshot rewrites reference counts: minutes for a large image on a slow disk.
const METADATA_DEADLINE: Duration = Duration::from_secs(600);

/// Why an image operation failed.
#[derive(Debug, thiserror::Error)]
pub enum ImageError {
    /// `qemu-img` did.
    #[error(transparent)]
    Tool(#[from] ExecError),
    /// The image's header is not acceptable.
    #[error(transparent)]
    Header(#[from] HeaderError),
}

/// How much space a new disk takes at once.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Preallocation {
    /// None: space is taken as the guest writes.
    #[default]
    Off,
    /// qcow2's tables, not the data.
    Metadata,
    /// All, by telling the file system.
    Falloc,
    /// All, by writing it.
    Full,
}

impl Preallocation {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Metadata => "metadata",
            Self::Falloc => "falloc",
            Self::Full => "full",
        }
    }
}

/// An image this process has open, with the images below it.
#[derive(Debug)]
pub struct ImageFile {
    layers: Vec<(File, DiskFormat)>,
}

impl ImageFile {
    /// An image without a backing file.
    pub fn new(file: File, format: DiskFormat) -> Self {
        Self { layers: vec![(file, format)] }
    }

    /// Adds the image below the lowest one so far.
    #[must_use]
    pub fn over(mut self, file: File, format: DiskFormat) -> Self {
        self.layers.push((file, format));
        self
    }

    /// The image itself.
    pub fn file(&self) -> &File {
        &self.layers[0].0
    }

    /// Its format.
    pub fn format(&self) -> DiskFormat {
        self.layers[0].1
    }

    /// The path under which `qemu-img` sees the image itself.
    pub fn path(&self) -> String {
        path_of(self.file()).display().to_string()
    }

    /// The whole chain for `--image-opts`. It names descriptors of this process, so no value needs escaping.
    fn options(&self) -> String {
        let mut options = String::new();
        for (depth, (file, format)) in self.layers.iter().enumerate() {
            let prefix = "backing.".repeat(depth);
            let is_file = file.metadata().is_ok_and(|metadata| metadata.is_file());
            let driver = if is_file { "file" } else { "host_device" };
            let path = path_of(file).display().to_string();
            let separator = if depth == 0 { "" } else { "," };
            // Writing to a String cannot fail.
            let _ = write!(options, "{separator}{prefix}driver={format},{prefix}file.driver={driver},{prefix}file.filename={path}");
        }
        options
    }
}

/// The path under which another process of the same user reaches a file of this one.
fn path_of(file: &File) -> PathBuf {
    PathBuf::from(format!("/proc/{}/fd/{}", std::process::id(), file.as_raw_fd()))
}

/// A qcow2 image to make.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewImage {
    /// Size that a guest sees.
    pub size: ByteSize,
    /// Space taken at once; nothing can be with a backing file.
    pub preallocation: Preallocation,
    /// Name and format of the image below, as they are to stand in the header.
    pub backing: Option<(String, DiskFormat)>,
}

/// A copy to make in another format.
#[derive(Debug, Clone, Copy)]
pub struct Conversion<'a> {
    /// What is copied.
    pub source: &'a ImageFile,
    /// Its state at this internal snapshot instead of now.
    pub snapshot: Option<&'a SnapName>,
    /// The file that is overwritten.
    pub target: &'a File,
    /// Its format.
    pub format: DiskFormat,
}

impl Conversion<'_> {
    /// The copy in `qemu-img`'s terms. The draft's bytes are made an image on the way.
    fn command(&self) -> CopyCommand {
        CopyCommand {
            source: CopyEnd::Options(self.source.options()),
            target: CopyEnd::Named { name: path_of(self.target).display().to_string(), format: self.format.as_str() },
            snapshot: self.snapshot.cloned(),
            target_exists: false,
            target_is_zero: false,
            source_is_uncached: false,
            target_is_uncached: false,
            limit_kib: None,
        }
    }
}

/// What to do with an internal snapshot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SnapshotAction {
    /// Take it.
    Take,
    /// Set the image back to it.
    Apply,
    /// Delete it.
    Delete,
}

/// `qemu-img` through a [`Runner`]. Every call is cancel safe in that `qemu-img` is killed; the file it wrote is
/// then in an unknown state.
#[derive(Debug, Clone)]
pub struct QemuImg {
    runner: Arc<dyn Runner>,
}

impl QemuImg {
    /// Runs it through `runner`.
    pub fn new(runner: Arc<dyn Runner>) -> Self {
        Self { runner }
    }

    /// Makes the empty `file` a qcow2 image.
    ///
    /// # Errors
    /// [`ImageError::Tool`].
    pub async fn create(&self, file: &File, image: &NewImage) -> Result<(), ImageError> {
        let mut run = command("create").args(["-q", "-f", "qcow2"]);
        match &image.backing {
            // `-u`: the name is relative to the image's place, which qemu-img is not told.
            Some((name, format)) => run = run.arg("-u").arg("-F").arg_value(format.as_str()).arg("-b").arg_value(name),
            None => run = run.arg("-o").option("preallocation=", image.preallocation.as_str()),
        }
        if image.preallocation == Preallocation::Full {
            run = run.deadline(CONVERT_DEADLINE);
        }
        self.run(run.path(&path_of(file)).operand(image.size.bytes().to_string())).await?;
        Ok(())
    }

    /// Copies an image, with its progress in the operation's log.
    ///
    /// # Errors
    /// [`ImageError::Tool`].
    pub async fn convert(&self, cx: &OpCx, conversion: &Conversion<'_>) -> Result<(), ImageError> {
        let run = conversion.command().invocation().deadline(CONVERT_DEADLINE);
        let (log, progress) = (cx.clone(), Mutex::new(Progress::default()));
        let run = run.watch_stdout(move |piece| {
            let percent = progress.lock().unwrap_or_else(PoisonError::into_inner).take(piece);
            if let Some(percent) = percent {
                log.log(format!("transferred {percent} %"));
            }
        });
        self.run(run).await?;
        Ok(())
    }

    /// Sets the virtual size of an image that no process has open. Smaller than it is, `qemu-img` refuses.
    ///
    /// # Errors
    /// [`ImageError::Tool`].
    pub async fn resize(&self, image: &ImageFile, size: ByteSize) -> Result<(), ImageError> {
        let run = command("resize").args(["-q", "--image-opts"]).deadline(METADATA_DEADLINE);
        self.run(run.operand(image.options()).operand(size.bytes().to_string())).await?;
        Ok(())
    }

    /// Takes, applies or deletes an internal snapshot of an image that no process has open.
    ///
    /// # Errors
    /// [`ImageError::Tool`].
    pub async fn snapshot(&self, image: &ImageFile, action: SnapshotAction, name: &SnapName) -> Result<(), ImageError> {
        let flag = match action {
            SnapshotAction::Take => "-c",
            SnapshotAction::Apply => "-a",
            SnapshotAction::Delete => "-d",
        };
        let run = command("snapshot").args(["-q", "--image-opts", flag]).deadline(METADATA_DEADLINE);
        self.run(run.arg_value(name.as_str()).operand(image.options())).await?;
        Ok(())
    }

    /// What `qemu-img` says of an image. Files that the image names are opened, so its header has to be checked first.
    ///
    /// # Errors
    /// [`ImageError::Tool`].
    pub async fn info(&self, image: &ImageFile) -> Result<ImageInfo, ImageError> {
        let output = self.run(command("info").args(["--output=json", "--image-opts"]).operand(image.options())).await?;
        parse_info(&output.stdout).map_err(|source| ImageError::Tool(ExecError::Output { tool: Tool::QEMU_IMG, source: Box::new(source) }))
    }

    async fn run(&self, invocation: Invocation) -> Result<gpve_exec::Output, ExecError> {
        self.runner.run(invocation).await?.require_success()
    }
}

fn command(name: &'static str) -> Invocation {
    Invocation::new(Tool::QEMU_IMG).arg(name)
}
