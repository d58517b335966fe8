//! What of a token's payload policy can see, and which payloads no token may have.
#![cfg(feature = "alloc")]
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test may panic"
)]

use lockgate_core::claims::{ClaimSet, ClaimValue, Claims, ClaimsError};
use lockgate_core::limits::{
    CLAIM_DEPTH_MAX, CLAIM_PATH_BYTES_MAX, CLAIM_PATHS_BYTES_MAX, CLAIMS_MAX, TOKEN_BYTES_MAX,
};

const PAYLOAD: &str = r#"{
  "iss": "https://issuer.test", "sub": "ann", "aud": ["a", "b", 3, ["c"], {"d": "e"}], "azp": "app",
  "scope": "read  write ", "permission": ["p q", "r"], "groups": ["dev", "ops"], "role": "admin user",
  "n": 7, "f": -1.5e3, "t": true, "z": null, "empty": "", "name": "Zo\u00eb\n",
  "a": {"b": {"c": "deep", "scope": "x y"}, "l": [{"in": "list"}, "item"]}, "a.b": "dotted", "x y": {"": "blank"}
}"#;

fn set(payload: &str) -> ClaimSet {
    ClaimSet::parse::<&str>(payload.as_bytes(), &[]).unwrap()
}

fn strings(claims: Claims<'_>, path: &str) -> Vec<String> {
    claims.strings(path).map(Into::into).collect()
}

#[test]
fn strings_and_lists_of_strings_match_and_nothing_else_does() {
    let set = set(PAYLOAD);
    for (path, expected) in [
        ("iss", &["https://issuer.test"] as &[&str]),
        ("aud", &["a", "b"]),
        ("groups", &["dev", "ops"]),
        ("role", &["admin user"]),
        ("empty", &[""]),
        ("name", &["Zo\u{eb}\n"]),
        ("n", &[]),
        ("f", &[]),
        ("t", &[]),
        ("z", &[]),
        ("a", &[]),
        ("absent", &[]),
        ("", &[]),
    ] {
        assert_eq!(strings(set.claims(), path), expected, "{path}");
    }
}

#[test]
fn paths_lead_through_objects_and_not_through_lists() {
    let set = set(PAYLOAD);
    for (path, expected) in [
        ("a\0b\0c", &["deep"] as &[&str]),
        ("a.b", &["dotted"]),
        ("a\0l", &["item"]),
        ("a\0l\0in", &[]),
        ("aud\0d", &[]),
        ("x y\0", &["blank"]),
        ("a\0b", &[]),
        ("c", &[]),
    ] {
        assert_eq!(strings(set.claims(), path), expected, "{path:?}");
    }
}

#[test]
fn scope_and_permission_are_split_on_blanks_at_the_top_only() {
    let set = set(PAYLOAD);
    assert_eq!(strings(set.claims(), "scope"), ["read", "write"]);
    assert_eq!(strings(set.claims(), "permission"), ["p q", "r"], "a list is not split");
    assert_eq!(strings(set.claims(), "a\0b\0scope"), ["x y"]);
    assert_eq!(set.claims().value("scope"), Some(ClaimValue::String("read  write ")));
}

#[test]
fn a_rule_can_have_more_claims_split() {
    let set = ClaimSet::parse(PAYLOAD.as_bytes(), &["role"]).unwrap();
    assert_eq!(strings(set.claims(), "role"), ["admin", "user"]);
    assert_eq!(strings(set.claims(), "scope"), ["read", "write"]);
}

#[test]
fn the_registered_claims_have_names() {
    let set = set(PAYLOAD);
    let claims = set.claims();
    assert_eq!(
        (claims.issuer(), claims.subject()),
        (Some("https://issuer.test"), Some("ann"))
    );
    assert_eq!(claims.audiences().collect::<Vec<_>>(), ["a", "b"]);
    assert_eq!(claims.presenters().collect::<Vec<_>>(), ["app"]);
    assert_eq!(claims.payload(), PAYLOAD);
    let none = self::set("{}");
    assert_eq!((none.claims().issuer(), none.claims().subject()), (None, None));
}

