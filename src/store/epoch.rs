//! Which config epoch is in force? A number that never goes back, whatever crashes.
//!
//! Nodes compare epochs to know who is behind; an epoch used twice would make two different
//! configurations look alike. The file is one checked line, replaced atomically.

use std::path::{Path, PathBuf};

use crate::store::StoreError;
use crate::store::files;

/// One number, its checksum and a newline are far below this.
const FILE_BYTES_MAX: u64 = 1024;

/// A durable counter that only grows.
#[derive(Debug)]
pub struct Epoch {
    path: PathBuf,
    current: u64,
}

impl Epoch {
    /// Opens the counter; a missing file is epoch 0. A damaged file is an error: guessing a number
    /// could repeat one.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        let current = match files::read_bounded(path, FILE_BYTES_MAX)? {
            None => 0,
            Some(bytes) => {
                parse(&bytes).ok_or_else(|| StoreError::corrupt(path, "not an epoch line"))?
            }
        };
        Ok(Self { path: path.to_owned(), current })
    }

    pub fn current(&self) -> u64 {
        self.current
    }

    /// The next epoch, durable before it is returned.
    pub fn advance(&mut self) -> Result<u64, StoreError> {
        let next = self.current.checked_add(1).ok_or(StoreError::Invalid("epochs are used up"))?;
        self.advance_to(next)
    }

    /// Moves to `epoch`; the current one again is fine, an older one is an error.
    pub fn advance_to(&mut self, epoch: u64) -> Result<u64, StoreError> {
        if epoch < self.current {
            return Err(StoreError::EpochGoesBack { current: self.current, asked: epoch });
        }
        if epoch > self.current {
            files::replace(&self.path, line(epoch).as_bytes())?;
            self.current = epoch;
        }
        Ok(epoch)
    }
}

fn line(epoch: u64) -> String {
    let number = epoch.to_string();
    let sum = files::sha256_hex(number.as_bytes());
    format!("{number} {sum}\n")
}

fn parse(bytes: &[u8]) -> Option<u64> {
    let text = std::str::from_utf8(bytes).ok()?;
    let (number, _) = text.split_once(' ')?;
    let epoch = number.parse().ok()?;
    (line(epoch) == text).then_some(epoch)
}
