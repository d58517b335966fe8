//! Tokens: what is read in one, against `serde_json` and a second reading of RFC 7515 and RFC 7519.

use std::collections::BTreeSet;

use lockgate_core::claims::{ClaimSet, ClaimValue, Claims, ClaimsError, PATH_SEPARATOR, SPLIT_CLAIMS};
use lockgate_core::limits::{
    CLAIM_DEPTH_MAX, CLAIM_PATH_BYTES_MAX, CLAIM_PATHS_BYTES_MAX, CLAIMS_MAX, TOKEN_BYTES_MAX, TOKEN_SLACK_S,
};
use lockgate_core::llm::json::{JsonError, JsonErrorKind};
use lockgate_core::token::{Algorithm, Token, TokenError};
use serde_json::value::RawValue;

use crate::json;
use crate::token_places::sent;

/// A token is read as two careful readers would, or refused by both; nothing in it makes the reader panic.
///
/// Input: a byte. If it is even, a token's text follows; if it is odd, a header's JSON, a zero byte and a payload's JSON,
/// of which a token is made.
pub fn token(input: &[u8]) {
    let Some((&form, rest)) = input.split_first() else {
        return;
    };
    if form & 1 == 0 {
        return same_token(rest);
    }
    let end = rest.iter().position(|&byte| byte == 0).unwrap_or(rest.len());
    let (header, payload) = (&rest[..end], rest.get(end + 1..).unwrap_or_default());
    let split: &[&str] = if form & 2 == 0 { &[] } else { &["groups"] };
    same_claims(payload, split);
    same_token(format!("{}.{}.c2ln", base64(header), base64(payload)).as_bytes());
}

/// What a token says of itself.
#[derive(Debug, Clone, PartialEq)]
struct Said {
    algorithm: Algorithm,
    key_id: Option<String>,
    signed: Vec<u8>,
    signature: Vec<u8>,
    until: Option<u64>,
}

fn said(token: &Token) -> Said {
    Said {
        algorithm: token.signed().algorithm(),
        key_id: token.signed().key_id().map(str::to_owned),
        signed: token.signed().message().to_vec(),
        signature: token.signed().signature().to_vec(),
        until: token.accepted_until(),
    }
}

fn same_token(text: &[u8]) {
    let read = Token::read(text);
    let said = read.as_ref().ok().map(said);
    let own = read.as_ref().ok().map(|token| token.signed().header());
    let another = Token::read(b"eyJhbGciOiJFUzI1NiJ9.e30.c2ln").expect("a token");
    for known in own.into_iter().chain([another.signed().header()]) {
        let again = Token::read_after(text, Some(known));
        assert_eq!(again.as_ref().map(self::said), read.as_ref().map(self::said));
    }
    let Reading::Read(wanted) = read_naively(text) else {
        assert!(said.is_none(), "past a bound it is refused");
        return;
    };
    assert_eq!(said, wanted.as_ref().map(|(said, _)| said.clone()), "{:?}", read.err());
    if let (Ok(token), Some((_, payload))) = (read, wanted) {
        same_rules(token, text, &payload);
    }
}

/// The rule of the usual place accepts the token, or refuses it for the same reason.
fn same_rules(token: Token, text: &[u8], payload: &Naive) {
    sent(text, |tables, sent| {
        let candidates = token.candidates(tables, sent, NOW);
        let token = token.set_aside().read().expect("read before");
        assert_eq!(
            candidates.as_ref().map(Vec::len),
            judged_naively(payload).as_ref().map(|()| 1)
        );
        if let Ok(&[rule]) = candidates.as_deref() {
            let set = token.accept(tables, rule).expect("no more claims than before");
            let user = match payload.get("sub") {
                Some(Value::String(user)) if !user.chars().any(char::is_control) => Some(&**user),
                _ => None,
            };
            assert_eq!(set.claims().header("x-user"), user);
            payload.same_as(set.claims());
        }
    });
}

/// When tokens are judged.
const NOW: u64 = 2_000_000_000;

