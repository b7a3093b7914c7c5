//! The command line as clap sees it.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use clap_complete::Shell;

use super::output::Form;

/// Manage virtual machines of a gpve server.
#[derive(Debug, Parser)]
#[command(name = "gpvectl", version, propagate_version = true)]
pub(super) struct Ctl {
    #[command(flatten)]
    pub(super) connection: Connection,
    /// Namespace of the guests.
    #[arg(short, long, global = true, default_value = "default", env = "GPVE_NAMESPACE")]
    pub(super) namespace: String,
    /// Form of the output.
    #[arg(short, long, global = true, value_enum, default_value_t = Form::Table)]
    pub(super) output: Form,
    /// Print the task's id and return; do not wait for its end.
    #[arg(long, global = true)]
    pub(super) no_wait: bool,
    #[command(subcommand)]
    pub(super) command: Command,
}

/// How the server is reached; what is not given comes from the last login.
#[derive(Debug, Clone, Args)]
pub(super) struct Connection {
    /// The server, as https://HOST[:PORT].
    #[arg(long, global = true, env = "GPVE_SERVER")]
    pub(super) server: Option<String>,
    /// The authority that signed the server's certificate (the ca.crt that init made).
    #[arg(long, global = true, env = "GPVE_CA_FILE")]
    pub(super) ca_file: Option<PathBuf>,
    /// Trust any certificate. Only for tests on one machine.
    #[arg(long, global = true)]
    pub(super) insecure: bool,
    /// An API token, USER@REALM!NAME=SECRET, instead of a login.
    #[arg(long, global = true, env = "GPVE_TOKEN", hide_env_values = true)]
    pub(super) token: Option<String>,
}

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Log in and keep the session for two hours.
    Login(Login),
    /// Forget the session.
    Logout,
    /// Virtual machines.
    Vm {
        #[command(subcommand)]
        command: VmCommand,
    },
    /// Volumes of storages.
    Volume {
        #[command(subcommand)]
        command: VolumeCommand,
    },
    /// Make objects what a file says (server-side apply).
    Apply {
        /// YAML or JSON, several documents in one; `-` is standard input.
        #[arg(short = 'f', long = "filename")]
        file: PathBuf,
        /// Who owns the applied fields.
        #[arg(long, default_value = "gpvectl")]
        manager: String,
        /// Take fields over from other managers.
        #[arg(long)]
        force: bool,
        /// Only say what would be done.
        #[arg(long)]
        dry_run: bool,
    },
    /// Show objects.
    Get {
        /// Kind: vm.
        kind: String,
        /// Only this one.
        name: Option<String>,
        /// Then show every change, until interrupted.
        #[arg(short, long)]
        watch: bool,
    },
    /// Remove the objects that a file names.
    Delete {
        /// YAML or JSON; `-` is standard input.
        #[arg(short = 'f', long = "filename")]
        file: PathBuf,
        /// Stop guests that run.
        #[arg(long)]
        force: bool,
    },
    /// Take guests over from elsewhere.
    Import {
        #[command(subcommand)]
        command: ImportCommand,
    },
    /// Tasks.
    Task {
        #[command(subcommand)]
        command: TaskCommand,
    },
    /// Versions of this program and the server.
    Version,
    /// Print completions for a shell.
    Completions {
        /// The shell.
        shell: Shell,
    },
}

