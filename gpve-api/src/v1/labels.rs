//! Selecting objects by their labels.

use std::str::FromStr;

use gpve_core::types::Labels;
use thiserror::Error;

/// Most terms in one selector.
const MAX_TERMS: usize = 32;

/// A selector was refused.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("invalid label selector term '{0}': KEY, !KEY, KEY=VALUE or KEY!=VALUE, at most {MAX_TERMS} joined by commas")]
pub struct LabelSelectorError(String);

/// A list of terms that must all hold: `app=web,tier!=test,!old`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LabelSelector(Vec<Term>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Term {
    Is(String, String),
    IsNot(String, String),
    Has(String),
    HasNot(String),
}

impl LabelSelector {
    /// Whether an object with `labels` is selected.
    pub fn matches(&self, labels: &Labels) -> bool {
        self.0.iter().all(|term| match term {
            Term::Is(key, value) => labels.get(key) == Some(value),
            Term::IsNot(key, value) => labels.get(key) != Some(value),
            Term::Has(key) => labels.contains_key(key),
            Term::HasNot(key) => !labels.contains_key(key),
        })
    }
}

impl FromStr for LabelSelector {
    type Err = LabelSelectorError;

    fn from_str(s: &str) -> Result<Self, Self::Err> {
        let terms: Vec<&str> = s.split(',').map(str::trim).filter(|t| !t.is_empty()).collect();
        if terms.len() > MAX_TERMS {
            return Err(LabelSelectorError(format!("{} terms", terms.len())));
        }
        terms.into_iter().map(term).collect::<Result<_, _>>().map(Self)
    }
}

fn term(text: &str) -> Result<Term, LabelSelectorError> {
    let word = |w: &str| {
        let fine = !w.is_empty() && w.chars().all(|c| c.is_ascii_alphanumeric() || "-_./".contains(c));
        if fine { Ok(w.to_owned()) } else { Err(LabelSelectorError(text.chars().take(64).collect())) }
    };
    let value = |w: &str| if w.is_empty() { Ok(String::new()) } else { word(w) };
    if let Some(key) = text.strip_prefix('!') {
        return Ok(Term::HasNot(word(key)?));
    }
    if let Some((key, v)) = text.split_once("!=") {
        return Ok(Term::IsNot(word(key)?, value(v)?));
    }
    match text.split_once('=') {
        Some((key, v)) => Ok(Term::Is(word(key)?, value(v.strip_prefix('=').unwrap_or(v))?)),
        None => Ok(Term::Has(word(text)?)),
    }
}
