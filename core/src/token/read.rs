//! A token, read and checked as far as no key is needed.
//!
//! ```text
//! text ─► Token::read ─► candidates ─► (the shell: signature) ─► Token::accept ─► ClaimSet
//!         structure      issuer, time,
//!         and types      audience
//! ```
//!
//! What is checked, in which order and in which words is Envoy's, with three
//! departures: a member named twice, a `crit` header and a token beyond the
//! bounds of [`crate::limits`] are refused.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use memchr::{memchr, memrchr};

use super::base64url::decode;
use super::{Algorithm, ClaimType, SentToken, TokenError};
use crate::claims::{ClaimReader, ClaimSet, ClaimValue, Claims, Registered};
use crate::limits::{TOKEN_BYTES_MAX, TOKEN_SLACK_S};
use crate::tables::{Rows, Tables, TokenPlaceId, TokenRuleId, TokenRuleRow};

/// Bytes that most payloads take besides their own when they are claims: the paths through objects in them.
const CLAIMS_ADDED_COMMON: usize = 64;

/// A well-formed token of which nothing is proven yet.
pub struct Token {
    signed: Signed,
    claims: ClaimSet,
    /// `nbf` and `exp`.
    not_before: Option<u64>,
    expiry: Option<u64>,
}

/// What of a token a key verifies: no more than was sent, whatever it claims.
pub struct Signed {
    header: Arc<Header>,
    /// The first two parts with the dot between them.
    message: Box<[u8]>,
    signature: Vec<u8>,
}

/// The header of a token, which is the same in all that an issuer signs with one key.
pub struct Header {
    /// As it stands in the token.
    text: Box<[u8]>,
    algorithm: Algorithm,
    key_id: Option<String>,
}

impl Header {
    /// Whether a token begins with it.
    #[must_use]
    pub fn begins(&self, token: &[u8]) -> bool {
        let rest = token.strip_prefix(&*self.text);
        rest.is_some_and(|rest| rest.first() == Some(&b'.'))
    }

    /// Bytes of the token that it is.
    #[must_use]
    pub const fn size(&self) -> usize {
        self.text.len()
    }

    /// Apart, since most are known.
    #[cold]
    fn read(text: &[u8], reader: &mut ClaimReader) -> Result<Self, TokenError> {
        let json = decode(text, 0).ok_or(TokenError::HeaderBase64)?;
        let header = reader.glance(json).map_err(|_| TokenError::HeaderJson)?;
        let Some(ClaimValue::String(algorithm)) = header.value("alg") else {
            return Err(TokenError::AlgMissing);
        };
        let algorithm = Algorithm::named(algorithm).ok_or(TokenError::AlgUnsupported)?;
        let key_id = match header.value("kid") {
            None => None,
            Some(ClaimValue::String(key_id)) => Some(key_id.into()),
            Some(_) => return Err(TokenError::KidNotString),
        };
        if header.value("crit").is_some() {
            return Err(TokenError::Critical);
        }
        Ok(Self {
            text: text.into(),
            algorithm,
            key_id,
        })
    }
}

impl Token {
    /// Reads a token.
    ///
    /// # Errors
    /// What is wrong with its structure, its header or the types of its claims.
    pub fn read(text: &[u8]) -> Result<Self, TokenError> {
        Self::read_after(text, None)
    }

    /// Reads a token whose header may be one that was read before, and need not be read again then.
    ///
    /// # Errors
    /// Those of [`Token::read`].
    pub fn read_after(text: &[u8], known: Option<&Arc<Header>>) -> Result<Self, TokenError> {
        if text.len() > TOKEN_BYTES_MAX {
            return Err(TokenError::TooLong);
        }
        // What is read is of the right form, so only of the rest it has to be asked.
        Self::read_parts(text, known).map_err(|error| if has_form(text) { error } else { TokenError::BadFormat })
    }

    /// Reads a token with two dots and three parts that are not empty, and nothing else.
    fn read_parts(text: &[u8], known: Option<&Arc<Header>>) -> Result<Self, TokenError> {
        let (signed, signature) = around(text, memrchr(b'.', text)).ok_or(TokenError::BadFormat)?;
        let (header, payload) = around(signed, memchr(b'.', signed)).ok_or(TokenError::BadFormat)?;
        if signature.is_empty() {
            return Err(TokenError::BadFormat);
        }
        let mut reader = ClaimReader::new();
        let header = match known.filter(|known| known.begins(text)) {
            Some(known) => Arc::clone(known),
            None => Arc::new(Header::read(header, &mut reader)?),
        };
        let read = Payload::read(payload, &mut reader)?;
        Ok(read.of(Signed {
            header,
            message: signed.into(),
            signature: decode(signature, 0).ok_or(TokenError::SignatureBase64)?,
        }))
    }

