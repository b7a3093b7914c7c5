use std::io::{BufRead, BufReader, Read};
use std::net::TcpStream;
use std::process::{Command, Output, Stdio};

use gpve_api::error::wire;
use gpve_core::error::ErrorKind;

use crate::support::{Daemon, program};

fn command(daemon: &Daemon, arguments: &[&str]) -> Command {
    let mut command = Command::new(program());
    command.arg("ctl").args(arguments).env("GPVE_CREDENTIALS", daemon.path("credentials.json"));
    command.env_remove("GPVE_TOKEN").env_remove("GPVE_SERVER");
    command
}

fn ctl(daemon: &Daemon, arguments: &[&str]) -> Output {
    command(daemon, arguments).output().unwrap()
}

fn login(daemon: &Daemon) {
    let (url, ca, password) = (daemon.url(), daemon.ca(), daemon.path("password"));
    let arguments = ["login", "--server", &url, "--ca-file", ca.to_str().unwrap(), "--password-file", password.to_str().unwrap()];
    let output = ctl(daemon, &arguments);
    assert!(output.status.success(), "{output:?}");
}

fn ok(daemon: &Daemon, arguments: &[&str]) -> String {
    let output = ctl(daemon, arguments);
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn fails(daemon: &Daemon, arguments: &[&str], kind: ErrorKind) -> String {
    let output = ctl(daemon, arguments);
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(i32::from(wire(kind).exit)), "{arguments:?}: {text}");
    text
}

#[test]
fn a_guest_lives_its_life_on_the_command_line() {
    let daemon = Daemon::start();
    login(&daemon);
    let disk = ["--disk", "size=1Gi,storage=local,format=qcow2", "--network", "bridge=vmbr0"];
    let made = ok(&daemon, &[&["vm", "create", "web", "--cpu", "2", "--memory", "256Mi", "--label", "tier=front"], &disk[..]].concat());
    assert_eq!(made.trim(), "web created as vm 100 on pve");
    for verb in ["start", "pause", "resume", "reset", "stop"] {
        ok(&daemon, &["vm", verb, "web"]);
    }
    ok(&daemon, &["vm", "snapshot", "create", "web", "before", "--description", "the upgrade"]);
    assert!(ok(&daemon, &["vm", "snapshot", "list", "web"]).contains("the upgrade"));
    ok(&daemon, &["vm", "snapshot", "describe", "web", "before", "the second upgrade"]);
    assert!(ok(&daemon, &["vm", "snapshot", "list", "web"]).contains("the second upgrade"));
    ok(&daemon, &["vm", "snapshot", "rollback", "web", "before"]);
    ok(&daemon, &["vm", "snapshot", "delete", "web", "before"]);
    ok(&daemon, &["vm", "resize", "web", "scsi0", "+1Gi"]);
    ok(&daemon, &["vm", "set", "web", "ide2=local:cloudinit", "ciuser=admin"]);
    assert!(ok(&daemon, &["vm", "cloud-init", "dump", "web"]).starts_with("#cloud-config\nhostname: \"web\"\n"));
    assert!(ok(&daemon, &["vm", "cloud-init", "update", "web"]).contains("cloud-init drive of web written"));
    ok(&daemon, &["vm", "clone", "web", "web-2", "--full"]);
    let listed: serde_json::Value = serde_json::from_str(&ok(&daemon, &["-o", "json", "vm", "list", "-l", "tier=front"])).unwrap();
    assert_eq!(listed["items"].as_array().unwrap().len(), 2, "{listed}");
    assert!(ok(&daemon, &["vm", "list"]).contains("web-2"));
    assert!(ok(&daemon, &["task", "list"]).contains("qmclone"));
    ok(&daemon, &["vm", "delete", "web"]);
    assert_eq!(ok(&daemon, &["vm", "template", "web-2"]).trim(), "web-2 is a template");
    fails(&daemon, &["vm", "start", "web-2"], ErrorKind::FailedPrecondition);
    ok(&daemon, &["vm", "delete", "101"]);
}

