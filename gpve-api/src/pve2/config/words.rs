//! Small texts of settings: sizes, rates, arguments.

use gpve_core::types::ByteSize;

/// A size as Proxmox VE writes it (`1G`, `1.5G`, `64K`, bytes), in bytes.
pub(super) fn size(text: &str) -> Option<ByteSize> {
    let (number, shift) = match text.as_bytes().last()? {
        b'K' => (&text[..text.len() - 1], 10),
        b'M' => (&text[..text.len() - 1], 20),
        b'G' => (&text[..text.len() - 1], 30),
        b'T' => (&text[..text.len() - 1], 40),
        _ => (text, 0),
    };
    scaled(number, 1 << shift).map(ByteSize::from_bytes)
}

/// A decimal number of GiB, as `STORAGE:SIZE` has it, in whole KiB. None if it is no number or too large.
pub(super) fn gibibytes(text: &str) -> Option<ByteSize> {
    scaled(text, 1 << 20).and_then(|kib| kib.checked_mul(1 << 10)).map(ByteSize::from_bytes)
}

/// `1.5` times `unit`, rounded up; at most 9 decimals count.
pub(super) fn scaled(text: &str, unit: u64) -> Option<u64> {
    times(text, unit, u128::div_ceil)
}

/// `1.5` times `unit`, rounded down; at most 9 decimals count.
pub(super) fn floored(text: &str, unit: u64) -> Option<u64> {
    times(text, unit, |a, b| a / b)
}

/// The shortest decimal that [`floored`] reads as `n`.
pub(super) fn decimal(n: u64, unit: u64) -> String {
    let text = |decimals: u32| {
        let power = 10_u128.pow(decimals);
        let scaled = (u128::from(n) * power).div_ceil(u128::from(unit.max(1)));
        match decimals {
            0 => scaled.to_string(),
            _ => format!("{}.{:0width$}", scaled / power, scaled % power, width = decimals as usize),
        }
    };
    (0..DECIMALS).map(text).find(|t| floored(t, unit) == Some(n)).unwrap_or_else(|| text(DECIMALS))
}

const DECIMALS: u32 = 9;

fn times(text: &str, unit: u64, divide: impl Fn(u128, u128) -> u128) -> Option<u64> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let digits = |t: &str| t.bytes().all(|b| b.is_ascii_digit());
    if whole.is_empty() || !digits(whole) || !digits(fraction) {
        return None;
    }
    let fraction: String = fraction.chars().chain("000000000".chars()).take(DECIMALS as usize).collect();
    let parts = u128::from(fraction.parse::<u64>().ok()?) * u128::from(unit);
    let parts = u64::try_from(divide(parts, 10_u128.pow(DECIMALS))).ok()?;
    let total = whole.parse::<u64>().ok()?.checked_mul(unit)?.checked_add(parts)?;
    (total < 1 << 63).then_some(total)
}

/// Thousandths as a decimal: 1500 is `1.5`.
pub(super) fn thousandths(n: u64) -> String {
    match n % 1000 {
        0 => (n / 1000).to_string(),
        rest => format!("{}.{}", n / 1000, format!("{rest:03}").trim_end_matches('0')),
    }
}

/// Splits a command line at blanks, with quotes and backslashes as in a shell. None: a quote that does not end.
pub(super) fn split_words(text: &str) -> Option<Vec<String>> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quote = None;
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match (c, quote) {
            ('\\', None | Some('"')) => word.get_or_insert_default().push(chars.next()?),
            (c, Some(q)) if c == q => quote = None,
            (c, Some(_)) => word.get_or_insert_default().push(c),
            ('\'' | '"', None) => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            (c, None) if c.is_whitespace() => words.extend(word.take()),
            (c, None) => word.get_or_insert_default().push(c),
        }
    }
    if quote.is_some() {
        return None;
    }
    words.extend(word);
    Some(words)
}

/// Joins words to a text that [`split_words`] splits back.
pub(super) fn join_words<'a>(words: impl Iterator<Item = &'a str>) -> String {
    let quoted = |word: &str| {
        let plain = !word.is_empty() && !word.contains(|c: char| c.is_whitespace() || "'\"\\".contains(c));
        if plain { word.to_owned() } else { format!("'{}'", word.replace('\'', "'\\''")) }
    };
    words.map(quoted).collect::<Vec<_>>().join(" ")
}
