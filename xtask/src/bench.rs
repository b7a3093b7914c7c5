//! `cargo xtask bench`: runs the programs that measure, and writes what they print into `docs/benchmarks.md`.

use std::fmt::Write as _;
use std::fs;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Instant;

use serde_json::{Map, Value};

use crate::failure::{Context as _, Failure, Result};
use crate::needs::{self, Purpose};
use crate::program::{Program, say};
use crate::{guest, place, suite};

/// A program that measures: it prints one JSON object per line, flat, with `bench` as the title of its table and `who` as the first
/// column; other lines are remarks for the terminal. `{"bench": …, "skip": "why"}` says that it could not measure here.
struct Bench {
    name: &'static str,
    /// What is measured, on what, and what limits each figure.
    about: &'static str,
    /// `cargo`, or a Python file of this tree.
    program: &'static str,
    arguments: &'static [&'static str],
}

const BENCHES: &[Bench] = &[
    Bench {
        name: "QMP round trip",
        about: "`query-status` on one paused QEMU through gpve-qmp, beside a bare socket to the same QEMU. Limit: QEMU's own main loop. Goal: at most 1.2 times the bare socket.",
        program: "cargo",
        arguments: &["bench", "--quiet", "-p", "gpve-qmp", "--bench", "round_trip"],
    },
    Bench {
        name: "Start and stop",
        about: "Launch of a 64 MiB q35 guest to `running`, and its end, through gpve-qmp, beside bare QEMU in turns. Limit: QEMU's own start and exit. Goals: start at most 1.3 times, stop at most 2 times bare QEMU.",
        program: "cargo",
        arguments: &["bench", "--quiet", "-p", "gpve-qmp", "--bench", "start_stop"],
    },
    Bench {
        name: "Store",
        about: "Durable writes per second at 1, 16 and 256 writers, and the delay of a watch event with 1,000 watchers, beside Debian's etcd on the same disk in the same run. Limit: one `fdatasync` of this disk, which here acknowledges from a cache and so flatters everyone alike. Goal: ahead of etcd.",
        program: "cargo",
        arguments: &["bench", "--quiet", "-p", "gpve-store", "--bench", "store"],
    },
    Bench {
        name: "Server",
        about: "5,000 simulated guests: reads per second, the latency of the list, creates per second; memory at 1,000 defined guests. Limit: one core for the server, one for the client. Goals: list p99 at most 20 ms, 10,000 reads/s, 60 MiB.",
        program: "proof/_bench_server.py",
        arguments: &[],
    },
    Bench {
        name: "Guests over the API",
        about: "Create, start, stop and delete of a 64 MiB q35 guest without disks through the server, each call followed to its task's end, and bare QEMU in turns. Limit: QEMU's own start and exit. Goals: create and start together at most 1.3 times, stop at most 2 times bare QEMU.",
        program: "proof/_bench_guests.py",
        arguments: &[],
    },
    Bench {
        name: "Beside other managers",
        about: "Bare QEMU, libvirt, Incus and this server in turns, the least of three turns. Run by the program that `GPVE_PEERS` names (`../shared/tools/peers/run.py` where that is there), which takes `--ours COMMAND` and prints lines with `peer`, `what` and figures. Goals: create and start together at most 1.3 times bare QEMU, stop at most 2 times, a list of 1,000 with state ahead of all.",
        program: PEERS,
        arguments: &["--turns", "3"],
    },
];

/// Stands for the program that measures other managers, which is not of this tree.
const PEERS: &str = "peers";

/// Runs every bench, or those whose names hold one of `wanted`, and writes the report.
pub(crate) fn run(wanted: &[&str]) -> Result {
    needs::install(&[Purpose::Build, Purpose::Guests, Purpose::Benchmarks])?;
    let guest = guest::image()?;
    let chosen = BENCHES.iter().filter(|bench| wanted.is_empty() || wanted.iter().any(|word| bench.name.contains(word)));
    let mut report = head()?;
    for bench in chosen {
        say(format!("── {}", bench.name));
        let started = Instant::now();
        let section = match measure(bench, &guest) {
            Ok(lines) => section(&lines),
            Err(failure) => {
                say(format!("{}: {failure}", bench.name));
                format!("Not measured: {failure}\n")
            }
        };
        write!(report, "\n## {}\n\n{}\n\n{section}", bench.name, bench.about)?;
        say(format!("── {} ({:.0} s)", bench.name, started.elapsed().as_secs_f32()));
    }
    let path = place::root().join("docs/benchmarks.md");
    fs::write(&path, report).context(path.display())?;
    say(format!("written: {}", path.display()));
    Ok(())
}

