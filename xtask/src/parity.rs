//! The table of operations and doors: which test proves that an operation can be reached from Rust, Python, C, HTTP and the command line.
//!
//! `xtask/parity.txt` names a test, or says why there is none, for each operation of the engine and each door; `docs/parity.md` and the
//! READMEs' tables are made from it. The check fails when the engine has an operation that the table lacks, when a named test is not
//! there, and when a page is not what the table gives.

mod readme;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use crate::failure::{Context as _, Failure, Result};
use crate::place;

const TABLE: &str = "xtask/parity.txt";
const PAGE: &str = "docs/parity.md";
/// Where the engine's operations are named.
const OPERATIONS: &str = "gpve-core/src/ports/node_message.rs";

/// A way to the engine, and where its tests are.
struct Door {
    key: &'static str,
    title: &'static str,
    tests: &'static [&'static str],
}

const DOORS: &[Door] = &[
    Door { key: "rust", title: "Rust, in the process", tests: &["gpve/tests/it", "gpve-core/tests/it"] },
    Door { key: "client", title: "Rust, client", tests: &["gpve-daemon/tests/it"] },
    Door { key: "python", title: "Python, in the process", tests: &["bindings/python/tests"] },
    Door { key: "python-client", title: "Python, client", tests: &["bindings/python/tests"] },
    Door { key: "c", title: "C", tests: &["bindings/c/tests"] },
    Door { key: "rest", title: "Proxmox VE's API", tests: &["proof", "gpve-daemon/tests/it"] },
    Door { key: "cli", title: "gpvectl", tests: &["proof", "gpve-daemon/tests/it"] },
];

/// What a door has for an operation.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Cell {
    Test(String),
    Absent(String),
}

type Table = BTreeMap<String, BTreeMap<String, Cell>>;

/// Fails with every gap at once.
pub(crate) fn check() -> Result {
    let (operations, table) = read()?;
    let mut gaps = gaps(&operations, &table);
    for (operation, cells) in &table {
        for (key, cell) in cells {
            let Some(door) = DOORS.iter().find(|door| door.key == key) else { continue };
            if let Cell::Test(name) = cell
                && !is_there(door, name)?
            {
                gaps.push(format!("{operation}, {key}: no test '{name}' in {}", door.tests.join(", ")));
            }
        }
    }
    if fs::read_to_string(place::root().join(PAGE)).ok().as_deref() != Some(&page(&operations, &table)) {
        gaps.push(format!("{PAGE} is not what {TABLE} gives: run `cargo xtask parity`"));
    }
    for (file, is, shall) in readme::all(&operations, &table)? {
        if is != shall {
            gaps.push(format!("{file}: its table is not what {TABLE} gives: run `cargo xtask parity`"));
        }
    }
    if gaps.is_empty() { Ok(()) } else { Err(Failure::new(gaps.join("\n"))) }
}

/// Writes the page, and the tables of the READMEs.
pub(crate) fn write() -> Result {
    let (operations, table) = read()?;
    let path = place::root().join(PAGE);
    fs::write(&path, page(&operations, &table)).context(path.display())?;
    for (file, _, shall) in readme::all(&operations, &table)? {
        fs::write(place::root().join(file), shall).context(file)?;
    }
    Ok(())
}

fn read() -> Result<(Vec<String>, Table)> {
    let text = |file: &str| fs::read_to_string(place::root().join(file)).context(file);
    Ok((operations(&text(OPERATIONS)?), parse(&text(TABLE)?)?))
}

/// The variants of `enum Operation`: the lines one step in that begin with a capital.
fn operations(source: &str) -> Vec<String> {
    let body = source.split_once("pub enum Operation {").map_or("", |(_, rest)| rest);
    let body = body.split_once("\n}").map_or(body, |(body, _)| body);
    let variants = body.lines().filter_map(|line| line.strip_prefix("    ")).filter(|line| line.starts_with(char::is_uppercase));
    variants.map(|line| line.split(|letter: char| !letter.is_alphanumeric()).next().unwrap_or_default().to_owned()).collect()
}

fn parse(text: &str) -> Result<Table> {
    let mut table = Table::new();
    let mut operation = String::new();
    for line in text.lines().filter(|line| !line.trim().is_empty() && !line.starts_with('#')) {
        if !line.starts_with(' ') {
            operation = line.trim().to_owned();
            table.entry(operation.clone()).or_default();
            continue;
        }
        let wrong = || Failure::new(format!("{TABLE}: '{line}' is not of the form '  door: test' or '  door: - reason'"));
        let (door, cell) = line.trim().split_once(": ").ok_or_else(wrong)?;
        let cell = match cell.strip_prefix("- ") {
            Some(reason) => Cell::Absent(reason.to_owned()),
            None => Cell::Test(cell.to_owned()),
        };
        table.entry(operation.clone()).or_default().insert(door.to_owned(), cell);
    }
    Ok(table)
}

