//! What one load keeps for the next: documents whose text is the same are not read again.
//!
//! Files are cut where YAML's `---` ends a document, and each part is a source
//! of its own: what stands in it does not change when the text before it does.
//! A part that was there before keeps its index among the sources, so that
//! every place in what was read of it is still right.

use alloc::string::String;
use alloc::vec::Vec;

use memchr::memmem;
use sha2::{Digest, Sha256};

use super::decode::Decoded;
use super::diagnostic::Source;
use super::document::Document;
use super::resource::Resources;
use crate::limits::SOURCE_BYTES_MAX;

/// Kinds of which there are few, and which hold what should not be kept or have no place of their own.
const READ_AGAIN: [&str; 3] = ["MeshConfig", "Scenario", "Secret"];

/// What was read of the sources of the load before.
#[derive(Default)]
pub(crate) struct Kept {
    /// By index of the source.
    parts: Vec<Part>,
}

#[derive(Default)]
struct Part {
    digest: [u8; 32],
    read: Option<Read>,
    /// Whether the same text is read to the same again, whatever else there is.
    may_keep: bool,
}

/// What was read of a source.
#[derive(Default)]
pub(crate) struct Read {
    pub(crate) resources: Vec<Decoded>,
    pub(crate) documents: Vec<Document>,
}

impl Kept {
    /// The documents of the files, those that are kept at the index that they had.
    pub(crate) fn cut(&mut self, files: Vec<Source>) -> Vec<Source> {
        let parts: Vec<Source> = files.into_iter().flat_map(parts_of).collect();
        let digests: Vec<[u8; 32]> = parts.iter().map(|part| Sha256::digest(&part.text).into()).collect();
        let mut before = core::mem::take(&mut self.parts);
        let mut known: Vec<([u8; 32], usize)> = (0..)
            .zip(&before)
            .filter(|(index, part)| part.read.is_some() && *index < parts.len())
            .map(|(index, part)| (part.digest, index))
            .collect();
        known.sort_unstable();
        self.parts.resize_with(parts.len(), Part::default);
        let mut indices: Vec<Option<usize>> = Vec::with_capacity(parts.len());
        for (digest, part) in digests.iter().zip(&parts) {
            let place = known.partition_point(|(other, _)| other < digest);
            let index = known
                .get(place)
                .filter(|(other, _)| other == digest && !part.is_mesh_config && part.flaw.is_none())
                .map(|(_, index)| *index);
            let read = index.and_then(|index| before.get_mut(index)?.read.take());
            // Of two parts of one text the second is read.
            let index = index.filter(|_| read.is_some());
            if let Some(part) = index.and_then(|index| self.parts.get_mut(index)) {
                part.read = read;
            }
            indices.push(index);
        }
        let is_free = |(_, part): &(usize, &Part)| part.read.is_none();
        let free: Vec<usize> = (0..).zip(&self.parts).filter(is_free).map(|(index, _)| index).collect();
        let mut free = free.into_iter();
        let mut sources: Vec<(usize, Source)> = Vec::with_capacity(parts.len());
        for (((rank, part), digest), index) in (0..).zip(parts).zip(digests).zip(indices) {
            let Some(index) = index.or_else(|| free.next()) else {
                break;
            };
            if let Some(part) = self.parts.get_mut(index) {
                part.digest = digest;
            }
            sources.push((index, Source { rank, ..part }));
        }
        sources.sort_unstable_by_key(|(index, _)| *index);
        sources.into_iter().map(|(_, source)| source).collect()
    }

    /// What is kept of a source. It is given away.
    pub(crate) fn take(&mut self, source: u32) -> Option<Read> {
        let part = self.part(source)?;
        part.may_keep = part.read.is_some();
        part.read.take()
    }

    /// Notes that nothing was found in what was just read.
    pub(crate) fn may_keep(&mut self, source: u32, text: &Source) {
        // A variable may have another value next time.
        let may_keep = !text.is_mesh_config && !text.text.contains("${");
        if let Some(part) = self.part(source) {
            part.may_keep = may_keep;
        }
    }

    /// Keeps what may be kept of what was loaded.
    pub(crate) fn keep(&mut self, resources: Resources, documents: &[Document]) {
        for document in documents.iter().filter(|document| READ_AGAIN.contains(&document.kind)) {
            if let Some(part) = self.part(document.source) {
                part.may_keep = false;
            }
        }
        for document in documents {
            // A part without documents is not worth it.
            if let Some(part) = self.part(document.source).filter(|part| part.may_keep) {
                push(&mut part.read.get_or_insert_default().documents, document.clone());
            }
        }
        for resource in Decoded::of(resources) {
            let part = resource.meta().and_then(|meta| self.part(meta.at.source));
            if let Some(read) = part.and_then(|part| part.read.as_mut()) {
                push(&mut read.resources, resource);
            }
        }
    }

    fn part(&mut self, source: u32) -> Option<&mut Part> {
        self.parts.get_mut(usize::try_from(source).ok()?)
    }
}

/// Adds one to what most often has only one.
fn push<T>(list: &mut Vec<T>, one: T) {
    if list.is_empty() {
        list.reserve_exact(1);
    }
    list.push(one);
}

/// The documents of a file, each with the `---` before it.
fn parts_of(file: Source) -> Vec<Source> {
    let starts = starts(&file);
    if starts.is_empty() {
        return Vec::from([file]);
    }
    let mut lines = 0;
    let mut from = 0;
    let mut parts = Vec::with_capacity(starts.len() + 1);
    for end in starts.into_iter().chain([file.text.len()]) {
        let text = String::from(file.text.get(from..end).unwrap_or_default());
        let own = memchr::memchr_iter(b'\n', text.as_bytes()).count();
        parts.push(Source {
            name: file.name.clone(),
            text,
            is_mesh_config: false,
            lines_before: lines,
            rank: 0,
            flaw: None,
        });
        lines = lines.saturating_add(u32::try_from(own).unwrap_or(u32::MAX));
        from = end;
    }
    parts
}

/// Where documents begin but the first. A file with directives, which stand before a `---`, is left whole.
fn starts(file: &Source) -> Vec<usize> {
    let text = file.text.as_bytes();
    let has_directives = text.starts_with(b"%") || memmem::find(text, b"\n%").is_some();
    if file.is_mesh_config || file.flaw.is_some() || text.len() > SOURCE_BYTES_MAX || has_directives {
        return Vec::new();
    }
    let ends_marker = |at: usize| matches!(text.get(at), None | Some(b' ' | b'\t' | b'\r' | b'\n'));
    memmem::find_iter(text, b"\n---")
        .filter(|at| ends_marker(at + b"\n---".len()))
        .map(|at| at + 1)
        .collect()
}
