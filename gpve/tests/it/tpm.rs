//! A guest's TPM, from the setting to what the guest has sealed: swtpm beside QEMU, its state on a volume.

use std::path::PathBuf;

use gpve::ErrorKind;
use gpve_api::client::VirtualMachines;
use gpve_api::v1::CloneRequest;
use serde_json::json;

use crate::life::bootable;
use crate::support::{Place, Screen};

/// A command that needs no authorization.
fn plain(code: u32, body: &[u8]) -> Vec<u8> {
    command(0x8001, code, &[], body)
}

/// A command about `handles` under the empty password of the first.
fn authorized(code: u32, handles: &[u32], body: &[u8]) -> Vec<u8> {
    let session = [&[0, 0, 0, 9][..], &0x4000_0009u32.to_be_bytes(), &[0, 0, 0, 0, 0]].concat();
    let handles: Vec<u8> = handles.iter().flat_map(|h| h.to_be_bytes()).collect();
    command(0x8002, code, &[handles, session].concat(), body)
}

fn command(tag: u16, code: u32, head: &[u8], body: &[u8]) -> Vec<u8> {
    let size = u32::try_from(10 + head.len() + body.len()).unwrap();
    [&tag.to_be_bytes()[..], &size.to_be_bytes(), &code.to_be_bytes(), head, body].concat()
}

/// Bytes with their length before them.
fn sized(bytes: &[u8]) -> Vec<u8> {
    [&u16::try_from(bytes.len()).unwrap().to_be_bytes()[..], bytes].concat()
}

/// Takes bytes with their length before them off the front.
fn take(bytes: &mut &[u8]) -> Vec<u8> {
    let (length, rest) = bytes.split_at(2);
    let (taken, rest) = rest.split_at(usize::from(u16::from_be_bytes(length.try_into().unwrap())));
    *bytes = rest;
    taken.to_vec()
}

/// What only the TPM that sealed it opens.
struct Sealed {
    private: Vec<u8>,
    public: Vec<u8>,
}

/// The TPM in a guest, spoken to through its console.
struct Tpm<'s>(&'s mut Screen);

impl Tpm<'_> {
    /// Sends a command; what the answer holds after its header, or the error that it is.
    async fn ask(&mut self, command: &[u8]) -> Result<Vec<u8>, u32> {
        let hex: String = command.iter().map(|byte| format!("{byte:02x}")).collect();
        // The device takes a command in one write and gives its answer to one read.
        let ask = format!("echo {hex} | xxd -r -p >/tmp/ask; cat /tmp/ask >&3; dd bs=4096 count=1 status=none <&3 >/tmp/answer");
        self.0.types(&format!("{ask}; echo \"answer$((1))=$(xxd -p /tmp/answer | tr -d '\\n');\"")).await;
        let said = self.0.sees("answer1=").await;
        let hex = self.0.sees(";").await;
        let byte = |n: usize| u8::from_str_radix(&hex[2 * n..2 * n + 2], 16).unwrap_or_else(|_| panic!("no answer: {said:?} {hex:?}"));
        let bytes: Vec<u8> = (0..hex.len() / 2).map(byte).collect();
        match u32::from_be_bytes(bytes.get(6..10).unwrap_or_else(|| panic!("no answer: {said:?} {hex:?}")).try_into().unwrap()) {
            0 => Ok(bytes[10..].to_vec()),
            code => Err(code),
        }
    }

    /// The key that the TPM derives from its seed: the same as long as its state is.
    async fn primary(&mut self) -> u32 {
        let area = [0, 0x23, 0, 0x0b, 0, 3, 0, 0x72, 0, 0, 0, 6, 0, 0x80, 0, 0x43, 0, 0x10, 0, 3, 0, 0x10, 0, 0, 0, 0];
        let body = [sized(&[0; 4]), sized(&area), sized(&[]), vec![0; 4]].concat();
        let made = self.ask(&authorized(0x131, &[0x4000_0001], &body)).await.expect("a primary key");
        u32::from_be_bytes(made[..4].try_into().unwrap())
    }

    async fn seal(&mut self, secret: &[u8]) -> Sealed {
        let parent = self.primary().await;
        let area = [0, 8, 0, 0x0b, 0, 0, 0, 0x52, 0, 0, 0, 0x10, 0, 0];
        let sensitive = [sized(&[]), sized(secret)].concat();
        let body = [sized(&sensitive), sized(&area), sized(&[]), vec![0; 4]].concat();
        let made = self.ask(&authorized(0x153, &[parent], &body)).await.expect("a sealed secret");
        let mut made = &made[4..];
        Sealed { private: take(&mut made), public: take(&mut made) }
    }

    /// The secret, or the TPM's refusal to load it.
    async fn unseal(&mut self, sealed: &Sealed) -> Result<Vec<u8>, u32> {
        let parent = self.primary().await;
        let body = [sized(&sealed.private), sized(&sealed.public)].concat();
        let loaded = self.ask(&authorized(0x157, &[parent], &body)).await?;
        let item = u32::from_be_bytes(loaded[..4].try_into().unwrap());
        let answer = self.ask(&authorized(0x15e, &[item], &[])).await?;
        Ok(take(&mut &answer[4..]))
    }
}

/// The emulators whose directory is the guest's: their process numbers.
fn emulators(machine: &str) -> Vec<i32> {
    let processes = std::fs::read_dir("/proc").unwrap().flatten();
    let numbers = processes.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    let is_ours = |pid: &i32| {
        let cmdline = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        let text = String::from_utf8_lossy(&cmdline).into_owned();
        text.split('\0').next().is_some_and(|program| program.ends_with("/swtpm")) && text.contains(machine)
    };
    numbers.filter(is_ours).collect()
}

