//! What clients together make the process hold, and when that is as much as there may be.
//!
//! Requests and bytes are counted over all workers, by one atomic each: a share
//! for every worker would refuse a large body while the others have room.
//! Connections are counted by source, so that one of them cannot have them all;
//! there are entries only for sources that are connected.

use core::net::{IpAddr, Ipv4Addr};
use core::sync::atomic::{AtomicU64, Ordering};
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use lockgate_core::cidr::canonical;

use crate::shared::Bounds;

/// What is held for clients, and the bounds on it.
#[derive(Debug)]
pub(crate) struct Load {
    bounds: Bounds,
    requests: AtomicU64,
    body_bytes: AtomicU64,
    sources: Mutex<HashMap<Source, u32>>,
}

/// Who is counted as one: an IPv4 address, or the /64 that a network gives to one customer at least.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Source {
    V4(Ipv4Addr),
    V6([u16; 4]),
}

impl Source {
    fn of(address: IpAddr) -> Self {
        match canonical(address) {
            IpAddr::V4(address) => Self::V4(address),
            IpAddr::V6(address) => {
                let [a, b, c, d, ..] = address.segments();
                Self::V6([a, b, c, d])
            }
        }
    }
}

impl Load {
    /// Nothing yet.
    pub(crate) fn new(bounds: Bounds) -> Self {
        Self {
            bounds,
            requests: AtomicU64::new(0),
            body_bytes: AtomicU64::new(0),
            sources: Mutex::default(),
        }
    }

    /// The bounds.
    pub(crate) fn bounds(&self) -> &Bounds {
        &self.bounds
    }

    /// A request is there, whether or not it is one too many.
    pub(crate) fn request_began(&self) {
        self.requests.fetch_add(1, Ordering::Relaxed);
    }

    /// Its answer is sent.
    pub(crate) fn request_ended(&self) {
        self.requests.fetch_sub(1, Ordering::Relaxed);
    }

    /// Requests whose answer is not yet sent whole.
    pub(crate) fn requests(&self) -> u64 {
        self.requests.load(Ordering::Relaxed)
    }

    /// Whether there are more than may be.
    pub(crate) fn has_too_many_requests(&self) -> bool {
        self.requests() > self.bounds.requests.into()
    }

    /// Bytes of bodies in memory.
    pub(crate) fn body_bytes(&self) -> u64 {
        self.body_bytes.load(Ordering::Relaxed)
    }

    /// Whether a body of `bytes` would be more than there is room for.
    pub(crate) fn has_no_room_for(&self, bytes: u64) -> bool {
        self.body_bytes().saturating_add(bytes) > self.bounds.buffered_bytes
    }

    /// Counts a connection from `address`; `None` when its source has as many as it may.
    pub(crate) fn connect(self: &Arc<Self>, address: IpAddr) -> Option<FromSource> {
        let source = Source::of(address);
        let mut sources = self.sources.lock().unwrap_or_else(PoisonError::into_inner);
        let count = sources.entry(source).or_default();
        if *count >= self.bounds.connections_per_source {
            return None;
        }
        *count = count.saturating_add(1);
        drop(sources);
        Some(FromSource {
            load: Arc::clone(self),
            source,
        })
    }
}

/// One connection of a source, for as long as it is open.
#[derive(Debug)]
pub(crate) struct FromSource {
    load: Arc<Load>,
    source: Source,
}

impl Drop for FromSource {
    fn drop(&mut self) {
        let mut sources = self.load.sources.lock().unwrap_or_else(PoisonError::into_inner);
        if let Entry::Occupied(mut count) = sources.entry(self.source) {
            match count.get().checked_sub(1) {
                None | Some(0) => {
                    count.remove();
                }
                Some(left) => {
                    count.insert(left);
                }
            }
        }
        // What a flood of sources took is given back.
        if sources.len() < sources.capacity() / 4 {
            sources.shrink_to_fit();
        }
    }
}

/// Bytes of one body in memory, given back when it is dropped.
#[derive(Debug)]
pub(crate) struct Held {
    load: Arc<Load>,
    bytes: u64,
}

/// There is no room for it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct NoRoom;

impl Held {
    /// None yet.
    pub(crate) fn none(load: &Arc<Load>) -> Self {
        Self {
            load: Arc::clone(load),
            bytes: 0,
        }
    }

    /// Whether so many more are too many.
    pub(crate) fn has_no_room_for(&self, bytes: u64) -> bool {
        self.load.has_no_room_for(bytes)
    }

