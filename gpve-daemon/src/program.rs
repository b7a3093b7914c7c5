//! The command line of the server.

mod manual;
mod readiness;

use std::io::{BufRead, IsTerminal};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use clap::{Args, Parser, Subcommand};
use gpve_api::error::wire as table;
use gpve_auth::Secret;
use gpve_core::clock::SystemClock;
use gpve_core::error::{Error, ErrorKind, Result};
use gpve_core::ports::Clock;
use gpve_core::types::NodeName;
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::config::{self, AgentSettings, DirSetting, Loaded, Settings};
use crate::setup::{self, Layout};
use crate::wire::{self, NodeOptions, Scrape, ServerOptions};

pub use manual::reference;

/// Ports of Proxmox VE's dialect and of the native one; the same router answers on both.
const DEFAULT_PORTS: [u16; 2] = [8006, 8443];
/// Port of the figures for Prometheus.
const DEFAULT_METRICS_PORT: u16 = 9090;

/// gpve: virtual machines, by a server with an API, an agent without one, and a command line.
#[derive(Debug, Parser)]
#[command(name = "gpve", version, propagate_version = true)]
struct Program {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// The server (also as `gpve-server`).
    Server {
        #[command(subcommand)]
        command: ServerCommand,
    },
    /// The command line of users (also as `gpvectl`); see `gpvectl --help`.
    Ctl,
    /// The node engine alone, without API (also as `gpve-agent`).
    Agent {
        #[command(subcommand)]
        command: AgentCommand,
    },
    /// Make the links gpve-server, gpve-agent and gpvectl in a directory.
    Link {
        /// Where.
        directory: PathBuf,
    },
    /// Write manual pages and completions below a directory, for whoever makes a package.
    #[command(hide = true)]
    Manual {
        /// Where.
        directory: PathBuf,
    },
}

#[derive(Debug, Subcommand)]
enum ServerCommand {
    /// Make the data directory, certificates and the administrator root@pam.
    Init(Init),
    /// Run the server until it is asked to stop; guests keep running after it.
    Run(Run),
}

#[derive(Debug, Subcommand)]
enum AgentCommand {
    /// Keep this host's guests: take them up after a restart, see them end, finish or undo interrupted work.
    Run(AgentRun),
}

/// What the server and the agent are told alike about their host.
#[derive(Debug, Args)]
struct Host {
    /// The data directory.
    #[arg(long, default_value = "/var/lib/gpve")]
    data_dir: PathBuf,
    /// Everything in memory: no QEMU, no disks, no bridges. For trying out and for tests.
    #[arg(long)]
    sim: bool,
    /// The user that guests run as, when this program is root.
    #[arg(long, default_value = "nobody")]
    guest_user: String,
    /// Where guests' sockets are.
    #[arg(long, default_value = "/run/gpve/qemu")]
    runtime_dir: PathBuf,
}

#[derive(Debug, Args)]
struct AgentRun {
    /// An `AgentConfiguration`.
    #[arg(long, default_value = "/etc/gpve/agent.yaml")]
    config: PathBuf,
    #[command(flatten)]
    host: Host,
}

#[derive(Debug, Args)]
struct Init {
    /// The data directory.
    #[arg(long, default_value = "/var/lib/gpve")]
    data_dir: PathBuf,
    /// A configuration file to be checked now and named by the hint at the end.
    #[arg(long)]
    config: Option<PathBuf>,
    /// Name of the cluster, shown in its certificate authority.
    #[arg(long, default_value = "gpve")]
    cluster_name: String,
    /// Read the administrator's password from this file, `-` for standard input; otherwise a random one is printed.
    #[arg(long)]
    password_file: Option<PathBuf>,
    /// Further names and addresses that the server's certificate is for.
    #[arg(long = "name")]
    names: Vec<String>,
}