fn measure(bench: &Bench, guest: &guest::Image) -> Result<Vec<Map<String, Value>>> {
    let program = match bench.program {
        "cargo" => Program::cargo(),
        PEERS => {
            let Some(peers) = peers() else {
                return Ok(vec![Map::from_iter([("skip".to_owned(), "GPVE_PEERS names no program that measures other managers".into())])]);
            };
            let ours = format!("/usr/bin/python3 {}", place::root().join("proof/_bench_peers.py").display());
            Program::new("/usr/bin/python3").arg(peers).args(["--ours", &ours]).env("GPVE_BIN", server()?)
        }
        script => Program::new("/usr/bin/python3").arg(place::root().join(script)).env("GPVE_BIN", server()?),
    };
    let program = program.args(bench.arguments).directory(place::root()).env("GPVE_GUEST", &guest.directory);
    let shown = program.shown().to_owned();
    let output = program.into_command().stderr(Stdio::inherit()).output().context(format!("cannot start `{shown}`"))?;
    if !output.status.success() {
        return Err(Failure::new(format!("`{shown}` ended with {}", output.status)));
    }
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let lines = text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    Ok(if bench.program == PEERS { least(lines) } else { lines })
}

fn peers() -> Option<PathBuf> {
    let given = std::env::var_os("GPVE_PEERS").map(PathBuf::from);
    given.or_else(|| Some(place::root().join("../shared/tools/peers/run.py"))).filter(|program| program.is_file())
}

/// One line for each peer and thing measured, with the least of each figure over all turns.
fn least(lines: Vec<Map<String, Value>>) -> Vec<Map<String, Value>> {
    const FIGURES: [&str; 7] = ["min_ms", "p50_ms", "cpu_ms", "each_ms", "total_s", "rss_kib", "pss_kib"];
    let mut rows: Vec<Map<String, Value>> = Vec::new();
    for line in lines {
        let part = |key: &str| line.get(key).and_then(Value::as_str).map(str::to_owned);
        let (Some(peer), Some(what)) = (part("peer"), part("what")) else { continue };
        let who = Value::from(format!("{peer}, {what}"));
        let at = rows.iter().position(|row| row.get("who") == Some(&who)).unwrap_or(rows.len());
        if at == rows.len() {
            rows.push(Map::from_iter([("who".to_owned(), who)]));
        }
        for figure in FIGURES {
            let Some(value) = line.get(figure).and_then(Value::as_f64) else { continue };
            let before = rows[at].get(figure).and_then(Value::as_f64).unwrap_or(value);
            rows[at].insert(figure.to_owned(), value.min(before).into());
        }
    }
    rows
}

/// The server as it is released, unless `GPVE_BIN` names one.
fn server() -> Result<PathBuf> {
    if let Some(program) = std::env::var_os("GPVE_BIN") {
        return Ok(program.into());
    }
    let target = suite::target()?;
    let build = Program::cargo().args(["build", "--release", "--quiet", "--package", "gpve-daemon"]);
    build.env("CARGO_TARGET_DIR", &target).directory(place::root()).run()?;
    Ok(target.join("release/gpve"))
}

/// What was measured on; figures from different machines do not compare.
fn head() -> Result<String> {
    let cpu = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpu.lines().find_map(|line| line.strip_prefix("model name")).map_or("unknown", |line| line.trim_matches([' ', '\t', ':']));
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let qemu = Program::new("qemu-system-x86_64").arg("--version").read().unwrap_or_default();
    let commit = Program::new("git").args(["log", "-1", "--format=%h of %cs"]).directory(place::root()).read().unwrap_or_default();
    let mut head =
        "# Benchmarks\n\nMade by `cargo xtask bench`; figures of one run compare with each other, not with those of another machine.\n\n"
            .to_owned();
    let rows = [
        ("commit", commit.trim()),
        ("processor", &format!("{model}, {cores} cores")),
        ("kernel", kernel.trim()),
        ("QEMU", qemu.lines().next().unwrap_or("not installed")),
        ("load before", load.trim()),
    ];
    writeln!(head, "| measured on | |\n|---|---|")?;
    for (what, value) in rows {
        writeln!(head, "| {what} | {value} |")?;
    }
    Ok(head)
}

