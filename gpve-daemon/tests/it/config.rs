use std::path::PathBuf;
use std::process::Command;

use gpve_daemon::config::{Loaded, Settings, find, load};

use crate::support::program;

fn file(dir: &tempfile::TempDir, name: &str, text: &str) -> PathBuf {
    let path = dir.path().join(name);
    std::fs::write(&path, text).unwrap();
    path
}

fn server(path: &std::path::Path) -> Settings {
    match load(path, &|_| None).unwrap() {
        Loaded::Server(settings) => *settings,
        Loaded::Agent(agent) => panic!("{agent:?}"),
    }
}

const GPVE: &str = r#"cluster: {name: production, node_name: node1}
api:
  listen: "0.0.0.0:8006"
  tls: {cert_file: /etc/gpve/certs/server.crt, key_file: /etc/gpve/certs/server.key}
  cors: {allowed_origins: ["https://management.example.com"]}
storage:
  - {name: local, type: dir, path: /var/lib/gpve/images, content: [images, iso]}
logging: {level: info, format: json, output: /var/log/gpve/gpve-server.log}
metrics: {enabled: true, listen: ":9090", path: /metrics}
"#;

const SERVER: &str = r#"apiVersion: gpve.io/v1
kind: ServerConfiguration
server: {address: "0.0.0.0", port: 8443, tlsCertFile: /etc/gpve/pki/server.crt, tlsKeyFile: /etc/gpve/pki/server.key}
cluster:
  name: production
  etcd: {endpoints: ["https://etcd-1:2379"]}
logging: {level: info, format: json}
metrics: {enabled: true, address: ":9090", path: /metrics}
"#;

#[test]
fn both_spellings_of_a_server_are_read() {
    let dir = tempfile::tempdir().unwrap();
    let one = server(&file(&dir, "gpve.yaml", GPVE));
    assert_eq!((one.cluster.as_deref(), one.node.as_deref()), (Some("production"), Some("node1")));
    assert_eq!(one.listen, ["0.0.0.0:8006".parse().unwrap()]);
    assert_eq!(one.metrics, Some("[::]:9090".parse().unwrap()));
    assert_eq!((one.storages[0].name.as_str(), one.storages[0].content.len()), ("local", 2));
    assert_eq!(one.without_effect, ["api.cors"]);
    let two = server(&file(&dir, "server.yaml", SERVER));
    assert_eq!(two.listen, ["0.0.0.0:8443".parse().unwrap()]);
    assert_eq!(two.tls.unwrap().0, PathBuf::from("/etc/gpve/pki/server.crt"));
    assert_eq!(two.without_effect, ["cluster.etcd"]);
    assert_eq!(find(dir.path()), Some(dir.path().join("server.yaml")));
}

#[test]
fn an_empty_section_means_its_defaults() {
    let dir = tempfile::tempdir().unwrap();
    let kind = |kind: &str| format!("apiVersion: gpve.io/v1\nkind: {kind}\n");
    let sections = |names: &[&str]| names.iter().map(|name| format!("{name}:\n")).collect::<String>();
    let gpve = sections(&["cluster", "api", "etcd", "storage", "network", "ha", "logging", "metrics"]);
    assert_eq!(server(&file(&dir, "gpve.yaml", &gpve)), Settings::default());
    let of_server = kind("ServerConfiguration") + &sections(&["server", "cluster", "scheduler", "storage", "logging", "metrics"]);
    assert_eq!(server(&file(&dir, "server.yaml", &of_server)), Settings::default());
    let of_agent = kind("AgentConfiguration")
        + "agent: {nodeName: a}\n"
        + &sections(&["server", "qemu", "storage", "network", "resources", "logging"]);
    let Loaded::Agent(agent) = load(&file(&dir, "agent.yaml", &of_agent), &|_| None).unwrap() else { panic!("no agent") };
    assert_eq!(agent.settings, Settings { node: Some("a".to_owned()), ..Settings::default() });
    // Of what has no section at all, too.
    assert_eq!(server(&file(&dir, "gpve.yaml", "# everything as it is\n")), Settings::default());
}

#[test]
fn an_agents_file_takes_its_token_from_the_environment() {
    let dir = tempfile::tempdir().unwrap();
    let text = "apiVersion: gpve.io/v1\nkind: AgentConfiguration\nagent: {nodeName: node-01}\nserver:\n  endpoint: https://s:8443\n  token: \"${GPVE_BOOTSTRAP_TOKEN}\"\n";
    let path = file(&dir, "agent.yaml", text);
    let set = load(&path, &|name| (name == "GPVE_BOOTSTRAP_TOKEN").then(|| "secret".to_owned())).unwrap();
    let Loaded::Agent(agent) = set else { panic!("{set:?}") };
    assert_eq!((agent.server.as_deref(), agent.settings.node.as_deref()), (Some("https://s:8443"), Some("node-01")));
    assert!(!format!("{agent:?}").contains("secret"));
    let unset = load(&path, &|_| None).unwrap_err();
    assert!(unset.message.contains("agent.yaml:6: the environment has no variable 'GPVE_BOOTSTRAP_TOKEN'"), "{unset}");
}

