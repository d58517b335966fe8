//! Header fields that a route changes, as the engine lists them and in that order.

use http::header::HeaderName;
use http::{HeaderMap, HeaderValue};
use lockgate_core::compile::Compiled;
use lockgate_core::tables::{HeaderChange, HeaderChangeRow, HeaderText};

/// One change, free of what the decision borrowed.
#[derive(Debug)]
pub(crate) struct Change {
    pub(crate) name: HeaderName,
    pub(crate) to: To,
}

/// What becomes of a field.
#[derive(Debug)]
pub(crate) enum To {
    Nothing,
    Only(HeaderValue),
    OneMore(HeaderValue),
    /// Unless it is there.
    IfAbsent(HeaderValue),
    /// In place of one that is there.
    IfThere(HeaderValue),
}

/// The changes of a decision; `None` when one cannot stand in a head, which the loader has ruled out.
pub(crate) fn owned(compiled: &Compiled, rows: &[HeaderChangeRow]) -> Option<Vec<Change>> {
    if rows.is_empty() {
        // As nearly always. Laying out the tables has its price.
        return Some(Vec::new());
    }
    let tables = compiled.snapshot.tables();
    let value = |text| match text {
        HeaderText::Text(span) => HeaderValue::try_from(tables.text(span).as_bytes()).ok(),
        HeaderText::Secret(id) => {
            let mut value = HeaderValue::try_from(compiled.secrets.get(id)?.expose().as_bytes()).ok()?;
            value.set_sensitive(true);
            Some(value)
        }
    };
    let change = |row: &HeaderChangeRow| {
        Some(Change {
            name: HeaderName::try_from(tables.text(row.name)).ok()?,
            to: match row.change {
                HeaderChange::Remove => To::Nothing,
                HeaderChange::Set(text) => To::Only(value(text)?),
                HeaderChange::Add(text) => To::OneMore(value(text)?),
            },
        })
    };
    rows.iter().map(change).collect()
}

/// Fields with one value each; `None` when one cannot stand in a head, where a client's value came from.
pub(crate) fn fields<'v>(fields: impl Iterator<Item = (&'static str, &'v [u8])>) -> Option<Vec<Change>> {
    let change = |(name, value)| {
        Some(Change {
            name: HeaderName::from_static(name),
            to: To::Only(HeaderValue::from_bytes(value).ok()?),
        })
    };
    fields.map(change).collect()
}

/// The fields that are changed.
pub(crate) fn names(changes: &[Change]) -> Vec<HeaderName> {
    changes.iter().map(|change| change.name.clone()).collect()
}

/// Makes the changes.
pub(crate) fn make(headers: &mut HeaderMap, changes: Vec<Change>) {
    for Change { name, to } in changes {
        match to {
            To::Nothing => {
                headers.remove(name);
            }
            To::Only(value) => {
                headers.insert(name, value);
            }
            To::OneMore(value) => {
                headers.append(name, value);
            }
            To::IfAbsent(value) => {
                headers.entry(name).or_insert(value);
            }
            To::IfThere(value) => {
                if headers.contains_key(&name) {
                    headers.insert(name, value);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_are_made_in_their_order() {
        let name = HeaderName::from_static("x-a");
        let value = HeaderValue::from_static;
        let change = |to| Change { name: name.clone(), to };
        let mut headers = HeaderMap::new();
        headers.append(&name, value("sent"));
        headers.append(&name, value("twice"));
        make(&mut headers, vec![change(To::OneMore(value("added")))]);
        assert_eq!(headers.get_all(&name).iter().count(), 3);
        make(
            &mut headers,
            vec![
                change(To::Nothing),
                change(To::Only(value("set"))),
                change(To::OneMore(value("added"))),
            ],
        );
        let values: Vec<_> = headers.get_all(&name).iter().collect();
        assert_eq!(values, ["set", "added"]);
        make(&mut headers, vec![change(To::IfAbsent(value("late")))]);
        assert_eq!(headers.get_all(&name).iter().count(), 2);
        make(&mut headers, vec![change(To::IfThere(value("instead")))]);
        let values: Vec<_> = headers.get_all(&name).iter().collect();
        assert_eq!(values, ["instead"]);
        make(
            &mut headers,
            vec![
                change(To::Nothing),
                change(To::IfThere(value("never"))),
                change(To::IfAbsent(value("first"))),
                change(To::IfAbsent(value("second"))),
            ],
        );
        let values: Vec<_> = headers.get_all(&name).iter().collect();
        assert_eq!(values, ["first"]);
    }
}