    /// More of them.
    pub(crate) fn add(&mut self, bytes: usize) -> Result<(), NoRoom> {
        let bytes = bytes as u64;
        let before = self.load.body_bytes.fetch_add(bytes, Ordering::Relaxed);
        self.bytes = self.bytes.saturating_add(bytes);
        if before.saturating_add(bytes) > self.load.bounds.buffered_bytes {
            return Err(NoRoom);
        }
        Ok(())
    }

    /// `piece`, which counts until the last that refers to it is gone.
    pub(crate) fn tie(&mut self, piece: Bytes) -> Bytes {
        let bytes = self.bytes.min(piece.len() as u64);
        self.bytes = self.bytes.saturating_sub(bytes);
        let held = Self {
            load: Arc::clone(&self.load),
            bytes,
        };
        Bytes::from_owner(Tied { piece, _held: held })
    }

    /// The same of the last piece, with which the rest is given back.
    pub(crate) fn tie_last(mut self, piece: Bytes) -> Bytes {
        let rest = self.bytes.saturating_sub(piece.len() as u64);
        if rest > 0 {
            self.load.body_bytes.fetch_sub(rest, Ordering::Relaxed);
            self.bytes = self.bytes.saturating_sub(rest);
        }
        Bytes::from_owner(Tied { piece, _held: self })
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.load.body_bytes.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

struct Tied {
    piece: Bytes,
    _held: Held,
}

impl AsRef<[u8]> for Tied {
    fn as_ref(&self) -> &[u8] {
        &self.piece
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load() -> Arc<Load> {
        Arc::new(Load::new(Bounds {
            connections_per_source: 2,
            requests: 2,
            buffered_bytes: 100,
            ..Bounds::default()
        }))
    }

    #[test]
    fn a_source_has_its_share_and_its_entry_goes_with_it() {
        let load = load();
        let connect = |address: &str| load.connect(address.parse().unwrap());
        let first = connect("192.0.2.1").unwrap();
        let second = connect("::ffff:192.0.2.1").unwrap();
        assert!(connect("192.0.2.1").is_none());
        let other = connect("192.0.2.2").unwrap();
        drop(first);
        let again = connect("192.0.2.1").unwrap();
        assert_eq!(load.sources.lock().unwrap().len(), 2);
        drop((second, other, again));
        assert!(load.sources.lock().unwrap().is_empty());
    }

    #[test]
    fn a_network_of_64_bits_is_one_source() {
        let load = load();
        let connect = |address: &str| load.connect(address.parse().unwrap());
        let both = [connect("2001:db8::1"), connect("2001:db8::ffff:0:0:1")];
        assert!(both.iter().all(Option::is_some));
        assert!(connect("2001:db8::2").is_none());
        assert!(connect("2001:db8:0:1::1").is_some());
    }

    #[test]
    fn sources_by_the_thousand_leave_nothing_behind() {
        let load = load();
        let many: Vec<_> = (0..10_000_u32)
            .map(|n| load.connect(Ipv4Addr::from_bits(n).into()).unwrap())
            .collect();
        drop(many);
        assert!(load.sources.lock().unwrap().capacity() < 100);
    }

    #[test]
    fn bytes_count_until_the_last_reference_is_gone() {
        let load = load();
        let mut held = Held::none(&load);
        assert_eq!(held.add(60), Ok(()));
        let piece = held.tie(Bytes::from(vec![0; 60]));
        drop(held);
        let slice = piece.slice(10..20);
        drop(piece);
        assert_eq!(load.body_bytes(), 60);
        assert!(load.has_no_room_for(41) && !load.has_no_room_for(40));
        let mut other = Held::none(&load);
        assert_eq!(other.add(41), Err(NoRoom));
        drop((slice, other));
        assert_eq!(load.body_bytes(), 0);
        let mut held = Held::none(&load);
        assert_eq!(held.add(60), Ok(()));
        let (first, last) = (held.tie(Bytes::from(vec![0; 20])), Bytes::from(vec![0; 30]));
        let last = held.tie_last(last);
        assert_eq!(load.body_bytes(), 50);
        drop(last);
        assert_eq!(load.body_bytes(), 20);
        drop(first);
        assert_eq!(load.body_bytes(), 0);
    }

    #[test]
    fn one_request_more_than_may_be_is_too_many() {
        let load = load();
        load.request_began();
        load.request_began();
        assert!(!load.has_too_many_requests());
        load.request_began();
        assert!(load.has_too_many_requests());
        load.request_ended();
        assert!(!load.has_too_many_requests());
    }
}