fn gaps(operations: &[String], table: &Table) -> Vec<String> {
    let mut gaps: Vec<String> =
        table.keys().filter(|row| !operations.contains(row)).map(|row| format!("{row} is no operation of the engine")).collect();
    for operation in operations {
        let missing = |door: &&Door| table.get(operation).is_none_or(|cells| !cells.contains_key(door.key));
        gaps.extend(DOORS.iter().filter(missing).map(|door| format!("{operation} has no cell for {}", door.key)));
    }
    for (operation, cells) in table {
        let unknown = cells.keys().filter(|key| DOORS.iter().all(|door| door.key != *key));
        gaps.extend(unknown.map(|key| format!("{operation}: there is no door '{key}'")));
    }
    gaps
}

fn is_there(door: &Door, test: &str) -> Result<bool> {
    for directory in door.tests {
        for file in files(&place::root().join(directory))? {
            if fs::read_to_string(&file).is_ok_and(|text| text.contains(test)) {
                return Ok(true);
            }
        }
    }
    Ok(false)
}

fn files(directory: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory).context(directory.display())? {
        let path = entry?.path();
        if path.is_dir() {
            found.extend(files(&path)?);
        } else {
            found.push(path);
        }
    }
    Ok(found)
}

fn page(operations: &[String], table: &Table) -> String {
    let mut page = "# Operations and doors\n\nEvery operation of the engine and the test that proves it through each door; made by \
                    `cargo xtask parity` from `xtask/parity.txt`. A number is a reason below.\n\n"
        .to_owned();
    let titles: Vec<&str> = DOORS.iter().map(|door| door.title).collect();
    let _ = writeln!(page, "| operation | {} |\n|---|{}", titles.join(" | "), "---|".repeat(DOORS.len()));
    let mut reasons: Vec<&str> = Vec::new();
    for operation in operations {
        let mut row = format!("| {operation} |");
        for door in DOORS {
            let cell = table.get(operation).and_then(|cells| cells.get(door.key));
            let _ = match cell {
                Some(Cell::Test(test)) => write!(row, " {test} |"),
                Some(Cell::Absent(reason)) => {
                    let at = reasons.iter().position(|known| known == reason).unwrap_or_else(|| {
                        reasons.push(reason);
                        reasons.len() - 1
                    });
                    write!(row, " – ({}) |", at + 1)
                }
                None => write!(row, " ? |"),
            };
        }
        let _ = writeln!(page, "{row}");
    }
    if !reasons.is_empty() {
        page.push('\n');
    }
    for (n, reason) in reasons.iter().enumerate() {
        let _ = writeln!(page, "{}. {reason}", n + 1);
    }
    page
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOURCE: &str = "pub enum Operation {\n    /// Makes.\n    Create {\n        /// Its\n        uid: Uuid,\n    },\n    /// Starts.\n    Start,\n    \
                          /// Asks.\n    Shutdown(ShutdownOptions),\n}\npub enum Other {\n    No,\n}\n";

    #[test]
    fn operations_are_the_variants_of_the_enum() {
        assert_eq!(operations(SOURCE), ["Create", "Start", "Shutdown"]);
    }

    #[test]
    fn a_new_operation_without_a_cell_is_a_gap_and_so_is_a_row_of_nothing() {
        let doors: String = DOORS.iter().map(|door| format!("  {}: - not yet\n", door.key)).collect();
        let table = parse(&format!("# remark\nCreate\n{doors}\nGone\n{doors}\nStart\n{doors}  fax: - no")).unwrap();
        let gaps = gaps(&operations(SOURCE), &table);
        assert!(gaps.contains(&"Shutdown has no cell for rust".to_owned()), "{gaps:?}");
        assert!(gaps.contains(&"Gone is no operation of the engine".to_owned()), "{gaps:?}");
        assert!(gaps.contains(&"Start: there is no door 'fax'".to_owned()), "{gaps:?}");
        assert_eq!(gaps.len(), DOORS.len() + 2);
        assert!(parse("Create\n  nonsense").is_err());
    }

    #[test]
    fn the_page_has_each_reason_once() {
        let doors: String = DOORS.iter().map(|door| format!("  {}: - not yet\n", door.key)).collect();
        let page = page(&operations(SOURCE), &parse(&format!("Create\n{doors}Start\n{doors}")).unwrap());
        assert_eq!(page.matches("not yet").count(), 1);
        assert!(page.contains("| Create | – (1) |"), "{page}");
        assert!(page.contains("| Shutdown | ? |"), "{page}");
    }
}
