//! The JSON of arguments, which the package's JavaScript has written.
//!
//! Numbers stay text, since none of an argument is a fraction: the general
//! reader's floating point alone would be a twentieth of the module.

use std::borrow::Cow;
use std::str::FromStr;

use wasm_bindgen::prelude::JsError;

/// A value.
#[derive(Debug)]
pub(crate) struct Json<'t> {
    /// As it is written.
    pub(crate) text: &'t str,
    value: Value<'t>,
}

#[derive(Debug)]
enum Value<'t> {
    Null,
    /// `true`, `false` or a number.
    Word,
    String(Cow<'t, str>),
    List(Vec<Json<'t>>),
    Object(Vec<(Cow<'t, str>, Json<'t>)>),
}

/// Lists and objects around each other.
const DEPTH_MAX: usize = 128;

impl<'t> Json<'t> {
    /// Reads a text that is one value.
    pub(crate) fn read(text: &'t str) -> Result<Self, JsError> {
        let mut reader = Reader { rest: text };
        let value = reader.value(DEPTH_MAX).filter(|_| reader.rest.is_empty());
        value.ok_or_else(|| JsError::new("the argument is not JSON, or has half of a surrogate pair in a string"))
    }

    /// The string.
    pub(crate) fn string(self, name: &str) -> Result<String, JsError> {
        match self.value {
            Value::String(text) => Ok(text.into_owned()),
            _ => Err(wrong(name, "a string")),
        }
    }

    /// Whether it is an object.
    pub(crate) fn is_object(&self) -> bool {
        matches!(self.value, Value::Object(_))
    }

    /// What a number or a string says.
    pub(crate) fn digits(&self) -> &str {
        match &self.value {
            Value::String(text) => text,
            _ => self.text,
        }
    }

    /// The whole number; `range` says which are taken.
    pub(crate) fn number<N: FromStr>(self, name: &str, range: &str) -> Result<N, JsError> {
        self.text.parse().map_err(|_| wrong(name, range))
    }

    /// What `item` makes of the items.
    pub(crate) fn list<T>(self, name: &str, item: fn(Self, &str) -> Result<T, JsError>) -> Result<Vec<T>, JsError> {
        match self.value {
            Value::List(items) => items.into_iter().map(|value| item(value, name)).collect(),
            _ => Err(wrong(name, "a list")),
        }
    }

    /// What `item` makes of the members, in their order.
    pub(crate) fn map<T>(
        self,
        name: &str,
        item: fn(Self, &str) -> Result<T, JsError>,
    ) -> Result<Vec<(String, T)>, JsError> {
        let members = self.members(name)?.into_iter();
        members
            .map(|(key, value)| Ok((key.clone().into_owned(), item(value, &key)?)))
            .collect()
    }

    /// The members, of which there are no others than those of these names.
    pub(crate) fn fields(self, name: &str, names: &[&str]) -> Result<Fields<'t>, JsError> {
        let members = self.members(name)?;
        if let Some((unknown, _)) = members.iter().find(|(key, _)| !names.contains(&&**key)) {
            let names = names.join("`, `");
            return Err(JsError::new(&format!(
                "unknown field `{unknown}`, expected one of `{names}`"
            )));
        }
        Ok(Fields(members))
    }

    fn members(self, name: &str) -> Result<Vec<(Cow<'t, str>, Self)>, JsError> {
        match self.value {
            Value::Object(members) => Ok(members),
            _ => Err(wrong(name, "an object")),
        }
    }
}

/// The members of an object that are not taken yet.
#[derive(Debug)]
pub(crate) struct Fields<'t>(Vec<(Cow<'t, str>, Json<'t>)>);

impl<'t> Fields<'t> {
    /// What `item` makes of a field; nothing when it is `null` or not there.
    pub(crate) fn take<T>(
        &mut self,
        name: &str,
        item: fn(Json<'t>, &str) -> Result<T, JsError>,
    ) -> Result<Option<T>, JsError> {
        let Some(place) = self.0.iter().position(|(key, _)| key == name) else {
            return Ok(None);
        };
        let (_, value) = self.0.swap_remove(place);
        match value.value {
            Value::Null => Ok(None),
            _ => item(value, name).map(Some),
        }
    }

    /// The same of a field that must be there.
    pub(crate) fn require<T>(
        &mut self,
        name: &str,
        item: fn(Json<'t>, &str) -> Result<T, JsError>,
    ) -> Result<T, JsError> {
        self.take(name, item)?
            .ok_or_else(|| JsError::new(&format!("missing field `{name}`")))
    }
}

/// The error of a field that is not what it should be.
pub(crate) fn wrong(name: &str, expected: &str) -> JsError {
    JsError::new(&format!("`{name}`: expected {expected}"))
}

struct Reader<'t> {
    rest: &'t str,
}

impl<'t> Reader<'t> {
    /// The next value; `None` when there is none, or one inside more than `depth` others.
    fn value(&mut self, depth: usize) -> Option<Json<'t>> {
        let depth = depth.checked_sub(1)?;
        self.skip_blanks();
        let before = self.rest;
        let value = match before.as_bytes().first()? {
            b'"' => Value::String(self.string()?),
            b'[' => Value::List(self.sequence(b'[', b']', |reader| reader.value(depth))?),
            b'{' => Value::Object(self.sequence(b'{', b'}', |reader| {
                let key = reader.string()?;
                reader.token(b':')?;
                Some((key, reader.value(depth)?))
            })?),
            _ => match self.word() {
                "" => return None,
                "null" => Value::Null,
                _ => Value::Word,
            },
        };
        let text = before.get(..before.len().checked_sub(self.rest.len())?)?;
        self.skip_blanks();
        Some(Json { text, value })
    }

