//! Which purges still matter? The newest of each scope, less those that a wider one covers.
//!
//! The number of records is bounded by widening: a flush of the stage or of the API stands for
//! many patterns. It voids more than was asked, never less.

use std::collections::{BTreeMap, HashMap};

use crate::model::ids::{ApiId, StageName};
use crate::store::purge_log::{GLOBS_PER_STAGE_MAX, PurgeRecord, PurgeScope, RECORDS_MAX};

/// The newest record of each scope. Two folded records may share a sequence number.
#[derive(Debug, Default)]
pub(super) struct Live {
    pub(super) head: u64,
    by_scope: HashMap<PurgeScope, (u64, u64)>,
    globs: HashMap<(ApiId, StageName), usize>,
}

impl Live {
    pub(super) fn len(&self) -> usize {
        self.by_scope.len()
    }

    pub(super) fn after(&self, seq: u64) -> Vec<PurgeRecord> {
        let mut sorted = BTreeMap::<u64, Vec<PurgeRecord>>::new();
        for (scope, &(own, at_ms)) in self.by_scope.iter().filter(|(_, newest)| newest.0 > seq) {
            let record = PurgeRecord { seq: own, at_ms, scope: scope.clone() };
            sorted.entry(own).or_default().push(record);
        }
        sorted.into_values().flatten().collect()
    }

    /// Takes in a record that is newer than all others, and drops those it makes pointless.
    pub(super) fn add(&mut self, record: PurgeRecord) {
        self.head = self.head.max(record.seq);
        match &record.scope {
            PurgeScope::Api { api } => self.drop_covered(|scope| scope.api() == api),
            PurgeScope::Stage { api, stage } => self.drop_stage(api, stage),
            PurgeScope::Path { api, stage, .. } => {
                let count = self.globs.entry((api.clone(), stage.clone())).or_default();
                if *count >= GLOBS_PER_STAGE_MAX {
                    let scope = PurgeScope::Stage { api: api.clone(), stage: stage.clone() };
                    return self.add(PurgeRecord { scope, ..record });
                }
                if !self.by_scope.contains_key(&record.scope) {
                    *count += 1;
                }
            }
        }
        if self.len() >= RECORDS_MAX && !matches!(record.scope, PurgeScope::Api { .. }) {
            let scope = PurgeScope::Api { api: record.scope.api().clone() };
            return self.add(PurgeRecord { scope, ..record });
        }
        self.by_scope.insert(record.scope, (record.seq, record.at_ms));
    }

    fn drop_stage(&mut self, api: &ApiId, stage: &StageName) {
        // Without globs there is nothing to search for, and flushes of a stage are the usual case.
        if self.globs.remove(&(api.clone(), stage.clone())).is_some() {
            self.drop_covered(|scope| {
                matches!(scope, PurgeScope::Path { api: a, stage: s, .. } if a == api && s == stage)
            });
        }
    }

    fn drop_covered(&mut self, covered: impl Fn(&PurgeScope) -> bool) {
        self.by_scope.retain(|scope, _| !covered(scope));
        let mut globs = HashMap::new();
        for scope in self.by_scope.keys() {
            if let PurgeScope::Path { api, stage, .. } = scope {
                *globs.entry((api.clone(), stage.clone())).or_default() += 1;
            }
        }
        self.globs = globs;
    }
}