    /// What a key verifies.
    #[must_use]
    pub const fn signed(&self) -> &Signed {
        &self.signed
    }

    /// The same without what was read of it, which may be ten times as large: for whoever has to wait for a key.
    #[must_use]
    pub fn set_aside(self) -> Signed {
        self.signed
    }

    /// What it claims, proven or not.
    #[must_use]
    pub fn claims(&self) -> Claims<'_> {
        self.claims.claims()
    }

    /// The last second at which it is accepted; `None` when it does not expire.
    #[must_use]
    pub fn accepted_until(&self) -> Option<u64> {
        Some(self.expiry?.saturating_add(TOKEN_SLACK_S))
    }

    /// The rules that accept it if one of their keys has signed it. `now` is in seconds since 1970.
    ///
    /// # Errors
    /// Why none does.
    pub fn candidates(&self, tables: &Tables, sent: &SentToken<'_>, now: u64) -> Result<Vec<TokenRuleId>, TokenError> {
        let mut error = TokenError::UnknownIssuer;
        let mut accepting = Vec::new();
        for id in sent.rules(tables) {
            let Some(rule) = tables.token_rule(id) else { continue };
            match self.check(tables, rule, now) {
                Ok(()) => accepting.push(id),
                // An issuer that is another rule's is the least there is to say.
                Err(TokenError::UnknownIssuer) => {}
                Err(other) => error = other,
            }
        }
        if accepting.is_empty() {
            Err(error)
        } else {
            Ok(accepting)
        }
    }

    /// Everything but the signature.
    fn check(&self, tables: &Tables, rule: &TokenRuleRow, now: u64) -> Result<(), TokenError> {
        let claims = self.claims();
        if !is_of_issuer(tables, rule, claims) {
            return Err(TokenError::UnknownIssuer);
        }
        if self
            .not_before
            .is_some_and(|from| from > now.saturating_add(TOKEN_SLACK_S))
        {
            return Err(TokenError::NotYetValid);
        }
        if self.accepted_until().is_some_and(|until| now > until) {
            return Err(TokenError::Expired);
        }
        match is_for_audience(tables, rule, claims) {
            true => Ok(()),
            false => Err(TokenError::Audience),
        }
    }

    /// The claims for decisions, once a key of `rule` has verified the signature.
    ///
    /// # Errors
    /// [`TokenError::PayloadJson`]: more claims than are kept, after the rule has them split.
    pub fn accept(self, tables: &Tables, rule: TokenRuleId) -> Result<ClaimSet, TokenError> {
        accepted(tables, rule, self.claims).map_err(|_| TokenError::PayloadJson)
    }
}

impl Signed {
    /// The algorithm it says it is signed with.
    #[must_use]
    pub fn algorithm(&self) -> Algorithm {
        self.header.algorithm
    }

    /// The key it says it is signed with.
    #[must_use]
    pub fn key_id(&self) -> Option<&str> {
        self.header.key_id.as_deref()
    }

    /// The token's header, for those that come after it.
    #[must_use]
    pub const fn header(&self) -> &Arc<Header> {
        &self.header
    }

    /// The bytes that are signed.
    #[must_use]
    pub const fn message(&self) -> &[u8] {
        &self.message
    }

    /// The signature.
    #[must_use]
    pub fn signature(&self) -> &[u8] {
        &self.signature
    }

    /// The token, read once more.
    ///
    /// # Errors
    /// None that [`Token::read`] did not have.
    pub fn read(self) -> Result<Token, TokenError> {
        let (_, payload) = around(&self.message, memchr(b'.', &self.message)).ok_or(TokenError::BadFormat)?;
        let payload = Payload::read(payload, &mut ClaimReader::new())?;
        Ok(payload.of(self))
    }
}

/// What the second part of a token says.
struct Payload {
    claims: ClaimSet,
    not_before: Option<u64>,
    expiry: Option<u64>,
}

