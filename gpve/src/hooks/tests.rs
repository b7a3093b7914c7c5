use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::PathBuf;

use gpve_core::ports::HookPhase;
use gpve_core::testing::conformance::{self, HooksFixture};
use gpve_core::types::{DiskFormat, Vmid, VolumeId};
use gpve_exec::{System, Tools};

use super::*;

/// A storage's directory with snippets.
struct Snippets(tempfile::TempDir);

impl Snippets {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        std::fs::create_dir(directory.path().join("snippets")).unwrap();
        Self(directory)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join("snippets").join(name)
    }

    fn write(&self, name: &str, body: &str, mode: u32) -> (VolumeId, VolumeAccess) {
        std::fs::write(self.path(name), body).unwrap();
        std::fs::set_permissions(self.path(name), std::fs::Permissions::from_mode(mode)).unwrap();
        self.access(name)
    }

    fn access(&self, name: &str) -> (VolumeId, VolumeAccess) {
        let access = VolumeAccess::File { path: self.path(name), format: DiskFormat::Raw, read_only: true, backing: Vec::new() };
        (format!("local:snippets/{name}").parse().unwrap(), access)
    }
}

#[async_trait]
impl HooksFixture for Snippets {
    async fn ends(&self, status: i32) -> (VolumeId, VolumeAccess) {
        self.write("ends", &format!("#!/bin/sh\necho \"$1 $2\"\nexit {status}\n"), 0o700)
    }

    async fn hangs(&self) -> (VolumeId, VolumeAccess) {
        self.write("hangs", "#!/bin/sh\necho \"$1 $2\"\nexec tail -f /dev/null\n", 0o700)
    }
}

fn hooks() -> HostHooks {
    HostHooks::new(Arc::new(System::new(Tools::system())))
}

async fn refusal((script, access): (VolumeId, VolumeAccess)) -> Error {
    let run = HookRun { script, access, vmid: Vmid::MIN, phase: HookPhase::PreStart };
    hooks().run(&OpCx::background(), &run).await.unwrap_err()
}

#[tokio::test]
async fn scripts_of_the_host_keep_the_promises_of_the_port() {
    conformance::hooks(&hooks(), &Snippets::new()).await;
}

#[tokio::test]
async fn a_script_that_others_can_change_or_that_lies_elsewhere_is_not_run() {
    let snippets = Snippets::new();
    let elsewhere = snippets.0.path().join("elsewhere");
    std::fs::write(&elsewhere, "#!/bin/sh\n").unwrap();
    std::fs::set_permissions(&elsewhere, std::fs::Permissions::from_mode(0o700)).unwrap();
    symlink(&elsewhere, snippets.path("link")).unwrap();
    let linked = refusal(snippets.access("link")).await;
    assert!(linked.message.contains("link"), "{linked:?}");
    let plain = refusal(snippets.write("plain", "#!/bin/sh\n", 0o600)).await;
    assert!(plain.message.contains("chmod u+x"), "{plain:?}");
    let open = refusal(snippets.write("open", "#!/bin/sh\n", 0o720)).await;
    assert!(open.message.contains("others than root may change it"), "{open:?}");
    let (_, access) = snippets.ends(0).await;
    let other = refusal(("local:iso/ends.iso".parse().unwrap(), access)).await;
    assert!(other.message.contains("no snippet"), "{other:?}");
    let absent = refusal(snippets.access("absent")).await;
    assert!(absent.message.contains("No such file"), "{absent:?}");
}

#[tokio::test]
async fn the_last_line_is_told_wherever_it_was_printed_and_however_it_ended() {
    let snippets = Snippets::new();
    let failed = refusal(snippets.write("err", "#!/bin/sh\necho first\nprintf 'no disk' >&2\nexit 7\n", 0o700)).await;
    assert!(failed.message.contains("code 7") && failed.message.ends_with("no disk"), "{failed:?}");
    let killed = refusal(snippets.write("killed", "#!/bin/sh\nkill -9 $$\n", 0o700)).await;
    assert!(killed.message.contains("signal 9") && killed.message.ends_with("it printed nothing"), "{killed:?}");
    let broken = refusal(snippets.write("broken", "#!/nowhere/sh\n", 0o700)).await;
    assert_eq!(broken.kind, ErrorKind::FailedPrecondition, "{broken:?}");
}
