//! From given texts to checked values.

use std::collections::BTreeMap;

use gpve_core::error::{Error, ErrorKind};

use super::{Format, Kind, Matched, Param, Route};
use crate::pve2::property::PropertyString;

/// Most parameters in one request: a guest with every option set has about 300.
pub const MAX_PARAMS: usize = 1024;

/// Parameters as they were given: name to texts (one, or several for a real list).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Given(BTreeMap<String, Vec<String>>);

impl Given {
    /// None.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a value under `name`, beside those that are there.
    pub fn push(&mut self, name: impl Into<String>, value: impl Into<String>) {
        self.0.entry(name.into()).or_default().push(value.into());
    }

    /// Adds the parameters of another part of the request. The same value twice is one.
    ///
    /// # Errors
    /// When a parameter is in both with different values.
    pub fn merge(&mut self, other: Self) -> Result<(), Refused> {
        for (name, values) in other.0 {
            match self.0.get(&name) {
                Some(there) if *there != values => {
                    return Err(Refused::one(&name, "is given twice with different values"));
                }
                _ => drop(self.0.insert(name, values)),
            }
        }
        Ok(())
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Names with their first values.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().filter_map(|(name, values)| Some((name.as_str(), values.first()?.as_str())))
    }

    /// The first value of `name`.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name)?.first().map(String::as_str)
    }
}

impl<K: Into<String>, V: Into<String>> FromIterator<(K, V)> for Given {
    fn from_iter<I: IntoIterator<Item = (K, V)>>(pairs: I) -> Self {
        let mut given = Self::new();
        for (name, value) in pairs {
            given.push(name, value);
        }
        given
    }
}

/// A checked value.
#[derive(Clone, PartialEq, Eq)]
pub enum Value {
    /// Of a boolean.
    Bool(bool),
    /// Of an integer.
    Int(i64),
    /// Of everything that is text on the wire: texts, words, numbers, property strings.
    Text(String),
    /// Of a list or an array.
    List(Vec<String>),
    /// Of a secret; never printed.
    Secret(String),
}

impl std::fmt::Debug for Value {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Bool(v) => v.fmt(f),
            Self::Int(v) => v.fmt(f),
            Self::Text(v) => v.fmt(f),
            Self::List(v) => v.fmt(f),
            Self::Secret(_) => f.write_str("Secret(..)"),
        }
    }
}

/// The checked parameters of a request.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Params(BTreeMap<String, Value>);

impl Params {
    /// The value of `name`.
    pub fn get(&self, name: &str) -> Option<&Value> {
        self.0.get(name)
    }

    /// Whether `name` was given.
    pub fn contains(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }

    /// A text, a word, a number as text, a property string or a secret.
    pub fn text(&self, name: &str) -> Option<&str> {
        match self.0.get(name)? {
            Value::Text(v) | Value::Secret(v) => Some(v),
            Value::Bool(_) | Value::Int(_) | Value::List(_) => None,
        }
    }

    /// An integer.
    pub fn int(&self, name: &str) -> Option<i64> {
        match self.0.get(name)? {
            Value::Int(v) => Some(*v),
            _ => None,
        }
    }

    /// An integer that cannot be negative by its bounds.
    pub fn count(&self, name: &str) -> Option<u64> {
        self.int(name).and_then(|v| u64::try_from(v).ok())
    }

    /// A boolean.
    pub fn bool(&self, name: &str) -> Option<bool> {
        match self.0.get(name)? {
            Value::Bool(v) => Some(*v),
            _ => None,
        }
    }

    /// A boolean; false when left out.
    pub fn flag(&self, name: &str) -> bool {
        self.bool(name).unwrap_or(false)
    }

    /// A list; empty when left out.
    pub fn list(&self, name: &str) -> &[String] {
        match self.0.get(name) {
            Some(Value::List(v)) => v,
            _ => &[],
        }
    }

    /// A required text, parsed into one of the vocabulary's types.
    ///
    /// # Errors
    /// Names the field when the type refuses what the schema accepted.
    pub fn parse<T: std::str::FromStr<Err: std::fmt::Display>>(&self, name: &str) -> Result<T, Error> {
        self.parse_opt(name)?.ok_or_else(|| Error::field("api.params", name, "is missing"))
    }