#[test]
fn a_display_is_served_to_a_viewer() {
    let daemon = Daemon::start();
    login(&daemon);
    ok(&daemon, &["vm", "create", "web", "--memory", "64Mi"]);
    fails(&daemon, &["vm", "vnc", "web", "--listen", "127.0.0.1:0"], ErrorKind::FailedPrecondition);
    ok(&daemon, &["vm", "start", "web"]);
    let mut server = command(&daemon, &["vm", "vnc", "web", "--listen", "127.0.0.1:0"]).stdout(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(server.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let address = line.split("vnc://").nth(1).and_then(|rest| rest.split(';').next()).unwrap_or_else(|| panic!("{line}")).to_owned();
    // Each viewer has a connection of its own.
    for _ in 0..2 {
        let mut greeting = [0; 12];
        TcpStream::connect(&address).unwrap().read_exact(&mut greeting).unwrap();
        assert_eq!(&greeting, b"RFB 003.008\n");
    }
    server.kill().unwrap();
    server.wait().unwrap();
}

#[test]
fn a_volume_is_made_listed_and_deleted_on_the_command_line() {
    let daemon = Daemon::start();
    login(&daemon);
    let made = ok(&daemon, &["volume", "create", "local", "--vmid", "4711", "--size", "1Gi", "--format", "raw"]);
    assert_eq!(made.trim(), "volume of 1Gi for vm 4711 made on local");
    let listed: serde_json::Value =
        serde_json::from_str(&ok(&daemon, &["-o", "json", "volume", "list", "local", "--vmid", "4711"])).unwrap();
    let id = listed["items"][0]["id"].as_str().unwrap();
    assert!(ok(&daemon, &["volume", "list", "local", "--node", "pve"]).contains(id));
    assert_eq!(ok(&daemon, &["volume", "delete", id]).trim(), format!("{id} deleted"));
    fails(&daemon, &["volume", "delete", id], ErrorKind::NotFound);
    fails(&daemon, &["volume", "delete", "no-id"], ErrorKind::InvalidInput);
    fails(&daemon, &["volume", "create", "local", "--vmid", "4711", "--size", "much"], ErrorKind::InvalidInput);
}

#[test]
fn manifests_are_applied_shown_and_deleted() {
    let daemon = Daemon::start();
    login(&daemon);
    let file = daemon.path("vms.yaml");
    let one = |name: &str| {
        format!(
            "apiVersion: gpve.io/v1\nkind: VirtualMachine\nmetadata: {{name: {name}}}\nspec:\n  memory: {{size: 64Mi}}\n  powerState: Running\n"
        )
    };
    std::fs::write(&file, format!("{}---\n{}", one("a"), one("b"))).unwrap();
    let file = file.to_str().unwrap();
    ok(&daemon, &["apply", "-f", file]);
    ok(&daemon, &["apply", "-f", file]);
    assert!(ok(&daemon, &["get", "vm", "a"]).contains("powerState: Running"));
    ok(&daemon, &["delete", "-f", file, "--force"]);
    ok(&daemon, &["delete", "-f", file]);
    let of_no_kind = daemon.path("thing.yaml");
    std::fs::write(&of_no_kind, "metadata: {name: a}\nspec: {}\n").unwrap();
    let told = fails(&daemon, &["apply", "-f", of_no_kind.to_str().unwrap()], ErrorKind::InvalidInput);
    assert!(told.contains("kind: is missing"), "{told}");
}

#[test]
fn each_kind_of_error_has_its_exit_status_and_says_what_to_do() {
    let daemon = Daemon::start();
    assert!(fails(&daemon, &["vm", "list"], ErrorKind::Unauthenticated).contains("gpvectl login"));
    login(&daemon);
    assert!(fails(&daemon, &["vm", "show", "nope"], ErrorKind::NotFound).contains("does not exist"));
    fails(&daemon, &["vm", "create", "x", "--disk", "1Gi"], ErrorKind::InvalidInput);
    fails(&daemon, &["vm", "create", "x", "--memory", "lots"], ErrorKind::InvalidInput);
    fails(&daemon, &["--no-such-switch"], ErrorKind::InvalidInput);
    ok(&daemon, &["vm", "create", "x"]);
    fails(&daemon, &["vm", "create", "x"], ErrorKind::AlreadyExists);
    assert!(fails(&daemon, &["vm", "pause", "x"], ErrorKind::FailedPrecondition).contains("task log"));
    let unreachable = ["--server", "https://127.0.0.1:1", "--token", "root@pam!a=b", "--insecure", "vm", "list"];
    fails(&daemon, &unreachable, ErrorKind::Unavailable);
}

#[test]
fn credentials_are_for_their_owner_only() {
    use std::os::unix::fs::PermissionsExt;
    let daemon = Daemon::start();
    login(&daemon);
    let file = daemon.path("credentials.json");
    let mode = std::fs::metadata(&file).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode, 0o600);
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o644)).unwrap();
    assert!(fails(&daemon, &["vm", "list"], ErrorKind::InvalidInput).contains("chmod 600"));
}

