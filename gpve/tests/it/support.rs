use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use gpve::Local;
use gpve_api::client::VirtualMachines;
use gpve_core::ports::ByteStream;
use tempfile::TempDir;

use crate::life::PATIENCE;

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

    /// Where it is.
    pub(crate) fn path(&self) -> String {
        self.directory.0.path().to_string_lossy().into_owned()
    }

    /// Ends it and opens it anew over the same directory.
    pub(crate) async fn reopened(self, simulated: bool) -> Self {
        let Self { local, directory } = self;
        local.close().await;
        Self::over(directory, simulated).await
    }
}

/// A guest's serial console.
pub(crate) struct Screen {
    console: Box<dyn ByteStream>,
    seen: String,
}

impl Screen {
    pub(crate) async fn of(machines: &VirtualMachines, name: &str) -> Self {
        Self { console: machines.console(name, 0).await.unwrap(), seen: String::new() }
    }

    /// Reads until `text` comes; gives what came before it.
    pub(crate) async fn sees(&mut self, text: &str) -> String {
        let read = async {
            loop {
                if let Some((before, after)) = self.seen.split_once(text) {
                    let (before, after) = (before.to_owned(), after.to_owned());
                    self.seen = after;
                    return before;
                }
                let bytes = self.console.read().await.unwrap().expect("the console goes on");
                self.seen += &String::from_utf8_lossy(&bytes);
            }
        };
        let seen = tokio::time::timeout(PATIENCE, read).await;
        seen.unwrap_or_else(|_| panic!("no {text:?} on the console"))
    }

    pub(crate) async fn types(&mut self, line: &str) {
        self.console.write(Bytes::from(format!("{line}\n"))).await.unwrap();
    }
}
