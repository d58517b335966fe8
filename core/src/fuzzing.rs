//! What the fuzz targets assert of parts that are not public: one function per target, panicking when it does not hold.
//!
//! Targets that need an oracle from elsewhere (`serde_json`, the reference evaluator) live in `fuzz/`.

use crate::authority::{Authority, AuthorityBuffer};
use crate::path::{PathBuffer, normalise};

/// A normal form is its own normal form, resolves every dot segment and holds no byte that a URI cannot have.
pub fn path(target: &str) {
    let (mut once, mut twice) = (PathBuffer::new(), PathBuffer::new());
    let Ok(normal) = normalise(target, &mut once) else {
        return;
    };
    assert!(
        normal.path == "*" || normal.path.starts_with('/'),
        "{normal:?} of {target:?}"
    );
    let again = normalise(normal.path, &mut twice);
    assert_eq!(again.map(|again| again.path), Ok(normal.path), "of {target:?}");
    for segment in normal.path.split('/') {
        let name = segment.split(';').next();
        assert!(
            !matches!(name, Some("." | "..")),
            "a dot segment in {normal:?} of {target:?}"
        );
    }
    assert!(
        normal.path.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'\\'),
        "{normal:?} of {target:?}"
    );
}

/// A well-formed authority reads the same after folding, and its host is a prefix of it.
pub fn authority(raw: &str) {
    let (mut once, mut twice) = (AuthorityBuffer::new(), AuthorityBuffer::new());
    let Ok(parsed) = Authority::parse(raw.as_bytes(), &mut once) else {
        return;
    };
    assert_eq!(Authority::parse(parsed.folded, &mut twice), Ok(parsed), "of {raw:?}");
    assert!(parsed.folded.eq_ignore_ascii_case(raw.as_bytes()));
    assert!(parsed.folded.starts_with(parsed.host) && !parsed.host.is_empty());
    assert!(
        !parsed.folded.iter().any(|byte| b"@/?#% ,".contains(byte)),
        "{parsed:?}"
    );
}

/// Any text loads or is refused, and no finding shows the environment, drives a terminal or points outside the text.
#[cfg(feature = "yaml")]
pub fn resource_load(data: &[u8]) {
    use alloc::string::{String, ToString};

    use crate::config::diagnostic::Source;
    use crate::config::{LoadOptions, load};

    const VARIABLE: &str = "from-the-environment";
    let text = String::from_utf8_lossy(data).to_string();
    if text.contains(VARIABLE) {
        return;
    }
    let length = text.len();
    let sources = [Source {
        name: "fuzz.yaml".to_string(),
        text,
    }];
    let options = LoadOptions {
        env: &|_| Some(VARIABLE.to_string()),
        ignore_kinds: &[],
    };
    let loaded = load(&sources, &options);
    for finding in loaded.diagnostics.as_slice() {
        let rendered = finding.render(&sources, false);
        assert!(!rendered.contains(VARIABLE), "{rendered}");
        assert!(!rendered.contains('\u{1b}'), "{rendered}");
        assert!(
            usize::try_from(finding.at.start).is_ok_and(|start| start <= length),
            "{finding:?}"
        );
        let placed = finding.placed(&sources);
        assert!(
            (placed.line, placed.column) <= (placed.end_line, placed.end_column),
            "{finding:?}"
        );
    }
}