    /// A text parsed into one of the vocabulary's types, if given.
    ///
    /// # Errors
    /// Names the field when the type refuses what the schema accepted.
    pub fn parse_opt<T: std::str::FromStr<Err: std::fmt::Display>>(&self, name: &str) -> Result<Option<T>, Error> {
        let text = match self.0.get(name) {
            None => return Ok(None),
            Some(Value::Int(v)) => v.to_string(),
            Some(Value::Bool(v)) => u8::from(*v).to_string(),
            Some(Value::Text(v) | Value::Secret(v)) => v.clone(),
            Some(Value::List(v)) => v.join(","),
        };
        text.parse().map(Some).map_err(|e: T::Err| Error::field("api.params", name, e.to_string()))
    }

    /// Every parameter, by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Value)> {
        self.0.iter().map(|(k, v)| (k.as_str(), v))
    }
}

/// Parameters were refused: name to what is wrong and what is allowed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Refused(pub BTreeMap<String, String>);

impl Refused {
    /// One refused parameter.
    pub fn one(name: &str, why: impl Into<String>) -> Self {
        Self([(name.to_owned(), why.into())].into())
    }
}

impl From<Refused> for Error {
    fn from(refused: Refused) -> Self {
        let fields = refused.0.into_iter().map(|(field, reason)| gpve_core::error::FieldError { field, reason }).collect();
        Self::invalid("api.params", fields)
    }
}

impl TryFrom<&Error> for Refused {
    type Error = ();

    fn try_from(e: &Error) -> Result<Self, ()> {
        if e.kind != ErrorKind::InvalidInput || e.fields.is_empty() {
            return Err(());
        }
        Ok(Self(e.fields.iter().map(|f| (f.field.clone(), f.reason.clone())).collect()))
    }
}

impl Matched {
    /// Checks everything given (query and body, merged) together with the path parameters against the table.
    ///
    /// # Errors
    /// Every refused parameter with its reason, not only the first.
    pub fn validate(&self, given: Given) -> Result<Params, Refused> {
        let mut bad = Refused::default();
        let mut all = given;
        for (name, value) in &self.path {
            match all.0.get(*name) {
                Some(there) if there.len() != 1 || there[0] != *value => {
                    bad.0.insert((*name).to_owned(), format!("differs from the path, which says '{}'", shorten(value)));
                }
                _ => drop(all.0.insert((*name).to_owned(), vec![value.clone()])),
            }
        }
        let mut params = Params::default();
        for (name, values) in &all.0 {
            let checked = match self.route.param(name) {
                Some(param) => check(param, values),
                None => Err("unknown parameter: this method does not have it".to_owned()),
            };
            match checked {
                Ok(value) => drop(params.0.insert(name.clone(), value)),
                Err(why) => drop(bad.0.entry(name.clone()).or_insert(why)),
            }
        }
        missing(self.route, &all, &mut bad);
        if bad.0.is_empty() { Ok(params) } else { Err(bad) }
    }
}

fn missing(route: &Route, given: &Given, bad: &mut Refused) {
    for param in route.all_params() {
        let there = given.0.contains_key(param.name);
        if !param.optional && !there {
            bad.0.insert(param.name.to_owned(), "required parameter is missing".to_owned());
        }
        if let Some(other) = param.requires.filter(|other| there && !given.0.contains_key(*other)) {
            bad.0.entry(param.name.to_owned()).or_insert_with(|| format!("only allowed together with '{other}'"));
        }
    }
}

fn check(param: &Param, values: &[String]) -> Result<Value, String> {
    if let Kind::Array(item) = param.kind {
        let texts = values.iter().map(|v| check_text(item, v).map(|_| v.clone())).collect::<Result<_, _>>()?;
        return Ok(Value::List(texts));
    }
    match values {
        [one] => check_text(&param.kind, one),
        _ => Err("takes one value, not a list".to_owned()),
    }
}

