//! How much one explanation may look at: the engine does nothing else meanwhile.

/// Pairs that one explanation puts through the table at most, beside those that it counts.
const LOOKS: usize = 50_000;

/// What is left of it.
pub struct Looks {
    left: usize,
    is_whole: bool,
}

impl Default for Looks {
    fn default() -> Self {
        Self { left: LOOKS, is_whole: true }
    }
}

impl Looks {
    /// Whether so many pairs more may be looked at; counts them.
    pub fn may(&mut self, pairs: usize) -> bool {
        let may = self.left >= pairs;
        self.left = self.left.saturating_sub(pairs);
        self.is_whole &= may;
        may
    }

    /// Something was left out.
    pub fn cut(&mut self) {
        self.is_whole = false;
    }

    /// Whether nothing was left out.
    pub fn is_whole(&self) -> bool {
        self.is_whole
    }
}
