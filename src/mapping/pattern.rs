//! A regular expression that is being read, for those who translate one.

pub(super) struct Pattern<'p> {
    pub(super) chars: &'p [char],
    /// What comes next.
    pub(super) at: usize,
}

impl<'p> Pattern<'p> {
    pub(super) fn new(chars: &'p [char]) -> Self {
        Self { chars, at: 0 }
    }

    pub(super) fn peek(&self) -> Option<char> {
        self.chars.get(self.at).copied()
    }

    pub(super) fn next(&mut self) -> Option<char> {
        let next = self.peek()?;
        self.at += 1;
        Some(next)
    }

    /// Whether `text` comes next; then it is passed.
    pub(super) fn eat(&mut self, text: &str) -> bool {
        let rest = self.chars.get(self.at..).unwrap_or_default();
        let length = text.chars().count();
        let found = rest.get(..length).is_some_and(|start| start.iter().copied().eq(text.chars()));
        if found {
            self.at += length;
        }
        found
    }
}
