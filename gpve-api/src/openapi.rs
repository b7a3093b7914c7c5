//! The table as OpenAPI 3.1 documents.

use serde_json::{Map, Value as Json, json};

use crate::example::examples;
use crate::route::{Access, Answer, Body, Dialect, Format, Kind, Method, Param, PropertyFormat, Route};
use crate::routes::{routes, vm_options};
use crate::v1::Problem;

/// The OpenAPI document of a dialect.
pub fn openapi(dialect: Dialect) -> Json {
    let mut paths: Map<String, Json> = Map::new();
    for route in routes().filter(|r| r.dialect == dialect) {
        let path = route.path.replace("...", "");
        let item = paths.entry(path).or_insert_with(|| json!({}));
        item[route.method.as_str().to_ascii_lowercase()] = operation(route);
    }
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": title(dialect),
            "version": env!("CARGO_PKG_VERSION"),
            "license": { "name": "EPL-2.0", "identifier": "EPL-2.0" },
        },
        "servers": [{ "url": dialect.prefix() }],
        "paths": paths,
        "components": { "schemas": schemas(dialect), "responses": error_responses(dialect), "securitySchemes": security_schemes() },
    })
}

fn title(dialect: Dialect) -> &'static str {
    match dialect {
        Dialect::Pve2 => "gpve: API compatible with Proxmox VE",
        Dialect::V1 => "gpve: native API",
    }
}

fn operation(route: &'static Route) -> Json {
    let mut operation = json!({
        "operationId": route.id(),
        "summary": route.summary,
        "description": format!("Needs: {}.", route.access.describe()),
        "responses": responses(route),
    });
    let (in_path, others): (Vec<&Param>, Vec<&Param>) = route.all_params().partition(|p| route.is_path_param(p.name));
    let as_query = matches!(route.method, Method::Get | Method::Delete) || route.dialect == Dialect::V1;
    let mut parameters: Vec<Json> = in_path.into_iter().map(|p| parameter(p, "path")).collect();
    if as_query {
        parameters.extend(others.iter().map(|p| parameter(p, "query")));
    }
    if !parameters.is_empty() {
        operation["parameters"] = parameters.into();
    }
    match route.body {
        Body::Document(name) => {
            let content = json!({ "application/json": { "schema": reference(name) } });
            operation["requestBody"] = json!({ "required": true, "content": content });
        }
        Body::Params | Body::Upload if !as_query && !others.is_empty() => {
            operation["requestBody"] = form(route, &others);
        }
        Body::Params | Body::Upload => {}
    }
    if !matches!(route.access, Access::Public) {
        operation["security"] = json!([{ "ticket": [] }, { "token": [] }]);
    }
    operation
}

fn parameter(param: &Param, place: &str) -> Json {
    json!({
        "name": param.shown_name(),
        "in": place,
        "required": place == "path" || !param.optional,
        "description": describe(param),
        "schema": schema(param),
    })
}

fn form(route: &'static Route, params: &[&Param]) -> Json {
    let upload = route.body == Body::Upload;
    // The settings of a guest are in three bodies; they are told once.
    let is_setting = |p: &Param| vm_options().iter().any(|o| o.name == p.name && o.indexes == p.indexes);
    let shared = route.param("scsi0").is_some();
    let own = params.iter().filter(|p| !(shared && is_setting(p)));
    let mut schema = object_schema(own.copied());
    if upload {
        schema["properties"]["file"] = json!({ "type": "string", "format": "binary", "description": "The file; the last part." });
    }
    if shared {
        schema = json!({ "allOf": [schema, reference(VM_OPTIONS)] });
    }
    let types: &[&str] = if upload { &["multipart/form-data"] } else { &["application/x-www-form-urlencoded", "application/json"] };
    let content: Map<String, Json> = types.iter().map(|t| ((*t).to_owned(), json!({ "schema": schema }))).collect();
    json!({ "required": params.iter().any(|p| !p.optional), "content": content })
}

const VM_OPTIONS: &str = "VmOptions";

fn object_schema<'a>(params: impl Iterator<Item = &'a Param>) -> Json {
    let (mut properties, mut required) = (Map::new(), Vec::new());
    for param in params {
        let mut s = schema(param);
        s["description"] = describe(param).into();
        properties.insert(param.shown_name(), s);
        if !param.optional {
            required.push(param.name);
        }
    }
    let mut object = json!({ "type": "object", "properties": properties });
    if !required.is_empty() {
        object["required"] = json!(required);
    }
    object
}

fn describe(param: &Param) -> String {
    let mut text = param.text.to_owned();
    if param.indexes > 0 {
        text.push_str(&format!(" n is 0 to {}.", param.indexes - 1));
    }
    if let Some(other) = param.requires {
        text.push_str(&format!(" Only together with {other}."));
    }
    if param.root_only {
        text.push_str(" Only for root@pam.");
    }
    text
}

/// The JSON schema of a parameter.
pub(crate) fn schema(param: &Param) -> Json {
    let mut schema = kind_schema(&param.kind);
    if let Some(default) = param.default {
        // A reference may have neighbours in OpenAPI 3.1.
        schema["default"] = default.parse::<i64>().map_or_else(|_| default.into(), Json::from);
    }
    schema
}

