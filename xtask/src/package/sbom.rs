//! The bill of materials in CycloneDX's JSON, from `cargo metadata`: cargo-cyclonedx would be a hundred crates to build for this.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value as Json, json};

use crate::failure::{Failure, Result};

/// The package whose dependencies are listed.
const PROGRAM: &str = "gpve-daemon";

/// The document for what the program is linked of: no tools of the build, no dependencies of tests.
pub(super) fn document(metadata: &Json, lock: &str) -> Result<Json> {
    let packages: BTreeMap<&str, &Json> = entries(metadata, "/packages").map(|package| (text(package, "id"), package)).collect();
    let nodes: BTreeMap<&str, &Json> = entries(metadata, "/resolve/nodes").map(|node| (text(node, "id"), node)).collect();
    let root = packages.iter().find(|(_, package)| text(package, "name") == PROGRAM).map(|(id, _)| *id);
    let root = root.ok_or_else(|| Failure::new(format!("the workspace has no {PROGRAM}")))?;
    let linked = reachable(root, &nodes);
    let checksums = checksums(lock);
    let of = |id: &str| packages.get(id).map(|package| component(package, &checksums));
    let dependencies: Vec<Json> = linked
        .iter()
        .filter_map(|id| {
            let on: Vec<String> = linked_by(nodes.get(id)?).filter_map(|on| Some(reference(packages.get(on)?))).collect();
            Some(json!({ "ref": reference(packages.get(id)?), "dependsOn": on }))
        })
        .collect();
    Ok(json!({
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "version": 1,
        "metadata": { "component": of(root) },
        "components": linked.iter().filter(|id| **id != root).filter_map(|id| of(id)).collect::<Vec<_>>(),
        "dependencies": dependencies,
    }))
}

fn entries<'j>(json: &'j Json, pointer: &str) -> impl Iterator<Item = &'j Json> {
    json.pointer(pointer).and_then(Json::as_array).into_iter().flatten()
}

fn text<'j>(json: &'j Json, key: &str) -> &'j str {
    json[key].as_str().unwrap_or_default()
}

/// What the package is linked with directly; those of builds and tests have a kind.
fn linked_by(node: &Json) -> impl Iterator<Item = &str> {
    let linked = |dependency: &&Json| entries(dependency, "/dep_kinds").any(|kind| kind["kind"].is_null());
    entries(node, "/deps").filter(linked).map(|dependency| text(dependency, "pkg"))
}

fn reachable<'j>(root: &'j str, nodes: &BTreeMap<&'j str, &'j Json>) -> BTreeSet<&'j str> {
    let mut found = BTreeSet::new();
    let mut open = vec![root];
    while let Some(id) = open.pop() {
        if found.insert(id) {
            open.extend(nodes.get(id).into_iter().flat_map(|node| linked_by(node)));
        }
    }
    found
}

fn reference(package: &Json) -> String {
    format!("pkg:cargo/{}@{}", text(package, "name"), text(package, "version"))
}

fn component(package: &Json, checksums: &BTreeMap<(&str, &str), &str>) -> Json {
    let (name, version) = (text(package, "name"), text(package, "version"));
    let mut component = json!({
        "type": if name == PROGRAM { "application" } else { "library" },
        "bom-ref": reference(package),
        "name": name,
        "version": version,
        "purl": reference(package),
    });
    if let Some(licence) = package["license"].as_str() {
        // The old way to write a choice is not an expression of SPDX.
        component["licenses"] = json!([{ "expression": licence.replace('/', " OR ") }]);
    }
    if let Some(checksum) = checksums.get(&(name, version)) {
        component["hashes"] = json!([{ "alg": "SHA-256", "content": checksum }]);
    }
    component
}

/// The checksums of `Cargo.lock` by name and version.
fn checksums(lock: &str) -> BTreeMap<(&str, &str), &str> {
    lock.split("[[package]]")
        .filter_map(|entry| {
            let value = |key| entry.split_once(key)?.1.split('"').next();
            Some(((value("name = \"")?, value("version = \"")?), value("checksum = \"")?))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_linked_is_listed_with_licence_and_checksum_and_tools_are_not() {
        let normal = json!([{ "kind": null }]);
        let metadata = json!({
            "packages": [
                { "id": "d", "name": "gpve-daemon", "version": "0.1.0", "license": "EPL-2.0" },
                { "id": "a", "name": "a", "version": "1.0.0", "license": "MIT/Apache-2.0" },
                { "id": "cc", "name": "cc", "version": "1.2.0", "license": "MIT" },
            ],
            "resolve": { "nodes": [
                { "id": "d", "deps": [{ "pkg": "a", "dep_kinds": normal }, { "pkg": "cc", "dep_kinds": [{ "kind": "build" }] }] },
                { "id": "a", "deps": [] },
                { "id": "cc", "deps": [] },
            ] },
        });
        let lock = "[[package]]\nname = \"a\"\nversion = \"1.0.0\"\nsource = \"r\"\nchecksum = \"abc\"\n";
        let made = document(&metadata, lock).unwrap();
        assert_eq!(made["metadata"]["component"]["purl"], "pkg:cargo/gpve-daemon@0.1.0");
        let components = made["components"].as_array().unwrap();
        assert_eq!(components.len(), 1, "{components:?}");
        assert_eq!(components[0]["licenses"][0]["expression"], "MIT OR Apache-2.0");
        assert_eq!(components[0]["hashes"][0]["content"], "abc");
        assert_eq!(made["dependencies"][1]["dependsOn"][0], "pkg:cargo/a@1.0.0");
    }
}
