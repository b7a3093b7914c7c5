//! The table as a page for people.

use crate::route::{Answer, Body, Dialect, Kind, Param, Route};
use crate::routes::routes;

/// A reference page in Markdown: every method with its parameters.
pub fn reference(dialect: Dialect) -> String {
    let name = match dialect {
        Dialect::Pve2 => "Proxmox VE compatible API",
        Dialect::V1 => "Native API",
    };
    let mut page = format!("# {name}\n\nEvery path is below `{}`. Made from the route table; do not edit.\n", dialect.prefix());
    for route in routes().filter(|r| r.dialect == dialect) {
        page.push_str(&section(route));
    }
    page
}

fn section(route: &'static Route) -> String {
    let mut text = format!(
        "\n## {} {}\n\n{} Needs: {}. Answers {}.\n",
        route.method.as_str(),
        route.path,
        route.summary,
        route.access.describe(),
        answer(route.answer)
    );
    match route.body {
        Body::Document(name) => text.push_str(&format!("\nThe body is a `{name}` as JSON.\n")),
        Body::Upload => text.push_str("\nThe body is `multipart/form-data` with one file.\n"),
        Body::Params => {}
    }
    let params: Vec<&Param> = route.all_params().collect();
    if !params.is_empty() {
        text.push_str("\n| parameter | type | about |\n| --- | --- | --- |\n");
        for param in params {
            text.push_str(&row(param));
        }
    }
    text
}

fn row(param: &Param) -> String {
    let mut about = param.text.to_owned();
    for (word, value) in [("Default", param.default), ("Only together with", param.requires)] {
        if let Some(value) = value {
            about.push_str(&format!(" {word} `{value}`."));
        }
    }
    if param.root_only {
        about.push_str(" Only for `root@pam`.");
    }
    let needed = if param.optional { "" } else { ", required" };
    format!("| `{}` | {}{needed} | {about} |\n", param.shown_name(), kind(&param.kind).replace('|', "\\|"))
}

fn answer(answer: Answer) -> String {
    match answer {
        Answer::Nothing => "nothing".to_owned(),
        Answer::Task => "the id of a task".to_owned(),
        Answer::Text => "a text".to_owned(),
        Answer::Object(name) => format!("a `{name}`"),
        Answer::List(name) => format!("a list of `{name}`"),
        Answer::Watch(name) => format!("a list of `{name}`, or a stream of changes"),
    }
}

fn kind(kind: &Kind) -> String {
    match kind {
        Kind::Boolean => "boolean".to_owned(),
        Kind::Integer { min, max } => {
            range("integer", (*min > i64::MIN).then(|| min.to_string()), (*max < i64::MAX).then(|| max.to_string()))
        }
        Kind::Number { min, max } => range("number", min.is_finite().then(|| min.to_string()), max.is_finite().then(|| max.to_string())),
        Kind::Text { .. } => "text".to_owned(),
        Kind::Secret { .. } => "secret".to_owned(),
        Kind::Word(words) if words.len() > 16 => format!("`{}` and {} more", words[..8].join("`, `"), words.len() - 8),
        Kind::Word(words) => format!("`{}`", words.join("`, `")),
        Kind::Format(format) => format.what.to_owned(),
        Kind::List(format) => format!("list, each {}", format.what),
        Kind::Property(format) => {
            let key = |k: &crate::route::PropertyKey| {
                if format.default_key == Some(k.name) { format!("[{}=]", k.name) } else { format!("{}=", k.name) }
            };
            let keys: Vec<String> = format.keys.iter().filter(|k| k.alias_of.is_none()).map(key).collect();
            format!("`{}`", keys.join(","))
        }
        Kind::Array(_) => "list of texts".to_owned(),
    }
}

fn range(name: &str, min: Option<String>, max: Option<String>) -> String {
    match (min, max) {
        (Some(min), Some(max)) => format!("{name}, {min} to {max}"),
        (Some(min), None) => format!("{name}, {min} or more"),
        (None, Some(max)) => format!("{name}, {max} or less"),
        (None, None) => name.to_owned(),
    }
}
