use std::time::Duration;

use gpve_exec::{ExecError, Hidden, Invocation, Limits, Process, ProcessId, Runner, Status, Tool};

use crate::support::{CAT, ENV, PATIENCE, SH, line_of, system, until};

#[tokio::test]
async fn arguments_arrive_exactly_as_given() {
    let odd = ["a b", "$HOME;`id`", "*", "", "-n", "ü\n", "\"'\\"];
    let invocation = odd.iter().fold(Invocation::new(Tool::PRINTF).arg("[%s]"), |invocation, value| invocation.arg_value(*value));
    let output = system().run(invocation).await.unwrap();
    assert_eq!(output.text().unwrap(), odd.map(|value| format!("[{value}]")).concat());
}

#[tokio::test]
async fn the_environment_is_only_what_was_given() {
    let output = system().run(Invocation::new(ENV).env("EXTRA", "x=y")).await.unwrap();
    let mut lines: Vec<_> = output.text().unwrap().lines().collect();
    lines.sort_unstable();
    assert_eq!(lines, ["EXTRA=x=y", "HOME=/", "LC_ALL=C", "PATH=/usr/sbin:/usr/bin:/sbin:/bin"]);
}

#[tokio::test]
async fn the_directory_and_the_input_are_as_given() {
    let directory = tempfile::tempdir().unwrap();
    let invocation = Invocation::new(SH).args(["-c", "pwd; cat"]).directory(directory.path()).stdin("fed");
    let output = system().run(invocation).await.unwrap();
    assert_eq!(output.text().unwrap(), format!("{}\nfed", directory.path().display()));
    assert_eq!(system().run(Invocation::new(CAT)).await.unwrap().stdout, b"", "without input there is an end of file, not a terminal");
}

#[tokio::test]
async fn more_input_than_a_pipe_holds_passes_while_output_is_read() {
    let megabyte = vec![b'x'; 1 << 20];
    let output = system().run(Invocation::new(CAT).stdin(megabyte.clone())).await.unwrap();
    assert!(output.stdout == megabyte);
}

#[tokio::test]
async fn a_watcher_sees_the_output_while_the_program_still_runs() {
    let directory = tempfile::tempdir().unwrap();
    let seen = directory.path().join("seen");
    let mark = seen.clone();
    // The program ends only once the watcher saw its first line.
    let script = "echo half; while [ ! -e \"$1\" ]; do sleep 0.01; done; echo whole";
    let invocation = Invocation::new(SH).args(["-c", script, "sh"]).arg_value(&seen).deadline(PATIENCE);
    let invocation = invocation.watch_stdout(move |piece| {
        if piece == b"half\n" {
            std::fs::write(&mark, "").unwrap();
        }
    });
    assert_eq!(system().run(invocation).await.unwrap().text().unwrap(), "half\nwhole\n");
}

#[tokio::test]
async fn a_program_may_end_without_reading_its_input() {
    let output = system().run(Invocation::new(SH).args(["-c", "exit 3"]).stdin(vec![0; 1 << 20])).await.unwrap();
    assert_eq!(output.status, Status::Exited(3));
}

#[tokio::test]
async fn a_failure_tells_the_code_and_the_end_of_stderr() {
    let cases = [
        ("echo no such pool >&2; exit 5", "sh ended with code 5: no such pool"),
        ("kill -9 $$", "sh ended with signal 9: it printed no reason"),
    ];
    for (script, expected) in cases {
        let output = system().run(Invocation::new(SH).args(["-c", script])).await.unwrap();
        assert_eq!(output.require_success().unwrap_err().to_string(), expected);
    }
}

#[tokio::test]
async fn the_deadline_kills_the_whole_tree() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("pid");
    let invocation =
        Invocation::new(SH).args(["-c", "sleep 300 & echo $! >pid; wait"]).directory(directory.path()).deadline(Duration::from_secs(2));
    let run = tokio::spawn(async move { system().run(invocation).await });
    let pid = line_of(&file).await.parse().unwrap();
    let grandchild = Process::open(&ProcessId::of(pid).unwrap().unwrap()).unwrap().unwrap();
    let error = run.await.unwrap().unwrap_err();
    assert_eq!(error.to_string(), "sh did not end within 2s and was killed");
    tokio::time::timeout(PATIENCE, grandchild.exited()).await.expect("the grandchild lives on").unwrap();
}

#[tokio::test]
async fn dropping_the_future_kills_the_program() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("pid");
    let invocation = Invocation::new(SH).args(["-c", "echo $$ >pid; exec sleep 300"]).directory(directory.path());
    let run = tokio::spawn(async move { system().run(invocation).await });
    let pid = line_of(&file).await.parse().unwrap();
    let program = Process::open(&ProcessId::of(pid).unwrap().unwrap()).unwrap().unwrap();
    run.abort();
    tokio::time::timeout(PATIENCE, program.exited()).await.expect("the program lives on").unwrap();
}

