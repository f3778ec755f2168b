//! What accounts may have at most.

/// How many jobs an account may have waiting of a kind, or how many workers.
#[derive(Clone, Copy, Debug)]
pub struct Limit {
    /// How many it may have.
    pub most: i64,
    /// How many of them are new.
    pub own: i64,
}

impl Limit {
    /// Several that are new count on each other; the lowest of their limits holds.
    pub(super) fn add(&mut self, most: i64, own: i64) {
        self.most = self.most.min(most);
        self.own += own;
    }

    /// How many there are besides the new ones, if `all` are too many.
    pub fn excess(&self, all: i64) -> Option<usize> {
        (all > self.most).then(|| usize::try_from(all - self.own).unwrap_or(0))
    }
}