#[derive(Debug, Args)]
pub(super) struct Login {
    /// The user.
    #[arg(long, default_value = "root@pam")]
    pub(super) user: String,
    /// File that holds the password; `-` is standard input, which is also the default.
    #[arg(long)]
    pub(super) password_file: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
pub(super) enum VmCommand {
    /// Make a virtual machine.
    Create(Create),
    /// List virtual machines.
    List {
        /// Of all namespaces.
        #[arg(short = 'A', long)]
        all: bool,
        /// Only with such labels: KEY, !KEY, KEY=VALUE, KEY!=VALUE.
        #[arg(short = 'l', long)]
        selector: Option<String>,
    },
    /// Show one.
    Show {
        /// Name or number.
        name: String,
    },
    /// Change settings, by Proxmox VE's names.
    Set {
        /// Name or number.
        name: String,
        /// KEY=VALUE, such as watchdog=i6300esb,action=reset.
        settings: Vec<String>,
        /// A setting to remove; may be repeated.
        #[arg(long, value_name = "KEY")]
        delete: Vec<String>,
        /// A change that waits for the next start, to take back; may be repeated.
        #[arg(long, value_name = "KEY")]
        revert: Vec<String>,
    },
    /// What cloud-init reads in it.
    CloudInit {
        #[command(subcommand)]
        command: CloudInitCommand,
    },
    /// Start it.
    Start {
        /// Name or number.
        name: String,
    },
    /// Stop it at once, as if by pulling the plug.
    Stop {
        /// Name or number.
        name: String,
    },
    /// Ask its system to shut down.
    Shutdown(Grace),
    /// Shut it down and start it again.
    Reboot(Grace),
    /// Press its reset button.
    Reset {
        /// Name or number.
        name: String,
    },
    /// Halt its processors.
    Pause {
        /// Name or number.
        name: String,
    },
    /// Set its processors going again.
    Resume {
        /// Name or number.
        name: String,
    },
    /// Remove it with its volumes.
    Delete {
        /// Name or number.
        name: String,
        /// Stop it first if it runs.
        #[arg(long)]
        force: bool,
    },
    /// Copy it.
    Clone {
        /// Name or number of the original.
        name: String,
        /// Name of the copy.
        target: String,
        /// Number of the copy.
        #[arg(long)]
        vmid: Option<u32>,
        /// Copy all blocks, also of a template.
        #[arg(long)]
        full: bool,
        /// State at this snapshot.
        #[arg(long)]
        snapshot: Option<String>,
        /// Storage of a full copy.
        #[arg(long)]
        storage: Option<String>,
    },
    /// Make a stopped one a template, which starts no more.
    Template {
        /// Name or number.
        name: String,
        /// Only make this disk a base of linked copies; the machine stays one.
        #[arg(long)]
        disk: Option<String>,
    },
    /// Snapshots.
    Snapshot {
        #[command(subcommand)]
        command: SnapshotCommand,
    },
    /// Grow a disk.
    Resize {
        /// Name or number.
        name: String,
        /// The disk, such as scsi0.
        disk: String,
        /// New size (20Gi), or + and what is added (+5Gi).
        size: String,
    },
    /// Serve the display to a VNC viewer on this machine, until Ctrl-C.
    Vnc {
        /// Name or number.
        name: String,
        /// Where the viewer connects; whoever can connect there sees the display. Port 0 is any free one.
        #[arg(long, default_value = "127.0.0.1:5900")]
        listen: std::net::SocketAddr,
    },
    /// Attach to a serial port; Ctrl-] ends it.
    Console {
        /// Name or number.
        name: String,
        /// Number of the port.
        #[arg(long, default_value_t = 0)]
        port: u8,
    },
}

#[derive(Debug, Subcommand)]
pub(super) enum CloudInitCommand {
    /// Print a generated file, without secrets.
    Dump {
        /// Name or number.
        name: String,
        /// Which file.
        #[arg(value_parser = ["user", "network", "meta"], default_value = "user")]
        part: String,
    },
    /// Write its drive anew, and show it to the running guest.
    Update {
        /// Name or number.
        name: String,
    },
}

#[derive(Debug, Args)]
pub(super) struct Grace {
    /// Name or number.
    pub(super) name: String,
    /// Seconds to wait for its system.
    #[arg(long)]
    pub(super) timeout: Option<u32>,
    /// Then stop it.
    #[arg(long)]
    pub(super) force: bool,
}

#[derive(Debug, Args)]
pub(super) struct Create {
    /// Name of the object and of the guest.
    pub(super) name: String,
    /// Processors.
    #[arg(long, default_value_t = 1)]
    pub(super) cpu: u16,
    /// Memory, such as 2Gi.
    #[arg(long, default_value = "512Mi")]
    pub(super) memory: String,
    /// A disk: size=SIZE,storage=ID[,format=raw|qcow2]; may be repeated.
    #[arg(long)]
    pub(super) disk: Vec<String>,
    /// A network card: bridge=NAME[,model=virtio][,vlan=TAG], or `user`; may be repeated.
    #[arg(long)]
    pub(super) network: Vec<String>,
    /// A CD-ROM image: a volume such as local:iso/debian.iso.
    #[arg(long)]
    pub(super) cdrom: Option<String>,
    /// Number; any free one unless given.
    #[arg(long)]
    pub(super) vmid: Option<u32>,
    /// Node; the scheduler chooses unless given.
    #[arg(long)]
    pub(super) node: Option<String>,
    /// KEY=VALUE; may be repeated.
    #[arg(long)]
    pub(super) label: Vec<String>,
    /// A setting as Proxmox VE names it: KEY=VALUE, such as watchdog=i6300esb; may be repeated.
    #[arg(long, value_name = "KEY=VALUE")]
    pub(super) set: Vec<String>,
    /// Give it a guest agent's channel.
    #[arg(long)]
    pub(super) agent: bool,
    /// Start it when it is made.
    #[arg(long)]
    pub(super) start: bool,
    /// Only say what would be done.
    #[arg(long)]
    pub(super) dry_run: bool,
}

#[derive(Debug, Subcommand)]
pub(super) enum SnapshotCommand {
    /// Take one.
    Create {
        /// Name or number of the guest.
        name: String,
        /// Name of the snapshot.
        snapshot: String,
        /// Free text.
        #[arg(long, default_value = "")]
        description: String,
    },
    /// List them.
    List {
        /// Name or number of the guest.
        name: String,
    },
    /// Change one's description.
    Describe {
        /// Name or number of the guest.
        name: String,
        /// Name of the snapshot.
        snapshot: String,
        /// Free text.
        description: String,
    },
    /// Go back to one.
    Rollback {
        /// Name or number of the guest.
        name: String,
        /// Name of the snapshot.
        snapshot: String,
    },
    /// Remove one.
    Delete {
        /// Name or number of the guest.
        name: String,
        /// Name of the snapshot.
        snapshot: String,
    },
}

#[derive(Debug, Subcommand)]
pub(super) enum VolumeCommand {
    /// List the volumes of a storage.
    List {
        /// The storage.
        storage: String,
        /// Only of this guest's number.
        #[arg(long)]
        vmid: Option<u32>,
        /// The storage's node; needed where several have one of that name.
        #[arg(long)]
        node: Option<String>,
    },
    /// Make an empty volume that no guest uses yet.
    Create {
        /// The storage.
        storage: String,
        /// Number of the guest that it is for, which need not exist.
        #[arg(long)]
        vmid: u32,
        /// Size, such as 20Gi.
        #[arg(long)]
        size: String,
        /// Its name on the storage, such as 100/vm-100-disk-7.raw; the first free one unless given.
        #[arg(long)]
        name: Option<String>,
        /// Layout: raw or qcow2; the storage's default unless given.
        #[arg(long)]
        format: Option<String>,
        /// The storage's node; needed where several have one of that name.
        #[arg(long)]
        node: Option<String>,
    },
    /// Remove a volume that no guest uses.
    Delete {
        /// STORAGE:NAME, as listed.
        volume: String,
        /// The storage's node; needed where several have one of that name.
        #[arg(long)]
        node: Option<String>,
    },
}

#[derive(Debug, Subcommand)]
pub(super) enum ImportCommand {
    /// Make the guests of a Proxmox VE node from its configuration files.
    PveConf(PveConf),
}

#[derive(Debug, Args)]
pub(super) struct PveConf {
    /// Files such as 100.conf, or folders of them (a copy of /etc/pve/qemu-server).
    #[arg(required = true, value_name = "PATH")]
    pub(super) paths: Vec<PathBuf>,
    /// Number of the guest; the file's name says it unless given. For one file only.
    #[arg(long)]
    pub(super) vmid: Option<u32>,
    /// Node; the scheduler chooses unless given.
    #[arg(long)]
    pub(super) node: Option<String>,
    /// Stop at a line that Proxmox VE would not take, or a setting that gpve cannot do, instead of reporting it.
    #[arg(long)]
    pub(super) strict: bool,
    /// Only report; make nothing.
    #[arg(long)]
    pub(super) dry_run: bool,
}

#[derive(Debug, Subcommand)]
pub(super) enum TaskCommand {
    /// List tasks, newest first.
    List {
        /// Only those that run.
        #[arg(long)]
        running: bool,
    },
    /// Show a task's log, and follow it if it runs.
    Log {
        /// The task's id.
        id: String,
    },
    /// Ask a task to stop; it undoes what it did.
    Cancel {
        /// The task's id.
        id: String,
    },
}