struct Bench {
    place: Place,
    guest: PathBuf,
}

impl Bench {
    async fn or_skip(test: &str) -> Option<Self> {
        if !std::path::Path::new("/usr/bin/swtpm").exists() {
            println!("SKIP {test}: no swtpm (apt install swtpm)");
            return None;
        }
        let (place, guest) = Place::real(test).await?;
        Some(Self { place, guest })
    }

    fn machines(&self) -> VirtualMachines {
        self.place.local.client().virtual_machines("default")
    }

    async fn create(&self, name: &str, version: &str) {
        let mut machine = bootable(name, &self.guest);
        let state = json!({ "name": "tpmstate0", "source": { "new": { "storage": "local", "size": "4Mi" } }, "tpmVersion": version });
        machine["spec"]["disks"].as_array_mut().unwrap().push(state);
        self.machines().create(&machine).await.unwrap().job.await.unwrap();
    }

    /// Starts it; its console, with the TPM open under 3.
    async fn boot(&self, name: &str) -> Screen {
        self.machines().start(name).await.unwrap().await.unwrap();
        let mut screen = Screen::of(&self.machines(), name).await;
        screen.sees("gpve-guest up").await;
        screen.types("stty -echo; dmesg -n 1; exec 3<>/dev/tpm0; echo v$((1))=$(cat /sys/class/tpm/tpm0/tpm_version_major).").await;
        screen.sees("v1=").await;
        screen
    }

    async fn stop(&self, name: &str) {
        self.machines().stop(name).await.unwrap().await.unwrap();
        assert_eq!(emulators(&self.place.path()), Vec::<i32>::new(), "a stopped guest has no emulator");
    }

    /// Waits until the guest's status gives a reason, and tells it with the phase.
    async fn reason(&self, name: &str) -> (String, String) {
        let told = self.machines().wait_for(name, |m| m.status.reason.is_some()).await.unwrap();
        (told.status.phase.to_string(), told.status.reason.unwrap())
    }
}

#[tokio::test]
async fn a_tpm_unseals_what_it_sealed_before_the_guest_was_stopped_and_its_clone_does_too() {
    let test = "a_tpm_unseals_what_it_sealed_before_the_guest_was_stopped_and_its_clone_does_too";
    let Some(mut bench) = Bench::or_skip(test).await else { return };
    bench.create("web", "v2.0").await;
    let mut screen = bench.boot("web").await;
    assert_eq!(screen.sees(".").await, "2");
    assert_eq!(Tpm(&mut screen).ask(&plain(0x17b, &[0, 8])).await.unwrap().len(), 10, "eight random bytes");
    let sealed = Tpm(&mut screen).seal(b"a secret").await;
    assert_eq!(Tpm(&mut screen).unseal(&sealed).await.unwrap(), b"a secret");
    bench.stop("web").await;

    let copy = CloneRequest { name: Some("copy".parse().unwrap()), full: Some(true), ..CloneRequest::default() };
    bench.machines().clone_machine("web", &copy).await.unwrap().await.unwrap();
    bench.create("other", "v2.0").await;
    for (name, secret) in [("web", Some(&b"a secret"[..])), ("copy", Some(b"a secret")), ("other", None)] {
        let mut screen = bench.boot(name).await;
        assert_eq!(Tpm(&mut screen).unseal(&sealed).await.ok().as_deref(), secret, "{name}");
        drop(screen);
        bench.stop(name).await;
    }

    // It outlives whoever started it.
    drop(bench.boot("web").await);
    let before = emulators(&bench.place.path());
    bench.place = bench.place.reopened(false).await;
    assert_eq!((before.len(), emulators(&bench.place.path())), (1, before));
    let mut screen = Screen::of(&bench.machines(), "web").await;
    assert_eq!(Tpm(&mut screen).unseal(&sealed).await.unwrap(), b"a secret");
    bench.stop("web").await;
    bench.place.local.close().await;
}

#[tokio::test]
async fn a_tpm_whose_emulator_is_killed_is_told_and_a_guest_that_is_killed_takes_it_along() {
    let test = "a_tpm_whose_emulator_is_killed_is_told_and_a_guest_that_is_killed_takes_it_along";
    let Some(mut bench) = Bench::or_skip(test).await else { return };
    bench.create("web", "v1.2").await;
    let mut screen = bench.boot("web").await;
    assert_eq!(screen.sees(".").await, "1");
    kill(emulators(&bench.place.path())[0]);
    let (phase, reason) = bench.reason("web").await;
    assert_eq!(phase, "Running");
    assert!(reason.contains("tpmstate0") && reason.contains("start it again"), "{reason}");
    bench.place = bench.place.reopened(false).await;
    assert_eq!(bench.reason("web").await, (phase, reason), "it is known of an adopted guest");
    bench.stop("web").await;

    drop(bench.boot("web").await);
    let machine = bench.machines().get("web").await.unwrap();
    assert_eq!(machine.status.reason, None, "a new start has a new one");
    let vmid = machine.status.vmid.to_string();
    let pidfile = std::fs::read_to_string(std::path::Path::new(&bench.place.path()).join("run").join(&vmid).join("pid"));
    kill(pidfile.unwrap().trim().parse().unwrap());
    let (phase, reason) = bench.reason("web").await;
    assert_eq!((phase.as_str(), emulators(&bench.place.path())), ("Failed", vec![]), "{reason}");
    drop(bench.boot("web").await);
    bench.stop("web").await;
    bench.machines().delete("web", false).await.unwrap().await.unwrap();
    assert_eq!(bench.machines().get("web").await.unwrap_err().kind, ErrorKind::NotFound);
    bench.place.local.close().await;
}

fn kill(pid: i32) {
    let pid = rustix::process::Pid::from_raw(pid).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
}
