//! Writes rows and text arenas, and turns byte places into file, line and column.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt::{self, Write};

use super::{PemFile, read_headers, rule_index};
use crate::config::diagnostic::{Diagnostics, Location, Source};
use crate::config::mask::is_masked;
use crate::config::resource::Meta;
use crate::config::secret::Secret;
use crate::index;
use crate::regex::Regex;
use crate::snapshot::Secrets;
use crate::substitution::{self, Substitution};
use crate::tables::{Derived, OriginId, OriginResourceRow, OriginRow, Rows, SecretId, Span, SubstitutionId, Tables};
use crate::text_map::{TextMap, Texts};

/// The path of a field, of which only an origin or a finding makes a text.
pub(super) type FieldText<'f> = &'f dyn fmt::Display;

/// Collects the rows of a snapshot.
pub(super) struct RowWriter<'c> {
    /// The rows; tables are appended to directly, runs by [`append`].
    pub(super) rows: Tables,
    text: Arena,
    origins: Vec<OriginRow>,
    origin_resources: Vec<OriginResourceRow>,
    places: Vec<Location>,
    origin_text: Arena,
    /// The text that was written last: its memory serves for all.
    written: String,
    regexes: Vec<Regex>,
    regex_ids: TextMap<Result<u32, String>>,
    /// Those of the configuration before, by pattern, and in the end those of this one.
    known_regexes: Option<&'c mut TextMap<Regex>>,
    substitutions: Vec<Substitution>,
    secrets: Vec<Secret>,
    /// The files that a shell reads.
    pub(super) files: Vec<PemFile>,
    sources: &'c [Source],
    lines: Vec<LineStarts<'c>>,
}

impl<'c> RowWriter<'c> {
    pub(super) fn new(sources: &'c [Source], known_regexes: Option<&'c mut TextMap<Regex>>) -> Self {
        Self {
            rows: Tables::default(),
            text: Arena::default(),
            origins: Vec::new(),
            origin_resources: Vec::new(),
            places: Vec::new(),
            origin_text: Arena::default(),
            written: String::new(),
            regexes: Vec::new(),
            regex_ids: TextMap::default(),
            known_regexes,
            substitutions: Vec::new(),
            secrets: Vec::new(),
            files: Vec::new(),
            sources,
            lines: sources.iter().map(LineStarts::new).collect(),
        }
    }

    /// Makes room for so many rules of routes, so that no table grows by copies of itself.
    pub(super) fn expect_rules(&mut self, rules: usize) {
        self.rows.rules.reserve(rules);
        self.rows.backends.reserve(rules);
        self.rows.conditions.reserve(rules.saturating_add(rules / 2));
        // A name and something that it asks for each.
        let texts = rules.saturating_mul(2);
        self.text.texts.make_room(texts, texts.saturating_mul(32));
        // A rule and a match each.
        self.origins.reserve(rules.saturating_mul(2));
        self.places.reserve(rules.saturating_mul(2));
    }

    /// The span of `text`; equal texts share one.
    pub(super) fn text(&mut self, text: &str) -> Span {
        self.text.intern(text)
    }

    /// The same of what is put together.
    pub(super) fn text_of(&mut self, text: &dyn fmt::Display) -> Span {
        write_anew(&mut self.written, text);
        self.text.intern(&self.written)
    }

    /// The number of the compiled `pattern`, or why it does not compile.
    pub(super) fn regex(&mut self, pattern: &str) -> Result<u32, String> {
        if let Some(known) = self.regex_ids.get(pattern) {
            return known.clone();
        }
        let known = self.known_regexes.as_ref().and_then(|known| known.get(pattern));
        let regex = known.map_or_else(|| crate::regex::compile(pattern), |known| Ok(known.clone()));
        let compiled = regex.map(|regex| {
            let id = number(self.regexes.len());
            self.regexes.push(regex);
            id
        });
        self.regex_ids.insert(pattern, compiled.clone());
        compiled
    }

    /// The number of what replaces `pattern` by `with`, or why that does not compile.
    pub(super) fn substitution(&mut self, pattern: &str, with: &str) -> Result<SubstitutionId, String> {
        let compiled = substitution::compile(pattern, with)?;
        let id = SubstitutionId(number(self.substitutions.len()));
        self.substitutions.push(compiled);
        Ok(id)
    }

    /// Keeps a secret for the shell.
    pub(super) fn secret(&mut self, secret: &Secret) -> SecretId {
        let id = SecretId(number(self.secrets.len()));
        self.secrets.push(secret.clone());
        id
    }

    /// Where `field` of the resource stands: `at` when given, otherwise the resource's name.
    pub(super) fn origin(&mut self, meta: &Meta, field: FieldText<'_>, at: Location) -> OriginId {
        let lines = self.lines.get(at.source as usize);
        let (line, column) = lines.map_or((0, 0), |lines| lines.line_column(at.start));
        let file = lines.map_or("", |lines| &lines.source.name);
        let resource = self.origin_resource(meta, file);
        write_anew(&mut self.written, field);
        let row = OriginRow {
            resource,
            field: self.origin_text.intern(&self.written),
            line,
            column,
        };
        let id = OriginId(number(self.origins.len()));
        self.origins.push(row);
        self.places.push(at);
        id
    }

