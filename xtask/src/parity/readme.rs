//! The READMEs' tables of what works: a mark where `docs/parity.md` names a test.

use std::fmt::Write as _;
use std::fs;

use super::{Cell, DOORS, Table};
use crate::failure::{Context as _, Failure, Result};
use crate::place;

const BEGIN: &str = "<!-- made by `cargo xtask parity` -->\n";
const END: &str = "<!-- end -->";

/// A README and its language's head of the table.
struct Readme {
    file: &'static str,
    operation: &'static str,
    doors: &'static [&'static str],
}

const READMES: &[Readme] = &[
    Readme {
        file: "README.md",
        operation: "operation",
        doors: &["Rust, embedded", "Rust, client", "Python, embedded", "Python, client", "C", "Proxmox VE's API", "gpvectl"],
    },
    Readme {
        file: "README-zh.md",
        operation: "操作",
        doors: &["Rust，嵌入", "Rust，客户端", "Python，嵌入", "Python，客户端", "C", "Proxmox VE 的 API", "gpvectl"],
    },
];

/// Of each README its file, what it is, and what it shall be.
pub(super) fn all(operations: &[String], table: &Table) -> Result<Vec<(&'static str, String, String)>> {
    let made = |readme: &Readme| {
        let is = fs::read_to_string(place::root().join(readme.file)).context(readme.file)?;
        let shall = with_table(&is, &readme.table(operations, table))
            .ok_or_else(|| Failure::new(format!("{} has no place for its table, from '{}' to '{END}'", readme.file, BEGIN.trim())))?;
        Ok((readme.file, is, shall))
    };
    READMES.iter().map(made).collect()
}

/// The text with the table in its place, if it has one.
fn with_table(text: &str, table: &str) -> Option<String> {
    let (before, rest) = text.split_once(BEGIN)?;
    let (_, after) = rest.split_once(END)?;
    Some(format!("{before}{BEGIN}{table}{END}{after}"))
}

impl Readme {
    fn table(&self, operations: &[String], table: &Table) -> String {
        let mut made = format!("| {} | {} |\n| --- |{}\n", self.operation, self.doors.join(" | "), " :-: |".repeat(self.doors.len()));
        for operation in operations {
            let cell = |key| table.get(operation).and_then(|cells| cells.get(key));
            let marks = DOORS.iter().map(|door| if matches!(cell(door.key), Some(Cell::Test(_))) { " ✓ |" } else { " – |" });
            let _ = writeln!(made, "| {} |{}", words(operation), marks.collect::<String>());
        }
        made
    }
}

/// `DeleteSnapshot` as `delete snapshot`.
fn words(operation: &str) -> String {
    let mut words = String::new();
    for letter in operation.chars() {
        if letter.is_uppercase() && !words.is_empty() {
            words.push(' ');
        }
        words.extend(letter.to_lowercase());
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_door_has_a_title_in_every_language() {
        assert!(READMES.iter().all(|readme| readme.doors.len() == DOORS.len()));
    }

    #[test]
    fn a_mark_is_where_a_test_is() {
        let cells = [("rust", Cell::Test("it".to_owned())), ("c", Cell::Absent("no".to_owned()))];
        let table = Table::from([("DeleteSnapshot".to_owned(), cells.map(|(key, cell)| (key.to_owned(), cell)).into())]);
        let made = READMES[0].table(&["DeleteSnapshot".to_owned()], &table);
        assert_eq!(made.lines().last(), Some("| delete snapshot | ✓ | – | – | – | – | – | – |"));
    }

    #[test]
    fn only_the_table_is_replaced() {
        let text = format!("before\n{BEGIN}old\n{END}\nafter\n");
        assert_eq!(with_table(&text, "new\n"), Some(format!("before\n{BEGIN}new\n{END}\nafter\n")));
        assert_eq!(with_table("no place", "new"), None);
    }
}
