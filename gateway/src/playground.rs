//! The playground at `/playground/`: the files that `cargo xtask playground` built, embedded by `build.rs`.
//!
//! A gateway that was built without them says how to build one with them.

use bytes::Bytes;
use http::header::{
    ACCEPT_ENCODING, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderName, LOCATION,
    REFERRER_POLICY, VARY, X_CONTENT_TYPE_OPTIONS,
};
use http::{HeaderMap, HeaderValue, Response, StatusCode};
use http_body_util::Full;

/// One file of the page.
struct File {
    /// Path within the page.
    name: &'static str,
    bytes: &'static [u8],
    /// The same, packed.
    gzip: Option<&'static [u8]>,
}

const FILES: &[File] = include!(concat!(env!("OUT_DIR"), "/playground.rs"));

const INDEX: &str = "index.html";

const NOT_BUILT: File = File {
    name: INDEX,
    bytes: include_bytes!("playground.html"),
    gzip: None,
};

/// Nothing from elsewhere and nothing inline. Workers are judged by the policy of their own file.
const POLICY: &str = "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; style-src 'self'; img-src 'self'; \
                      connect-src 'self'; worker-src 'self'; base-uri 'none'; form-action 'none'; \
                      frame-ancestors 'none'";

const HEADERS: [(HeaderName, &str); 4] = [
    (CONTENT_SECURITY_POLICY, POLICY),
    (X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (REFERRER_POLICY, "no-referrer"),
    (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
];

/// Where the page is; its addresses are relative to it.
pub(crate) const ROOT: &str = "/playground/";

/// Whether the page was there when the gateway was built.
pub(crate) fn is_built() -> bool {
    !FILES.is_empty()
}

/// The file at `path`, which begins with [`ROOT`], or is that without the last slash.
pub(crate) fn answer(path: &str, headers: &HeaderMap) -> Response<Full<Bytes>> {
    let Some(name) = path.strip_prefix(ROOT) else {
        let mut away = Response::new(Full::default());
        *away.status_mut() = StatusCode::PERMANENT_REDIRECT;
        // Relative: a proxy in front may have moved all of the port.
        away.headers_mut()
            .insert(LOCATION, HeaderValue::from_static("playground/"));
        return away;
    };
    let name = if name.is_empty() { INDEX } else { name };
    let built = FILES.iter().find(|file| file.name == name);
    let file = built.or((!is_built() && name == INDEX).then_some(&NOT_BUILT));
    let Some(file) = file else {
        let mut missing = Response::new(Full::from("no such file\n"));
        *missing.status_mut() = StatusCode::NOT_FOUND;
        let fields = missing.headers_mut();
        fields.insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
        fields.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        return missing;
    };
    let gzip = file.gzip.filter(|_| takes_gzip(headers));
    let mut answer = Response::new(Full::from(gzip.unwrap_or(file.bytes)));
    let fields = answer.headers_mut();
    for (name, value) in HEADERS {
        fields.insert(name, HeaderValue::from_static(value));
    }
    fields.insert(CONTENT_TYPE, HeaderValue::from_static(content_type(file.name)));
    fields.insert(CACHE_CONTROL, HeaderValue::from_static(caching(file.name)));
    if file.gzip.is_some() {
        fields.insert(VARY, HeaderValue::from_static("accept-encoding"));
    }
    if gzip.is_some() {
        fields.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    }
    answer
}

/// Whether the client lists gzip and does not refuse it (RFC 9110 §12.5.3). `*` alone gets the file as it is.
fn takes_gzip(headers: &HeaderMap) -> bool {
    let values = headers.get_all(ACCEPT_ENCODING).iter();
    let mut codings = values
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','));
    codings.any(|coding| {
        let mut parts = coding.split(';').map(str::trim);
        let is_gzip = parts.next().is_some_and(|name| name.eq_ignore_ascii_case("gzip"));
        let is_refused = parts.any(|part| {
            let weight = part.strip_prefix("q=").or_else(|| part.strip_prefix("Q="));
            weight.is_some_and(|weight| weight.bytes().all(|byte| matches!(byte, b'0' | b'.')))
        });
        is_gzip && !is_refused
    })
}

/// Names with a hash in them never change their content; the page itself is asked for again.
fn caching(name: &str) -> &'static str {
    match name.starts_with("assets/") {
        true => "public, max-age=31536000, immutable",
        false => "no-cache",
    }
}

fn content_type(name: &str) -> &'static str {
    match name.rsplit('.').next() {
        Some("html") => "text/html; charset=utf-8",
        Some("js") => "text/javascript; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        Some("wasm") => "application/wasm",
        Some("svg") => "image/svg+xml",
        Some("json") => "application/json",
        Some("txt") => "text/plain; charset=utf-8",
        _ => "application/octet-stream",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_file_has_a_type_and_the_page_is_one_of_them() {
        for file in FILES {
            assert_ne!(content_type(file.name), "application/octet-stream", "{}", file.name);
        }
        assert!(FILES.is_empty() || FILES.iter().any(|file| file.name == INDEX));
    }

    #[test]
    fn gzip_goes_to_those_who_list_it() {
        for (accepted, takes) in [
            ("gzip, deflate, br", true),
            ("br;q=1, GZIP;q=0.5", true),
            ("gzip;q=0", false),
            ("gzip;q=0.000", false),
            ("br", false),
            ("*", false),
            ("", false),
        ] {
            let headers = HeaderMap::from_iter([(ACCEPT_ENCODING, HeaderValue::from_static(accepted))]);
            assert_eq!(takes_gzip(&headers), takes, "{accepted}");
        }
        assert!(!takes_gzip(&HeaderMap::new()));
    }

    #[test]
    fn nothing_but_the_files_is_found() {
        let get = |path| answer(path, &HeaderMap::new());
        assert_eq!(get("/playground/").status(), StatusCode::OK);
        assert_eq!(get("/playground").headers()[LOCATION], "playground/");
        for path in ["/playground/none", "/playground/../config_dump", "/playground//"] {
            assert_eq!(get(path).status(), StatusCode::NOT_FOUND, "{path}");
        }
    }
}
