//! The compiled configuration as decisions read it: flat rows in borrowed slices.
//!
//! [`Tables`] is `Copy`, knows no allocator, and can just as well live in a
//! `static`. Rows refer to each other by typed index and to text by [`Span`]
//! into one arena. `compile` (feature `alloc`) writes them; nothing else does.

macro_rules! id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub u32);
    };
}

id!(/// A rule of a route.
    RuleId);
id!(/// An authorization policy.
    PolicyId);
id!(/// An LLM provider.
    ProviderId);
id!(/// An upstream: where a provider is reached.
    UpstreamId);
id!(/// A secret, held by the shell.
    SecretId);

/// A piece of the text arena.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Span {
    /// First byte.
    pub start: u32,
    /// Number of bytes.
    pub len: u32,
}

/// One top-level field to set in a JSON body.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct FieldRow {
    /// The field's name, e.g. `model`.
    pub name: Span,
    /// The whole member as JSON: `"model":"qwen"`.
    pub member: Span,
    /// The value part of `member`.
    pub value: Span,
    /// When it is set.
    pub when: FieldWhen,
}

/// When a field is set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FieldWhen {
    /// When the client's body has none, or `null`.
    Absent,
}
