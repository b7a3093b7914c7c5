use std::path::Path;

use super::sources::breaches_of;
use super::{FOREIGN, LAYERS, Member, arrows, members};

fn rules(name: &str, dependencies: &[&str]) -> Vec<String> {
    let member = Member { name: name.to_owned(), dependencies: dependencies.iter().map(|&name| name.to_owned()).collect() };
    arrows(&member).iter().map(ToString::to_string).collect()
}

fn places(path: &str, text: &str) -> Vec<String> {
    breaches_of(Path::new(path), text).into_iter().map(|breach| breach.place).collect()
}

#[test]
fn arrows_point_down_only() {
    assert_eq!(rules("gpve-qmp", &["gpve-core", "gpve-exec", "qapi", "tokio"]), [""; 0]);
    assert_eq!(rules("gpve-core", &["gpve-exec"]), ["gpve-core/Cargo.toml: must not depend on gpve-exec; it may use []"]);
    assert_eq!(rules("gpve-storage", &["gpve-qmp"]).len(), 1, "adapters do not know each other");
}

#[test]
fn a_foreign_crate_has_its_owner() {
    assert_eq!(
        rules("gpve-core", &["rusqlite"]),
        ["gpve-core/Cargo.toml: must not depend on rusqlite: only gpve-store makes state durable"]
    );
    assert_eq!(rules("gpve-store", &["rusqlite"]), [""; 0]);
    assert_eq!(rules("gpve-daemon", &["ring"]).len(), 1);
    assert_eq!(rules("gpve-auth", &["tokio"]).len(), 1);
}

#[test]
fn a_new_crate_needs_a_place_in_the_table() {
    assert_eq!(rules("gpve-extra", &[]).len(), 1);
}

#[test]
fn the_table_names_only_crates_that_exist() {
    let members: Vec<String> = members().unwrap().into_iter().map(|member| member.name).collect();
    for layer in LAYERS {
        assert!(members.iter().any(|name| name == layer.name), "{} is no member", layer.name);
        assert!(layer.uses.iter().all(|name| members.iter().any(|member| member == name)));
    }
    assert!(FOREIGN.iter().all(|(_, owners, _)| owners.iter().all(|owner| members.iter().any(|member| member == owner))));
}

#[test]
fn a_program_is_started_in_one_crate_only() {
    let text = "use std::process::Command;\n\nfn f() {}\n";
    assert_eq!(places("gpve-storage/src/dir/tool.rs", text), ["gpve-storage/src/dir/tool.rs:1"]);
    assert_eq!(places("gpve-exec/src/tree.rs", text), [""; 0]);
}

#[test]
fn the_clock_is_read_in_one_file_only() {
    assert_eq!(places("gpve-core/src/node/engine.rs", "let a = 1;\nlet now = Instant::now();\n"), ["gpve-core/src/node/engine.rs:2"]);
    assert_eq!(places("gpve-core/src/clock.rs", "let now = SystemTime::now();"), [""; 0]);
    let turnable = "use tokio::time::{Duration, Instant};\nlet now = Instant::now();\nlet other = SystemTime::now();\n";
    assert_eq!(places("gpve-core/src/cx.rs", turnable), ["gpve-core/src/cx.rs:3"], "tokio's clock can be turned by tests");
}

#[test]
fn comments_and_tests_are_free() {
    assert_eq!(places("gpve-core/src/a.rs", "/// Never calls `Instant::now`.\nfn f() {} // SystemTime::now\n"), [""; 0]);
    assert_eq!(places("gpve-core/src/a.rs", "#[cfg(test)]\nmod tests {\n    use std::process::Command;\n}\n"), [""; 0]);
    assert_eq!(places("gpve-core/src/a/tests.rs", "use std::process::Command;"), [""; 0]);
    assert_eq!(places("gpve-core/src/a.rs", "#[cfg(test)]\nmod tests;\nuse std::process::Command;"), ["gpve-core/src/a.rs:3"]);
}