#[derive(Debug, Args)]
struct Run {
    #[command(flatten)]
    host: Host,
    /// The configuration file; otherwise the first one in /etc/gpve, if there is one.
    #[arg(long)]
    config: Option<PathBuf>,
    /// Where to listen; may be repeated. Otherwise what the configuration says, or ports 8006 and 8443.
    #[arg(long)]
    listen: Vec<SocketAddr>,
    /// Where Prometheus scrapes. Otherwise what the configuration says, or port 9090 of this host only.
    #[arg(long)]
    metrics_listen: Option<SocketAddr>,
    /// Answer 404 instead of Proxmox VE's 500 for a guest that does not exist; the text is the same.
    #[arg(long)]
    missing_guest_404: bool,
    /// This node's name; the host's unless given.
    #[arg(long)]
    node: Option<NodeName>,
    /// The directory of the storage `local`; below the data directory unless given.
    #[arg(long)]
    local_storage: Option<PathBuf>,
}

impl Host {
    fn node(self, node: NodeName, storages: Vec<DirSetting>) -> NodeOptions {
        NodeOptions {
            node,
            simulated: self.sim,
            guest_user: self.guest_user,
            runtime_root: self.runtime_dir,
            storages,
            layout: Layout::new(&self.data_dir),
        }
    }
}

/// Runs the program under the name it was called by.
pub fn main() -> ExitCode {
    // Before anything can make a TLS session: two libraries must not guess the provider.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let called = std::env::args_os().next().map(PathBuf::from);
    let name = called.as_deref().and_then(|p| p.file_name()).and_then(|n| n.to_str()).unwrap_or("gpve");
    let mut arguments: Vec<std::ffi::OsString> = std::env::args_os().collect();
    // The command line as `gpve` has it: the program's own name may stand for the first word.
    match (name, arguments.get(1).and_then(|a| a.to_str())) {
        ("gpvectl", _) => return crate::ctl::main(arguments),
        (_, Some("ctl")) => return crate::ctl::main(arguments.split_off(1)),
        ("gpve-server", _) => arguments.insert(1, "server".into()),
        ("gpve-agent", _) => arguments.insert(1, "agent".into()),
        _ => {}
    }
    let program = match Program::try_parse_from(arguments) {
        Ok(program) => program,
        Err(e) => e.exit(),
    };
    match run(program.command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("error: {}", e.report());
            ExitCode::from(table(e.kind).exit)
        }
    }
}

fn run(command: Command) -> Result<()> {
    let runtime = || tokio::runtime::Runtime::new().map_err(|e| Error::internal("start", e.to_string()));
    match command {
        Command::Ctl => Err(Error::internal("gpvectl", "this is dispatched before")),
        Command::Link { directory } => link(&directory),
        Command::Manual { directory } => manual::write(&directory),
        Command::Server { command: ServerCommand::Init(init) } => runtime()?.block_on(initialize(init)),
        Command::Server { command: ServerCommand::Run(run) } => {
            let settings = settings(run.config.as_deref())?;
            log_as_json(&settings)?;
            runtime()?.block_on(serve(run, settings))
        }
        Command::Agent { command: AgentCommand::Run(run) } => {
            let agent = agent_settings(&run.config)?;
            log_as_json(&agent.settings)?;
            runtime()?.block_on(keep_guests(run, agent))
        }
    }
}

fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

/// What the server's configuration says; without one, nothing.
fn settings(file: Option<&Path>) -> Result<Settings> {
    let Some(path) = file.map(Path::to_owned).or_else(|| config::find(Path::new("/etc/gpve"))) else {
        return Ok(Settings::default());
    };
    match config::load(&path, &variable)? {
        Loaded::Server(settings) => Ok(*settings),
        // The agent's file is not the server's, unless somebody says so.
        Loaded::Agent(_) if file.is_none() => Ok(Settings::default()),
        Loaded::Agent(_) => Err(Error::field("run", "config", format!("{} is of an agent: use 'gpve-agent run'", path.display()))),
    }
}

