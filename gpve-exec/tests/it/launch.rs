use std::fs::{File, OpenOptions};
use std::io::{Read as _, Write as _};
use std::os::fd::AsFd as _;
use std::path::Path;

use gpve_exec::{ExecError, Identity, Invocation, Launch, Process, ProcessId, Runner, Signal, Status, Tool};
use rustix::io::FdFlags;
use rustix::process::Resource;

use crate::support::{PATIENCE, ROLE, SELF, SH, SLEEP, system, tools, until};

/// Waits until the launched program has replaced `setpriv`.
async fn has_become(process: &Process, name: &str) {
    let file = format!("/proc/{}/comm", process.id().pid);
    until(|| std::fs::read_to_string(&file).ok().filter(|comm| comm.trim() == name)).await;
}

/// The value of `field` in `/proc/PID/status`.
fn status_of(process: &Process, field: &str) -> String {
    let text = std::fs::read_to_string(format!("/proc/{}/status", process.id().pid)).unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix(field)).unwrap();
    line.trim_start_matches(':').split_whitespace().collect::<Vec<_>>().join(" ")
}

async fn end(process: &Process) -> Option<Status> {
    process.signal(Signal::KILL).unwrap();
    tokio::time::timeout(PATIENCE, process.exited()).await.expect("it does not end").unwrap().status
}

fn appending(path: &Path) -> File {
    OpenOptions::new().create(true).append(true).open(path).unwrap()
}

#[tokio::test]
async fn a_child_is_reaped_with_its_status_and_its_number_is_free() {
    let process = Launch::new(SH).args(["-c", "exit 7"]).spawn(&tools()).unwrap();
    let exit = tokio::time::timeout(PATIENCE, process.exited()).await.unwrap().unwrap();
    assert_eq!(exit.status, Some(Status::Exited(7)));
    assert!(!process.is_running());
    assert!(!process.signal(Signal::TERM).unwrap(), "nobody is left to signal");
    assert!(!Path::new(&format!("/proc/{}", process.id().pid)).exists(), "a zombie is left");
    assert!(Process::open(process.id()).unwrap().is_none());
    assert_eq!(process.clone().exited().await.unwrap(), exit, "the end can be asked for again");
}

#[tokio::test]
async fn a_launched_program_leads_its_own_process_group_without_privileges_and_core_dumps() {
    // A limit above zero, as a developer's shell may have; the launch must not pass it on.
    let limit = rustix::process::getrlimit(Resource::Core);
    let mut own = limit;
    own.current = own.maximum.map(|maximum| maximum.min(1 << 20)).or(Some(1 << 20));
    rustix::process::setrlimit(Resource::Core, own).unwrap();
    let process = Launch::new(SLEEP).args(["300"]).spawn(&tools()).unwrap();
    rustix::process::setrlimit(Resource::Core, limit).unwrap();
    has_become(&process, "sleep").await;
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", process.id().pid)).unwrap();
    let fields: Vec<_> = stat.rsplit_once(") ").unwrap().1.split(' ').collect();
    let pid = process.id().pid.to_string();
    assert_eq!(fields[2], pid, "process group");
    assert_eq!(status_of(&process, "NoNewPrivs"), "1");
    let limits = std::fs::read_to_string(format!("/proc/{pid}/limits")).unwrap();
    let core: Vec<_> = limits.lines().find(|line| line.starts_with("Max core")).unwrap().split_whitespace().collect();
    assert_eq!(core[4..6], ["0", "0"]);
    assert_eq!(std::fs::read_link(format!("/proc/{pid}/cwd")).unwrap(), Path::new("/"));
    assert_eq!(end(&process).await, Some(Status::Signalled(9)));
}

#[tokio::test]
async fn inherited_descriptors_are_exactly_the_listed_ones() {
    let directory = tempfile::tempdir().unwrap();
    let open = |name: &str| File::create_new(directory.path().join(name)).unwrap();
    // What C code might leave behind: a descriptor that survives exec.
    let stray = open("stray");
    rustix::io::fcntl_setfd(stray.as_fd(), FdFlags::empty()).unwrap();
    let log = directory.path().join("log");
    let launch = Launch::new(SLEEP).args(["300"]).log(appending(&log)).descriptor(4, open("four")).descriptor(9, open("nine"));
    let process = launch.spawn(&tools()).unwrap();
    has_become(&process, "sleep").await;
    let mut found: Vec<_> = std::fs::read_dir(format!("/proc/{}/fd", process.id().pid))
        .unwrap()
        .map(|entry| {
            let path = entry.unwrap().path();
            let target = std::fs::read_link(&path).unwrap();
            (path.file_name().unwrap().to_str().unwrap().parse::<u32>().unwrap(), target.file_name().unwrap().to_str().unwrap().to_owned())
        })
        .collect();
    found.sort();
    end(&process).await;
    let expected = [(0, "null"), (1, "log"), (2, "log"), (4, "four"), (9, "nine")];
    assert_eq!(found, expected.map(|(number, name)| (number, name.to_owned())));
}

