//! The parts alone. The runtime clients themselves run in `tests/it/functions`.

mod log;
mod names;
mod packages;
mod pools;
mod protocol;