#[test]
fn values_are_given_as_issued() {
    let set = set(PAYLOAD);
    for (path, expected) in [
        ("sub", ClaimValue::String("ann")),
        ("n", ClaimValue::Number("7")),
        ("f", ClaimValue::Number("-1.5e3")),
        ("t", ClaimValue::Boolean("true")),
        ("z", ClaimValue::Null),
        ("groups", ClaimValue::Json(r#"["dev", "ops"]"#)),
        ("a\0b", ClaimValue::Json(r#"{"c": "deep", "scope": "x y"}"#)),
    ] {
        assert!(set.claims().value(path) == Some(expected), "{path:?}");
    }
    assert!(set.claims().value("absent").is_none());
}

#[test]
fn a_member_named_twice_is_refused_wherever_it_stands() {
    for payload in [
        r#"{"iss":"a","iss":"a"}"#,
        r#"{"iss":"a","\u0069ss":"b"}"#,
        r#"{"a":{"b":1,"b":2}}"#,
        r#"{"a":[[{"b":1,"b":2}]]}"#,
    ] {
        let error = ClaimSet::parse::<&str>(payload.as_bytes(), &[]).unwrap_err();
        assert!(
            matches!(error, ClaimsError::DuplicateName { .. }),
            "{payload}: {error:?}"
        );
    }
    set(r#"{"a":{"b":1},"b":{"b":1,"a":[{"b":1},{"b":1}]}}"#);
}

/// Names of which many begin alike, so that they differ in no word.
fn name(number: usize) -> String {
    match number % 3 {
        0 => format!("n{number}"),
        1 => format!("a_long_name_{number:03}"),
        _ => format!("é{number}"),
    }
}

#[test]
fn a_member_named_twice_is_refused_however_many_there_are() {
    for count in (1..80).chain([300, 1000]) {
        let members: Vec<_> = (0..count).map(|number| format!("\"{}\":1", name(number))).collect();
        let whole = |members: &[String]| format!("{{{}}}", members.join(","));
        set(&whole(&members));
        for twice in [0, count / 2, count - 1] {
            for place in [0, count / 2, count] {
                let mut members = members.clone();
                members.insert(place, members[twice].clone());
                let payload = whole(&members);
                // The second of the two, whichever was put in.
                let at = payload.rfind(&members[place]).unwrap() as u64;
                let error = ClaimSet::parse::<&str>(payload.as_bytes(), &[]).unwrap_err();
                assert_eq!(error, ClaimsError::DuplicateName { at }, "{payload}");
                let inside = format!("[{payload}]");
                let error = ClaimSet::parse::<&str>(format!("{{\"l\":{inside}}}").as_bytes(), &[]).unwrap_err();
                assert_eq!(error, ClaimsError::DuplicateName { at: at + 6 }, "{inside}");
            }
        }
    }
}

#[test]
fn a_claim_is_found_however_many_there_are() {
    for count in (1..60).chain([1000]) {
        let members: Vec<_> = (0..count)
            .map(|number| format!("\"{}\":\"{number}\"", name(number)))
            .collect();
        let flat = set(&format!("{{{}}}", members.join(",")));
        let nested = set(&format!("{{\"o\":{{{}}}}}", members.join(",")));
        for number in 0..count {
            let path = name(number);
            assert_eq!(strings(flat.claims(), &path), [number.to_string()]);
            assert_eq!(strings(nested.claims(), &format!("o\0{path}")), [number.to_string()]);
            assert!(nested.claims().value(&path).is_none());
        }
        for absent in ["", "n", "n0\0", "a_long_name_", "a_long_name_999", "\u{e9}"] {
            assert!(flat.claims().value(absent).is_none(), "{absent}");
        }
    }
}

#[test]
fn what_is_wrong_first_is_what_is_said() {
    let parse = |payload: &[u8]| ClaimSet::parse::<&str>(payload, &[]).unwrap_err();
    let is_json = |error: ClaimsError, at: u64| matches!(error, ClaimsError::Json(json) if json.at == at);
    // The name that is there twice is seen when its object ends, the byte that is no UTF-8 when its string does.
    assert_eq!(
        parse(b"{\"o\":{\"a\":1,\"a\":2},\"b\":\"\xff\"}"),
        ClaimsError::DuplicateName { at: 12 }
    );
    assert!(is_json(parse(b"{\"a\":1,\"a\":2,\"b\":\"\xff\"}"), 18));
    assert!(is_json(parse(b"{\"a\":1,\"a\":2,\"b\":\xff}"), 17));
    assert!(is_json(parse(b"{\"a\":01,\"b\":\"\xff\"}"), 6));
    let full = [b"{\"a\":[1".as_slice(), &b",1".repeat(CLAIMS_MAX - 1)].concat();
    let with = |end: &[u8]| parse(&[&full, end].concat());
    assert_eq!(with(b",2\xff"), ClaimsError::TooMany);
    assert_eq!(with(b",true\xff"), ClaimsError::TooMany);
    assert_eq!(with(b",[\xff"), ClaimsError::TooMany);
    assert!(matches!(with(b",\"\xff\""), ClaimsError::Json(_)));
    assert!(matches!(with(b",\xff"), ClaimsError::Json(_)));
}

#[test]
fn a_name_with_the_separator_in_it_is_no_path() {
    let set = set(r#"{"a\u0000b":"forged","a":{"c":"true"}}"#);
    assert_eq!(strings(set.claims(), "a\0b"), [""; 0]);
    assert_eq!(strings(set.claims(), "a\0c"), ["true"]);
}

#[test]
fn names_and_strings_mean_the_same_with_escapes_and_without() {
    // The last has as many bytes with its escape as its path, which is longer than its name, has without.
    for payload in [
        r#"{"scope":"a é","abcdefgh":"one","abcdefgi":["two","é"],"o":{"p":"x","b":"three"}}"#,
        r#"{"sc\u006fpe":"a \u00e9","\u0061bcdefgh":"on\u0065","abcdefg\u0069":["tw\u006f","\u00e9"],"o":{"p":"\u0078","\u0062":"three"}}"#,
        r#"{"abcdefgi":["two","\u00e9"],"o":{"\u0062":"thr\u0065e","p":"x"},"scope":"\u0061 é","abcdefgh":"\u006fne"}"#,
        r#"{"abcdefghi":{"\u0062\u0062":"four"},"abcdefgi":["two","é"],"o":{"b":"three","p":"x"},"scope":"a é","abcdefgh":"one"}"#,
    ] {
        let set = set(payload);
        let claims = set.claims();
        for (path, expected) in [
            ("scope", &["a", "é"][..]),
            ("abcdefgh", &["one"]),
            ("abcdefgi", &["two", "é"]),
            ("o\0p", &["x"]),
            ("o\0b", &["three"]),
            ("abcdefg", &[]),
        ] {
            assert_eq!(strings(claims, path), expected, "{path:?} in {payload}");
        }
        assert_eq!(claims.payload(), payload);
        let (path, is_there) = ("abcdefghi\0bb", payload.contains("four"));
        assert_eq!(strings(claims, path) == ["four"], is_there, "{payload}");
    }
}

#[test]
fn what_is_no_payload() {
    for payload in [
        "",
        "null",
        "[]",
        "\"a\"",
        "7",
        "{",
        "{}x",
        "{\"a\":01}",
        "{'a':1}",
        "{\"a\":\"\\ud800\"}",
        "\u{feff}{}",
    ] {
        assert!(ClaimSet::parse::<&str>(payload.as_bytes(), &[]).is_err(), "{payload}");
    }
    assert!(ClaimSet::parse::<&str>(b"{\"a\":\"\xff\"}", &[]).is_err());
    assert!(ClaimSet::parse::<&str>(b"{\"\xff\":1}", &[]).is_err());
}

#[test]
fn every_bound_is_a_refusal() {
    let nested = |depth: usize| format!("{{\"a\":{}{}}}", "[".repeat(depth - 1), "]".repeat(depth - 1));
    let list = |items: usize| format!("{{\"a\":[{}]}}", vec!["\"x\""; items].join(","));
    let name = |bytes: usize| format!("{{\"{}\":1}}", "n".repeat(bytes));
    // Paths of 128 bytes each.
    let members = |members: usize| {
        let members = (0..members).map(|at| format!("\"{at:03}\":1"));
        format!(
            "{{\"{}\":{{{}}}}}",
            "n".repeat(124),
            members.collect::<Vec<_>>().join(",")
        )
    };
    let paths = CLAIM_PATHS_BYTES_MAX / 128;
    let long = |bytes: usize| format!("{{\"a\":\"{}\"}}", "x".repeat(bytes - 8));
    let parse = |payload: String| ClaimSet::parse::<&str>(payload.as_bytes(), &[]).map(|_| ());
    for (good, bad, error) in [
        (
            nested(CLAIM_DEPTH_MAX),
            nested(CLAIM_DEPTH_MAX + 1),
            ClaimsError::TooDeep,
        ),
        (list(CLAIMS_MAX - 1), list(CLAIMS_MAX), ClaimsError::TooMany),
        (
            name(CLAIM_PATH_BYTES_MAX),
            name(CLAIM_PATH_BYTES_MAX + 1),
            ClaimsError::PathTooLong,
        ),
        (members(paths), members(paths + 1), ClaimsError::PathsTooLong),
        (long(TOKEN_BYTES_MAX), long(TOKEN_BYTES_MAX + 1), ClaimsError::TooLong),
    ] {
        assert_eq!(parse(good), Ok(()), "{error:?}");
        assert_eq!(parse(bad), Err(error));
    }
}

#[test]
fn a_hundred_thousand_brackets_are_refused_and_not_followed() {
    for payload in ["[".repeat(100_000), format!("{{\"a\":{}", "[".repeat(30_000))] {
        assert!(ClaimSet::parse::<&str>(payload.as_bytes(), &[]).is_err());
    }
}

#[test]
fn what_a_token_says_is_not_printed() {
    let set = set(PAYLOAD);
    let printed = format!("{set:?} {:?} {:?}", set.claims(), set.claims().value("sub"));
    for secret in ["ann", "issuer", "dev", "deep"] {
        assert!(!printed.contains(secret), "{printed}");
    }
}
