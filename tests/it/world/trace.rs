//! What happened on the network: sums per way, the latest events, and a fingerprint of them all.

use std::collections::{BTreeMap, VecDeque};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::Duration;

use super::Way;
use super::link::Fate;

/// Events kept for the report of a failure.
const LATEST_MAX: usize = 60;

/// Sums since the world began.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Stats {
    /// Sent, whatever became of them.
    pub(crate) datagrams: u64,
    pub(crate) datagram_bytes: u64,
    pub(crate) lost: u64,
    pub(crate) doubled: u64,
    pub(crate) cut: u64,
    pub(crate) too_big: u64,
    /// TCP connections opened.
    pub(crate) connections: u64,
    pub(crate) resets: u64,
    /// Bytes that left the sender of a TCP stream.
    pub(crate) stream_bytes: u64,
}

/// One thing that happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Event {
    Datagram {
        bytes: usize,
        fate: Fate,
    },
    /// The receiver's socket buffer was full, or nobody listened.
    Dropped {
        bytes: usize,
    },
    Opened {
        port: u16,
    },
    Refused {
        port: u16,
    },
    Segment {
        bytes: usize,
        after: Duration,
    },
    End,
    Reset,
}

#[derive(Debug, Default)]
pub(super) struct Trace {
    sums: BTreeMap<Way, Stats>,
    latest: VecDeque<(Duration, Line)>,
    hasher: DefaultHasher,
}

#[derive(Debug)]
enum Line {
    Event(Way, Event),
    Note(String),
}

impl Trace {
    pub(super) fn event(&mut self, at: Duration, way: Way, event: Event) {
        (at, way, event).hash(&mut self.hasher);
        self.sums.entry(way).or_default().count(event);
        self.push(at, Line::Event(way, event));
    }

    pub(super) fn note(&mut self, at: Duration, text: String) {
        (at, &text).hash(&mut self.hasher);
        self.push(at, Line::Note(text));
    }

    pub(super) fn total(&self) -> Stats {
        self.sums.values().fold(Stats::default(), |sum, one| sum.plus(one))
    }

    pub(super) fn of(&self, way: Way) -> Stats {
        self.sums.get(&way).copied().unwrap_or_default()
    }

    pub(super) fn fingerprint(&self) -> u64 {
        self.hasher.finish()
    }

    pub(super) fn latest(&self, name: impl Fn(super::HostId) -> String) -> Vec<String> {
        let line = |(at, line): &(Duration, Line)| match line {
            Line::Event((from, to), event) => {
                format!("{at:>12.3?} {} -> {}: {event:?}", name(*from), name(*to))
            }
            Line::Note(text) => format!("{at:>12.3?} {text}"),
        };
        self.latest.iter().map(line).collect()
    }

    fn push(&mut self, at: Duration, line: Line) {
        if self.latest.len() == LATEST_MAX {
            self.latest.pop_front();
        }
        self.latest.push_back((at, line));
    }
}

impl Stats {
    fn count(&mut self, event: Event) {
        match event {
            Event::Datagram { bytes, fate } => {
                self.datagrams += 1;
                self.datagram_bytes += bytes as u64;
                match fate {
                    Fate::Arrives { again_after: Some(_), .. } => self.doubled += 1,
                    Fate::Arrives { again_after: None, .. } => {}
                    Fate::Lost => self.lost += 1,
                    Fate::Cut => self.cut += 1,
                    Fate::TooBig => self.too_big += 1,
                }
            }
            Event::Dropped { .. } => self.lost += 1,
            Event::Opened { .. } => self.connections += 1,
            Event::Segment { bytes, .. } => self.stream_bytes += bytes as u64,
            Event::Reset => self.resets += 1,
            Event::Refused { .. } | Event::End => {}
        }
    }

    fn plus(self, other: &Stats) -> Stats {
        Stats {
            datagrams: self.datagrams + other.datagrams,
            datagram_bytes: self.datagram_bytes + other.datagram_bytes,
            lost: self.lost + other.lost,
            doubled: self.doubled + other.doubled,
            cut: self.cut + other.cut,
            too_big: self.too_big + other.too_big,
            connections: self.connections + other.connections,
            resets: self.resets + other.resets,
            stream_bytes: self.stream_bytes + other.stream_bytes,
        }
    }
}
