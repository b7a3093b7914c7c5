//! The guest that the demo and the tests boot: Debian's cloud kernel, busybox and the QEMU guest agent; as kernel and initrd, as a CD
//! and as a disk. Made once into the cache, from Debian packages, without root.

mod boot;
mod cpio;
mod initrd;
mod package;
#[cfg(test)]
mod tests;

use std::fs;
use std::path::{Path, PathBuf};

use crate::failure::{Context as _, Result};
use crate::place;
use crate::program::say;

/// What the guest's kernel is told: serial console, no timer check (it can panic under an emulated CPU on a busy host), and the end
/// instead of a hang after a panic.
pub(crate) const ARGUMENTS: &str = "console=ttyS0 no_timer_check quiet panic=-1";

/// The same for the machine type microvm, which under emulation has no timer to measure the clock's speed by.
const ARGUMENTS_MICROVM: &str = "console=ttyS0 no_timer_check tsc_early_khz=1000000 lpj=4000000 reboot=t quiet panic=-1";

/// Count up when the recipe changes in a way that its sources below do not show.
const RECIPE: u32 = 1;

/// The files of a guest image, all in one directory.
#[derive(Debug, Clone)]
pub(crate) struct Image {
    pub(crate) directory: PathBuf,
}

impl Image {
    fn at(directory: PathBuf) -> Self {
        Self { directory }
    }

    pub(crate) fn kernel(&self) -> PathBuf {
        self.directory.join("vmlinuz")
    }

    pub(crate) fn initrd(&self) -> PathBuf {
        self.directory.join("initrd")
    }

    /// Boots from a CD drive.
    pub(crate) fn cd(&self) -> PathBuf {
        self.directory.join("guest.iso")
    }

    /// Boots from a disk of any bus; a FAT file system without partitions that the guest can write.
    pub(crate) fn disk(&self) -> PathBuf {
        self.directory.join("guest.raw")
    }

    /// What others read: one JSON object of paths and the kernel's arguments.
    pub(crate) fn describe(&self) -> String {
        let text = |path: PathBuf| path.display().to_string();
        serde_json::json!({
            "directory": text(self.directory.clone()),
            "kernel": text(self.kernel()),
            "initrd": text(self.initrd()),
            "arguments": ARGUMENTS,
            "arguments_microvm": ARGUMENTS_MICROVM,
            "iso": text(self.cd()),
            "raw": text(self.disk()),
        })
        .to_string()
    }

    fn is_complete(&self) -> bool {
        self.directory.join("complete").is_file()
    }
}

/// The image, made first if the cache does not hold it. Two makers at a time do no harm: the first to finish wins.
pub(crate) fn image() -> Result<Image> {
    let guests = place::cache()?.join("guest");
    let image = Image::at(guests.join(key()));
    if !image.is_complete() {
        fs::create_dir_all(&guests)?;
        make(&guests, &image)?;
    }
    point_current_at(&guests, &image)?;
    Ok(image)
}

fn make(guests: &Path, image: &Image) -> Result {
    let work = guests.join(format!("making-{}", std::process::id()));
    let made = make_in(&work, image);
    // On success it was renamed away.
    let _ = fs::remove_dir_all(&work);
    made
}

fn make_in(work: &Path, image: &Image) -> Result {
    fs::create_dir_all(work).context(format!("cannot make {}", work.display()))?;
    let building = Image::at(work.join("image"));
    fs::create_dir_all(&building.directory)?;
    say("guest image: taking the kernel, busybox and the guest agent from Debian packages");
    initrd::write(work, &building)?;
    say("guest image: writing the CD and the disk");
    boot::write_cd(work, &building)?;
    boot::write_disk(work, &building)?;
    fs::write(building.directory.join("complete"), "")?;
    match fs::rename(&building.directory, &image.directory) {
        Err(_) if image.is_complete() => Ok(()),
        renamed => renamed.context(format!("cannot make {}", image.directory.display())),
    }
}

/// `current` in the cache names the image in use, so that tests find it without knowing the key.
fn point_current_at(guests: &Path, image: &Image) -> Result {
    let (current, fresh) = (guests.join("current"), guests.join(format!("current-{}", std::process::id())));
    if fs::read_link(&current).is_ok_and(|target| target == image.directory) {
        return Ok(());
    }
    std::os::unix::fs::symlink(&image.directory, &fresh)?;
    fs::rename(&fresh, &current).context(format!("cannot make {}", current.display()))
}

/// A name for everything that decides what the image is; the packages' versions are those of the day it was made.
fn key() -> String {
    let inputs = [initrd::recipe(), boot::recipe(), ARGUMENTS.to_owned(), RECIPE.to_string()].join("\0");
    // FNV-1a: tells recipes apart, defends against nobody.
    let hash = inputs.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
    format!("{hash:016x}")
}
