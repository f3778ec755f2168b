//! An ordered set that knows ranks: what position is this, and how much work stands before it.
//!
//! Entries lie in blocks of bounded length, each with its sums, so that a rank costs a walk over the
//! blocks and one search, however long the queue is: 100,000 entries are some 300 blocks.
//! Work is a whole number, so sums are exact and do not drift.

use super::Place;

/// Entries in a block, at most. Small enough to shift, large enough to keep blocks few.
const BLOCK: usize = 512;

/// Places in order, each with the jobs that wait and the work of all of them.
#[derive(Default)]
pub struct Ranks {
    /// None is empty; all of one block come before all of the next.
    blocks: Vec<Block>,
    len: usize,
}

#[derive(Default)]
struct Block {
    entries: Vec<Entry>,
    jobs: usize,
    work: u64,
}

#[derive(Clone, Copy)]
struct Entry {
    place: Place,
    jobs: usize,
    work: u64,
}

/// Where something stands: all sums include it.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Rank {
    /// 1 is first.
    pub position: usize,
    /// Jobs that wait.
    pub jobs: usize,
    /// Their work.
    pub work: u64,
}

impl Block {
    fn of(entries: Vec<Entry>) -> Self {
        let jobs = entries.iter().map(|entry| entry.jobs).sum();
        let work = entries.iter().map(|entry| entry.work).sum();
        Self { entries, jobs, work }
    }
}

impl Ranks {
    /// Entries.
    pub fn len(&self) -> usize {
        self.len
    }

    /// All, in order.
    pub fn places(&self) -> impl Iterator<Item = Place> {
        self.blocks.iter().flat_map(|block| &block.entries).map(|entry| entry.place)
    }

    /// The one that so many come before.
    pub fn nth(&self, mut before: usize) -> Option<Place> {
        for block in &self.blocks {
            match block.entries.get(before) {
                Some(entry) => return Some(entry.place),
                None => before -= block.entries.len(),
            }
        }
        None
    }

    /// The block that holds a place, or would, and the index in it.
    fn find(&self, place: Place) -> (usize, Result<usize, usize>) {
        let after = self.blocks.partition_point(|block| block.entries[0].place <= place);
        let block = after.saturating_sub(1);
        let entries = self.blocks.get(block).map_or(&[][..], |block| &block.entries);
        (block, entries.binary_search_by_key(&place, |entry| entry.place))
    }

    /// Jobs that wait at a place.
    pub fn jobs(&self, place: Place) -> usize {
        let (block, found) = self.find(place);
        found.map_or(0, |at| self.blocks[block].entries[at].jobs)
    }

    /// Sets how many jobs wait at a place, and their work. None: it is no entry any more.
    pub fn set(&mut self, place: Place, jobs: usize, work: u64) {
        let (index, found) = self.find(place);
        match (found, jobs) {
            (Ok(at), 0) => {
                let block = &mut self.blocks[index];
                let gone = block.entries.remove(at);
                block.jobs -= gone.jobs;
                block.work -= gone.work;
                self.len -= 1;
                if block.entries.is_empty() {
                    self.blocks.remove(index);
                }
            }
            (Ok(at), _) => {
                let block = &mut self.blocks[index];
                let before = std::mem::replace(&mut block.entries[at], Entry { place, jobs, work });
                block.jobs = block.jobs - before.jobs + jobs;
                block.work = block.work - before.work + work;
            }
            (Err(_), 0) => {}
            (Err(at), _) => {
                if self.blocks.is_empty() {
                    self.blocks.push(Block::default());
                }
                let block = &mut self.blocks[index];
                block.entries.insert(at, Entry { place, jobs, work });
                block.jobs += jobs;
                block.work += work;
                self.len += 1;
                if block.entries.len() > BLOCK {
                    let upper = Block::of(block.entries.split_off(BLOCK / 2));
                    block.jobs -= upper.jobs;
                    block.work -= upper.work;
                    self.blocks.insert(index + 1, upper);
                }
            }
        }
    }

    /// Where a place stands; `None` if nothing waits there.
    pub fn rank(&self, place: Place) -> Option<Rank> {
        let (index, found) = self.find(place);
        let mut rank = Rank { position: 0, jobs: 0, work: 0 };
        let entries = &self.blocks.get(index)?.entries[..=found.ok()?];
        for block in &self.blocks[..index] {
            rank.position += block.entries.len();
            rank.jobs += block.jobs;
            rank.work += block.work;
        }
        rank.position += entries.len();
        for entry in entries {
            rank.jobs += entry.jobs;
            rank.work += entry.work;
        }
        Some(rank)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;
    use crate::engine::queue::place::tests::place;

    proptest! {
        #[test]
        fn ranks_are_those_of_a_plain_count(
            changes in prop::collection::vec((0i64..900, 0usize..4, 1u64..50), 0..3000),
        ) {
            let (mut ranks, mut plain) = (Ranks::default(), BTreeMap::new());
            for (at, jobs, work) in changes {
                let place = place(at * 7_919 % 900, 0, at);
                ranks.set(place, jobs, work);
                match jobs {
                    0 => plain.remove(&place),
                    _ => plain.insert(place, (jobs, work)),
                };
            }
            prop_assert_eq!(ranks.len(), plain.len());
            let mut sum = Rank { position: 0, jobs: 0, work: 0 };
            prop_assert_eq!(ranks.nth(plain.len()), None);
            for (place, (jobs, work)) in plain {
                prop_assert_eq!(ranks.nth(sum.position), Some(place));
                sum.position += 1;
                sum.jobs += jobs;
                sum.work += work;
                prop_assert_eq!(ranks.rank(place), Some(sum));
                prop_assert_eq!(ranks.jobs(place), jobs);
            }
            prop_assert_eq!(ranks.rank(place(-1, 0, 0)), None);
        }
    }
}
