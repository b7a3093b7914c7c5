use std::fmt;

use zeroize::Zeroizing;

/// What stands in the place of a secret.
pub(crate) const MASK: &str = "[hidden]";

/// Bytes that are never printed and are wiped when dropped.
#[derive(Clone, PartialEq, Eq)]
pub struct Hidden(Zeroizing<Vec<u8>>);

impl Hidden {
    /// Takes the bytes over.
    pub fn new(bytes: impl Into<Vec<u8>>) -> Self {
        Self(Zeroizing::new(bytes.into()))
    }

    /// The bytes themselves, for the one who hands them to the program.
    pub fn reveal(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Hidden {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(MASK)
    }
}

/// Removes known secrets from text that is about to be seen: a tool may print its key in an error.
#[derive(Debug, Clone, Default)]
pub struct Redactor {
    secrets: Vec<Hidden>,
}

/// Shorter byte strings would turn ordinary text into masks and hide nothing of worth.
const SECRET_BYTES_MIN: usize = 4;

impl Redactor {
    /// A redactor for these secrets; surrounding white space of a secret does not protect it from being found.
    pub fn new(secrets: impl IntoIterator<Item = Hidden>) -> Self {
        let trimmed = secrets.into_iter().map(|secret| Hidden::new(secret.reveal().trim_ascii()));
        Self { secrets: trimmed.filter(|secret| secret.reveal().len() >= SECRET_BYTES_MIN).collect() }
    }

    /// `bytes` with every occurrence of a secret replaced by a mask.
    pub fn clean(&self, bytes: &[u8]) -> Vec<u8> {
        self.secrets.iter().fold(bytes.to_vec(), |clean, secret| replace(&clean, secret.reveal(), MASK.as_bytes()))
    }
}

/// `text` with each occurrence of `from` (not empty) replaced by `to`.
pub(crate) fn replace(text: &[u8], from: &[u8], to: &[u8]) -> Vec<u8> {
    let mut replaced = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((first, tail)) = rest.split_first() {
        match rest.strip_prefix(from) {
            Some(after) => {
                replaced.extend_from_slice(to);
                rest = after;
            }
            None => {
                replaced.push(*first);
                rest = tail;
            }
        }
    }
    replaced
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_masked_wherever_it_is_printed() {
        let redactor = Redactor::new([Hidden::new("hunter22\n"), Hidden::new("ab")]);
        assert_eq!(redactor.clean(b"bad key hunter22, hunter22: ab"), b"bad key [hidden], [hidden]: ab");
    }

    #[test]
    fn hidden_bytes_have_no_debug_form() {
        assert_eq!(
            format!("{:?} {:?}", Hidden::new("hunter22"), Redactor::new([Hidden::new("hunter22")])),
            "[hidden] Redactor { secrets: [[hidden]] }"
        );
    }
}