/// One table per `bench` in the lines, its columns in the order in which they first occur.
fn section(lines: &[Map<String, Value>]) -> String {
    let title = |line: &Map<String, Value>| line.get("bench").and_then(Value::as_str).unwrap_or_default().to_owned();
    let mut titles: Vec<String> = Vec::new();
    for line in lines {
        if !titles.contains(&title(line)) {
            titles.push(title(line));
        }
    }
    let tables: Vec<String> = titles
        .iter()
        .map(|wanted| {
            let rows: Vec<_> = lines.iter().filter(|line| title(line) == *wanted).collect();
            let heading = if wanted.is_empty() { String::new() } else { format!("**{wanted}**\n\n") };
            heading + &table(&rows)
        })
        .collect();
    if tables.is_empty() { "Nothing was printed.\n".to_owned() } else { tables.join("\n") }
}

fn table(rows: &[&Map<String, Value>]) -> String {
    if let Some(reason) = rows.iter().find_map(|row| row.get("skip")) {
        return format!("Skipped: {}\n", cell(Some(reason)));
    }
    // Some say `name`; either is the first column.
    let first = if rows.iter().any(|row| row.contains_key("who")) { "who" } else { "name" };
    let mut columns: Vec<&str> = vec![first];
    for key in rows.iter().flat_map(|row| row.keys()) {
        if key != "bench" && !columns.contains(&key.as_str()) {
            columns.push(key);
        }
    }
    let line = |cells: Vec<String>| format!("| {} |\n", cells.join(" | "));
    let mut table = line(columns.iter().map(|&name| if name == first { String::new() } else { name.to_owned() }).collect());
    table += &line(columns.iter().map(|_| "---".to_owned()).collect());
    table.extend(rows.iter().map(|row| line(columns.iter().map(|name| cell(row.get(*name))).collect())));
    table
}

fn cell(value: Option<&Value>) -> String {
    match value {
        None | Some(Value::Null) => String::new(),
        Some(Value::String(text)) => text.replace('|', "\\|"),
        Some(Value::Bool(true)) => "yes".to_owned(),
        Some(Value::Bool(false)) => "no".to_owned(),
        Some(Value::Number(number)) if number.is_f64() => number.as_f64().map_or_else(String::new, round),
        Some(other) => other.to_string(),
    }
}

/// Three significant digits: more than any of these figures can bear.
fn round(value: f64) -> String {
    match value.abs() {
        0.0 => "0".to_owned(),
        size if size >= 100.0 => format!("{value:.0}"),
        size if size >= 10.0 => format!("{value:.1}"),
        size if size >= 1.0 => format!("{value:.2}"),
        _ => format!("{value:.3}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(text: &str) -> Vec<Map<String, Value>> {
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    #[test]
    fn lines_become_one_table_per_bench() {
        let printed = lines(
            "{\"bench\":\"write\",\"who\":\"gpve\",\"writers\":16,\"p50_ms\":0.2512}\n{\"bench\":\"write\",\"who\":\"etcd\",\"met\":true,\"writers\":16}\n\
             {\"bench\":\"watch\",\"skip\":\"no etcd\"}",
        );
        assert_eq!(
            section(&printed),
            "**write**\n\n|  | p50_ms | writers | met |\n| --- | --- | --- | --- |\n| gpve | 0.251 | 16 |  |\n| etcd |  | 16 | yes |\n\n\
             **watch**\n\nSkipped: no etcd\n"
        );
    }

    #[test]
    fn the_least_of_all_turns_counts() {
        let printed = lines(
            "{\"peer\":\"qemu\",\"what\":\"stop\",\"min_ms\":4.5,\"n\":3}\n{\"peer\":\"gpve\",\"what\":\"stop\",\"min_ms\":8}\n\
             {\"peer\":\"qemu\",\"what\":\"stop\",\"min_ms\":3.5,\"cpu_ms\":1}\n{\"bench\":\"x\"}",
        );
        let expected = lines("{\"who\":\"qemu, stop\",\"min_ms\":3.5,\"cpu_ms\":1.0}\n{\"who\":\"gpve, stop\",\"min_ms\":8.0}");
        assert_eq!(least(printed), expected);
    }

    #[test]
    fn figures_have_three_digits() {
        assert_eq!([0.0, 0.123_456, 1.0, 22.34, 12_345.6].map(round), ["0", "0.123", "1.00", "22.3", "12346"]);
    }
}
