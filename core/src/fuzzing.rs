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
