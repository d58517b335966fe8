//! The tree of one document while it is read: what is open, and what it costs to repeat.

use alloc::string::String;
use alloc::vec::Vec;

use granit_parser::StructureStyle;

use super::MERGE_KEY;
use crate::config::diagnostic::Location;
use crate::config::resource::Spanned;
use crate::config::tree::{Entry, Node, Value};

/// The tree of the document that is being read.
#[derive(Default)]
pub(super) struct Builder {
    pub(super) open: Vec<Frame>,
    /// By number.
    anchors: Vec<(usize, Sized)>,
    pub(super) root: Option<Node>,
}

impl Builder {
    pub(super) fn set_anchor(&mut self, number: usize, node: Sized) {
        match self.place_of(number) {
            Ok(place) => {
                if let Some((_, old)) = self.anchors.get_mut(place) {
                    *old = node;
                }
            }
            Err(place) => self.anchors.insert(place, (number, node)),
        }
    }

    pub(super) fn anchor(&self, number: usize) -> Option<&Sized> {
        let place = self.place_of(number).ok()?;
        self.anchors.get(place).map(|(_, node)| node)
    }

    /// Where the anchor is among the others, or would be.
    fn place_of(&self, number: usize) -> Result<usize, usize> {
        self.anchors.binary_search_by_key(&number, |(known, _)| *known)
    }
}

/// A node with what it costs to repeat it.
#[derive(Clone)]
pub(super) struct Sized {
    pub(super) node: Node,
    /// Nodes, and one more for every 32 bytes of text: a long text is no cheaper to repeat than many short ones.
    pub(super) cost: usize,
    /// Levels of lists and maps in it.
    pub(super) height: usize,
}

impl Sized {
    pub(super) fn leaf(node: Node) -> Self {
        let bytes = node.scalar().map_or(0, |scalar| scalar.text.len());
        Self {
            node,
            cost: 1 + bytes / 32,
            height: 0,
        }
    }
}

/// A list or map whose end has not come yet.
pub(super) struct Frame {
    pub(super) at: Location,
    pub(super) anchor: usize,
    pub(super) style: StructureStyle,
    pub(super) content: Content,
    /// The key whose value comes next.
    pub(super) key: Option<Spanned<String>>,
    pub(super) cost: usize,
    pub(super) height: usize,
}

pub(super) enum Content {
    List(Vec<Node>),
    Map(Vec<Entry>),
}

impl Frame {
    pub(super) fn new(at: Location, anchor: usize, style: StructureStyle, content: Content) -> Self {
        Self {
            at,
            anchor,
            style,
            content,
            key: None,
            cost: 1,
            height: 0,
        }
    }

    pub(super) fn wants_key(&self) -> bool {
        matches!(self.content, Content::Map(_)) && self.key.is_none()
    }

    pub(super) fn push(&mut self, child: Sized) {
        self.cost = self.cost.saturating_add(child.cost);
        self.height = self.height.max(child.height);
        // An alias stands elsewhere; it does not move the end.
        self.at.end = self.at.end.max(child.node.at.end);
        match &mut self.content {
            Content::List(items) => items.push(child.node),
            Content::Map(entries) => {
                if let Some(key) = self.key.take() {
                    self.cost = self.cost.saturating_add(1 + key.value.len() / 32);
                    self.at.end = self.at.end.max(key.at.end);
                    if key.value == MERGE_KEY {
                        return;
                    }
                    entries.push(Entry { key, value: child.node });
                }
            }
        }
    }

    pub(super) fn close(self) -> Sized {
        let value = match self.content {
            Content::List(items) => Value::List(items),
            Content::Map(entries) => Value::Map(entries),
        };
        Sized {
            node: Node { at: self.at, value },
            cost: self.cost,
            height: self.height + 1,
        }
    }
}
