//! An example of every answer, made of the types that answer.

mod native;
mod pve2;

use serde::Serialize;
use serde_json::Value as Json;

use crate::route::Dialect;

/// Examples by the names that the table uses.
pub(crate) type Examples = Vec<(&'static str, Json)>;

const UPID: &str = "UPID:pve:00000000:000000F6:6B00A71A:qmstart:100:root@pam:";

/// Examples of a dialect's answers.
pub(crate) fn examples(dialect: Dialect) -> Examples {
    match dialect {
        Dialect::Pve2 => pve2::examples(),
        // None if an example does not parse, which the test of references would show.
        Dialect::V1 => native::examples().unwrap_or_default(),
    }
}

fn show(value: impl Serialize) -> Json {
    serde_json::to_value(value).unwrap_or(Json::Null)
}