#[test]
fn a_server_of_another_authority_is_not_trusted() {
    let (daemon, other) = (Daemon::start(), Daemon::start());
    let (url, ca, password) = (daemon.url(), other.ca(), daemon.path("password"));
    let arguments = ["login", "--server", &url, "--ca-file", ca.to_str().unwrap(), "--password-file", password.to_str().unwrap()];
    fails(&daemon, &arguments, ErrorKind::Unavailable);
}

#[test]
fn completions_and_versions_need_no_server() {
    let daemon = Daemon::start();
    assert!(ok(&daemon, &["completions", "bash"]).contains("gpvectl"));
    assert!(ok(&daemon, &["version"]).contains(env!("CARGO_PKG_VERSION")));
}

#[test]
fn the_reference_of_the_command_line_is_up_to_date() {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/reference/cli.md");
    let now = gpve_daemon::program::reference();
    if std::env::var_os("GPVE_BLESS").is_some() {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, now).unwrap();
        return;
    }
    let stored = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(stored == now, "{} is out of date: run this test with GPVE_BLESS=1 and look at the difference", path.display());
}

#[test]
fn manual_pages_and_completions_are_written_for_every_command() {
    let dir = tempfile::tempdir().unwrap();
    assert!(Command::new(program()).arg("manual").arg(dir.path()).status().unwrap().success());
    let read = |file: &str| std::fs::read_to_string(dir.path().join(file)).unwrap_or_else(|e| panic!("{file}: {e}"));
    assert!(read("man/man8/gpve-server-init.8").contains("password"));
    assert!(read("man/man1/gpvectl-vm-snapshot-rollback.1").contains("rollback"));
    for (file, word) in [("bash/gpvectl", "snapshot"), ("zsh/_gpve-server", "init"), ("fish/gpve-agent.fish", "run")] {
        assert!(read(&format!("completions/{file}")).contains(word), "{file}");
    }
}

#[test]
fn settings_by_proxmox_ves_names_are_set_shown_and_removed() {
    let daemon = Daemon::start();
    login(&daemon);
    ok(&daemon, &["vm", "create", "web", "--set", "watchdog=ib700", "--set", "numa0=cpus=0,memory=512", "--set", "onboot=yes"]);
    let shown = ok(&daemon, &["-o", "json", "vm", "show", "web"]);
    let web: serde_json::Value = serde_json::from_str(&shown).unwrap();
    assert_eq!(web["spec"]["watchdog"]["model"], "ib700", "{web}");
    assert_eq!((&web["spec"]["cpu"]["numaNodes"]["0"]["memory"], &web["spec"]["onBoot"]), (&"512Mi".into(), &true.into()));
    ok(&daemon, &["vm", "set", "web", "hotplug=disk", "cipassword=secret", "--delete", "watchdog"]);
    let shown = ok(&daemon, &["-o", "json", "vm", "show", "web"]);
    assert!(shown.contains("\"hotplug\": \"disk\"") && !shown.contains("watchdog") && !shown.contains("secret"), "{shown}");
    ok(&daemon, &["vm", "start", "web"]);
    ok(&daemon, &["vm", "set", "web", "migrate_speed=5", "hookscript=local:snippets/x.pl", "hotplug=network", "watchdog=ib700"]);
    let running: serde_json::Value = serde_json::from_str(&ok(&daemon, &["-o", "json", "vm", "show", "web"])).unwrap();
    assert_eq!(running["status"]["pending"], serde_json::json!(["watchdog"]), "what no process knows of is in force at once");
    ok(&daemon, &["vm", "set", "web", "--revert", "watchdog"]);
    let running: serde_json::Value = serde_json::from_str(&ok(&daemon, &["-o", "json", "vm", "show", "web"])).unwrap();
    assert_eq!((&running["status"]["pending"], &running["spec"]["watchdog"]), (&serde_json::Value::Null, &serde_json::Value::Null));
    fails(&daemon, &["vm", "set", "web", "shape=round"], ErrorKind::InvalidInput);
    fails(&daemon, &["vm", "create", "b", "--set", "cores=many"], ErrorKind::InvalidInput);
}

