use std::fs;
use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::OpenOptionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use crate::failure::{Context as _, Failure, Result};
use crate::program::{Program, say};
use crate::{needs, place};

/// How long a server may take to stop.
const STOP_PATIENCE: Duration = Duration::from_secs(30);

/// The running demo server. Its directory is kept, so that a demo that was killed can be cleaned up by the next.
pub(super) struct Server {
    child: Child,
    directory: PathBuf,
    /// Where `gpve-server` and `gpvectl` are.
    pub(super) programs: PathBuf,
    pub(super) url: String,
    pub(super) password: String,
}

impl Server {
    /// Initializes the directory unless it was before, starts the server and waits until it listens.
    pub(super) fn start(programs: PathBuf) -> Result<Self> {
        let directory = place::cache()?.join("demo");
        let password = password(&directory)?;
        let data = directory.join("data");
        let program = programs.join("gpve-server");
        if !data.join("server.db").exists() {
            say("initializing the server");
            Program::new(&program)
                .arg("init")
                .arg("--data-dir")
                .arg(&data)
                .arg("--password-file")
                .arg(directory.join("password"))
                .quiet()?;
        }
        stop_leftover(&directory, &data)?;
        say("starting the server");
        let log = directory.join("server.log");
        let stderr = fs::File::create(&log).context(log.display())?;
        let run = Program::new(&program).args(["run", "--listen", free_address(), "--node", "demo", "--data-dir"]).arg(&data);
        let run = run.arg("--runtime-dir").arg(runtime_directory(&directory));
        // A group of its own: Ctrl-C is for this task, which removes the guest before it stops the server.
        let mut child = run.into_command().process_group(0).stdout(Stdio::piped()).stderr(stderr).spawn()?;
        fs::write(directory.join("server.pid"), child.id().to_string())?;
        let stdout = child.stdout.take().ok_or_else(|| Failure::new("a piped stdout is missing"))?;
        let mut line = String::new();
        BufReader::new(stdout).read_line(&mut line)?;
        let told: serde_json::Value = serde_json::from_str(&line).unwrap_or_default();
        let mut server = Self { child, directory, programs, url: String::new(), password };
        match told["listening"][0].as_str() {
            Some(url) => url.clone_into(&mut server.url),
            None => {
                server.child.kill()?;
                server.child.wait()?;
                return Err(Failure::new(format!("the server did not start:\n{}", last_lines(&log))));
            }
        }
        Ok(server)
    }

    /// `gpvectl` with these arguments, logged in after [`log_in`](Self::log_in).
    pub(super) fn ctl(&self, arguments: &[&str]) -> Program {
        Program::new(self.programs.join("gpvectl")).args(arguments).env("GPVE_CREDENTIALS", self.session())
    }

    /// The same as a prefix for a shell.
    pub(super) fn settings(&self) -> String {
        format!("GPVE_CREDENTIALS={}", self.session().display())
    }

    pub(super) fn log_in(&self) -> Result {
        let ca = self.directory.join("data/pki/ca.crt").display().to_string();
        let password = self.directory.join("password").display().to_string();
        self.ctl(&["--server", &self.url, "--ca-file", &ca, "login", "--password-file", &password]).quiet()
    }

    /// Puts a CD image where the server's storage `local` finds it, and gives its volume id.
    pub(super) fn add_cd(&self, image: &Path) -> Result<String> {
        let directory = self.directory.join("data/storage/local/template/iso");
        fs::create_dir_all(&directory).context(directory.display())?;
        let name = "gpve-guest.iso";
        fs::copy(image, directory.join(name)).context(image.display())?;
        Ok(format!("local:iso/{name}"))
    }

    /// How it ended, if it did.
    pub(super) fn ended(&mut self) -> Result<Option<ExitStatus>> {
        Ok(self.child.try_wait()?)
    }

    pub(super) fn log(&self) -> PathBuf {
        self.directory.join("server.log")
    }

    /// Asks it to stop and waits until it has.
    pub(super) fn stop(mut self) -> Result {
        terminate(self.child.id())?;
        let status = self.child.wait()?;
        if status.success() { Ok(()) } else { Err(Failure::new(format!("the server ended with {status}:\n{}", last_lines(&self.log())))) }
    }

    fn session(&self) -> PathBuf {
        self.directory.join("credentials.json")
    }
}

fn terminate(pid: u32) -> Result {
    // The shell's own `kill`: a bare Debian has no program of that name.
    Program::new("sh").arg("-c").arg(format!("kill -TERM {pid}")).quiet()
}

/// A demo that was killed leaves its server; it ends here, and its guest is adopted by the next one.
fn stop_leftover(directory: &Path, data: &Path) -> Result {
    let Some(pid) = fs::read_to_string(directory.join("server.pid")).ok().and_then(|text| text.parse::<u32>().ok()) else { return Ok(()) };
    // The number may be somebody else's by now.
    let runs = || fs::read_to_string(format!("/proc/{pid}/cmdline")).is_ok_and(|line| line.contains(&*data.to_string_lossy()));
    if !runs() {
        return Ok(());
    }
    say("stopping the server that an earlier demo left");
    terminate(pid)?;
    let until = Instant::now() + STOP_PATIENCE;
    while runs() {
        if Instant::now() > until {
            return Err(Failure::new(format!("the server that an earlier demo left, process {pid}, does not stop")));
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    Ok(())
}

/// Where guests' sockets are: root's guests run as another user, who cannot look below root's home.
fn runtime_directory(directory: &Path) -> PathBuf {
    if needs::is_root() { PathBuf::from("/run/gpve-demo") } else { directory.join("run") }
}

/// The port that Proxmox's clients expect, unless somebody has it.
fn free_address() -> &'static str {
    const USUAL: &str = "127.0.0.1:8006";
    if std::net::TcpListener::bind(USUAL).is_ok() { USUAL } else { "127.0.0.1:0" }
}

/// The administrator's password of this demo directory, made once.
fn password(directory: &Path) -> Result<String> {
    fs::create_dir_all(directory).context(directory.display())?;
    let file = directory.join("password");
    if let Ok(password) = fs::read_to_string(&file) {
        return Ok(password.trim().to_owned());
    }
    let uuid = fs::read_to_string("/proc/sys/kernel/random/uuid")?;
    let password: String = uuid.chars().filter(char::is_ascii_hexdigit).take(16).collect();
    let mut options = fs::OpenOptions::new();
    let mut opened = options.write(true).create_new(true).mode(0o600).open(&file).context(file.display())?;
    std::io::Write::write_all(&mut opened, password.as_bytes())?;
    Ok(password)
}

fn last_lines(log: &Path) -> String {
    let text = fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(5)..].join("\n")
}
