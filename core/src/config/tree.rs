//! The tree of one YAML document, every node and key with its place.
//!
//! Scalars keep their text; what a plain one means (`true`, `80`, nothing) is
//! read as Kubernetes reads it, YAML 1.1's `yes` and `on` included, so that a
//! file never means one thing here and another in a cluster.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use super::diagnostic::Location;
use super::quote::quoted;
use super::resource::Spanned;
use crate::json_text::write_json_text;

/// A value and where it stands.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Node {
    pub(crate) at: Location,
    pub(crate) value: Value,
}

/// What a node is.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Value {
    Scalar(Scalar),
    List(Vec<Node>),
    Map(Vec<Entry>),
}

/// One `key: value`.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Entry {
    pub(crate) key: Spanned<String>,
    pub(crate) value: Node,
}

/// A leaf.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Scalar {
    pub(crate) text: String,
    /// Without quotes or block style: it may mean something else than text.
    pub(crate) plain: bool,
    /// The text before variables were replaced, when it held any.
    pub(crate) written: Option<String>,
}

/// The whole number that `text` is in decimal digits without leading zeros.
pub(crate) fn whole(text: &str) -> Option<i64> {
    let digits = text.strip_prefix('-').unwrap_or(text);
    let canonical = digits == "0" || (!digits.starts_with('0') && digits.bytes().all(|b| b.is_ascii_digit()));
    canonical.then(|| text.parse().ok()).flatten()
}

/// What a scalar means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Meaning {
    Null,
    Bool(bool),
    Number,
    Text,
}

impl Scalar {
    /// What the scalar means by itself. Replaced variables are text; the field decides what else they may be.
    pub(crate) fn meaning(&self) -> Meaning {
        if !self.plain || self.written.is_some() {
            return Meaning::Text;
        }
        match self.text.as_str() {
            "" | "~" | "null" | "Null" | "NULL" => Meaning::Null,
            text => match truth(text) {
                Some(truth) => Meaning::Bool(truth),
                None if is_number(text) => Meaning::Number,
                None => Meaning::Text,
            },
        }
    }

    /// The scalar as a message shows it: as it stands in the file, never what the environment holds.
    pub(crate) fn shown(&self) -> String {
        match &self.written {
            Some(written) => format!("the value of {}", quoted(written)),
            None => quoted(&self.text),
        }
    }

    /// The boolean, where a boolean is wanted.
    pub(crate) fn as_bool(&self) -> Option<bool> {
        self.plain.then(|| truth(&self.text)).flatten()
    }

    /// The whole number, where one is wanted: decimal digits without leading zeros.
    ///
    /// `080` and `1e3` are left out because YAML 1.1 and 1.2 read them differently.
    pub(crate) fn as_integer(&self) -> Option<i64> {
        whole(&self.text).filter(|_| self.plain)
    }

    /// Ten-thousandths of a number from 0 to 100, as Istio reads percentages: what is smaller is cut off.
    pub(crate) fn as_percent(&self) -> Option<u32> {
        let (whole, fraction) = self.text.split_once('.').unwrap_or((&self.text, ""));
        let is_number = |digits: &str| digits.bytes().all(|b| b.is_ascii_digit());
        if !self.plain || whole.is_empty() || whole.len() > 3 || !is_number(whole) || !is_number(fraction) {
            return None;
        }
        let fourths = fraction.bytes().chain(core::iter::repeat(b'0')).take(4);
        let digits = whole.bytes().chain(fourths);
        let value = digits.fold(0_u32, |value, digit| value * 10 + u32::from(digit - b'0'));
        let is_within = value < 1_000_000 || value == 1_000_000 && fraction.bytes().all(|digit| digit == b'0');
        is_within.then_some(value)
    }
}

impl Node {
    /// The value of a field, if the node is a map that has it.
    pub(crate) fn get(&self, name: &str) -> Option<&Self> {
        self.entry(name).map(|entry| &entry.value)
    }

