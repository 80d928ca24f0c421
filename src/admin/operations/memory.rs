//! Where do the objects live in a test? In memory, for as long as the test.

use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;

use crate::admin::operations::{Committed, Keeper, Work};
use crate::admin::protocol::error::ApiError;
use crate::store::control::{State, Txn};

/// Keeps objects in memory and runs one call after the other.
#[derive(Debug, Default)]
pub struct MemoryKeeper(Mutex<Arc<State>>);

#[async_trait]
impl Keeper for MemoryKeeper {
    fn current(&self) -> Arc<State> {
        Arc::clone(&self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    async fn transact(&self, mut work: Work) -> Result<Committed, ApiError> {
        let mut current = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut txn = Txn::new(Arc::clone(&current));
        let done = work(&mut txn)?;
        if txn.is_changed() {
            let revision = current.revision + 1;
            *current = Arc::new(current.with(revision, txn.into_changes()));
        }
        Ok(Committed { done, revision: current.revision })
    }
}