#[tokio::test]
async fn a_descriptor_works_under_its_new_number() {
    let directory = tempfile::tempdir().unwrap();
    let log = directory.path().join("log");
    let (ours, theirs) = std::os::unix::net::UnixStream::pair().unwrap();
    let launch =
        Launch::new(SH).args(["-c", "read line <&5; echo got $line; echo bad >&2; exit 0"]).descriptor(5, theirs).log(appending(&log));
    let process = launch.env("UNUSED", "1").spawn(&tools()).unwrap();
    (&ours).write_all(b"hello\n").unwrap();
    assert_eq!(process.exited().await.unwrap().status, Some(Status::Exited(0)));
    assert_eq!(std::fs::read_to_string(&log).unwrap(), "got hello\nbad\n");
    assert_eq!((&ours).read(&mut [0]).unwrap(), 0, "this process keeps no copy of a descriptor that it gave away");
}

#[tokio::test]
async fn a_program_runs_as_the_given_identity() {
    if !rustix::process::geteuid().is_root() {
        println!("SKIP a_program_runs_as_the_given_identity: only root can choose an identity");
        return;
    }
    for (groups, shown) in [(vec![], ""), (vec![7, 65532], "7 65532")] {
        let identity = Identity { uid: 65534, gid: 65533, groups };
        let process = Launch::new(SLEEP).args(["300"]).identity(identity).spawn(&tools()).unwrap();
        has_become(&process, "sleep").await;
        let seen = ["Uid", "Gid", "Groups", "CapEff", "CapPrm", "NoNewPrivs"].map(|field| status_of(&process, field));
        end(&process).await;
        let none = "0000000000000000";
        assert_eq!(seen, ["65534 65534 65534 65534", "65533 65533 65533 65533", shown, none, none, "1"]);
    }
}

#[tokio::test]
async fn what_cannot_work_is_refused_before_anything_starts() {
    let refused = |launch: Launch| match launch.spawn(&tools()).unwrap_err() {
        error @ ExecError::BadArgument { .. } => error.to_string(),
        error => panic!("{error}"),
    };
    let null = || File::open("/dev/null").unwrap();
    assert_eq!(refused(Launch::new(SLEEP).args(["1\0"])), r#"sleep: argument 1 "1\0" is refused: it must not hold a NUL byte"#);
    assert_eq!(
        refused(Launch::new(SLEEP).descriptor(2, null())),
        "sleep: descriptor 2 is refused: 0, 1 and 2 are stdin, stdout and stderr"
    );
    assert_eq!(
        refused(Launch::new(SLEEP).descriptor(5, null()).descriptor(5, null())),
        "sleep: descriptor 5 is refused: its number is given twice"
    );
    assert!(matches!(Launch::new(Tool::new("no-such-tool", "x")).spawn(&tools()), Err(ExecError::ToolMissing { .. })));
}

#[tokio::test]
async fn a_launched_program_outlives_its_starter_and_can_be_adopted() {
    let part = Invocation::new(SELF).args(["--exact", "launch::part_starter", "--nocapture"]).env(ROLE, "starter");
    let output = system().run(part).await.unwrap().require_success().unwrap();
    let line = output.text().unwrap().lines().find(|line| line.contains("start_time_ticks")).unwrap();
    let id: ProcessId = serde_json::from_str(line.trim_start_matches(|letter| letter != '{')).unwrap();

    let adopted = Process::open(&id).unwrap().expect("it went down with its starter");
    assert!(adopted.is_running());
    has_become(&adopted, "sleep").await;
    assert_eq!(end(&adopted).await, None, "only a parent learns the status");
    assert!(!adopted.is_running());
    assert!(Process::open(&id).unwrap().is_none(), "an ended process cannot be adopted, reaped or not");
}

/// Not a test of its own: the starter of `a_launched_program_outlives_its_starter_and_can_be_adopted`.
#[tokio::test]
async fn part_starter() {
    if std::env::var(ROLE).as_deref() == Ok("starter") {
        let process = Launch::new(SLEEP).args(["300"]).spawn(&tools()).unwrap();
        println!("{}", serde_json::to_string(process.id()).unwrap());
    }
}
