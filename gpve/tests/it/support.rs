use std::path::PathBuf;
use std::sync::Arc;

use gpve::Local;
use tempfile::TempDir;

/// A [`Local`] over a directory that goes with it.
pub(crate) struct Place {
    pub(crate) local: Local,
    directory: Arc<Directory>,
}

/// Guests that a failed test leaves behind end with it.
struct Directory(TempDir);

impl Drop for Directory {
    fn drop(&mut self) {
        let runs = std::fs::read_dir(self.0.path().join("run")).into_iter().flatten().flatten();
        for pid in runs.filter_map(|run| std::fs::read_to_string(run.path().join("pid")).ok()) {
            let pid = pid.trim().parse().ok().and_then(rustix::process::Pid::from_raw);
            let _gone = pid.map(|pid| rustix::process::kill_process(pid, rustix::process::Signal::KILL));
        }
    }
}

impl Place {
    pub(crate) async fn simulated() -> Self {
        Self::over(Arc::new(Directory(tempfile::tempdir().unwrap())), true).await
    }

    /// With real QEMU; `None`, with the reason printed, where there is none.
    pub(crate) async fn real(test: &str) -> Option<(Self, PathBuf)> {
        let Some(guest) = std::env::var_os("GPVE_GUEST").map(PathBuf::from) else {
            println!("SKIP {test}: GPVE_GUEST names no guest image");
            return None;
        };
        // A guest's user may look into its own directories only if it can reach them.
        let directory = tempfile::tempdir().unwrap();
        std::fs::set_permissions(directory.path(), std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
        Some((Self::over(Arc::new(Directory(directory)), false).await, guest))
    }

    async fn over(directory: Arc<Directory>, simulated: bool) -> Self {
        let local = Local::builder(directory.0.path()).simulated(simulated).open().await.unwrap();
        Self { local, directory }
    }

    /// Ends it and opens it anew over the same directory.
    pub(crate) async fn reopened(self, simulated: bool) -> Self {
        let Self { local, directory } = self;
        local.close().await;
        Self::over(directory, simulated).await
    }
}
