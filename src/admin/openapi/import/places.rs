//! Where in its document did a part of a definition stand?
//!
//! What is wrong with a definition often shows only later, when a stage is to serve it. Its parts
//! are then named by place, such as `/pets GET integration requestTemplates`, and this map leads
//! back from there to line and column.

use indexmap::IndexMap;

/// Place in a definition → line and column in the document, counted from 1.
///
/// A place is words with spaces between them, outermost first: a resource's path, the verb,
/// `integration`, a member, a key in it. Other places begin with `restApi`, `model NAME`,
/// `authorizer NAME`, `requestValidator NAME` or `gatewayResponse TYPE`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Places(IndexMap<String, (u32, u32)>);

impl Places {
    /// Line and column of a place, or of the nearest known place around it.
    pub fn locate(&self, place: &str) -> Option<(u32, u32)> {
        let mut place = place.trim_end();
        loop {
            if let Some(mark) = self.0.get(place) {
                return Some(*mark);
            }
            place = place.rsplit_once(' ')?.0.trim_end();
        }
    }

    pub fn iter(&self) -> impl Iterator<Item = (&str, (u32, u32))> {
        self.0.iter().map(|(place, mark)| (place.as_str(), *mark))
    }

    pub(super) fn insert(&mut self, place: String, mark: (u32, u32)) {
        self.0.insert(place, mark);
    }
}
