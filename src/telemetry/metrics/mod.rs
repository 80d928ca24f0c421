//! How is the node doing, in numbers that a monitoring system collects?
//!
//! Two kinds of numbers meet here. What every call adds to is a [`StageMeter`], found once when a
//! stage is deployed and then only added to. What some other part of the node counts anyway is
//! read when somebody asks ([`Metrics::watch`]). Both are encoded by prometheus-client at the time
//! of a scrape, so nothing is formatted for an audience that is not there.
//!
//! Every name stands in [`names`], and `deploy/metrics.md` explains each; a test compares the two.
//! Cardinality is bounded by the number of stages, never by what callers send.
//!
//! AWS's own figures (`Count`, `4XXError`, `5XXError`, `CacheHitCount`, `CacheMissCount`,
//! `Latency`, `IntegrationLatency`) can all be computed from ours. AWS: API Gateway Developer
//! Guide, "Amazon API Gateway dimensions and metrics". Format: OpenMetrics 1.0.

pub mod meter;
pub mod names;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{
    DescriptorEncoder, EncodeCounterValue, MetricEncoder, NoLabelSet, text,
};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::exemplar::Exemplar;
use prometheus_client::registry::Registry;

use crate::model::ids::{ApiId, StageName};
use crate::telemetry::metrics::names::{Family, Kind};

pub use meter::{Measurement, StageMeter};

/// The media type of [`Metrics::encode`]'s answer.
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Stages measured one by one in a process; later ones share the meter `(other)`. AWS allows 600
/// regional APIs per account ("Amazon API Gateway quotas"); a node that has redeployed under ever
/// new names must still not grow without end.
const METERS_MAX: usize = 4_096;
const OTHER: &str = "(other)";

/// All numbers of a node. Clones are the same numbers.
#[derive(Clone, Debug)]
pub struct Metrics {
    shared: Arc<Shared>,
    registry: Arc<Registry>,
}

#[derive(Default)]
struct Shared {
    meters: Mutex<BTreeMap<(ApiId, StageName), Arc<StageMeter>>>,
    methods: Mutex<BTreeMap<MethodKey, Arc<StageMeter>>>,
    watched: Mutex<BTreeMap<&'static str, Watched>>,
}

/// One method of one stage, for its own numbers.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct MethodKey {
    pub api: ApiId,
    pub stage: StageName,
    /// As the definition has it: a verb, or `ANY`.
    pub method: String,
    /// The resource's path template.
    pub resource: String,
}

impl MethodKey {
    fn labels(&self) -> meter::Labels {
        vec![
            ("api", self.api.as_str().to_owned()),
            ("stage", self.stage.as_str().to_owned()),
            ("method", self.method.clone()),
            ("resource", self.resource.clone()),
        ]
    }
}

struct Watched {
    family: &'static Family,
    /// Label values → where the number comes from.
    series: BTreeMap<Vec<String>, Read>,
}

