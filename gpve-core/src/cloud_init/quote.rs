//! A client's text as one value of a language, whatever is in it.

use std::fmt::Write as _;

/// As a double-quoted scalar of YAML, in ASCII. JSON's escapes are not enough: YAML refuses some characters that JSON takes
/// as they are.
pub(super) fn yaml(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        let written = match c {
            '"' | '\\' => write!(out, "\\{c}"),
            ' '..='~' => write!(out, "{c}"),
            _ if u32::from(c) > 0xffff => write!(out, "\\U{:08x}", u32::from(c)),
            _ => write!(out, "\\u{:04x}", u32::from(c)),
        };
        // Writing to a string does not fail.
        debug_assert!(written.is_ok());
    }
    out + "\""
}

/// As one word of a shell.
pub(super) fn shell(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}
