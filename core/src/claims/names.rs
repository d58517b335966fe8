//! The names of an object's members, of which no two may be the same.
//!
//! Most objects have few members with names that differ in what is seen at a
//! glance, so that nothing need be sorted to know it.

use alloc::vec::Vec;

use super::said::{Path, Said};

/// As many names as are compared with each other sooner than they are sorted.
const FEW: usize = 32;

/// The names of all objects that have not ended.
pub(super) struct Names(Vec<Name>);

struct Name {
    /// As a path of its own.
    path: Path,
    /// Where it stands in the payload.
    at: u32,
}

/// Those of one object, which are the last of all.
pub(super) struct Members {
    first: usize,
    /// A bit for each name, which may be another's as well.
    seen: u64,
    may_repeat: bool,
}

/// A name is another's as well, and stands there.
pub(super) struct Repeated {
    pub(super) at: u32,
}

impl Names {
    pub(super) fn with_capacity(capacity: usize) -> Self {
        Self(Vec::with_capacity(capacity))
    }

    pub(super) fn clear(&mut self) {
        self.0.clear();
    }

    /// Begins an object.
    pub(super) fn open(&self) -> Members {
        Members {
            first: self.0.len(),
            seen: 0,
            may_repeat: false,
        }
    }

    /// Adds a name to the innermost object.
    #[inline]
    pub(super) fn add(&mut self, members: &mut Members, path: Path, at: u32) {
        let bit = path.word.bit();
        if members.seen & bit != 0 && !members.may_repeat {
            let before = self.0.get(members.first..).unwrap_or_default();
            members.may_repeat = before.len() > FEW || before.iter().any(|name| name.path.word == path.word);
        }
        members.seen |= bit;
        self.0.push(Name { path, at });
    }

    /// Ends the innermost object.
    pub(super) fn close(&mut self, members: &Members, said: &Said<'_>) -> Result<(), Repeated> {
        if members.may_repeat {
            let names = self.0.get_mut(members.first..).unwrap_or_default();
            repeated(names, said).map_or(Ok(()), |at| Err(Repeated { at }))?;
        }
        self.0.truncate(members.first);
        Ok(())
    }
}

/// Where a name stands that is another's as well. Sorted, so that no list of them is too long.
fn repeated(names: &mut [Name], said: &Said<'_>) -> Option<u32> {
    let text = |name: &Name| said.bytes(name.path.span);
    names.sort_unstable_by(|a, b| {
        let by_name = a.path.word.cmp(&b.path.word).then_with(|| text(a).cmp(text(b)));
        by_name.then(a.at.cmp(&b.at))
    });
    let mut pairs = names.windows(2);
    pairs.find_map(|pair| match pair {
        [one, other] if one.path.word == other.path.word && text(one) == text(other) => Some(other.at),
        _ => None,
    })
}