impl Payload {
    fn read(text: &[u8], reader: &mut ClaimReader) -> Result<Self, TokenError> {
        let json = decode(text, CLAIMS_ADDED_COMMON).ok_or(TokenError::PayloadBase64)?;
        let claims = reader.read::<&str>(json, &[]).map_err(|_| TokenError::PayloadJson)?;
        let (not_before, expiry) = check_types(claims.claims(), seconds).map_err(TokenError::Claim)?;
        Ok(Self {
            claims,
            not_before,
            expiry,
        })
    }

    fn of(self, signed: Signed) -> Token {
        Token {
            signed,
            claims: self.claims,
            not_before: self.not_before,
            expiry: self.expiry,
        }
    }
}

impl fmt::Debug for Header {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Header")
            .field("algorithm", &self.algorithm)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.signed.fmt(f)
    }
}

impl fmt::Debug for Signed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Signed")
            .field("algorithm", &self.algorithm())
            .finish_non_exhaustive()
    }
}

/// The claims of a token as if a key had verified it and it was not too old: what tools that take claims for granted
/// show. `place` is where the token is, if that is known: the first rule for its issuer and audience that looks there
/// accepts it.
///
/// # Errors
/// [`TokenError::Claim`], [`TokenError::UnknownIssuer`], [`TokenError::Audience`]: no rule would.
/// [`TokenError::PayloadJson`]: more claims than are kept, after the rule has them split.
pub fn assume(tables: &Tables, claims: ClaimSet, place: Option<TokenPlaceId>) -> Result<ClaimSet, TokenError> {
    let read = claims.claims();
    check_types(read, is_number).map_err(TokenError::Claim)?;
    let mut error = TokenError::UnknownIssuer;
    for (rule, id) in tables.token_rules.iter().zip(0..) {
        let looks_there = |place: TokenPlaceId| rule.places.of(&tables.token_place_ids).contains(&place.0);
        if !place.is_none_or(looks_there) || !is_of_issuer(tables, rule, read) {
            continue;
        }
        if is_for_audience(tables, rule, read) {
            return accepted(tables, TokenRuleId(id), claims).map_err(|_| TokenError::PayloadJson);
        }
        error = TokenError::Audience;
    }
    Err(error)
}

/// A rule without an issuer takes any.
fn is_of_issuer(tables: &Tables, rule: &TokenRuleRow, claims: Claims<'_>) -> bool {
    rule.issuer.is_none_or(|own| claims.issuer() == Some(tables.text(own)))
}

fn is_for_audience(tables: &Tables, rule: &TokenRuleRow, claims: Claims<'_>) -> bool {
    let audiences = rule.audiences.of(&tables.token_texts);
    let is_allowed = |audience: &str| {
        let same = |own: &str| own == audience || bare_audience(own) == bare_audience(audience);
        audiences.iter().any(|span| same(tables.text(*span)))
    };
    audiences.is_empty() || claims.audiences().any(is_allowed)
}

/// The claims as `rule` has them read, of those that any rule would.
fn accepted(tables: &Tables, rule: TokenRuleId, claims: ClaimSet) -> Result<ClaimSet, crate::claims::ClaimsError> {
    let Some(rule) = tables.token_rule(rule) else {
        return Ok(claims);
    };
    let mut set = if rule.split.is_empty() {
        claims
    } else {
        ClaimSet::parse(claims.claims().payload().as_bytes(), &texts(tables, rule.split))?
    };
    if rule.payload_header.is_some() || !rule.claim_headers.is_empty() {
        let headers = written_headers(tables, rule, set.claims());
        set.write_headers(&headers);
    }
    if rule.forwards {
        set.show_token();
    }
    Ok(set)
}

fn texts(tables: &Tables, rows: Rows) -> Vec<&str> {
    let spans = rows.of(&tables.token_texts).iter();
    spans.map(|span| tables.text(*span)).collect()
}

/// The fields that the rule has the gateway write, in Envoy's forms, but for blanks around a value. One that is empty or
/// that no field can carry is left out, its field as well.
fn written_headers(tables: &Tables, rule: &TokenRuleRow, claims: Claims<'_>) -> Vec<(String, String)> {
    let mut headers = Vec::new();
    if let Some(name) = rule.payload_header {
        headers.push((tables.text(name).into(), URL_SAFE_NO_PAD.encode(claims.payload())));
    }
    for row in rule.claim_headers.of(&tables.claim_headers) {
        let value: String = match claims.value(tables.text(row.claim)) {
            Some(ClaimValue::String(text) | ClaimValue::Boolean(text)) => text.into(),
            Some(ClaimValue::Number(number)) => written_number(number).into(),
            Some(ClaimValue::Json(json)) => STANDARD.encode(json),
            Some(ClaimValue::Null) | None => continue,
        };
        // Blanks around a value are no part of it for whoever reads the field.
        let value = value.trim_matches(' ');
        if !value.is_empty() && !value.chars().any(char::is_control) {
            headers.push((tables.text(row.header).into(), value.into()));
        }
    }
    headers
}

