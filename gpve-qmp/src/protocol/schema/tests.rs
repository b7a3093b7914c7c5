#![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

use super::*;

const SCHEMA: &str = r#"[
  {"name": "blockdev-add", "meta-type": "command", "arg-type": "1", "ret-type": "0", "features": ["json-cli"]},
  {"name": "yank", "meta-type": "command", "arg-type": "0", "ret-type": "0", "allow-oob": true},
  {"name": "SHUTDOWN", "meta-type": "event", "arg-type": "0"},
  {"name": "0", "meta-type": "object", "members": []},
  {"name": "1", "meta-type": "object", "tag": "driver", "members": [{"name": "driver", "type": "2"}],
   "variants": [{"case": "raw", "type": "3"}, {"case": "rbd", "type": "4"}]},
  {"name": "2", "meta-type": "enum", "values": ["raw", "rbd"], "members": [{"name": "raw"}, {"name": "rbd"}]},
  {"name": "3", "meta-type": "object", "members": [{"name": "file", "type": "5"}]},
  {"name": "4", "meta-type": "object", "members": [{"name": "server", "type": "[6]"}]},
  {"name": "5", "meta-type": "alternate", "members": [{"type": "1"}, {"type": "str"}]},
  {"name": "[6]", "meta-type": "array", "element-type": "6"},
  {"name": "6", "meta-type": "object", "members": [{"name": "host", "type": "str"}]},
  {"name": "str", "meta-type": "builtin", "json-type": "string"},
  {"name": "later", "meta-type": "something-new", "x": 1}
]"#;

#[test]
fn commands_events_and_features_are_found_by_name_and_kind() {
    let schema = Schema::parse(SCHEMA).unwrap();
    assert!(schema.has_command("blockdev-add") && !schema.has_command("SHUTDOWN") && !schema.has_command("x"));
    assert!(schema.has_event("SHUTDOWN") && !schema.has_event("yank"));
    assert!(schema.command_allows_out_of_band("yank") && !schema.command_allows_out_of_band("blockdev-add"));
    assert!(schema.command_has_feature("blockdev-add", "json-cli") && !schema.command_has_feature("yank", "json-cli"));
}

#[test]
fn arguments_are_found_through_unions_alternates_and_lists() {
    let schema = Schema::parse(SCHEMA).unwrap();
    for path in ["driver", "file", "file/file/driver", "server/host"] {
        assert!(schema.command_has_arg("blockdev-add", path), "{path}");
    }
    for path in ["", "nothing", "file/nothing", "driver/file", "server/host/x"] {
        assert!(!schema.command_has_arg("blockdev-add", path), "{path}");
    }
}

#[test]
fn values_are_found_where_the_argument_is_an_enumeration() {
    let schema = Schema::parse(SCHEMA).unwrap();
    assert!(schema.enum_has_value("blockdev-add", "driver", "rbd"));
    assert!(schema.enum_has_value("blockdev-add", "file/driver", "rbd"));
    assert!(!schema.enum_has_value("blockdev-add", "driver", "nvme"));
    assert!(!schema.enum_has_value("blockdev-add", "server", "rbd"));
}