    /// The same, to change it.
    pub(crate) fn get_mut(&mut self, name: &str) -> Option<&mut Self> {
        match &mut self.value {
            Value::Map(entries) => entries
                .iter_mut()
                .find(|entry| entry.key.value == name)
                .map(|entry| &mut entry.value),
            _ => None,
        }
    }

    /// The key and value of a field.
    pub(crate) fn entry(&self, name: &str) -> Option<&Entry> {
        self.entries().iter().find(|entry| entry.key.value == name)
    }

    /// The entries of a map; none of anything else.
    pub(crate) fn entries(&self) -> &[Entry] {
        match &self.value {
            Value::Map(entries) => entries,
            _ => &[],
        }
    }

    /// The items of a list; none of anything else.
    pub(crate) fn items(&self) -> &[Self] {
        match &self.value {
            Value::List(items) => items,
            _ => &[],
        }
    }

    /// The scalar, if it is one.
    pub(crate) fn scalar(&self) -> Option<&Scalar> {
        match &self.value {
            Value::Scalar(scalar) => Some(scalar),
            _ => None,
        }
    }

    /// The text, if the node is text.
    pub(crate) fn text(&self) -> Option<&str> {
        self.scalar()
            .filter(|scalar| scalar.meaning() == Meaning::Text)
            .map(|scalar| scalar.text.as_str())
    }

    /// The value as JSON text.
    pub(crate) fn to_json(&self) -> String {
        let mut out = String::new();
        self.write_json(&mut out);
        out
    }

    /// Nesting is bounded by that of the document.
    fn write_json(&self, out: &mut String) {
        match &self.value {
            Value::Scalar(scalar) => match scalar.meaning() {
                Meaning::Null => out.push_str("null"),
                Meaning::Bool(truth) => out.push_str(if truth { "true" } else { "false" }),
                Meaning::Number if is_json_number(&scalar.text) => out.push_str(&scalar.text),
                Meaning::Number | Meaning::Text => write_json_text(&scalar.text, out),
            },
            Value::List(items) => {
                out.push('[');
                for (index, item) in items.iter().enumerate() {
                    if index > 0 {
                        out.push(',');
                    }
                    item.write_json(out);
                }
                out.push(']');
            }
            Value::Map(entries) => {
                out.push('{');
                for (index, entry) in entries.iter().enumerate() {
                    if index > 0 {
                        out.push(',');
                    }
                    write_json_text(&entry.key.value, out);
                    out.push(':');
                    entry.value.write_json(out);
                }
                out.push('}');
            }
        }
    }

    /// Whether nothing is there: `key:`, `~`, `null`.
    pub(crate) fn is_null(&self) -> bool {
        self.scalar().is_some_and(|scalar| scalar.meaning() == Meaning::Null)
    }
}

/// Whether JSON has the number in the same digits.
fn is_json_number(text: &str) -> bool {
    let digits = text.strip_prefix('-').unwrap_or(text);
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, "0"));
    let are_digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    are_digits(whole) && are_digits(fraction) && (whole == "0" || !whole.starts_with('0'))
}

/// YAML 1.1's booleans, which Kubernetes' YAML reader has.
fn truth(text: &str) -> Option<bool> {
    match text {
        "true" | "True" | "TRUE" | "yes" | "Yes" | "YES" | "on" | "On" | "ON" | "y" | "Y" => Some(true),
        "false" | "False" | "FALSE" | "no" | "No" | "NO" | "off" | "Off" | "OFF" | "n" | "N" => Some(false),
        _ => None,
    }
}

