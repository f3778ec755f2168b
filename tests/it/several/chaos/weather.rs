//! What befalls nodes and stores, drawn from a seed.

use std::{fmt, time::Duration};

use rand::{RngExt, rngs::StdRng};
use tokio::{task::block_in_place, time::sleep};

use crate::harness::Grid;

/// One thing that goes wrong. It lasts for a while, and then is put right.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Trouble {
    /// SIGKILL.
    Kill(usize),
    /// SIGSTOP.
    Pause(usize),
    /// SIGTERM.
    End(usize),
    /// All that Redis holds is gone, and no connection breaks.
    FlushRedis,
    /// Redis stands still.
    PauseRedis,
    /// Redis dies, and comes back empty.
    LoseRedis,
    /// Redis dies, and comes back as it was half a second before.
    SetRedisBack,
    /// Redis ends in an orderly way, and comes back whole.
    RestartRedis,
    /// PostgreSQL crashes and recovers.
    CrashPostgres,
    /// PostgreSQL is restarted by an operator.
    RestartPostgres,
    /// PostgreSQL crashes and stays away.
    LosePostgres,
}

use Trouble::*;

/// Troubles that come at once.
#[derive(Clone, Debug)]
pub struct Gust {
    pub troubles: Vec<Trouble>,
    pub lasts: Duration,
}

impl fmt::Display for Gust {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} for {:.1} s", self.troubles, self.lasts.as_secs_f64())
    }
}

impl Trouble {
    fn draw(chance: &mut StdRng, nodes: usize) -> Self {
        let node = chance.random_range(0..nodes);
        match chance.random_range(0..16) {
            0..=3 => Kill(node),
            4..=6 => Pause(node),
            7 | 8 => End(node),
            9 => FlushRedis,
            10 => PauseRedis,
            11 => LoseRedis,
            12 => SetRedisBack,
            13 => RestartRedis,
            14 => CrashPostgres,
            15 => [RestartPostgres, LosePostgres][chance.random_range(0..2)],
            _ => unreachable!("there are no more"),
        }
    }

    /// Whether both can befall a grid at once.
    fn goes_with(self, other: Self) -> bool {
        let victim = |trouble: Self| match trouble {
            Kill(node) | Pause(node) | End(node) => node,
            FlushRedis | PauseRedis | LoseRedis | SetRedisBack | RestartRedis => 10,
            CrashPostgres | RestartPostgres | LosePostgres => 11,
        };
        victim(self) != victim(other)
    }

    async fn strikes(self, grid: &mut Grid) {
        match self {
            Kill(node) => grid.node(node).falls().await,
            Pause(node) => grid.node(node).pauses(),
            End(node) => drop(grid.node(node).ends().await),
            FlushRedis => block_in_place(|| grid.redis.flush()),
            PauseRedis => block_in_place(|| grid.redis.pause()),
            LoseRedis => block_in_place(|| grid.redis.kill()),
            SetRedisBack => {
                block_in_place(|| grid.redis.save());
                sleep(Duration::from_millis(500)).await;
                block_in_place(|| grid.redis.kill());
            }
            RestartRedis => block_in_place(|| grid.redis.end_saving()),
            CrashPostgres => block_in_place(|| grid.postgres().crash()),
            RestartPostgres => block_in_place(|| grid.postgres().restart()),
            LosePostgres => block_in_place(|| grid.postgres().stop()),
        }
    }

    async fn passes(self, grid: &mut Grid) {
        match self {
            Kill(node) | End(node) => grid.node(node).starts().await,
            Pause(node) => grid.node(node).resumes(),
            PauseRedis => block_in_place(|| grid.redis.resume()),
            LoseRedis => block_in_place(|| grid.redis.start_again()),
            SetRedisBack | RestartRedis => block_in_place(|| grid.redis.start_as_saved()),
            LosePostgres => block_in_place(|| grid.postgres().start_again()),
            FlushRedis | CrashPostgres | RestartPostgres => {}
        }
    }

    /// Longest that it lasts.
    fn most(self) -> Duration {
        match self {
            Kill(_) => Duration::from_secs(6),
            // Longer than it takes to count as dead.
            Pause(_) => Duration::from_secs(8),
            End(_) => Duration::from_secs(1),
            _ => Duration::from_secs(3),
        }
    }
}

impl Gust {
    /// One trouble, or two, for so many nodes.
    pub fn draw(chance: &mut StdRng, nodes: usize) -> Self {
        let mut troubles = vec![Trouble::draw(chance, nodes)];
        let second = Trouble::draw(chance, nodes);
        if chance.random_bool(0.4) && troubles[0].goes_with(second) {
            troubles.push(second);
        }
        let most = troubles.iter().map(|trouble| trouble.most()).max().expect("there is one");
        Self { troubles, lasts: most.mul_f64(chance.random_range(0.05..1.0)) }
    }

    /// Comes and goes. Stores are back before nodes start.
    pub async fn blows(&self, grid: &mut Grid) {
        for trouble in &self.troubles {
            trouble.strikes(grid).await;
        }
        sleep(self.lasts).await;
        let is_node = |trouble: &&Trouble| matches!(trouble, Kill(_) | Pause(_) | End(_));
        for trouble in self.troubles.iter().filter(|trouble| !is_node(trouble)) {
            trouble.passes(grid).await;
        }
        for trouble in self.troubles.iter().filter(is_node) {
            trouble.passes(grid).await;
        }
    }
}
