//! A command line as switches with their operands, each as a tree or as a list of keys and values.

use serde_json::Value;

/// One switch.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Switch {
    pub(super) flag: String,
    pub(super) operand: Operand,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Operand {
    None,
    /// JSON.
    Tree(Value),
    /// `value,key=value,…`; the first has no key where QEMU implies it.
    Keys(Vec<(String, String)>),
}

#[derive(Debug, Clone)]
pub(super) struct Command(pub(super) Vec<Switch>);

impl Command {
    /// A recorded command: the program, then one switch a line, with a shell's quotes and line ends.
    pub(super) fn parse(text: &str) -> Self {
        let lines = text.lines().skip(1).map(|line| line.trim().trim_end_matches('\\').trim()).filter(|line| !line.is_empty());
        Self(
            lines
                .map(|line| {
                    let (flag, operand) = line.split_once(' ').map_or((line, None), |(flag, rest)| (flag, Some(unquoted(rest.trim()))));
                    Switch::of(flag, operand.as_deref())
                })
                .collect(),
        )
    }

    /// Our arguments.
    pub(super) fn of(arguments: &[String]) -> Self {
        let mut switches = Vec::new();
        let mut rest = arguments.iter().peekable();
        while let Some(flag) = rest.next() {
            let operand = rest.next_if(|next| !next.starts_with('-'));
            switches.push(Switch::of(flag, operand.map(String::as_str)));
        }
        Self(switches)
    }
}

impl Switch {
    fn of(flag: &str, operand: Option<&str>) -> Self {
        let operand = match operand {
            None => Operand::None,
            Some(text) if text.starts_with('{') => Operand::Tree(serde_json::from_str(text).unwrap()),
            Some(text) => Operand::Keys(keys(text)),
        };
        Self { flag: flag.to_owned(), operand }
    }

    pub(super) fn with_keys(flag: &str, operand: &str) -> Self {
        Self::of(flag, Some(operand))
    }

    pub(super) fn tree(flag: &str, tree: Value) -> Self {
        Self { flag: flag.to_owned(), operand: Operand::Tree(tree) }
    }

    /// The value of a key; the first one that has none is asked for by "".
    pub(super) fn get(&self, key: &str) -> Option<&str> {
        match &self.operand {
            Operand::Keys(keys) => keys.iter().find(|(name, _)| name == key).map(|(_, value)| value.as_str()),
            Operand::Tree(tree) => tree.get(key)?.as_str(),
            Operand::None => None,
        }
    }

    pub(super) fn is(&self, flag: &str, first: &str) -> bool {
        self.flag == flag && self.get("") == Some(first)
    }

    pub(super) fn drop_keys(&mut self, dropped: &[&str]) {
        if let Operand::Keys(keys) = &mut self.operand {
            keys.retain(|(key, _)| !dropped.contains(&key.as_str()));
        }
    }

    pub(super) fn add(&mut self, key: &str, value: &str) {
        if let Operand::Keys(keys) = &mut self.operand {
            keys.push((key.to_owned(), value.to_owned()));
        }
    }

    /// One text for all orders of keys.
    pub(super) fn text(&self) -> String {
        let operand = match &self.operand {
            Operand::None => String::new(),
            Operand::Tree(tree) => sorted(tree).to_string(),
            Operand::Keys(keys) => {
                let mut parts: Vec<_> =
                    keys.iter().map(|(key, value)| if key.is_empty() { value.clone() } else { format!("{key}={value}") }).collect();
                parts.sort();
                parts.join(",")
            }
        };
        format!("{} {operand}", self.flag)
    }
}

fn sorted(tree: &Value) -> Value {
    match tree {
        Value::Object(members) => {
            let ordered: std::collections::BTreeMap<_, _> = members.iter().map(|(key, value)| (key.clone(), sorted(value))).collect();
            ordered.into_iter().collect()
        }
        Value::Array(items) => items.iter().map(sorted).collect(),
        plain => plain.clone(),
    }
}

/// `a,b=c`, with `,,` for a comma in a value.
fn keys(text: &str) -> Vec<(String, String)> {
    let mut parts = vec![String::new()];
    let mut rest = text.chars().peekable();
    while let Some(c) = rest.next() {
        match c {
            ',' if rest.next_if_eq(&',').is_none() => parts.push(String::new()),
            c => parts.last_mut().unwrap().push(c),
        }
    }
    let split = |part: String| match part.split_once('=') {
        Some((key, value)) => (key.to_owned(), value.to_owned()),
        None => (String::new(), part),
    };
    parts.into_iter().filter(|part| !part.is_empty()).map(split).collect()
}

fn unquoted(text: &str) -> String {
    text.strip_prefix('\'').and_then(|text| text.strip_suffix('\'')).map_or_else(|| text.to_owned(), |inner| inner.replace("'\\''", "'"))
}
