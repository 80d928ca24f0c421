//! What a stage's calls add up to.
//!
//! Recording is a handful of relaxed additions. They would still cost a trip between cores each if
//! all threads added to the same words, so every thread adds to a block of its own, made when it
//! first measures something; reading adds the blocks up. A scrape may see a call's status before
//! its latency; over time the sums agree.

use std::fmt;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use prometheus_client::encoding::{DescriptorEncoder, NoLabelSet};

use crate::call::CacheStatus;
use crate::telemetry::metrics::names::{self, Family};
use crate::telemetry::metrics::{describe, encode_counter};
use crate::telemetry::thread_slot;

/// Blocks per stage; more than this many threads share them.
const BLOCKS: usize = 16;
/// 100 to 599, and one place for what no HTTP status is (a backend may send 999).
const STATUSES: usize = 501;
const STATUS_FIRST: u16 = 100;
/// Off, hit, miss.
const CACHE_RESULTS: [&str; 3] = ["off", "hit", "miss"];
/// Upper bounds in microseconds: fine where a hit lives, and up to AWS's longest integration.
const BOUNDS_MICROS: [u64; 17] = [
    100, 250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000,
    1_000_000, 2_500_000, 5_000_000, 10_000_000, 30_000_000,
];
const BUCKETS: usize = BOUNDS_MICROS.len() + 1;

/// The numbers of one stage.
#[derive(Default)]
pub struct StageMeter {
    blocks: [OnceLock<Box<Block>>; BLOCKS],
}

/// One finished call.
#[derive(Clone, Copy, Debug)]
pub struct Measurement {
    pub status: u16,
    pub cache: CacheStatus,
    pub latency: Duration,
    /// `None` where no integration was asked.
    pub integration_latency: Option<Duration>,
    /// Bytes of the request's body.
    pub request_bytes: u64,
    /// Bytes of the response's body.
    pub response_bytes: u64,
}

/// One thread's share. Aligned so that two threads' blocks never share a cache line.
#[repr(align(128))]
struct Block {
    requests: [[AtomicU64; STATUSES]; CACHE_RESULTS.len()],
    latency: Histogram,
    integration_latency: Histogram,
    request_bytes: AtomicU64,
    response_bytes: AtomicU64,
}

#[derive(Default)]
struct Histogram {
    buckets: [AtomicU64; BUCKETS],
    sum_micros: AtomicU64,
}

/// A stage's sums at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reading {
    /// (status or `None` for an impossible one, cache result, calls); only where there are any.
    pub requests: Vec<(Option<u16>, &'static str, u64)>,
    pub latency: HistogramReading,
    pub integration_latency: HistogramReading,
    pub request_bytes: u64,
    pub response_bytes: u64,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HistogramReading {
    /// Calls in each bucket alone, the last without an upper bound.
    pub buckets: [u64; BUCKETS],
    pub sum_micros: u64,
}

impl StageMeter {
    /// Adds one call.
    pub fn record(&self, call: &Measurement) {
        let block = self.blocks[thread_slot() % BLOCKS].get_or_init(Box::default);
        let cache = match call.cache {
            CacheStatus::Off => 0,
            CacheStatus::Hit { .. } => 1,
            CacheStatus::Miss => 2,
        };
        let status = call
            .status
            .checked_sub(STATUS_FIRST)
            .map_or(STATUSES - 1, |index| usize::from(index).min(STATUSES - 1));
        block.requests[cache][status].fetch_add(1, Ordering::Relaxed);
        block.latency.record(call.latency);
        if let Some(latency) = call.integration_latency {
            block.integration_latency.record(latency);
        }
        if call.request_bytes > 0 {
            block.request_bytes.fetch_add(call.request_bytes, Ordering::Relaxed);
        }
        block.response_bytes.fetch_add(call.response_bytes, Ordering::Relaxed);
    }

    /// Adds all threads' shares up.
    pub fn read(&self) -> Reading {
        let mut counts = [[0u64; STATUSES]; CACHE_RESULTS.len()];
        let mut reading = Reading {
            requests: Vec::new(),
            latency: HistogramReading::default(),
            integration_latency: HistogramReading::default(),
            request_bytes: 0,
            response_bytes: 0,
        };
        for block in self.blocks.iter().filter_map(OnceLock::get) {
            for (sums, shares) in counts.iter_mut().zip(&block.requests) {
                for (sum, share) in sums.iter_mut().zip(shares) {
                    *sum += share.load(Ordering::Relaxed);
                }
            }
            block.latency.add_to(&mut reading.latency);
            block.integration_latency.add_to(&mut reading.integration_latency);
            reading.request_bytes += block.request_bytes.load(Ordering::Relaxed);
            reading.response_bytes += block.response_bytes.load(Ordering::Relaxed);
        }
        for (cache, sums) in CACHE_RESULTS.into_iter().zip(&counts) {
            for (status, calls) in (STATUS_FIRST..).zip(sums).filter(|(_, calls)| **calls > 0) {
                let status = (usize::from(status - STATUS_FIRST) < STATUSES - 1).then_some(status);
                reading.requests.push((status, cache, *calls));
            }
        }
        reading
    }
}

impl fmt::Debug for StageMeter {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.read().fmt(out)
    }
}