#[test]
fn the_configuration_that_the_package_brings_is_read_and_says_what_is_used_without_it() {
    let shipped = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/etc/server.yaml");
    let settings = server(&shipped);
    assert_eq!(settings.storages[0].path, PathBuf::from("/var/lib/gpve/storage/local"));
    assert!(settings.without_effect.is_empty(), "{settings:?}");
    // What is commented out can be switched on as it stands.
    let dir = tempfile::tempdir().unwrap();
    let keys = ["api:", "  listen:", "  tls:", "  node_name:", "metrics:"];
    let uncommented: Vec<String> = std::fs::read_to_string(&shipped)
        .unwrap()
        .lines()
        .map(|line| {
            let bare = line.replacen("# ", "", 1);
            if keys.iter().any(|key| bare.starts_with(key)) { bare } else { line.to_owned() }
        })
        .collect();
    let all = server(&file(&dir, "server.yaml", &uncommented.join("\n")));
    assert_eq!((all.listen.len(), all.node.as_deref()), (2, Some("node1")));
    assert!(all.tls.is_some() && all.metrics == Some("127.0.0.1:9090".parse().unwrap()));
}

#[test]
fn the_configuration_of_an_agent_in_a_container_is_read() {
    let shipped = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/docker/agent.yaml");
    let set = load(&shipped, &|name| (name == "HOSTNAME").then(|| "box".to_owned())).unwrap();
    let Loaded::Agent(agent) = set else { panic!("{set:?}") };
    assert_eq!(agent.settings.node.as_deref(), Some("box"));
}

#[test]
fn an_unknown_key_is_refused_by_file_and_line() {
    let dir = tempfile::tempdir().unwrap();
    let path = file(&dir, "gpve.yaml", &GPVE.replace("  cors:", "  colour: red\n  cors:"));
    let refused = load(&path, &|_| None).unwrap_err();
    assert!(refused.message.contains("gpve.yaml:5:") && refused.message.contains("colour"), "{refused}");
    // As the program says it.
    let run = Command::new(program()).args(["server", "run", "--config"]).arg(&path).arg("--data-dir").arg(dir.path()).output().unwrap();
    let said = String::from_utf8_lossy(&run.stderr).into_owned();
    assert_eq!(run.status.code(), Some(2), "{said}");
    assert!(said.contains("gpve.yaml:5:"), "{said}");
}

#[test]
fn values_that_cannot_be_are_named() {
    let dir = tempfile::tempdir().unwrap();
    for (from, to, wanted) in [
        ("\"0.0.0.0:8006\"", "nowhere", "api.listen"),
        ("level: info", "level: loud", "logging.level"),
        ("type: dir", "type: rbd", "type 'rbd'"),
        (", path: /var/lib/gpve/images", "", "path is missing"),
    ] {
        let refused = load(&file(&dir, "gpve.yaml", &GPVE.replace(from, to)), &|_| None).unwrap_err();
        assert!(refused.message.contains(wanted), "{refused}");
    }
}

#[test]
fn links_under_the_names_of_the_programs_are_made() {
    let dir = tempfile::tempdir().unwrap();
    for _ in 0..2 {
        let made = Command::new(program()).arg("link").arg(dir.path()).status().unwrap();
        assert!(made.success());
    }
    let version = Command::new(dir.path().join("gpvectl")).args(["completions", "bash"]).output().unwrap();
    assert!(version.status.success());
    let help = Command::new(dir.path().join("gpve-server")).arg("--help").output().unwrap();
    assert!(String::from_utf8_lossy(&help.stdout).contains("init"));
}

#[test]
fn an_agent_keeps_its_hosts_guests_without_an_api() {
    use std::io::{BufRead, BufReader};
    let dir = tempfile::tempdir().unwrap();
    let text = "apiVersion: gpve.io/v1\nkind: AgentConfiguration\nagent: {nodeName: node-01}\n";
    let path = file(&dir, "agent.yaml", text);
    let manager = std::os::unix::net::UnixDatagram::bind(dir.path().join("notify")).unwrap();
    let mut agent = Command::new(program())
        .env("NOTIFY_SOCKET", dir.path().join("notify"))
        .args(["agent", "run", "--sim", "--config"])
        .arg(&path)
        .arg("--data-dir")
        .arg(dir.path().join("data"))
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::null())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(agent.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let ready: serde_json::Value = serde_json::from_str(&line).unwrap_or_default();
    let mut word = [0; 16];
    // Only if it said that it is ready: an agent that ended will tell nothing more.
    let told = if ready.is_object() { manager.recv(&mut word).unwrap() } else { 0 };
    let pid = rustix::process::Pid::from_child(&agent);
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    let ended = agent.wait().unwrap();
    assert_eq!(ready["node"], "node-01", "{line}");
    assert_eq!(&word[..told], b"READY=1");
    assert!(ended.success(), "{ended:?}");
}