fn kind_schema(kind: &Kind) -> Json {
    match kind {
        Kind::Boolean => json!({ "type": "boolean" }),
        Kind::Integer { min, max } => bounded("integer", (*min > i64::MIN).then(|| json!(min)), (*max < i64::MAX).then(|| json!(max))),
        Kind::Number { min, max } => bounded("number", min.is_finite().then(|| json!(min)), max.is_finite().then(|| json!(max))),
        Kind::Text { min, max } => text(*min, *max),
        Kind::Secret { max } => {
            let mut s = text(0, *max);
            s["format"] = "password".into();
            s
        }
        Kind::Word(words) => json!({ "type": "string", "enum": words }),
        Kind::Format(format) => format_schema(format),
        Kind::List(format) => {
            json!({ "type": "string", "format": format.name, "description": format!("A list; each item is {}.", format.what) })
        }
        Kind::Property(format) => reference(format.name),
        Kind::Array(item) => json!({ "type": "array", "items": kind_schema(item) }),
    }
}

fn bounded(name: &str, min: Option<Json>, max: Option<Json>) -> Json {
    let mut s = json!({ "type": name });
    if let Some(min) = min {
        s["minimum"] = min;
    }
    if let Some(max) = max {
        s["maximum"] = max;
    }
    s
}

fn text(min: usize, max: usize) -> Json {
    let mut s = json!({ "type": "string", "maxLength": max });
    if min > 0 {
        s["minLength"] = min.into();
    }
    s
}

fn format_schema(format: &Format) -> Json {
    let mut s = text(0, format.max);
    s["format"] = format.name.into();
    if let Some(pattern) = format.pattern {
        s["pattern"] = format!("^({pattern})$").into();
    }
    s
}

/// `key=value,...` is a text; its keys are told in an extension.
fn property_schema(format: &'static PropertyFormat) -> Json {
    let key = |k: &crate::route::PropertyKey| {
        let mut s = match k.alias_of {
            Some(target) => json!({ "x-alias": target }),
            None => kind_schema(&k.kind),
        };
        if format.default_key == Some(k.name) {
            s["x-default-key"] = true.into();
        }
        (k.name.to_owned(), s)
    };
    let keys: Map<String, Json> = format.keys.iter().map(key).collect();
    json!({ "type": "string", "description": "key=value, joined by commas", "x-properties": keys })
}

fn reference(name: &str) -> Json {
    json!({ "$ref": format!("#/components/schemas/{name}") })
}

fn responses(route: &Route) -> Json {
    let data = match route.answer {
        Answer::Nothing => json!({ "type": "null" }),
        Answer::Task => json!({ "type": "string", "description": "Id of the task (UPID)." }),
        Answer::Text => json!({ "type": "string" }),
        Answer::Object(name) => reference(name),
        Answer::List(name) if route.dialect == Dialect::Pve2 => json!({ "type": "array", "items": reference(name) }),
        Answer::List(name) | Answer::Watch(name) => list_schema(name),
    };
    let (status, body) = match route.dialect {
        Dialect::Pve2 => ("200", json!({ "type": "object", "required": ["data"], "properties": { "data": data } })),
        Dialect::V1 => ("200", data),
    };
    let mut content = json!({ "application/json": { "schema": body } });
    if matches!(route.answer, Answer::Watch(_)) {
        content["text/event-stream"] = json!({ "schema": { "type": "string", "description": "With watch=true: a WatchEvent per event." } });
    }
    json!({
        status: { "description": "Done.", "content": content },
        "default": { "$ref": "#/components/responses/Error" },
    })
}

fn error_responses(dialect: Dialect) -> Json {
    let content = match dialect {
        Dialect::Pve2 => json!({ "application/json": { "schema": reference("Failure") } }),
        Dialect::V1 => json!({ Problem::CONTENT_TYPE: { "schema": reference("Problem") } }),
    };
    json!({ "Error": { "description": "Refused or failed.", "content": content } })
}

fn list_schema(name: &str) -> Json {
    json!({
        "type": "object",
        "required": ["apiVersion", "kind", "metadata", "items"],
        "properties": {
            "apiVersion": { "type": "string" },
            "kind": { "type": "string" },
            "metadata": { "type": "object", "properties": { "resourceVersion": { "type": "string" }, "continue": { "type": "string" } } },
            "items": { "type": "array", "items": reference(name) },
        },
    })
}

fn schemas(dialect: Dialect) -> Json {
    let mut all: Map<String, Json> = Map::new();
    for (name, example) in examples(dialect) {
        let mut schema = infer(&example);
        schema["examples"] = json!([example]);
        all.insert(name.to_owned(), schema);
    }
    for param in routes().filter(|r| r.dialect == dialect).flat_map(Route::all_params) {
        if let Kind::Property(format) = param.kind {
            all.entry(format.name).or_insert_with(|| property_schema(format));
        }
    }
    if dialect == Dialect::Pve2 {
        all.insert(VM_OPTIONS.to_owned(), object_schema(vm_options().iter()));
    }
    Json::Object(all)
}

/// The schema of a value: what its own fields show.
fn infer(value: &Json) -> Json {
    match value {
        Json::Null => json!({}),
        Json::Bool(_) => json!({ "type": "boolean" }),
        Json::Number(n) if n.is_f64() => json!({ "type": "number" }),
        Json::Number(_) => json!({ "type": "integer" }),
        Json::String(_) => json!({ "type": "string" }),
        Json::Array(items) => json!({ "type": "array", "items": items.first().map_or_else(|| json!({}), infer) }),
        Json::Object(fields) => {
            let properties: Map<String, Json> = fields.iter().map(|(k, v)| (k.clone(), infer(v))).collect();
            json!({ "type": "object", "properties": properties })
        }
    }
}

fn security_schemes() -> Json {
    json!({
        "ticket": { "type": "apiKey", "in": "cookie", "name": "PVEAuthCookie", "description": "From a login; writes also need the header CSRFPreventionToken." },
        "token": { "type": "apiKey", "in": "header", "name": "Authorization", "description": "PVEAPIToken=USER@REALM!NAME=SECRET" },
    })
}