/// Whether YAML 1.1 or 1.2 reads the plain text as a number.
fn is_number(text: &str) -> bool {
    let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
    let starts_with_digit = |text: &str| text.starts_with(|c: char| c.is_ascii_digit());
    // Most texts show by their first letter that they are none.
    if !unsigned.starts_with('.') && !starts_with_digit(unsigned) {
        return false;
    }
    let lower = unsigned.to_ascii_lowercase();
    if matches!(lower.as_str(), ".inf" | ".nan") {
        return true;
    }
    let digits_of = |rest: &str, radix: u32| !rest.is_empty() && rest.chars().all(|c| c == '_' || c.is_digit(radix));
    for (prefix, radix) in [("0x", 16), ("0o", 8), ("0b", 2)] {
        if let Some(rest) = lower.strip_prefix(prefix) {
            return digits_of(rest, radix);
        }
    }
    starts_with_digit(lower.strip_prefix('.').unwrap_or(&lower)) && is_decimal(&lower.replace('_', ""))
}

/// Whether the text, which has a digit, is what `f64` parses. To parse it would bring a table of 10 KB into the simulator.
fn is_decimal(text: &str) -> bool {
    let are_digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    let (mantissa, exponent) = match text.split_once('e') {
        Some((mantissa, exponent)) => (mantissa, Some(exponent)),
        None => (text, None),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let is_exponent = |exponent: &str| {
        let digits = exponent.strip_prefix(['-', '+']).unwrap_or(exponent);
        !digits.is_empty() && are_digits(digits)
    };
    are_digits(whole) && are_digits(fraction) && exponent.is_none_or(is_exponent)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plain(text: &str) -> Scalar {
        Scalar {
            text: text.into(),
            plain: true,
            written: None,
        }
    }

    #[test]
    fn plain_scalars_mean_what_kubernetes_reads() {
        for (text, meaning) in [
            ("", Meaning::Null),
            ("~", Meaning::Null),
            ("null", Meaning::Null),
            ("true", Meaning::Bool(true)),
            ("yes", Meaning::Bool(true)),
            ("off", Meaning::Bool(false)),
            ("tRUE", Meaning::Text),
            ("80", Meaning::Number),
            ("-1", Meaning::Number),
            ("1.5", Meaning::Number),
            (".5", Meaning::Number),
            ("1e3", Meaning::Number),
            ("1_000", Meaning::Number),
            ("0x1F", Meaning::Number),
            ("0o17", Meaning::Number),
            ("-.inf", Meaning::Number),
            (".nan", Meaning::Number),
            ("0xfoo", Meaning::Text),
            ("1.2.3.4", Meaning::Text),
            ("10.0.0.0/8", Meaning::Text),
            ("2026-01-01T00:00:00Z", Meaning::Text),
            ("nan", Meaning::Text),
            ("infinity", Meaning::Text),
            ("-", Meaning::Text),
            (".", Meaning::Text),
            ("v1", Meaning::Text),
        ] {
            assert_eq!(plain(text).meaning(), meaning, "{text:?}");
        }
    }

    proptest::proptest! {
        #[test]
        fn decimals_are_what_f64_parses(text in r"\.?[0-9][0-9.e+-]{0,6}") {
            proptest::prop_assert_eq!(is_decimal(&text), text.parse::<f64>().is_ok());
        }
    }

    #[test]
    fn quotes_make_text() {
        for text in ["", "null", "true", "80"] {
            let quoted = Scalar {
                plain: false,
                ..plain(text)
            };
            assert_eq!(quoted.meaning(), Meaning::Text, "{text:?}");
            assert_eq!(quoted.as_bool(), None);
            assert_eq!(quoted.as_integer(), None);
        }
    }

    #[test]
    fn only_canonical_decimals_are_whole_numbers() {
        for (text, number) in [("0", Some(0)), ("80", Some(80)), ("-7", Some(-7))] {
            assert_eq!(plain(text).as_integer(), number);
        }
        for text in [
            "080",
            "+80",
            "80.0",
            "8e1",
            "0x50",
            "1_000",
            "",
            "-",
            "99999999999999999999",
        ] {
            assert_eq!(plain(text).as_integer(), None, "{text:?}");
        }
    }
}
