//! Where in its document did a part of a definition stand?
//!
//! What is wrong with a definition often shows only later, when a stage is to serve it. Its parts
//! are then named by place, such as `/pets GET integration requestTemplates`, and this map leads
//! back from there to line and column, and to the key as whoever wrote the document knows it.

use indexmap::IndexMap;

use crate::model::document::At;

/// Place in a definition → where it stood in the document.
///
/// A place is words with spaces between them, outermost first: a resource's path, the verb,
/// `integration`, a member, a key in it. Other places begin with `restApi`, `resources`,
/// `model NAME`, `authorizer NAME`, `requestValidator NAME` or `gatewayResponses TYPE`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Places(IndexMap<String, Written>);

/// A place in the document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Written {
    /// Line and column, counted from 1.
    pub mark: (u32, u32),
    /// In the document's own words, such as `paths./pets.get`.
    pub key: String,
}

impl Places {
    /// Where a place, or the nearest known one around it, was written.
    pub fn locate(&self, place: &str) -> Option<&Written> {
        let mut place = place.trim_end();
        loop {
            if let Some(written) = self.0.get(place) {
                return Some(written);
            }
            place = place.rsplit_once(' ')?.0.trim_end();
        }
    }

    /// Whether just this place was written.
    pub fn knows(&self, place: &str) -> bool {
        self.0.contains_key(place)
    }

    pub fn iter(&self) -> impl Iterator<Item = (&str, (u32, u32))> {
        self.0.iter().map(|(place, written)| (place.as_str(), written.mark))
    }

    pub(super) fn insert(&mut self, place: String, written: Written) {
        self.0.insert(place, written);
    }
}

impl From<&At<'_>> for Written {
    fn from(at: &At<'_>) -> Self {
        Self { mark: at.node.mark, key: at.path.clone() }
    }
}
