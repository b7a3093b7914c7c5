//! Entry points for the fuzzer: each takes bytes and returns, whatever they are.
#![doc(hidden)]

use crate::protocol::codec::{LineBuffer, parse};
use crate::protocol::schema::Schema;

/// The longest line that the fuzzer's codec takes, small enough to be reached.
const FUZZ_LINE_BYTES: usize = 4 << 10;

/// Feeds `data` to the codec in pieces, the first byte choosing their size, and checks that the pieces' size does
/// not show in the lines.
pub fn codec(data: &[u8]) {
    let Some((&first, stream)) = data.split_first() else { return };
    let whole = lines_of(stream, stream.len().max(1));
    let pieces = lines_of(stream, usize::from(first).max(1));
    // Where a line is too long, how much came before the refusal depends on the pieces.
    if whole.1 && pieces.1 {
        assert_eq!(whole.0, pieces.0, "lines differ by how they were read");
    }
    for line in &whole.0 {
        let _ = parse(line);
    }
}

/// Reads `data` as a schema and asks it something.
pub fn schema(data: &[u8]) {
    if let Ok(Ok(schema)) = std::str::from_utf8(data).map(Schema::parse) {
        let _ = schema.enum_has_value("blockdev-add", "file/driver", "rbd");
    }
}

fn lines_of(stream: &[u8], piece: usize) -> (Vec<Vec<u8>>, bool) {
    let mut buffer = LineBuffer::with_limit(FUZZ_LINE_BYTES);
    let mut lines = Vec::new();
    for bytes in stream.chunks(piece) {
        buffer.spare().extend_from_slice(bytes);
        loop {
            match buffer.next_line() {
                Ok(Some(line)) => lines.push(line.to_vec()),
                Ok(None) => break,
                Err(_) => return (lines, false),
            }
        }
    }
    (lines, true)
}