#[test]
fn the_guests_of_a_proxmox_ve_node_are_imported_with_a_report_per_file() {
    let daemon = Daemon::start();
    login(&daemon);
    let folder = daemon.path("qemu-server");
    std::fs::create_dir(&folder).unwrap();
    let web = "#the web%3A server\ncores: 2\nmemory: 256\nname: web\nnet0: virtio=BC:24:11:00:00:01,bridge=vmbr0\nscsi0: local:1,ssd=1\n\
               vmgenid: 0\nwatchdog: ib700,action=reset\nshape: round\nostype: plan9\nide2: none,media=cdrom\n\
               meta: creation-qemu=9.0.2,ctime=1725975013\nparent: before\nlock: snapshot\n\n[PENDING]\ncores: 3\n\n[before]\ncores: 1\nsnaptime: 1\n\n\
               [half]\ncores: 1\nsnapstate: prepare\nsnaptime: 2\n";
    std::fs::write(folder.join("140.conf"), web).unwrap();
    std::fs::write(folder.join("141.conf"), "memory: 64\nscsi0: nowhere:141/vm-141-disk-0.raw,size=1G\n").unwrap();
    std::fs::write(folder.join("readme.txt"), "no guest").unwrap();
    let folder = folder.to_str().unwrap();
    let trial = ctl(&daemon, &["import", "pve-conf", folder, "--dry-run"]);
    let told = String::from_utf8(trial.stdout).unwrap();
    assert!(told.contains("140.conf: vm 140 (web) can be imported; 9 settings"), "{told}");
    assert!(ok(&daemon, &["-o", "json", "vm", "list"]).contains("\"items\": []"));

    let output = ctl(&daemon, &["import", "pve-conf", folder]);
    let told = String::from_utf8(output.stdout).unwrap();
    let wanted = [
        "140.conf: vm 140 (web) imported; 9 settings",
        "without effect: ",
        "were pending, are in force: cores",
        "snapshots not taken over: before\n",
        "snapshot 'half' was being taken and is not complete: it is left out, its disks may hold parts of it",
        "left out: ostype: 'plan9' is not a valid ostype",
        "left out: line 9: unable to parse value of 'shape' - unknown setting 'shape'",
        "141.conf: vm 141 (vm-141) not imported: ",
    ];
    for line in wanted {
        assert!(told.contains(line), "{line} is not in\n{told}{}", String::from_utf8_lossy(&output.stderr));
    }
    assert_eq!(output.status.code(), Some(i32::from(wire(ErrorKind::FailedPrecondition).exit)));
    let shown: serde_json::Value = serde_json::from_str(&ok(&daemon, &["-o", "json", "vm", "show", "web"])).unwrap();
    let spec = &shown["spec"];
    assert_eq!((&spec["vmid"], &spec["cpu"]["cores"], &spec["description"]), (&140.into(), &3.into(), &"the web: server".into()));
    assert_eq!((&spec["origin"]["qemu"], &spec["other"]["shape"]), (&"9.0.2".into(), &"round".into()));
    assert_eq!(spec["networks"][0]["macAddress"], "BC:24:11:00:00:01");
    fails(&daemon, &["import", "pve-conf", &format!("{folder}/140.conf"), "--strict"], ErrorKind::InvalidInput);
    fails(&daemon, &["import", "pve-conf", &format!("{folder}/readme.txt")], ErrorKind::InvalidInput);
}