fn judged_naively(payload: &Naive) -> Result<(), TokenError> {
    let time = |name| payload.get(name).and_then(seconds);
    let bare = |audience: &str| {
        let bare = audience.trim_start_matches("http://").trim_start_matches("https://");
        ["a.test", "a.test/", "b.test", "b.test/"].contains(&bare)
    };
    let is_for_us = match payload.get("aud") {
        Some(Value::String(audience)) => bare(audience),
        Some(Value::List(items)) => items
            .iter()
            .any(|item| matches!(item, Value::String(audience) if bare(audience))),
        _ => false,
    };
    if payload.get("iss") != Some(&Value::String("https://i.test".into())) {
        Err(TokenError::UnknownIssuer)
    } else if time("nbf").is_some_and(|from| from > NOW + TOKEN_SLACK_S) {
        Err(TokenError::NotYetValid)
    } else if time("exp").is_some_and(|to| to.saturating_add(TOKEN_SLACK_S) < NOW) {
        Err(TokenError::Expired)
    } else if is_for_us {
        Ok(())
    } else {
        Err(TokenError::Audience)
    }
}

enum Reading {
    /// What it says; `None` when it must be refused.
    Read(Option<(Said, Naive)>),
    /// It is larger than the engine reads.
    TooLarge,
}

fn read_naively(text: &[u8]) -> Reading {
    if text.len() > TOKEN_BYTES_MAX {
        return Reading::Read(None);
    }
    let parts: Vec<&[u8]> = text.split(|&byte| byte == b'.').collect();
    let [header, payload, signature] = parts[..] else {
        return Reading::Read(None);
    };
    let (Some(header), Some(payload), Some(signature)) = (unbase64(header), unbase64(payload), unbase64(signature))
    else {
        return Reading::Read(None);
    };
    let (Some(header), Some(payload)) = (Naive::read(&header, &[]), Naive::read(&payload, &[])) else {
        return Reading::Read(None);
    };
    if header.is_too_large() || payload.is_too_large() {
        return Reading::TooLarge;
    }
    let facts = facts(&header, &payload, text, signature);
    Reading::Read(facts.map(|facts| (facts, payload)))
}

fn facts(header: &Naive, payload: &Naive, text: &[u8], signature: Vec<u8>) -> Option<Said> {
    let Value::String(algorithm) = header.get("alg")? else {
        return None;
    };
    let key_id = match header.get("kid") {
        None => None,
        Some(Value::String(key_id)) => Some(key_id.clone()),
        Some(_) => return None,
    };
    let is_string = |name| payload.get(name).is_none_or(|value| matches!(value, Value::String(_)));
    let times = ["iat", "nbf", "exp"].map(|name| payload.get(name).map(seconds));
    let is_audience = payload.get("aud").is_none_or(|value| match value {
        Value::String(_) => true,
        Value::List(items) => items.iter().all(|item| matches!(item, Value::String(_))),
        _ => false,
    });
    let is_good = ["iss", "sub", "jti"].into_iter().all(is_string)
        && times.iter().all(|time| *time != Some(None))
        && is_audience
        && header.get("crit").is_none()
        && !signature.is_empty();
    let last_dot = text.iter().rposition(|&byte| byte == b'.')?;
    is_good.then_some(())?;
    Some(Said {
        algorithm: algorithm_named(algorithm)?,
        key_id,
        signed: text[..last_dot].to_vec(),
        signature,
        until: times[2].flatten().map(|expiry| expiry.saturating_add(TOKEN_SLACK_S)),
    })
}

/// Whole seconds from zero to 2^64.
fn seconds(value: &Value) -> Option<u64> {
    let Value::Number(number) = value else { return None };
    if let Ok(whole) = number.parse() {
        return Some(whole);
    }
    let number: f64 = number.parse().ok()?;
    (number >= 0.0 && number < 2_f64.powi(64)).then_some(number as u64)
}

fn algorithm_named(name: &str) -> Option<Algorithm> {
    use Algorithm::*;
    let all = [
        ("HS", [Hs256, Hs384, Hs512]),
        ("RS", [Rs256, Rs384, Rs512]),
        ("PS", [Ps256, Ps384, Ps512]),
        ("ES", [Es256, Es384, Es512]),
    ];
    let sized = all
        .iter()
        .flat_map(|(family, sizes)| sizes.iter().map(move |one| (family, one)));
    let named = sized.zip(["256", "384", "512"].into_iter().cycle());
    let mut named = named.map(|((family, one), size)| (format!("{family}{size}"), *one));
    let found = named.find(|(own, _)| own == name).map(|(_, one)| one);
    found.or_else(|| (name == "EdDSA").then_some(EdDsa))
}