/// Checks one text against a type.
pub(crate) fn check_text(kind: &Kind, text: &str) -> Result<Value, String> {
    match kind {
        Kind::Boolean => boolean(text).map(Value::Bool).ok_or_else(|| format!("'{}' is not a boolean (1 or 0)", shorten(text))),
        Kind::Integer { min, max } => integer(text, *min, *max).map(Value::Int),
        Kind::Number { min, max } => number(text, *min, *max),
        Kind::Text { min, max } => length(text, *min, *max).map(|()| Value::Text(text.to_owned())),
        Kind::Secret { max } => length(text, 0, *max).map(|()| Value::Secret(text.to_owned())),
        Kind::Word(words) if words.contains(&text) => Ok(Value::Text(text.to_owned())),
        Kind::Word(words) => Err(format!("'{}' is not one of: {}", shorten(text), words.join(", "))),
        Kind::Format(format) => in_format(format, text).map(|()| Value::Text(text.to_owned())),
        Kind::List(format) => {
            let items: Vec<String> = split_list(text).map(str::to_owned).collect();
            items.iter().try_for_each(|item| in_format(format, item))?;
            Ok(Value::List(items))
        }
        Kind::Property(format) => {
            length(text, 0, super::kind::LONGEST_TEXT)?;
            PropertyString::parse(format, text).map_err(|e| e.to_string())?;
            Ok(Value::Text(text.to_owned()))
        }
        Kind::Array(item) => check_text(item, text).map(|_| Value::List(vec![text.to_owned()])),
    }
}

/// The items of a list in one text.
pub(crate) fn split_list(text: &str) -> impl Iterator<Item = &str> {
    text.split([',', ';', ' ', '\t', '\n', '\0']).filter(|item| !item.is_empty())
}

/// A boolean in any of its spellings.
pub(crate) fn boolean(text: &str) -> Option<bool> {
    match text.to_ascii_lowercase().as_str() {
        "1" | "on" | "yes" | "true" => Some(true),
        "0" | "off" | "no" | "false" => Some(false),
        _ => None,
    }
}

fn integer(text: &str, min: i64, max: i64) -> Result<i64, String> {
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return Err(format!("'{}' is not an integer", shorten(text)));
    }
    // What does not fit in 64 bits is out of every bound.
    let value: i64 = text.parse().unwrap_or(if text.starts_with('-') { i64::MIN } else { i64::MAX });
    if value < min || (value == i64::MIN && min == i64::MIN && text.len() > 20) {
        return Err(format!("must be at least {min}"));
    }
    if value > max { Err(format!("must be at most {max}")) } else { Ok(value) }
}

fn number(text: &str, min: f64, max: f64) -> Result<Value, String> {
    let plain = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit() || matches!(b, b'.' | b'-' | b'+'));
    let value = plain.then(|| text.parse::<f64>().ok()).flatten().filter(|v| v.is_finite());
    match value {
        None => Err(format!("'{}' is not a number", shorten(text))),
        Some(v) if v < min => Err(format!("must be at least {min}")),
        Some(v) if v > max => Err(format!("must be at most {max}")),
        Some(_) => Ok(Value::Text(text.to_owned())),
    }
}

fn length(text: &str, min: usize, max: usize) -> Result<(), String> {
    let n = text.chars().count();
    if text.contains('\0') {
        return Err("must not hold a NUL character".to_owned());
    }
    match n {
        n if n < min => Err(format!("must be at least {min} characters long")),
        n if n > max => Err(format!("may only be {max} characters long")),
        _ => Ok(()),
    }
}

fn in_format(format: &Format, text: &str) -> Result<(), String> {
    length(text, 0, format.max)?;
    if (format.check)(text) { Ok(()) } else { Err(format!("'{}' is not {}", shorten(text), format.what)) }
}

/// A refused value as it is shown: at most 64 characters, control characters escaped.
pub(crate) fn shorten(text: &str) -> String {
    let shown: String =
        text.chars().take(64).flat_map(|c| if c.is_control() { c.escape_default().collect::<Vec<_>>() } else { vec![c] }).collect();
    if text.chars().count() > 64 { shown + "…" } else { shown }
}
