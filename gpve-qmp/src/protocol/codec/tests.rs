#![allow(clippy::unwrap_used, clippy::panic, reason = "tests fail by panicking")]

use proptest::prelude::*;
use serde_json::json;

use super::*;

fn lines_of(buffer: &mut LineBuffer) -> Result<Vec<Vec<u8>>, LineTooLong> {
    let mut lines = Vec::new();
    while let Some(line) = buffer.next_line()? {
        lines.push(line.to_vec());
    }
    Ok(lines)
}

fn feed(buffer: &mut LineBuffer, pieces: &[&[u8]]) -> Result<Vec<Vec<u8>>, LineTooLong> {
    let mut lines = Vec::new();
    for piece in pieces {
        buffer.spare().extend_from_slice(piece);
        lines.extend(lines_of(buffer)?);
    }
    Ok(lines)
}

#[test]
fn an_endless_line_is_refused_at_the_limit() {
    let mut buffer = LineBuffer::with_limit(10);
    assert_eq!(feed(&mut buffer, &[b"0123456789"]), Ok(vec![]));
    assert_eq!(feed(&mut buffer, &[b"a"]), Err(LineTooLong { limit: 10 }));
}

#[test]
fn a_complete_line_over_the_limit_is_refused_too() {
    let mut buffer = LineBuffer::with_limit(4);
    assert_eq!(feed(&mut buffer, &[b"12345\n"]), Err(LineTooLong { limit: 4 }));
}

#[test]
fn a_huge_line_passes_and_its_memory_is_given_back() {
    let mut buffer = LineBuffer::default();
    let huge = vec![b'x'; 20 << 20];
    buffer.spare().extend_from_slice(&huge);
    buffer.spare().push(b'\n');
    assert_eq!(lines_of(&mut buffer).unwrap(), vec![huge]);
    assert!(buffer.spare().capacity() <= KEEP_BUFFER_BYTES, "the buffer shrinks once it is empty");
}

#[test]
fn a_null_return_is_an_answer() {
    let Message::Reply { id: Some(3), outcome: Ok(value) } = parse(br#"{"return": null, "id": 3}"#).unwrap() else {
        panic!("not a reply");
    };
    assert_eq!(value.get(), "null");
}

#[test]
fn an_error_without_an_id_is_kept_as_one() {
    let line = br#"{"error": {"class": "GenericError", "desc": "JSON parse error"}}"#;
    let Message::Reply { id: None, outcome: Err(error) } = parse(line).unwrap() else { panic!("not an error") };
    assert_eq!((error.class.as_str(), error.desc.as_str()), ("GenericError", "JSON parse error"));
}

#[test]
fn events_with_unknown_names_and_members_are_events() {
    let line = br#"{"timestamp": {"seconds": 1, "microseconds": 2}, "event": "FROM_THE_FUTURE", "data": {"a": [1]}, "x": 1}"#;
    let Message::Event { name, data: Some(data), timestamp } = parse(line).unwrap() else { panic!("not an event") };
    assert_eq!((name.as_ref(), data.get()), ("FROM_THE_FUTURE", r#"{"a": [1]}"#));
    assert_eq!(timestamp, Timestamp { seconds: 1, microseconds: 2 });
}

#[test]
fn an_object_of_no_known_kind_is_passed_over() {
    assert!(matches!(parse(b"{}").unwrap(), Message::Unknown));
    assert!(parse(b"[]").is_err() && parse(b"garbage").is_err() && parse(b"\xff\xfe").is_err());
}

#[test]
fn a_greeting_names_its_capabilities() {
    let line =
        br#"{"QMP": {"version": {"qemu": {"micro": 2, "minor": 0, "major": 10}, "package": "Debian"}, "capabilities": ["oob", "x-new"]}}"#;
    let Message::Greeting(greeting) = parse(line).unwrap() else { panic!("not a greeting") };
    assert_eq!(greeting.capabilities, ["oob", "x-new"]);
    assert_eq!(greeting.version.qemu.major, 10);
}

#[test]
fn commands_encode_as_one_line_each() {
    let line = encode(Lane::InBand, "cont", &json!({}), Some(7)).unwrap();
    assert_eq!(line, b"{\"execute\":\"cont\",\"arguments\":{},\"id\":7}\n");
    let line = encode(Lane::OutOfBand, "yank", &json!({"text": "a\nb"}), None).unwrap();
    assert_eq!(line, b"{\"exec-oob\":\"yank\",\"arguments\":{\"text\":\"a\\nb\"}}\n");
}

proptest! {
    /// However a stream is cut, the same lines come out.
    #[test]
    fn lines_do_not_depend_on_how_reads_cut_them(
        lines in prop::collection::vec(prop::collection::vec(any::<u8>().prop_filter("no line ends", |b| !b"\r\n".contains(b)), 0..40), 0..20),
        carriage in any::<bool>(),
        cuts in prop::collection::vec(1usize..50, 1..60),
    ) {
        let end: &[u8] = if carriage { b"\r\n" } else { b"\n" };
        let stream: Vec<u8> = lines.iter().flat_map(|line| [line.as_slice(), end].concat()).collect();
        let mut pieces = Vec::new();
        let mut rest = stream.as_slice();
        for cut in cuts.iter().cycle() {
            if rest.is_empty() { break; }
            let (piece, more) = rest.split_at((*cut).min(rest.len()));
            pieces.push(piece);
            rest = more;
        }
        prop_assert_eq!(feed(&mut LineBuffer::default(), &pieces).unwrap(), lines);
    }

    /// Whatever arrives, parsing ends without a panic.
    #[test]
    fn garbage_never_panics(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let mut buffer = LineBuffer::with_limit(128);
        buffer.spare().extend_from_slice(&bytes);
        while let Ok(Some(line)) = buffer.next_line() {
            let _ = parse(line);
        }
    }

    /// What is encoded stays on one line and parses back as what it was.
    #[test]
    fn a_command_survives_encoding(name in "\\PC*", text in "\\PC*|[\\x00-\\x1f]*", id in any::<u64>()) {
        let line = encode(Lane::InBand, &name, &json!({"text": text}), Some(id)).unwrap();
        prop_assert_eq!(line.iter().filter(|&&b| b == b'\n').count(), 1);
        let value: serde_json::Value = serde_json::from_slice(&line).unwrap();
        prop_assert_eq!(value, json!({"execute": name, "arguments": {"text": text}, "id": id}));
    }
}