fn same_claims(payload: &[u8], split: &[&str]) {
    let naive = Naive::read(payload, split);
    let read = ClaimSet::parse(payload, split);
    match (&read, &naive) {
        (Ok(_), None) => panic!("serde_json refuses it, or it names a member twice"),
        (Ok(set), Some(naive)) => naive.same_as(set.claims()),
        (Err(error), Some(naive)) => assert!(naive.explains(*error), "{error}"),
        (Err(_), None) => {}
    }
}

/// A value as `serde_json` reads it.
#[derive(Debug, PartialEq)]
enum Value {
    String(String),
    /// As written.
    Number(String),
    Boolean(String),
    Null,
    List(Vec<Value>),
    Object,
}

/// A payload as `serde_json` reads it.
#[derive(Default)]
struct Naive {
    /// Members that a path leads to: the path, the value as written, the value, and the strings that match.
    members: Vec<(String, String, Value, Vec<String>)>,
    bytes: usize,
    /// Of lists and objects around each other.
    depth: usize,
    /// Values of any kind, and pieces of split ones.
    values: usize,
    longest_path: usize,
    /// Bytes of the paths through objects.
    paths: usize,
}

/// Deeper than any bound: past it the engine must refuse, so there is nothing more to find out.
const DEPTH_READ_MAX: usize = CLAIM_DEPTH_MAX + 8;

impl Naive {
    /// `None` when it is no JSON object, or one in it names a member twice.
    fn read(payload: &[u8], split: &[&str]) -> Option<Self> {
        let text = core::str::from_utf8(payload).ok()?;
        let mut naive = Self {
            bytes: payload.len(),
            ..Self::default()
        };
        naive.object(text, "", true, 1, split)?;
        Some(naive)
    }

    /// `path` is that of the object; whether policies can name its members is `is_named`.
    fn object(&mut self, text: &str, path: &str, is_named: bool, depth: usize, split: &[&str]) -> Option<()> {
        self.depth = self.depth.max(depth);
        if depth > DEPTH_READ_MAX {
            return Some(());
        }
        let mut names = BTreeSet::new();
        for (name, raw) in json::members(text.as_bytes()).ok()? {
            let own = match depth {
                1 => name.clone(),
                _ => format!("{path}{PATH_SEPARATOR}{name}"),
            };
            self.longest_path = self.longest_path.max(own.len());
            let is_named = is_named && !name.contains(PATH_SEPARATOR);
            if is_named && depth > 1 {
                self.paths += own.len();
            }
            let value = self.value(raw.get(), &own, is_named, depth)?;
            if is_named {
                let is_split = depth == 1 && (SPLIT_CLAIMS.contains(&&*name) || split.contains(&&*name));
                let strings = strings(&value, is_split);
                self.values += strings.len();
                self.members.push((own, raw.get().to_owned(), value, strings));
            }
            if !names.insert(name) {
                return None;
            }
        }
        Some(())
    }

    /// `depth` is that of what it stands in.
    fn value(&mut self, text: &str, path: &str, is_named: bool, depth: usize) -> Option<Value> {
        self.values += 1;
        Some(match text.as_bytes().first()? {
            b'"' => Value::String(serde_json::from_str(text).ok()?),
            b't' | b'f' => Value::Boolean(text.to_owned()),
            b'n' => Value::Null,
            b'{' => {
                self.object(text, path, is_named, depth + 1, &[])?;
                Value::Object
            }
            b'[' => {
                self.depth = self.depth.max(depth + 1);
                if depth > DEPTH_READ_MAX {
                    return Some(Value::List(Vec::new()));
                }
                let items: Vec<&RawValue> = serde_json::from_str(text).ok()?;
                let items = items
                    .into_iter()
                    .map(|item| self.value(item.get(), path, false, depth + 1));
                Value::List(items.collect::<Option<_>>()?)
            }
            _ => Value::Number(text.to_owned()),
        })
    }

    fn get(&self, name: &str) -> Option<&Value> {
        let mut members = self.members.iter();
        members.find(|(path, ..)| path == name).map(|(_, _, value, _)| value)
    }

