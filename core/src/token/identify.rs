//! Who sends a request, as far as the decision knows.

use super::{SentToken, TokenError, places};
use crate::attributes::Attributes;
use crate::claims::Claims;
use crate::cors::is_preflight;
use crate::decide::Identity;
use crate::tables::Tables;

/// What there is to say about the sender.
pub(crate) enum Sender<'d, 'k> {
    /// The claims of a good token, or none.
    Known(Option<&'k Claims<'k>>),
    /// Its token has not been looked at.
    Token(SentToken<'d>),
    /// Its token must not pass.
    Refused(TokenError),
}

/// Looks for a token, unless its claims are known already or nobody asks for tokens.
pub(crate) fn identify<'d, 'k>(
    tables: &'d Tables,
    seen: &Attributes<'d>,
    identity: &'k Identity<'k>,
) -> Sender<'d, 'k> {
    match identity {
        Identity::Verified(claims) => Sender::Known(Some(claims)),
        Identity::Anonymous => Sender::Known(None),
        Identity::Refused(error) => Sender::Refused(*error),
        Identity::Unverified if tables.token_rules.is_empty() || is_preflight(seen.method, seen.headers) => {
            Sender::Known(None)
        }
        Identity::Unverified => match places::find(tables, seen.headers, seen.received_query) {
            Ok(None) => Sender::Known(None),
            Ok(Some(token)) => Sender::Token(token),
            Err(error) => Sender::Refused(error),
        },
    }
}
