//! Named forms of text, and forms of `key=value` texts.

use super::Kind;

/// A named form of text.
#[derive(Clone, Copy)]
pub struct Format {
    /// Proxmox VE's name for it, which its schema shows.
    pub name: &'static str,
    /// What a good value is, in words: completes "is not ...".
    pub what: &'static str,
    /// A regular expression for documents, if the form has one.
    pub pattern: Option<&'static str>,
    /// Whether a value has the form.
    pub check: fn(&str) -> bool,
    /// Longest value in characters.
    pub max: usize,
}

impl Format {
    /// A form without a pattern.
    pub const fn new(name: &'static str, what: &'static str, check: fn(&str) -> bool) -> Self {
        Self { name, what, pattern: None, check, max: super::kind::LONGEST_TEXT }
    }

    /// The same form, at most `max` characters long.
    #[must_use]
    pub const fn max(mut self, max: usize) -> Self {
        self.max = max;
        self
    }

    /// The same form with a pattern for documents.
    #[must_use]
    pub const fn pattern(mut self, pattern: &'static str) -> Self {
        self.pattern = Some(pattern);
        self
    }
}

impl std::fmt::Debug for Format {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Format({})", self.name)
    }
}

/// A form of `key=value,...` texts.
#[derive(Debug, Clone, Copy)]
pub struct PropertyFormat {
    /// Its name in documents.
    pub name: &'static str,
    /// Its keys.
    pub keys: &'static [PropertyKey],
    /// Key whose value may stand alone at any place (`local:1` is `file=local:1`).
    pub default_key: Option<&'static str>,
    /// For network cards: words that are a value of the first key and stand before the value of the second
    /// (`virtio=MAC` is `model=virtio,macaddr=MAC`).
    pub key_alias: Option<(&'static str, &'static str)>,
}

/// One key of a [`PropertyFormat`].
#[derive(Debug, Clone, Copy)]
pub struct PropertyKey {
    /// The key.
    pub name: &'static str,
    /// Its type.
    pub kind: Kind,
    /// May be left out.
    pub optional: bool,
    /// Another name for this key.
    pub alias_of: Option<&'static str>,
}

impl PropertyKey {
    /// A key that may be left out.
    pub const fn optional(name: &'static str, kind: Kind) -> Self {
        Self { name, kind, optional: true, alias_of: None }
    }

    /// A key that must be there.
    pub const fn required(name: &'static str, kind: Kind) -> Self {
        Self { name, kind, optional: false, alias_of: None }
    }

    /// Another name for `of`.
    pub const fn alias(name: &'static str, of: &'static str) -> Self {
        Self { name, kind: Kind::TEXT, optional: true, alias_of: Some(of) }
    }
}

impl PropertyFormat {
    /// The key that `name` means, through aliases.
    pub fn key(&self, name: &str) -> Option<&'static PropertyKey> {
        let found = self.keys.iter().find(|k| k.name == name)?;
        match found.alias_of {
            Some(target) => self.keys.iter().find(|k| k.name == target),
            None => Some(found),
        }
    }

    /// The words of the key-alias key (network card models).
    pub fn alias_words(&self) -> &'static [&'static str] {
        let Some((model, _)) = self.key_alias else { return &[] };
        match self.key(model).map(|k| k.kind) {
            Some(Kind::Word(words)) => words,
            _ => &[],
        }
    }
}
