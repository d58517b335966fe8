//! What the parser reads in another way than RE2, which must not mean one thing there and another here.

/// Refuses it, and says what to write.
pub(super) fn refuse_foreign(pattern: &str) -> Result<(), &'static str> {
    let mut rest = pattern.as_bytes();
    while let [first, after @ ..] = rest {
        rest = match (first, after) {
            (b'\\', [b'<' | b'>', ..] | [b'b', b'{', ..]) => {
                return Err("RE2 has no `\\<`, `\\>` and `\\b{`; write `\\b`");
            }
            (b'\\', [_, after @ ..]) => after,
            (b'(', [b'?', flags @ ..]) => {
                let ends = |byte: &&u8| !b"PimsU-".contains(byte);
                match flags.iter().find(ends) {
                    Some(b'x' | b'u' | b'R') => return Err("RE2 has no flags but `i`, `m`, `s` and `U`"),
                    _ => flags,
                }
            }
            (b'[', class) => after_class(class)?,
            _ => after,
        };
    }
    Ok(())
}

/// What follows a class.
fn after_class(class: &[u8]) -> Result<&[u8], &'static str> {
    let class = class.strip_prefix(b"^").unwrap_or(class);
    // At the beginning it ends nothing.
    let mut rest = class.strip_prefix(b"]").unwrap_or(class);
    loop {
        rest = match rest {
            [] => return Ok(rest),
            [b']', after @ ..] => return Ok(after),
            [b'\\', _, after @ ..] => after,
            [b'[', name @ ..] => after_name(name).ok_or("RE2 has no class in a class; write `\\[`")?,
            [b'&', b'&', ..] | [b'-', b'-', ..] | [b'~', b'~', ..] => {
                return Err("RE2 has no `&&`, `--` and `~~` in a class; write `\\&`, `\\-`, `\\~`");
            }
            [_, after @ ..] => after,
        };
    }
}

/// What follows `:name:]`.
fn after_name(text: &[u8]) -> Option<&[u8]> {
    let text = text.strip_prefix(b":")?;
    let text = text.strip_prefix(b"^").unwrap_or(text);
    let mut names = NAMES.iter();
    names.find_map(|name| text.strip_prefix(name.as_bytes())?.strip_prefix(b":]"))
}

const NAMES: [&str; 14] = [
    "alnum", "alpha", "ascii", "blank", "cntrl", "digit", "graph", "lower", "print", "punct", "space", "upper", "word",
    "xdigit",
];

#[cfg(test)]
mod tests {
    use super::refuse_foreign;

    #[test]
    fn what_re2_reads_otherwise_is_refused() {
        for pattern in [
            "[a&&b]+",
            "[+--]+",
            "[--a]",
            "[a~~b]+",
            "[[a]b]",
            "[a[b]]",
            "[^][a]",
            "x[\\]&&a]",
            "[[:alhpa:]]",
            "[[:alpha:][a]]",
            r"\<a\>",
            r"a\>",
            r"\b{start}a",
            "(?x)a",
            "(?i-x)a",
            "(a(?xi:b))",
            "(?u:a)",
            "(?R)a",
        ] {
            assert!(refuse_foreign(pattern).is_err(), "{pattern}");
        }
    }

    #[test]
    fn what_both_read_alike_is_not() {
        for pattern in [
            "[[:alpha:][:^digit:]_-]+",
            "[]a]&&[^]&]--~~",
            r"[\[\]\\a&\-\-~]",
            r"\\<a>",
            r"\[[a]\[&&",
            r"\b\w{2}",
            "(?P<x>a)(?<x2>b)(?:x)(?i)x(?s-i:x)",
            "[-a][a-][-]",
            "x(x)",
            "[:alpha:]",
            "[",
            "\\",
            "\u{e9}\\\u{e9}[\u{e9}]",
        ] {
            assert_eq!(refuse_foreign(pattern), Ok(()), "{pattern}");
        }
    }
}
