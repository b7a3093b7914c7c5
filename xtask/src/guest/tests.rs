use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use super::{ARGUMENTS, ARGUMENTS_MICROVM, Image, image};
use crate::program::{Program, find};

/// Ten times what a boot takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(120);

/// A running QEMU, its serial console on its stdin and stdout; killed when dropped.
struct Machine {
    qemu: Child,
    printed: Receiver<Vec<u8>>,
    unread: String,
    directory: PathBuf,
}

impl Machine {
    fn boot(name: &str, extra: &[&str]) -> Self {
        let directory = std::env::temp_dir().join(format!("gpve-xtask-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&directory).unwrap();
        let bus = if extra.contains(&"microvm") { "device" } else { "pci" };
        let socket = |name: &str| format!("path={},server=on,wait=off", directory.join(name).display());
        let mut qemu = Program::new("qemu-system-x86_64")
            .args(["-accel", "tcg", "-m", "256", "-display", "none", "-nodefaults", "-no-user-config", "-serial", "stdio"])
            .args(["-qmp", &format!("unix:{}", socket("qmp").trim_start_matches("path="))])
            .args(["-device", &format!("virtio-serial-{bus}"), "-chardev", &format!("socket,id=agent,{}", socket("agent"))])
            .args(["-device", "virtserialport,chardev=agent,name=org.qemu.guest_agent.0"])
            .args(extra)
            .into_command();
        let mut qemu = qemu.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let mut console = qemu.stdout.take().unwrap();
        let (sender, printed) = channel();
        std::thread::spawn(move || {
            let mut chunk = [0; 4096];
            while let Ok(count @ 1..) = console.read(&mut chunk) {
                if sender.send(chunk[..count].to_vec()).is_err() {
                    return;
                }
            }
        });
        let mut machine = Self { qemu, printed, unread: String::new(), directory };
        machine.expect("gpve-guest up ");
        machine.expect("gpve-guest# ");
        machine.command("stty -echo", "");
        machine
    }

    /// Reads the console until `wanted` and gives what came before.
    fn expect(&mut self, wanted: &str) -> String {
        let until = Instant::now() + PATIENCE;
        loop {
            if let Some(at) = self.unread.find(wanted) {
                let before = self.unread[..at].to_owned();
                self.unread.drain(..at + wanted.len());
                return before;
            }
            match self.printed.recv_timeout(until.saturating_duration_since(Instant::now())) {
                Ok(chunk) => self.unread.push_str(&String::from_utf8_lossy(&chunk)),
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => panic!("no {wanted:?} in {:?}", self.unread),
            }
        }
    }

    fn command(&mut self, line: &str, wanted: &str) {
        writeln!(self.qemu.stdin.as_mut().unwrap(), "{line}").unwrap();
        self.expect(wanted);
        self.expect("gpve-guest# ");
    }

    /// Sends JSON lines and gives the answer to the last.
    fn ask(&self, socket: &str, greets: bool, lines: &[&str]) -> String {
        let stream = UnixStream::connect(self.directory.join(socket)).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let (mut reader, mut answer) = (BufReader::new(&stream), String::new());
        if greets {
            reader.read_line(&mut answer).unwrap();
        }
        for line in lines {
            answer.clear();
            writeln!(&stream, "{line}").unwrap();
            reader.read_line(&mut answer).unwrap();
        }
        answer
    }

    fn must_end(mut self) {
        let until = Instant::now() + PATIENCE;
        while self.qemu.try_wait().unwrap().is_none() {
            assert!(Instant::now() < until, "the guest does not power off");
            std::thread::sleep(Duration::from_millis(5));
        }
        assert!(self.qemu.wait().unwrap().success());
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        let _ = self.qemu.kill();
        let _ = self.qemu.wait();
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}

fn ready(test: &str) -> Option<Image> {
    for program in ["qemu-system-x86_64", "xorriso", "apt-get"] {
        if find(program).is_none() {
            println!("SKIP {test}: {program} is not installed");
            return None;
        }
    }
    Some(image().unwrap())
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

#[test]
fn the_kernel_boots_the_initrd_and_its_agent_and_power_button_work() {
    let Some(image) = ready("the_kernel_boots_the_initrd_and_its_agent_and_power_button_work") else { return };
    let (kernel, initrd) = (image.kernel(), image.initrd());
    let machine = Machine::boot("kernel", &["-kernel", text(&kernel), "-initrd", text(&initrd), "-append", ARGUMENTS]);
    assert_eq!(machine.ask("agent", false, &[r#"{"execute":"guest-ping"}"#]).trim(), r#"{"return": {}}"#);
    let powerdown = [r#"{"execute":"qmp_capabilities"}"#, r#"{"execute":"system_powerdown"}"#];
    machine.ask("qmp", true, &powerdown);
    machine.must_end();
}

#[test]
fn the_disk_boots_and_keeps_what_the_guest_writes() {
    let Some(image) = ready("the_disk_boots_and_keeps_what_the_guest_writes") else { return };
    let disk = std::env::temp_dir().join(format!("gpve-xtask-disk-{}.raw", std::process::id()));
    std::fs::copy(image.disk(), &disk).unwrap();
    let drive = format!("file={},format=raw,if=none,id=disk", disk.display());
    let scsi = ["-drive", &drive, "-device", "virtio-scsi-pci", "-device", "scsi-hd,drive=disk"];
    let mut machine = Machine::boot("disk", &scsi);
    machine.command("gpve-get note", "gpve-get: none");
    machine.command("gpve-put note kept", "gpve-put: note written to /dev/sda");
    machine.command("gpve-get note", "gpve-get: kept");
    writeln!(machine.qemu.stdin.as_mut().unwrap(), "reboot").unwrap();
    machine.expect("gpve-guest up ");
    machine.expect("gpve-guest# ");
    machine.command("gpve-get note", "gpve-get: kept");
    writeln!(machine.qemu.stdin.as_mut().unwrap(), "poweroff").unwrap();
    machine.must_end();
    std::fs::remove_file(disk).unwrap();
}

#[test]
fn the_cd_boots_and_a_blank_disk_beside_it_is_seen_and_formatted() {
    let Some(image) = ready("the_cd_boots_and_a_blank_disk_beside_it_is_seen_and_formatted") else { return };
    let disk = std::env::temp_dir().join(format!("gpve-xtask-blank-{}.raw", std::process::id()));
    std::fs::File::create(&disk).unwrap().set_len(32 << 20).unwrap();
    let (cd, blank) =
        (format!("file={},format=raw,media=cdrom,readonly=on", text(&image.cd())), format!("file={},format=raw,if=virtio", text(&disk)));
    let mut machine = Machine::boot("cd", &["-machine", "pc", "-drive", &cd, "-drive", &blank, "-boot", "d"]);
    machine.command("gpve-info", "disks=vda:33554432 ");
    machine.command("gpve-put note kept", "written to /dev/vda");
    machine.command("gpve-get note", "gpve-get: kept");
    assert!(machine.ask("agent", false, &[r#"{"execute":"guest-get-osinfo"}"#]).contains("gpve demo and test guest"));
    writeln!(machine.qemu.stdin.as_mut().unwrap(), "poweroff").unwrap();
    machine.must_end();
    std::fs::remove_file(disk).unwrap();
}

#[test]
fn a_microvm_boots() {
    let Some(image) = ready("a_microvm_boots") else { return };
    let (kernel, initrd) = (image.kernel(), image.initrd());
    let boot = ["-machine", "microvm", "-kernel", text(&kernel), "-initrd", text(&initrd), "-append", ARGUMENTS_MICROVM];
    let mut machine = Machine::boot("microvm", &boot);
    machine.command("gpve-info", "cpus=1");
    assert_eq!(machine.ask("agent", false, &[r#"{"execute":"guest-ping"}"#]).trim(), r#"{"return": {}}"#);
}