type Read = Box<dyn Fn() -> f64 + Send + Sync>;

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl Metrics {
    pub fn new() -> Self {
        let shared = Arc::new(Shared::default());
        let mut registry = Registry::default();
        registry.register_collector(Box::new(shared.clone()));
        Self { shared, registry: Arc::new(registry) }
    }

    /// The meter of a stage; the same one each time, so counts survive a new deployment.
    pub fn stage(&self, api: &ApiId, stage: &StageName) -> Arc<StageMeter> {
        let mut meters = held(&self.shared.meters);
        if let Some(meter) = meters.get(&(api.clone(), stage.clone())) {
            return meter.clone();
        }
        let key = if meters.len() < METERS_MAX {
            (api.clone(), stage.clone())
        } else {
            (ApiId::new(OTHER), StageName::new(OTHER))
        };
        meters.entry(key).or_default().clone()
    }

    /// The meter of a method; the same one each time. What comes after the most that are kept
    /// apart shares one.
    pub fn method(&self, key: MethodKey) -> Arc<StageMeter> {
        let mut meters = held(&self.shared.methods);
        if meters.len() < METERS_MAX || meters.contains_key(&key) {
            return meters.entry(key).or_default().clone();
        }
        let other = || OTHER.to_owned();
        let (api, stage) = (ApiId::new(OTHER), StageName::new(OTHER));
        let rest = MethodKey { api, stage, method: other(), resource: other() };
        meters.entry(rest).or_default().clone()
    }

    /// Has `read` called at each scrape, for the series of `family` with these label values (as
    /// many as the family has labels, in its order). Registering a series again replaces it.
    /// `read` must be quick, must not take long-held locks and must not use these metrics itself.
    pub fn watch<F>(&self, family: &'static Family, labels: &[&str], read: F)
    where
        F: Fn() -> f64 + Send + Sync + 'static,
    {
        debug_assert_eq!(labels.len(), family.labels.len(), "{}", family.name);
        let labels = labels.iter().map(|label| (*label).to_owned()).collect();
        held(&self.shared.watched)
            .entry(family.name)
            .or_insert_with(|| Watched { family, series: BTreeMap::new() })
            .series
            .insert(labels, Box::new(read));
    }

    /// Forgets a watched series, such as that of an edge that has left.
    pub fn forget(&self, family: &'static Family, labels: &[&str]) {
        let labels: Vec<String> = labels.iter().map(|label| (*label).to_owned()).collect();
        if let Some(watched) = held(&self.shared.watched).get_mut(family.name) {
            watched.series.remove(&labels);
        }
    }

    /// All numbers as OpenMetrics text, complete with its end mark.
    pub fn encode(&self) -> String {
        let mut text = String::new();
        text::encode(&mut text, &self.registry).expect("writing to memory does not fail");
        text
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Shared")
            .field("meters", &held(&self.meters).len())
            .field("watched", &held(&self.watched).keys().collect::<Vec<_>>())
            .finish()
    }
}

impl Collector for Shared {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let meters: Vec<_> = held(&self.meters)
            .iter()
            .map(|((api, stage), meter)| {
                let labels =
                    vec![("api", api.as_str().to_owned()), ("stage", stage.as_str().to_owned())];
                (labels, meter.read())
            })
            .collect();
        meter::encode(&meters, &meter::OF_STAGES, &mut encoder)?;
        let methods: Vec<_> =
            held(&self.methods).iter().map(|(key, meter)| (key.labels(), meter.read())).collect();
        meter::encode(&methods, &meter::OF_METHODS, &mut encoder)?;
        for Watched { family, series } in held(&self.watched).values() {
            if series.is_empty() {
                continue;
            }
            let mut described = describe(&mut encoder, family)?;
            for (values, read) in series {
                let labels: Vec<_> =
                    family.labels.iter().copied().zip(values.iter().map(String::as_str)).collect();
                match labels.is_empty() {
                    true => encode_value(family.kind, read(), &mut described)?,
                    false => {
                        encode_value(family.kind, read(), &mut described.encode_family(&labels)?)?;
                    }
                }
            }
        }
        Ok(())
    }
}

fn encode_value(kind: Kind, value: f64, encoder: &mut MetricEncoder<'_>) -> Result<(), fmt::Error> {
    match kind {
        Kind::Counter => encode_counter(value, encoder),
        // Histograms are never watched; a single number of one is read as a gauge.
        Kind::Gauge | Kind::Histogram => encoder.encode_gauge(&value),
    }
}

fn encode_counter<V: EncodeCounterValue>(
    value: V,
    encoder: &mut MetricEncoder<'_>,
) -> Result<(), fmt::Error> {
    encoder.encode_counter(&value, None::<&Exemplar<NoLabelSet, f64>>)
}

/// Writes a family's heading. OpenMetrics names a counter without its `_total`, which the encoder
/// puts behind each series.
fn describe<'a>(
    encoder: &'a mut DescriptorEncoder<'_>,
    family: &'static Family,
) -> Result<MetricEncoder<'a>, fmt::Error> {
    let (name, kind) = match family.kind {
        Kind::Counter => {
            (family.name.strip_suffix("_total").unwrap_or(family.name), MetricType::Counter)
        }
        Kind::Gauge => (family.name, MetricType::Gauge),
        Kind::Histogram => (family.name, MetricType::Histogram),
    };
    encoder.encode_descriptor(name, family.help, None, kind)
}

/// The lock, whoever panicked while holding it: maps are whole between two statements.
fn held<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