    /// The row of a resource, which most often is the last one's.
    fn origin_resource(&mut self, meta: &Meta, file: &str) -> u32 {
        let words = [meta.kind, &meta.namespace, &meta.name, file];
        let text = &self.origin_text;
        let is_it = |row: &OriginResourceRow| {
            let spans = [row.kind, row.namespace, row.name, row.file];
            spans.map(|span| text.get(span)) == words
        };
        if !self.origin_resources.last().is_some_and(is_it) {
            let [kind, namespace, name, file] = words.map(|word| self.origin_text.intern(word));
            self.origin_resources.push(OriginResourceRow {
                kind,
                namespace,
                name,
                file,
            });
        }
        number(self.origin_resources.len().saturating_sub(1))
    }

    /// What comes first in the files is the lesser.
    pub(super) fn order(&self, at: Location) -> impl Ord + use<> {
        at.order(self.sources)
    }

    /// Whether no message may quote what stands there.
    pub(super) fn hides(&self, at: Location) -> bool {
        let source = at.source(self.sources);
        source.is_some_and(|source| is_masked(&source.text, at))
    }

    /// `file:line` of a place.
    pub(super) fn place(&self, at: Location) -> String {
        let lines = self.lines.get(at.source as usize);
        lines.map_or_else(String::new, |lines| {
            format!("{}:{}", lines.source.name, lines.line_column(at.start).0)
        })
    }

    /// The finished rows, the secrets, and the places of the origins.
    pub(super) fn finish(mut self, diagnostics: &mut Diagnostics) -> (Tables, Secrets, Vec<Location>) {
        if self.text.overflowed || self.origin_text.overflowed {
            diagnostics.error(
                "too-large",
                Location::default(),
                format!("the configuration has more than {} bytes of text", u32::MAX),
            );
        }
        if let Some(known) = self.known_regexes.take() {
            *known = TextMap::default();
            for (pattern, id) in self.regex_ids.keys().zip(self.regex_ids.values()) {
                let regex = id.as_ref().ok().and_then(|id| self.regexes.get(*id as usize));
                if let Some(regex) = regex {
                    known.insert(pattern, regex.clone());
                }
            }
        }
        let by_cors = read_headers::of_cors(&self.rows).map(|name| self.text.intern(name));
        let by_cors: Vec<Span> = by_cors.collect();
        self.rows.arena = self.text.texts.into_text();
        let text = self.rows.texts();
        let judged = read_headers::judged(&self.rows, by_cors);
        let derived = Derived {
            server_names_slots: index::build_slots(text, &self.rows.server_names),
            hosts_slots: index::build_slots(text, &self.rows.hosts),
            rule_index: rule_index::compile(&self.rows, &self.regexes),
            admissions: Vec::new(),
            shown: read_headers::shown(text, &judged, self.rows.edge.trusted_proxies),
            read_headers: read_headers::all(&self.rows, &judged),
            changed_headers: read_headers::changed(&self.rows),
            regexes: self.regexes,
            substitutions: self.substitutions,
            origins: self.origins,
            origin_resources: self.origin_resources,
            origin_arena: self.origin_text.texts.into_text(),
        };
        let tables = Tables { derived, ..self.rows };
        (tables, Secrets(self.secrets), self.places)
    }
}

fn write_anew(written: &mut String, text: &dyn fmt::Display) {
    written.clear();
    // A string takes whatever is written.
    let _ = write!(written, "{text}");
}

/// Appends `rows` to `table` and says where they are.
pub(super) fn append<T>(table: &mut Vec<T>, rows: impl IntoIterator<Item = T>) -> Rows {
    let start = number(table.len());
    table.extend(rows);
    Rows {
        start,
        len: number(table.len()).saturating_sub(start),
    }
}

/// A table index. Tables stay far below the limit because their texts do.
pub(super) fn number(index: usize) -> u32 {
    u32::try_from(index).unwrap_or(u32::MAX)
}

/// Text that is written once and shared.
#[derive(Default)]
struct Arena {
    texts: Texts,
    overflowed: bool,
}

impl Arena {
    fn intern(&mut self, text: &str) -> Span {
        let number = self.texts.add(text);
        let place = self.texts.place(number);
        let (Ok(start), Ok(len), Ok(_)) = (
            u32::try_from(place.start),
            u32::try_from(place.len()),
            u32::try_from(place.end),
        ) else {
            self.overflowed = true;
            return Span::default();
        };
        Span { start, len }
    }

    fn get(&self, span: Span) -> &str {
        self.texts
            .text_at(span.start as usize..span.start.saturating_add(span.len) as usize)
    }
}

/// Where the lines of a source begin.
struct LineStarts<'c> {
    source: &'c Source,
    starts: Vec<u32>,
}

impl<'c> LineStarts<'c> {
    fn new(source: &'c Source) -> Self {
        let breaks = memchr::memchr_iter(b'\n', source.text.as_bytes()).map(|at| number(at.saturating_add(1)));
        Self {
            source,
            starts: core::iter::once(0).chain(breaks).collect(),
        }
    }

    /// Both from 1, the column in characters.
    fn line_column(&self, offset: u32) -> (u32, u32) {
        let line = self.starts.partition_point(|&start| start <= offset);
        let start = self.starts.get(line.saturating_sub(1)).copied().unwrap_or(0);
        let before = self.source.text.get(start as usize..offset as usize).unwrap_or("");
        let line = number(line).saturating_add(self.source.lines_before);
        (line, number(before.chars().count()).saturating_add(1))
    }
}