/// A whole number without a point, any other as the token has it. Envoy writes what it takes for one: `1e2` as `100`.
fn written_number(number: &str) -> &str {
    match number.split_once('.') {
        Some((whole, fraction)) if fraction.bytes().all(|digit| digit == b'0') => whole,
        _ => number,
    }
}

/// UTF-8 of three parts, none empty, with two dots between them.
fn has_form(text: &[u8]) -> bool {
    let mut parts = text.split(|byte| *byte == b'.');
    let are_three = parts.by_ref().take(3).filter(|part| !part.is_empty()).count() == 3 && parts.next().is_none();
    are_three && core::str::from_utf8(text).is_ok()
}

/// What is before a byte and what is behind it.
fn around(text: &[u8], place: Option<usize>) -> Option<(&[u8], &[u8])> {
    let (before, rest) = text.split_at_checked(place?)?;
    Some((before, rest.get(1..)?))
}

/// In Envoy's order. Gives back `nbf` and `exp`, as `time` reads them.
fn check_types<T>(
    claims: Claims<'_>,
    time: impl Fn(Option<ClaimValue<'_>>) -> Result<Option<T>, BadSeconds>,
) -> Result<(Option<T>, Option<T>), ClaimType> {
    let registered = Registered::of(&claims);
    let string = |claim, error| match claim {
        None | Some(ClaimValue::String(_)) => Ok(()),
        Some(_) => Err(error),
    };
    let integer = |claim, kind, range| {
        time(claim).map_err(|bad| match bad {
            BadSeconds::Kind => kind,
            BadSeconds::Range => range,
        })
    };
    string(registered.issuer, ClaimType::Issuer)?;
    string(registered.subject, ClaimType::Subject)?;
    integer(registered.issued_at, ClaimType::IssuedAt, ClaimType::IssuedAtRange)?;
    let not_before = integer(registered.not_before, ClaimType::NotBefore, ClaimType::NotBeforeRange)?;
    let expiry = integer(registered.expiry, ClaimType::Expiry, ClaimType::ExpiryRange)?;
    string(registered.token_id, ClaimType::TokenId)?;
    let times = (not_before, expiry);
    match registered.audience {
        None | Some(ClaimValue::String(_)) => Ok(times),
        Some(ClaimValue::Json(json)) if json.starts_with('[') && claims.lists_only_strings("aud") => Ok(times),
        Some(_) => Err(ClaimType::Audience),
    }
}

enum BadSeconds {
    Kind,
    Range,
}

/// A time in seconds since 1970; parts of a second are dropped.
fn seconds(claim: Option<ClaimValue<'_>>) -> Result<Option<u64>, BadSeconds> {
    let number = match claim {
        None => return Ok(None),
        Some(ClaimValue::Number(number)) => number,
        Some(_) => return Err(BadSeconds::Kind),
    };
    if let Ok(whole) = number.parse() {
        return Ok(Some(whole));
    }
    /// 2^64
    const END: f64 = 18_446_744_073_709_551_616.0;
    match number.parse::<f64>() {
        Ok(number) if (0.0..END).contains(&number) => {
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "it is within the range, and the fraction is meant to go"
            )]
            let whole = number as u64;
            Ok(Some(whole))
        }
        _ => Err(BadSeconds::Range),
    }
}

/// Whether it can be a time, which is not read: reading fractions is much code for whoever needs no time.
fn is_number(claim: Option<ClaimValue<'_>>) -> Result<Option<()>, BadSeconds> {
    match claim {
        None => Ok(None),
        Some(ClaimValue::Number(_)) => Ok(Some(())),
        Some(_) => Err(BadSeconds::Kind),
    }
}

/// Envoy compares audiences without their scheme and one trailing slash.
fn bare_audience(audience: &str) -> &str {
    let bare = audience
        .strip_prefix("http://")
        .or_else(|| audience.strip_prefix("https://"))
        .unwrap_or(audience);
    bare.strip_suffix('/').unwrap_or(bare)
}
