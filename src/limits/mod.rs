//! Throttles and quotas: may this caller make one more call now?
//!
//! Settings of a stage are kept in the model; no bucket enforces them yet. The stage stands in the
//! line before authorization, so that a flood of unknown callers will die at the edge.
//!
//! AWS: API Gateway Developer Guide, "Throttle requests to your REST APIs for better throughput".

use crate::model::stage::MethodSettings;

/// A route's own rate, as the stage states it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Throttle {
    pub rate_per_second: Option<f64>,
    pub burst: Option<u32>,
}

impl From<&MethodSettings> for Throttle {
    fn from(settings: &MethodSettings) -> Self {
        Self {
            rate_per_second: settings.throttling_rate_limit,
            burst: settings.throttling_burst_limit,
        }
    }
}

/// Why `limits` said no.
#[derive(Debug, thiserror::Error)]
pub enum LimitsError {
    #[error("rate of {rate_per_second} calls per second is used up")]
    Throttled { rate_per_second: f64 },
}

/// The buckets of this node.
#[derive(Debug, Default)]
pub struct Limits;

impl Limits {
    /// Takes one call's token. A rate of zero refuses every call; other rates are not yet counted.
    pub fn throttle(&self, throttle: Throttle) -> Result<(), LimitsError> {
        match throttle.rate_per_second {
            Some(0.0) => Err(LimitsError::Throttled { rate_per_second: 0.0 }),
            _ => Ok(()),
        }
    }
}
