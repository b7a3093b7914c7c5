//! The table as a schema tree in the shape that Proxmox VE publishes (`pvesh usage`, its API viewer, generators of clients).

use serde_json::{Map, Value as Json, json};

use crate::route::{Access, Answer, Dialect, Format, Kind, Param, PropertyFormat, Route};
use crate::routes::routes;

/// The tree: nodes of `path`, `text`, `leaf`, `info` by method, and `children`.
pub fn schema() -> Json {
    let mut root = Node::default();
    for route in routes().filter(|r| r.dialect == Dialect::Pve2 && r.path != "/") {
        let parts: Vec<&str> = route.path.split('/').filter(|p| !p.is_empty()).collect();
        root.insert(&parts, route);
    }
    Json::Array(root.children.iter().map(|(text, node)| node.to_json(text, "")).collect())
}

#[derive(Default)]
struct Node {
    children: Vec<(&'static str, Node)>,
    routes: Vec<&'static Route>,
}

impl Node {
    fn insert(&mut self, parts: &[&'static str], route: &'static Route) {
        let Some((first, rest)) = parts.split_first() else {
            self.routes.push(route);
            return;
        };
        let at = self.children.iter().position(|(text, _)| text == first).unwrap_or_else(|| {
            self.children.push((first, Self::default()));
            self.children.len() - 1
        });
        self.children[at].1.insert(rest, route);
    }

    fn to_json(&self, text: &str, above: &str) -> Json {
        let text = text.replace("...", "");
        let path = format!("{above}/{text}");
        let info: Map<String, Json> = self.routes.iter().map(|r| (r.method.as_str().to_owned(), method(r))).collect();
        let children: Vec<Json> = self.children.iter().map(|(name, child)| child.to_json(name, &path)).collect();
        let mut node = json!({ "path": path, "text": text, "leaf": u8::from(children.is_empty()), "info": info });
        if !children.is_empty() {
            node["children"] = children.into();
        }
        node
    }
}

fn method(route: &'static Route) -> Json {
    let properties: Map<String, Json> = route.all_params().map(|p| (p.shown_name(), parameter(p))).collect();
    json!({
        "method": route.method.as_str(),
        "name": format!("{:?}", route.operation),
        "description": route.summary,
        "parameters": { "additionalProperties": 0, "properties": properties },
        "permissions": permissions(&route.access),
        "returns": { "type": returns(route.answer) },
    })
}

fn permissions(access: &Access) -> Json {
    let check = |r: &crate::route::Require| {
        let names: Vec<&str> = r.any.iter().map(|p| p.name()).collect();
        json!(["perm", r.on, names, "any", 1])
    };
    match access {
        Access::Public => json!({ "user": "world" }),
        Access::Anyone => json!({ "user": "all" }),
        Access::All([one]) => json!({ "check": check(one) }),
        Access::All(many) => {
            let checks: Vec<Json> = std::iter::once("and".into()).chain(many.iter().map(check)).collect();
            json!({ "check": checks })
        }
        Access::SelfOr(_, otherwise) => json!({ "check": ["or", ["userid-param", "self"], check(otherwise)] }),
    }
}

fn returns(answer: Answer) -> &'static str {
    match answer {
        Answer::Nothing => "null",
        Answer::Task | Answer::Text => "string",
        Answer::Object(_) => "object",
        Answer::List(_) | Answer::Watch(_) => "array",
    }
}

fn parameter(param: &Param) -> Json {
    let mut s = kind(&param.kind);
    s["description"] = param.text.into();
    if param.optional {
        s["optional"] = 1.into();
    }
    if let Some(default) = param.default {
        s["default"] = default.parse::<i64>().map_or_else(|_| default.into(), Json::from);
    }
    if let Some(other) = param.requires {
        s["requires"] = other.into();
    }
    s
}

fn kind(kind: &Kind) -> Json {
    let mut s = json!({ "type": kind.schema_type() });
    match kind {
        Kind::Boolean => {}
        Kind::Integer { min, max } => {
            if *min > i64::MIN {
                s["minimum"] = json!(min);
            }
            if *max < i64::MAX {
                s["maximum"] = json!(max);
            }
        }
        Kind::Number { min, max } => {
            if min.is_finite() {
                s["minimum"] = json!(min);
            }
            if max.is_finite() {
                s["maximum"] = json!(max);
            }
        }
        Kind::Text { max, .. } | Kind::Secret { max } => s["maxLength"] = json!(max),
        Kind::Word(words) => s["enum"] = json!(words),
        Kind::Format(format) => named(&mut s, format),
        Kind::List(format) => s["format"] = format!("{}-list", format.name.trim_end_matches("-list")).into(),
        Kind::Property(format) => s["format"] = properties(format),
        Kind::Array(item) => s["items"] = self::kind(item),
    }
    s
}

fn named(s: &mut Json, format: &Format) {
    s["format"] = format.name.into();
    s["maxLength"] = json!(format.max);
    if let Some(pattern) = format.pattern {
        s["pattern"] = pattern.into();
    }
}

fn properties(format: &'static PropertyFormat) -> Json {
    let key = |k: &crate::route::PropertyKey| {
        let mut s = match k.alias_of {
            Some(target) => json!({ "alias": target }),
            None => kind(&k.kind),
        };
        if k.optional && k.alias_of.is_none() {
            s["optional"] = 1.into();
        }
        if format.default_key == Some(k.name) {
            s["default_key"] = 1.into();
        }
        (k.name.to_owned(), s)
    };
    let mut all: Map<String, Json> = format.keys.iter().map(key).collect();
    if let Some((model, mac)) = format.key_alias {
        all.extend(format.alias_words().iter().map(|w| ((*w).to_owned(), json!({ "alias": mac, "keyAlias": model }))));
    }
    Json::Object(all)
}