fn agent_settings(path: &Path) -> Result<AgentSettings> {
    match config::load(path, &variable)? {
        Loaded::Agent(agent) => Ok(*agent),
        Loaded::Server(_) => Err(Error::field("run", "config", format!("{} is of a server: use 'gpve-server run'", path.display()))),
    }
}

fn link(directory: &Path) -> Result<()> {
    let failed = |e: std::io::Error| Error::new(ErrorKind::Unavailable, "link", format!("{}: {e}", directory.display()));
    let program = std::env::current_exe().map_err(failed)?;
    for name in ["gpve-server", "gpve-agent", "gpvectl"] {
        let target = directory.join(name);
        match std::fs::remove_file(&target) {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => return Err(failed(e)),
            Ok(()) | Err(_) => {}
        }
        std::os::unix::fs::symlink(&program, &target).map_err(failed)?;
    }
    Ok(())
}

/// Logs as lines of JSON. `GPVE_LOG` goes before the configuration.
fn log_as_json(settings: &Settings) -> Result<()> {
    let level = settings.log_level.as_deref().unwrap_or("info");
    let filter = tracing_subscriber::EnvFilter::try_from_env("GPVE_LOG").unwrap_or_else(|_| level.into());
    let log = tracing_subscriber::fmt().json().flatten_event(true).with_env_filter(filter);
    match &settings.log_file {
        None => log.with_writer(std::io::stderr).init(),
        Some(path) => {
            let failed = |e: std::io::Error| Error::new(ErrorKind::Unavailable, "log", format!("{}: {e}", path.display()));
            let file = std::fs::OpenOptions::new().append(true).create(true).open(path).map_err(failed)?;
            log.with_writer(std::sync::Mutex::new(file)).init();
        }
    }
    for key in &settings.without_effect {
        tracing::warn!(key, "the configuration has a key that this version has no use for");
    }
    Ok(())
}

fn host_name() -> String {
    let name = rustix::system::uname().nodename().to_string_lossy().into_owned();
    name.split('.').next().unwrap_or("localhost").to_owned()
}

async fn initialize(init: Init) -> Result<()> {
    if let Some(path) = &init.config {
        config::load(path, &variable)?;
    }
    let layout = Layout::new(&init.data_dir);
    setup::make_directories(&layout)?;
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    let store = gpve::open_store(&layout.path("server.db"), &clock).await?;
    let given = init.password_file.as_deref().map(read_password).transpose()?;
    let password = given.clone().unwrap_or_else(setup::random_password);
    let mut names = vec![host_name(), "localhost".to_owned(), "127.0.0.1".to_owned(), "::1".to_owned()];
    names.extend(init.names);
    setup::init(&layout, store.as_ref(), &init.cluster_name, &names, &password).await?;
    println!("data directory  {}", init.data_dir.display());
    println!("authority       {}", layout.path("pki/ca.crt").display());
    println!("certificate of  {}", names.join(", "));
    println!("administrator   root@pam");
    match given {
        Some(_) => println!("password        as given"),
        None => println!("password        {}   (shown once: keep it)", password.expose()),
    }
    println!("next            gpve-server run --data-dir {}", init.data_dir.display());
    Ok(())
}

fn read_password(path: &Path) -> Result<Secret<String>> {
    let failed = |e: std::io::Error| Error::field("init", "password-file", format!("{}: {e}", path.display()));
    let text = if path == Path::new("-") {
        if std::io::stdin().is_terminal() {
            eprint!("password for root@pam: ");
        }
        let mut line = String::new();
        std::io::stdin().lock().read_line(&mut line).map_err(failed)?;
        line
    } else {
        std::fs::read_to_string(path).map_err(failed)?
    };
    Ok(Secret::new(text.trim_end_matches(['\r', '\n']).to_owned()))
}