impl Default for Block {
    fn default() -> Self {
        let statuses = || [const { AtomicU64::new(0) }; STATUSES];
        Self {
            requests: [statuses(), statuses(), statuses()],
            latency: Histogram::default(),
            integration_latency: Histogram::default(),
            request_bytes: AtomicU64::new(0),
            response_bytes: AtomicU64::new(0),
        }
    }
}

impl Histogram {
    fn record(&self, latency: Duration) {
        let micros = u64::try_from(latency.as_micros()).unwrap_or(u64::MAX);
        // Prometheus's bounds are inclusive.
        let bucket = BOUNDS_MICROS.partition_point(|bound| *bound < micros);
        self.buckets[bucket].fetch_add(1, Ordering::Relaxed);
        self.sum_micros.fetch_add(micros, Ordering::Relaxed);
    }

    fn add_to(&self, reading: &mut HistogramReading) {
        for (sum, share) in reading.buckets.iter_mut().zip(&self.buckets) {
            *sum += share.load(Ordering::Relaxed);
        }
        reading.sum_micros =
            reading.sum_micros.wrapping_add(self.sum_micros.load(Ordering::Relaxed));
    }
}

/// Labels and their values, in the order of the families.
pub(super) type Labels = Vec<(&'static str, String)>;

/// Under which names a set of meters is shown; the last two only for whole stages.
pub(super) struct Shown {
    pub(super) requests: &'static Family,
    pub(super) latency: &'static Family,
    pub(super) integration_latency: &'static Family,
    pub(super) bytes: Option<[&'static Family; 2]>,
}

pub(super) const OF_STAGES: Shown = Shown {
    requests: &names::REQUESTS,
    latency: &names::LATENCY,
    integration_latency: &names::INTEGRATION_LATENCY,
    bytes: Some([&names::REQUEST_BYTES, &names::RESPONSE_BYTES]),
};

pub(super) const OF_METHODS: Shown = Shown {
    requests: &names::METHOD_REQUESTS,
    latency: &names::METHOD_LATENCY,
    integration_latency: &names::METHOD_INTEGRATION_LATENCY,
    bytes: None,
};

/// Writes all families of these meters; a family without any series is left out.
pub(super) fn encode(
    meters: &[(Labels, Reading)],
    shown: &Shown,
    encoder: &mut DescriptorEncoder<'_>,
) -> Result<(), fmt::Error> {
    if meters.is_empty() {
        return Ok(());
    }
    encode_requests(meters, shown.requests, encoder)?;
    encode_histograms(meters, shown.latency, |reading| &reading.latency, encoder)?;
    let family = shown.integration_latency;
    encode_histograms(meters, family, |reading| &reading.integration_latency, encoder)?;
    let Some([request, response]) = shown.bytes else { return Ok(()) };
    encode_sums(meters, request, |reading| reading.request_bytes, encoder)?;
    encode_sums(meters, response, |reading| reading.response_bytes, encoder)
}

fn encode_requests(
    meters: &[(Labels, Reading)],
    family: &'static Family,
    encoder: &mut DescriptorEncoder<'_>,
) -> Result<(), fmt::Error> {
    let mut family = describe(encoder, family)?;
    for (own, reading) in meters {
        for (status, cache, calls) in &reading.requests {
            let status = status.map_or_else(|| "other".to_owned(), |status| status.to_string());
            let mut labels: Vec<(&str, &str)> =
                own.iter().map(|(name, value)| (*name, value.as_str())).collect();
            labels.extend([("status", status.as_str()), ("cache", cache)]);
            encode_counter(*calls, &mut family.encode_family(&labels)?)?;
        }
    }
    Ok(())
}

fn encode_sums(
    meters: &[(Labels, Reading)],
    family: &'static Family,
    sum: fn(&Reading) -> u64,
    encoder: &mut DescriptorEncoder<'_>,
) -> Result<(), fmt::Error> {
    let mut family = describe(encoder, family)?;
    for (labels, reading) in meters {
        encode_counter(sum(reading), &mut family.encode_family(labels)?)?;
    }
    Ok(())
}

fn encode_histograms(
    meters: &[(Labels, Reading)],
    family: &'static Family,
    pick: fn(&Reading) -> &HistogramReading,
    encoder: &mut DescriptorEncoder<'_>,
) -> Result<(), fmt::Error> {
    let mut family = describe(encoder, family)?;
    for (labels, reading) in meters {
        let histogram = pick(reading);
        let bounds = BOUNDS_MICROS.iter().map(|micros| *micros as f64 / 1e6).chain([f64::INFINITY]);
        let buckets: Vec<_> = bounds.zip(histogram.buckets).collect();
        let count = histogram.buckets.iter().sum();
        family.encode_family(labels)?.encode_histogram::<NoLabelSet>(
            histogram.sum_micros as f64 / 1e6,
            count,
            &buckets,
            None,
        )?;
    }
    Ok(())
}