#[tokio::test]
async fn output_beyond_the_cap_is_an_error_on_either_stream() {
    for script in ["yes", "yes >&2"] {
        let invocation = Invocation::new(SH).args(["-c", script]).output_cap_bytes(100_000);
        let error = system().run(invocation).await.unwrap_err();
        assert!(matches!(error, ExecError::OutputTooLarge { cap_bytes: 100_000, .. }), "{error}");
    }
    let exact = Invocation::new(SH).args(["-c", "printf 12345; printf 12345 >&2"]).output_cap_bytes(10);
    assert!(system().run(exact).await.is_ok(), "the cap itself is allowed");
}

#[tokio::test]
async fn secrets_reach_the_program_and_nothing_else() {
    let invocation = Invocation::new(SH)
        .args(["-c", r#"cat "$1" -; cat "$1" >&2; tr '\0' ' ' </proc/$$/cmdline >&2"#, "sh"])
        .secret_file("", Hidden::new("hunter22"))
        .stdin_secret(Hidden::new("+hunter33"));
    assert!(!format!("{invocation:?}").contains("hunter"));
    let output = system().run(invocation).await.unwrap();
    assert_eq!(output.text().unwrap(), "hunter22+hunter33");
    let stderr = String::from_utf8(output.stderr.clone()).unwrap();
    assert!(stderr.starts_with("[hidden]/usr/bin/sh -c"), "{stderr}");
    assert!(!output.failure().to_string().contains("hunter"));
}

#[tokio::test]
async fn a_secret_file_can_be_read_twice_by_path() {
    let invocation = Invocation::new(CAT).secret_file("", Hidden::new("key ")).arg("/dev/fd/3");
    assert_eq!(system().run(invocation).await.unwrap().stdout, b"key key ");
}

#[tokio::test]
async fn a_refused_argument_starts_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("made");
    let invocation = Invocation::new(SH).args(["-c", "touch made"]).arg_value("\0").directory(directory.path());
    assert!(matches!(system().run(invocation).await, Err(ExecError::BadArgument { .. })));
    assert!(!file.exists());
}

#[tokio::test]
async fn waiting_for_a_slot_counts_against_the_deadline() {
    let system = system();
    let directory = tempfile::tempdir().unwrap();
    let busy: Vec<_> = (0..gpve_exec::RUNNING_MAX)
        .map(|index| {
            let system = system.clone();
            let invocation = Invocation::new(SH).args(["-c", "touch $1; exec sleep 300", "sh"]).arg_value(index.to_string());
            let invocation = invocation.directory(directory.path());
            tokio::spawn(async move { system.run(invocation).await })
        })
        .collect();
    until(|| (directory.path().read_dir().unwrap().count() == gpve_exec::RUNNING_MAX).then_some(())).await;
    let late = system.run(Invocation::new(ENV).deadline(Duration::from_millis(200))).await;
    assert!(matches!(late, Err(ExecError::Deadline { .. })), "{late:?}");
    for run in busy {
        run.abort();
        assert!(run.await.unwrap_err().is_cancelled());
    }
    system.run(Invocation::new(ENV)).await.unwrap();
}

#[tokio::test]
async fn limits_of_memory_and_processor_hold() {
    let limits = Limits { memory_bytes: 256 << 20, cpu: Duration::from_secs(1) };
    let output = system().run(Invocation::new(SH).args(["-c", "ulimit -v; ulimit -t"]).limits(limits)).await.unwrap();
    assert_eq!(output.text().unwrap(), "262144\n1\n");
    let endless = Invocation::new(SH).args(["-c", "while :; do :; done"]).limits(limits);
    let output = system().run(endless).await.unwrap();
    assert!(matches!(output.status, Status::Signalled(_)), "{:?}", output.status);
}

#[tokio::test]
async fn an_opened_file_runs_as_it_was_opened_and_both_its_outputs_are_seen() {
    use std::os::unix::fs::PermissionsExt as _;
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("script");
    std::fs::write(&path, "#!/bin/sh\necho \"$1\"\necho loud >&2\nexit 3\n").unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o700)).unwrap();
    let file = std::fs::File::open(&path).unwrap();
    std::fs::remove_file(&path).unwrap();
    let (seen, see) = (std::sync::Arc::new(std::sync::Mutex::new(Vec::new())), |seen: &std::sync::Arc<std::sync::Mutex<Vec<u8>>>| {
        let seen = std::sync::Arc::clone(seen);
        move |piece: &[u8]| seen.lock().unwrap().extend_from_slice(piece)
    });
    let invocation = Invocation::of_file(Tool::new("script", ""), file).operand("said");
    let invocation = invocation.watch_stdout(see(&seen)).watch_stderr(see(&seen));
    let output = system().run(invocation).await.unwrap();
    assert_eq!((output.status, output.stdout, output.stderr), (Status::Exited(3), b"said\n".to_vec(), b"loud\n".to_vec()));
    assert_eq!(seen.lock().unwrap().len(), 10, "both were seen while it ran");
}