    fn sequence<T>(&mut self, open: u8, close: u8, mut item: impl FnMut(&mut Self) -> Option<T>) -> Option<Vec<T>> {
        let mut items = Vec::new();
        self.token(open)?;
        while self.token(close).is_none() {
            if !items.is_empty() {
                self.token(b',')?;
            }
            items.push(item(self)?);
        }
        Some(items)
    }

    /// Takes the token, if it is next, and the blanks before it.
    fn token(&mut self, token: u8) -> Option<()> {
        self.skip_blanks();
        let is_next = self.rest.as_bytes().first() == Some(&token);
        self.rest = self.rest.get(1..).filter(|_| is_next)?;
        Some(())
    }

    fn skip_blanks(&mut self) {
        while let [b' ' | b'\n' | b'\r' | b'\t', ..] = self.rest.as_bytes() {
            self.rest = self.rest.get(1..).unwrap_or_default();
        }
    }

    fn word(&mut self) -> &'t str {
        let is_end = |byte: &u8| b",:]} \n\r\t".contains(byte);
        let end = self.rest.bytes().position(|byte| is_end(&byte));
        let (word, rest) = self.rest.split_at(end.unwrap_or(self.rest.len()));
        self.rest = rest;
        word
    }

    fn string(&mut self) -> Option<Cow<'t, str>> {
        self.token(b'"')?;
        let mut text = Cow::Borrowed("");
        loop {
            let end = self.rest.bytes().position(|byte| matches!(byte, b'"' | b'\\'))?;
            let (piece, rest) = self.rest.split_at(end);
            text += piece;
            self.rest = rest.get(1..)?;
            if rest.starts_with('"') {
                return Some(text);
            }
            text.to_mut().push(self.escape()?);
        }
    }

    fn escape(&mut self) -> Option<char> {
        let mut rest = self.rest.chars();
        let escape = rest.next()?;
        self.rest = rest.as_str();
        match escape {
            '"' | '\\' | '/' => Some(escape),
            'b' => Some('\u{8}'),
            'f' => Some('\u{c}'),
            'n' => Some('\n'),
            'r' => Some('\r'),
            't' => Some('\t'),
            'u' => self.code_point(),
            _ => None,
        }
    }

    /// What is behind `\u`; half of a surrogate pair is none.
    fn code_point(&mut self) -> Option<char> {
        let first = self.hex()?;
        if let Some(whole) = char::from_u32(first.into()) {
            return Some(whole);
        }
        self.rest = self.rest.strip_prefix("\\u")?;
        char::decode_utf16([first, self.hex()?]).next()?.ok()
    }

    fn hex(&mut self) -> Option<u16> {
        let (digits, rest) = self.rest.split_at_checked(4)?;
        self.rest = rest;
        let are_digits = digits.bytes().all(|byte| byte.is_ascii_hexdigit());
        are_digits.then(|| u16::from_str_radix(digits, 16).ok()).flatten()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Option<String> {
        let mut reader = Reader { rest: text };
        let value = reader.value(DEPTH_MAX).filter(|_| reader.rest.is_empty())?;
        match value.value {
            Value::String(text) => Some(text.into_owned()),
            _ => Some(value.text.to_owned()),
        }
    }

    #[test]
    fn strings_are_what_they_stand_for() {
        for (text, string) in [
            (r#""""#, ""),
            (r#""plain «ü»""#, "plain «ü»"),
            (r#""a\"b\\c\/\b\f\n\r\t""#, "a\"b\\c/\u{8}\u{c}\n\r\t"),
            (r#""\u0041\ud83d\ude00x""#, "A\u{1f600}x"),
        ] {
            assert_eq!(read(text).as_deref(), Some(string), "{text}");
        }
    }

    #[test]
    fn other_values_keep_their_text() {
        for text in ["80", "-1.5e3", "null", "[]", r#"{"a":[1,{"b":"c"}]}"#] {
            assert_eq!(read(&format!(" {text}\n")).as_deref(), Some(text), "{text}");
        }
    }

    #[test]
    fn millions_of_values_are_read_in_seconds() {
        let text = format!("[{}0]", "0,".repeat(3_000_000));
        let begun = std::time::Instant::now();
        assert_eq!(read(&text).as_deref(), Some(&*text));
        // Many times what it takes; looking through the rest of the text for each of them took minutes.
        assert!(begun.elapsed().as_secs() < 30, "{:?}", begun.elapsed());
    }

    #[test]
    fn what_is_no_value_is_refused() {
        let deep = "[".repeat(DEPTH_MAX + 1) + &"]".repeat(DEPTH_MAX + 1);
        for text in [
            "",
            " ",
            "[1",
            "[,]",
            "[1,]",
            "[1 2]",
            "{\"a\"}",
            "{a:1}",
            "1 2",
            "\"",
            r#""\x""#,
            r#""\u12""#,
            r#""\ud800""#,
            r#""\ud800\u0041""#,
            r#""\u+123""#,
            &deep,
        ] {
            assert_eq!(read(text), None, "{text}");
        }
    }
}