    fn is_too_large(&self) -> bool {
        self.bytes > TOKEN_BYTES_MAX
            || self.depth > CLAIM_DEPTH_MAX
            || self.values > CLAIMS_MAX
            || self.longest_path > CLAIM_PATH_BYTES_MAX
            || self.paths > CLAIM_PATHS_BYTES_MAX
    }

    /// Whether it is a reason to refuse what is JSON.
    fn explains(&self, error: ClaimsError) -> bool {
        match error {
            ClaimsError::TooLong => self.bytes > TOKEN_BYTES_MAX,
            ClaimsError::TooMany => self.values > CLAIMS_MAX,
            ClaimsError::PathTooLong => self.longest_path > CLAIM_PATH_BYTES_MAX,
            ClaimsError::PathsTooLong => self.paths > CLAIM_PATHS_BYTES_MAX,
            ClaimsError::TooDeep
            | ClaimsError::Json(JsonError {
                kind: JsonErrorKind::TooDeep,
                ..
            }) => self.depth > CLAIM_DEPTH_MAX,
            ClaimsError::Json(_) | ClaimsError::NotAnObject | ClaimsError::DuplicateName { .. } => false,
        }
    }

    fn same_as(&self, claims: Claims<'_>) {
        assert!(self.depth <= CLAIM_DEPTH_MAX && self.bytes <= TOKEN_BYTES_MAX);
        for (path, raw, value, strings) in &self.members {
            let own = claims.value(path);
            let is_same = match (value, own) {
                (Value::String(text), Some(ClaimValue::String(own))) => text == own,
                (Value::Number(_), Some(ClaimValue::Number(own)))
                | (Value::Boolean(_), Some(ClaimValue::Boolean(own)))
                | (Value::List(_) | Value::Object, Some(ClaimValue::Json(own))) => raw == own,
                (Value::Null, Some(ClaimValue::Null)) => true,
                _ => false,
            };
            assert!(is_same, "{path:?}: {raw} and {own:?}");
            assert!(claims.strings(path).eq(strings), "{path:?}: {raw}");
            if let Value::List(items) = value {
                let only_strings = items.iter().all(|item| matches!(item, Value::String(_)));
                assert_eq!(claims.lists_only_strings(path), only_strings, "{path:?}: {raw}");
            }
            let absent = format!("{path}{PATH_SEPARATOR}-");
            let is_there = self.members.iter().any(|(path, ..)| *path == absent);
            assert_eq!(claims.value(&absent).is_some(), is_there);
        }
        let issuer = match self.get("iss") {
            Some(Value::String(issuer)) => Some(&**issuer),
            _ => None,
        };
        assert_eq!(claims.issuer(), issuer);
        assert_eq!(claims.payload().len(), self.bytes);
    }
}

/// What a policy compares.
fn strings(value: &Value, is_split: bool) -> Vec<String> {
    let item = |value: &Value| match value {
        Value::String(text) => Some(text.clone()),
        _ => None,
    };
    match value {
        Value::String(text) if is_split => {
            let pieces = text.split(' ').filter(|piece| !piece.is_empty());
            pieces.map(str::to_owned).collect()
        }
        Value::List(items) => items.iter().filter_map(item).collect(),
        other => item(other).into_iter().collect(),
    }
}

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// base64url without padding (RFC 4648 §5), bit by bit.
pub(crate) fn base64(bytes: &[u8]) -> String {
    let bits: Vec<u8> = bytes
        .iter()
        .flat_map(|byte| (0..8).rev().map(move |bit| byte >> bit & 1))
        .collect();
    let sixes = bits.chunks(6).map(|six| {
        let value = six.iter().fold(0, |value, bit| value << 1 | bit) << (6 - six.len());
        char::from(ALPHABET[usize::from(value)])
    });
    sixes.collect()
}

/// `None` for what [`base64`] does not write.
fn unbase64(text: &[u8]) -> Option<Vec<u8>> {
    if text.is_empty() {
        return None;
    }
    let mut bits = Vec::new();
    for letter in text {
        let value = ALPHABET.iter().position(|own| own == letter)?;
        bits.extend((0..6).rev().map(|bit| (value >> bit & 1) as u8));
    }
    let eights = bits.chunks_exact(8);
    let bytes: Vec<u8> = eights
        .map(|eight| eight.iter().fold(0, |byte, bit| byte << 1 | bit))
        .collect();
    (base64(&bytes).as_bytes() == text).then_some(bytes)
}
