//! `cargo xtask demo`: a server with a running guest, from nothing.

mod server;

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::failure::{Context as _, Failure, Result};
use crate::guest::{self, Image};
use crate::needs::{self, Purpose};
use crate::program::{Program, say};
use crate::{place, suite};
use server::Server;

/// The demo's guest.
const GUEST: &str = "demo";

/// How long the guest may take to say that it is up: thirty times what it takes on an idle machine.
const BOOT_PATIENCE: Duration = Duration::from_secs(120);

/// How often a wait looks whether Ctrl-C was pressed.
const GLANCE: Duration = Duration::from_millis(100);

/// Runs the demo; with `once` only until the guest is up.
pub(crate) fn run(once: bool) -> Result {
    let stop = Arc::new(AtomicBool::new(false));
    for signal in [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM] {
        signal_hook::flag::register(signal, Arc::clone(&stop))?;
    }
    let outcome = play(once, &stop);
    if stop.load(Ordering::Relaxed) {
        say("stopped");
        return Ok(());
    }
    outcome
}

fn play(once: bool, stop: &AtomicBool) -> Result {
    let started = Instant::now();
    needs::install(&[Purpose::Build, Purpose::Guests])?;
    let image = guest::image()?;
    let programs = programs()?;
    let mut server = Server::start(programs)?;
    let proof = prove(&server, &image, stop);
    let served = proof.and_then(|()| {
        say(format!("the guest is up, {:.0} s after you asked", started.elapsed().as_secs_f32()));
        if once { Ok(()) } else { serve(&mut server, stop) }
    });
    // The guest goes first: a server that stops leaves its guests running.
    let removed = remove_guest(&server);
    server.stop()?;
    served.and(removed)
}

/// Builds the server as it is built quickest, unless `GPVE_BIN` names one, and gives the directory of its names.
fn programs() -> Result<PathBuf> {
    let program = match std::env::var_os("GPVE_BIN") {
        Some(program) => program.into(),
        None => build()?,
    };
    let links = place::cache()?.join("demo/bin");
    fs::create_dir_all(&links).context(links.display())?;
    Program::new(program).arg("link").arg(&links).quiet()?;
    Ok(links)
}

fn build() -> Result<PathBuf> {
    say("building the server (the first time takes some minutes)");
    let target = suite::target()?;
    let build = Program::cargo().args(["build", "--package", "gpve-daemon"]).env("CARGO_TARGET_DIR", &target).directory(place::root());
    build.run()?;
    Ok(target.join("debug/gpve"))
}

/// Makes and boots the guest through the API and waits for its console to say that it is up.
fn prove(server: &Server, image: &Image, stop: &AtomicBool) -> Result {
    server.log_in()?;
    // A demo that was killed leaves its guest; the server has adopted it by now.
    remove_guest(server)?;
    say("creating and starting the guest over the API");
    create_guest(server, image)?;
    server.ctl(&["vm", "start", GUEST]).run()?;
    say("its serial console:");
    follow_console(server, stop)
}

/// A guest that boots from the CD and has an empty disk, user-mode networking (which works on every host) and the agent's channel.
fn create_guest(server: &Server, image: &Image) -> Result {
    let cd = server.add_cd(&image.cd())?;
    let hardware = ["--cpu", "1", "--memory", "256Mi", "--disk", "size=1Gi,storage=local", "--network", "user", "--agent", "--cdrom", &cd];
    server.ctl(&["vm", "create", GUEST]).args(hardware).run()
}

fn remove_guest(server: &Server) -> Result {
    if server.ctl(&["vm", "show", GUEST]).quiet().is_err() {
        return Ok(());
    }
    say("removing the guest");
    server.ctl(&["vm", "delete", GUEST, "--force"]).quiet()
}

/// Shows the console until the guest says that it is up.
fn follow_console(server: &Server, stop: &AtomicBool) -> Result {
    let mut console = server.ctl(&["vm", "console", GUEST]).into_command();
    let mut console = console.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
    let output = console.stdout.take().ok_or_else(|| Failure::new("a piped stdout is missing"))?;
    let (sender, lines) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        for line in BufReader::new(output).split(b'\n').map_while(std::result::Result::ok) {
            if sender.send(String::from_utf8_lossy(&line).trim_end().to_owned()).is_err() {
                return;
            }
        }
    });
    let until = Instant::now() + BOOT_PATIENCE;
    let mut seen = Err(Failure::new(format!("the guest did not say within {} s that it is up", BOOT_PATIENCE.as_secs())));
    while Instant::now() < until && !stop.load(Ordering::Relaxed) {
        match lines.recv_timeout(GLANCE) {
            Ok(line) => {
                println!("  | {line}");
                if line.contains("gpve-guest up ") {
                    seen = Ok(());
                    break;
                }
            }
            Err(std::sync::mpsc::RecvTimeoutError::Timeout) => {}
            Err(std::sync::mpsc::RecvTimeoutError::Disconnected) => {
                seen = Err(Failure::new("the console ended before the guest was up"));
                break;
            }
        }
    }
    // It is only a viewer; the guest does not mind.
    let _ = console.kill();
    console.wait()?;
    seen
}

/// Says what can be done now, and waits for Ctrl-C.
fn serve(server: &mut Server, stop: &AtomicBool) -> Result {
    println!("{}", invitation(&server.url, &server.password, &server.programs, &server.settings()));
    while !stop.load(Ordering::Relaxed) {
        if let Some(status) = server.ended()? {
            return Err(Failure::new(format!("the server ended with {status}; its log is {}", server.log().display())));
        }
        std::thread::sleep(GLANCE);
    }
    Ok(())
}

fn invitation(url: &str, password: &str, programs: &Path, settings: &str) -> String {
    let ctl = format!("env {settings} {}", programs.join("gpvectl").display());
    format!(
        "
  The server is at {url}, the login is root@pam with the password {password}

  Next, in another terminal:
    alias gpvectl='{ctl}'
    gpvectl vm list
    gpvectl vm console {GUEST}                  # its shell; Ctrl-] leaves
    gpvectl vm snapshot create {GUEST} first
    gpvectl vm resize {GUEST} scsi0 +1Gi
    gpvectl vm show {GUEST} -o yaml

  Ctrl-C here removes the guest and stops the server.
"
    )
}
