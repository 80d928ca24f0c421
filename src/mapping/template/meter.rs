//! How much may one rendering cost?
//!
//! A template is written by an API's author, its input by anybody. Every piece of work takes from
//! one account of steps, every text, list item and map entry from one account of bytes; both only
//! fall. Depth is bounded on its own, because recursion lives on the stack.

use std::cell::Cell;

use crate::mapping::java_regex::RegexError;

/// Steps of one rendering: nodes of the template visited, plus one per `BYTES_PER_STEP` of text
/// read or written. About a second of work; AWS states no figure.
pub const STEPS_MAX: u64 = 20_000_000;
/// Bytes of text, list items and map entries made by one rendering, whether still in use or not.
/// Several times the largest body (rest-data-plane 13), so that templates may rework one.
pub const MEMORY_BYTES_MAX: usize = 96 * 1024 * 1024;
/// Bytes of output: AWS's largest payload is 10 MB ("Amazon API Gateway quotas").
pub const OUTPUT_BYTES_MAX: usize = 10 * 1024 * 1024;
/// Iterations of one `#foreach`; the loop stops there (rest-data-plane 5).
pub const FOREACH_ITERATIONS_MAX: u32 = 1_000;
/// Values in one another, expressions in one another, `#define`s that call each other. AWS states
/// no figure; the stack of a worker holds several times as much.
pub const DEPTH_MAX: usize = 100;

const BYTES_PER_STEP: usize = 32;

/// Why a template gave no output. Whoever called is answered as by a broken integration.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RenderError {
    #[error("the template takes more than {limit} steps")]
    TooManySteps { limit: u64 },
    #[error("the template's values take more than {limit} bytes")]
    TooMuchMemory { limit: usize },
    #[error("the template's output is longer than {limit} bytes")]
    OutputTooLong { limit: usize },
    #[error("values, expressions or blocks stand more than {limit} deep in one another")]
    TooDeep { limit: usize },
    #[error("index {index} is not in 0..{length}")]
    OutOfBounds { index: i64, length: usize },
    #[error("`{text}` is not a number of the kind that is read")]
    NotANumber { text: String },
    #[error("regular expression: {0}")]
    Regex(#[from] RegexError),
    #[error("`{path}` is not a JSONPath: {cause}")]
    BadPath { path: String, cause: String },
    /// AWS: "Override your API's request and response parameters and status codes": an override is
    /// final, and a second one of a parameter is a 5XX.
    #[error("`$context.{parameter}` is overridden twice")]
    OverriddenTwice { parameter: String },
    #[error("`{method}` cannot do that: {cause}")]
    BadCall { method: &'static str, cause: &'static str },
}

/// Bounds of one rendering.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    pub steps: u64,
    pub memory_bytes: usize,
    pub output_bytes: usize,
    pub foreach_iterations: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            steps: STEPS_MAX,
            memory_bytes: MEMORY_BYTES_MAX,
            output_bytes: OUTPUT_BYTES_MAX,
            foreach_iterations: FOREACH_ITERATIONS_MAX,
        }
    }
}

/// What is left of the bounds.
#[derive(Debug)]
pub(crate) struct Meter {
    limits: Limits,
    steps: Cell<u64>,
    memory: Cell<usize>,
}

impl Meter {
    pub(crate) fn new(limits: Limits) -> Self {
        Self { limits, steps: Cell::new(limits.steps), memory: Cell::new(limits.memory_bytes) }
    }

    pub(crate) fn limits(&self) -> &Limits {
        &self.limits
    }

    pub(crate) fn step(&self) -> Result<(), RenderError> {
        self.steps(1)
    }

    fn steps(&self, steps: u64) -> Result<(), RenderError> {
        let left = self.steps.get().checked_sub(steps);
        self.steps.set(left.ok_or(RenderError::TooManySteps { limit: self.limits.steps })?);
        Ok(())
    }

    /// Work that walks over so many bytes.
    pub(crate) fn read(&self, bytes: usize) -> Result<(), RenderError> {
        self.steps(1 + (bytes / BYTES_PER_STEP) as u64)
    }

    /// A text or collection of so many bytes was, or is about to be, made.
    pub(crate) fn make(&self, bytes: usize) -> Result<(), RenderError> {
        self.read(bytes)?;
        let left = self.memory.get().checked_sub(bytes);
        let limit = self.limits.memory_bytes;
        self.memory.set(left.ok_or(RenderError::TooMuchMemory { limit })?);
        Ok(())
    }

    /// What a text may still grow to.
    pub(crate) fn memory_left(&self) -> usize {
        self.memory.get()
    }

    #[allow(clippy::unused_self, reason = "one place for all bounds of a rendering")]
    pub(crate) fn depth(&self, depth: usize) -> Result<(), RenderError> {
        match depth > DEPTH_MAX {
            true => Err(RenderError::TooDeep { limit: DEPTH_MAX }),
            false => Ok(()),
        }
    }
}
