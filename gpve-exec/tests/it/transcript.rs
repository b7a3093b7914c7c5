use gpve_exec::{ExecError, Hidden, Invocation, Recorder, Runner, Status, Transcript};

use crate::support::{CAT, SH, system};

fn invocations(directory: &str) -> [Invocation; 4] {
    [
        Invocation::new(SH).args(["-c", "echo $1; echo oops >&2; exit 4", "sh"]).arg_value(format!("{directory}/disk.raw")),
        Invocation::new(CAT).stdin([0xff, 0x00, b'x']),
        Invocation::new(CAT).stdin_secret(Hidden::new("hunter22")),
        Invocation::new(SH).args(["-c", "cat $1", "sh"]).secret_file("", Hidden::new("hunter33")).env("A", "b"),
    ]
}

#[tokio::test]
async fn a_recording_replays_what_the_tools_said_without_their_secrets() {
    let directory = tempfile::tempdir().unwrap();
    let (file, here) = (directory.path().join("transcript.jsonl"), directory.path().to_str().unwrap());
    let recorder = Recorder::append(system(), &file).unwrap().alias(here, "DIR");
    for invocation in invocations(here) {
        recorder.run(invocation).await.unwrap();
    }
    let text = std::fs::read_to_string(&file).unwrap();
    assert!(!text.contains("hunter") && !text.contains(here), "{text}");

    let transcript = Transcript::open(&file).unwrap().alias("/other/place", "DIR");
    let mut outputs = Vec::new();
    for invocation in invocations("/other/place") {
        outputs.push(transcript.run(invocation).await.unwrap());
    }
    assert_eq!(outputs[0].stdout, b"/other/place/disk.raw\n");
    assert_eq!((outputs[0].status, outputs[0].stderr.as_slice()), (Status::Exited(4), &b"oops\n"[..]));
    assert_eq!(outputs[1].stdout, [0xff, 0x00, b'x']);
    assert_eq!((outputs[2].stdout.as_slice(), outputs[3].stdout.as_slice()), (&b"[hidden]"[..], &b"[hidden]"[..]));
    assert_eq!(transcript.unused_count(), 0);
}

#[tokio::test]
async fn equal_invocations_replay_in_the_order_of_recording_and_then_run_out() {
    let line = |stdout| format!(r#"{{"tool":"cat","args":["/proc/uptime"],"status":{{"exited":0}},"stdout":"{stdout}"}}"#);
    let transcript = Transcript::parse(&format!("# two readings\n{}\n\n{}\n", line("1"), line("2"))).unwrap();
    let ask = || Invocation::new(CAT).arg("/proc/uptime");
    assert_eq!(transcript.run(ask()).await.unwrap().stdout, b"1");
    let other = transcript.run(Invocation::new(CAT).arg("/etc/passwd")).await.unwrap_err();
    assert_eq!(
        other.to_string(),
        "the transcript has no answer left for: {\"tool\":\"cat\",\"args\":[\"/etc/passwd\"]}\nnext of the same tool: {\"tool\":\"cat\",\"args\":[\"/proc/uptime\"]}"
    );
    assert_eq!(transcript.run(ask()).await.unwrap().stdout, b"2");
    assert!(matches!(transcript.run(ask()).await, Err(ExecError::NotRecorded { nearest, .. }) if nearest == "none"));
}

#[test]
fn a_broken_transcript_names_its_line() {
    let error = Transcript::parse("\n{\"tool\":\"cat\"}\n").unwrap_err().to_string();
    assert!(error.starts_with("line 2: missing field"), "{error}");
}
