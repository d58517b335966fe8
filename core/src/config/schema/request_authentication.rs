//! The shape of `security.istio.io` RequestAuthentication.

use super::authorization_policy::{SELECTOR, TARGET_REF};
use super::{Object, Shape, field, list_of_some, required, text};
use crate::config::format::Format;

/// `spec` of a RequestAuthentication.
pub(super) static REQUEST_AUTHENTICATION: Object = Object::new(&[
    field(
        "selector",
        Shape::Object(&SELECTOR),
        "The workloads it applies to; without it, all of the namespace.",
    ),
    field(
        "jwtRules",
        Shape::List {
            item: &Shape::Object(&JWT_RULE),
            min: 0,
        },
        "Whose tokens are accepted; a request without a token passes.",
    ),
    field(
        "targetRef",
        Shape::Object(&TARGET_REF),
        "The Gateway it applies to, instead of a selector.",
    ),
    field(
        "targetRefs",
        list_of_some(&Shape::Object(&TARGET_REF)),
        "The Gateways it applies to, any of them, instead of a selector.",
    ),
]);

static JWT_RULE: Object = Object::not_empty(&[
    field("issuer", text(Format::NonEmpty), "What `iss` of a token must be."),
    field(
        "audiences",
        list_of_some(&Shape::Text(Format::NonEmpty)),
        "Of which `aud` of a token must have one; any when absent.",
    ),
    field(
        "jwksUri",
        text(Format::KeySetUrl),
        "Where the issuer's keys are fetched from; without it and `jwks`, from its OpenID configuration.",
    ),
    field(
        "jwks",
        text(Format::KeySet),
        "The issuer's keys themselves, a JSON Web Key Set.",
    ),
    field(
        "fromHeaders",
        list_of_some(&Shape::Object(&FROM_HEADER)),
        "Header fields where tokens are; with one of the three `from` fields, only there.",
    ),
    field(
        "fromParams",
        list_of_some(&Shape::Text(Format::NonEmpty)),
        "Query parameters where tokens are.",
    ),
    field(
        "fromCookies",
        list_of_some(&Shape::Text(Format::NonEmpty)),
        "Cookies where tokens are.",
    ),
    field(
        "outputPayloadToHeader",
        text(Format::WrittenHeader),
        "Header field that the upstream gets the payload in, base64url.",
    ),
    field(
        "forwardOriginalToken",
        Shape::Bool,
        "Plain hosts get the token's header field too; a provider never does.",
    ),
    field(
        "outputClaimToHeaders",
        list_of_some(&Shape::Object(&CLAIM_TO_HEADER)),
        "Claims that policies, routes and the upstream see as header fields.",
    ),
    field(
        "timeout",
        text(Format::Duration),
        "Time for one fetch of the keys; 5 s when absent.",
    ),
    field(
        "spaceDelimitedClaims",
        list_of_some(&Shape::Text(Format::NonEmpty)),
        "Claims that are lists with blanks between their items, besides `scope` and `permission`.",
    ),
]);

static FROM_HEADER: Object = Object::new(&[
    required("name", text(Format::TokenHeader), "The field's name."),
    field(
        "prefix",
        text(Format::Any),
        "What stands before the token, blanks included: `Bearer `.",
    ),
]);

static CLAIM_TO_HEADER: Object = Object::new(&[
    required("header", text(Format::WrittenHeader), "The field's name."),
    required(
        "claim",
        text(Format::NonEmpty),
        "The claim's name; dots lead into objects.",
    ),
]);