async fn serve(run: Run, settings: Settings) -> Result<()> {
    let layout = Layout::new(&run.host.data_dir);
    if !layout.is_initialized() {
        let dir = run.host.data_dir.display();
        return Err(Error::precondition("run", format!("{dir} is not initialized: run 'gpve-server init --data-dir {dir}' first")));
    }
    let listen = [run.listen, settings.listen.clone()].into_iter().find(|l| !l.is_empty());
    let options = ServerOptions {
        node: run.host.node(node_name(run.node, settings.node.as_deref())?, storages(&layout, run.local_storage, settings.storages)),
        listen: listen.unwrap_or_else(|| DEFAULT_PORTS.map(|port| (Ipv6Addr::UNSPECIFIED, port).into()).into()),
        metrics: match run.metrics_listen.or(settings.metrics) {
            Some(address) => Scrape::At(address),
            None if settings.metrics_off => Scrape::Nowhere,
            None => Scrape::IfFree((Ipv4Addr::LOCALHOST, DEFAULT_METRICS_PORT).into()),
        },
        tls: settings.tls,
        missing_guest_status: if run.missing_guest_404 { 404 } else { 500 },
    };
    let server = wire::serve(&options).await?;
    let signals = Signals::new()?;
    // One line for programs that start us: everything else goes to the log.
    let addresses: Vec<String> = server.listening.addresses.iter().map(|a| format!("https://{a}")).collect();
    let metrics = server.metrics().map(|a| format!("http://{a}/metrics"));
    println!("{}", serde_json::json!({ "listening": addresses, "metrics": metrics, "node": options.node.node, "pid": std::process::id() }));
    readiness::tell();
    signals.wait().await;
    tracing::info!("stopping; guests keep running");
    server.stop().await;
    Ok(())
}

/// The node engine by itself. It takes no new work: that comes from a server, and the agent's own connection to one comes
/// with clusters. What it has, it keeps.
async fn keep_guests(run: AgentRun, agent: AgentSettings) -> Result<()> {
    if let Some(server) = &agent.server {
        tracing::warn!(server, "joining a server is not possible in this version: this host's guests are kept, nothing new is accepted");
    }
    let layout = Layout::new(&run.host.data_dir);
    setup::make_directories(&layout)?;
    let options = run.host.node(node_name(None, agent.settings.node.as_deref())?, storages(&layout, None, agent.settings.storages));
    let signals = Signals::new()?;
    let node = wire::node(&options, &(Arc::new(SystemClock::new()) as Arc<dyn Clock>)).await?;
    println!("{}", serde_json::json!({ "node": options.node, "pid": std::process::id() }));
    readiness::tell();
    signals.wait().await;
    tracing::info!("stopping; guests keep running");
    node.close();
    Ok(())
}

fn node_name(switch: Option<NodeName>, configured: Option<&str>) -> Result<NodeName> {
    if let Some(name) = switch {
        return Ok(name);
    }
    let name = configured.map_or_else(host_name, str::to_owned);
    name.parse().map_err(|e: gpve_core::types::TextError| Error::field("run", "node", format!("{e}: name it with --node")))
}

/// The storages of the configuration; without any, `local` below the data directory.
fn storages(layout: &Layout, local: Option<PathBuf>, configured: Vec<DirSetting>) -> Vec<DirSetting> {
    let has_local = configured.iter().any(|s| s.name == "local");
    let path = match local {
        None if !configured.is_empty() => return configured,
        given => given.unwrap_or_else(|| layout.path("storage/local")),
    };
    let local = DirSetting { name: "local".to_owned(), path, content: Vec::new() };
    if has_local { configured } else { std::iter::once(local).chain(configured).collect() }
}

/// Requests to end. Made before anybody is told that we run: a request that comes at once is heard too.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    fn new() -> Result<Self> {
        let heard = |kind| signal(kind).map_err(|e| Error::internal("run", e.to_string()));
        Ok(Self { terminate: heard(SignalKind::terminate())?, interrupt: heard(SignalKind::interrupt())? })
    }

    /// Returns once one has come.
    async fn wait(mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}
