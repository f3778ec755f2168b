//! Deeds on disk: together if they hold, and else as few at a time as it takes to find the one that
//! does not.
//!
//! Several brokers may commit at the same time. All lock rows in the same order, first by table (the
//! order of [`steps::STATEMENTS`]) and then by ID, so they wait for each other but not in a circle;
//! where a circle closes all the same, or the connection breaks, it is tried again. A try that broke in
//! the middle of its commit may have succeeded: each transaction leaves its ID, and one that is there
//! already is not written again.
//!
//! ```text
//!        deeds of a call     one transaction; one of them does not hold, so it is rolled back
//!       ┌───────┴───────┐
//!     first           second     half: in order, each under a new ID, each either kept or halved again
//!                   ┌───┴───┐
//!                  kept   refused    a single deed that does not hold
//! ```

mod steps;

use std::{collections::HashMap, ops::Range, time::Duration};

use parking_lot::Mutex;
use sha2::{Digest, Sha256};
use sqlx::{Connection, PgConnection, PgPool};
use tokio::time::Instant;
use uuid::Uuid;

use self::steps::Steps;
use super::{
    connect::ANSWER,
    session::Session,
    trouble::{Trouble, within},
};
use crate::backend::{Deed, Refusal, Verdict};

/// For how long a transaction is tried again before its failure is told.
const PATIENCE: Duration = Duration::from_secs(10);
/// Longest pause between two tries: a server that comes back should not be left waiting.
const LONGEST_PAUSE: Duration = Duration::from_millis(250);
/// Calls that failed after something of them was written, or may have been, and may come again.
const MAX_UNCERTAIN: usize = 64;

const BATCH: &str = "INSERT INTO batches (id, at) VALUES ($1, (extract(epoch FROM now()) * 1000)::BIGINT) \
     ON CONFLICT DO NOTHING";

/// All statements of this folder.
pub(super) fn statements() -> impl Iterator<Item = &'static str> {
    let files = [
        &[BATCH],
        steps::STATEMENTS,
        steps::filters::STATEMENTS,
        steps::stats::STATEMENTS,
        steps::teams::STATEMENTS,
        steps::styles::STATEMENTS,
    ];
    files.into_iter().flatten().copied()
}

/// Writes deeds.
pub(super) struct Writer {
    pool: PgPool,
    /// How far calls have come that failed on the way, by the digest of their deeds.
    uncertain: Mutex<HashMap<[u8; 32], Walk>>,
}

/// How far a call has come.
struct Walk {
    /// Of the deeds that are decided. The others are left to [`Walk::pieces`].
    verdicts: Vec<Verdict>,
    /// Deeds to be written together, the next ones last.
    pieces: Vec<Piece>,
}

/// Deeds to be written together.
struct Piece {
    deeds: Range<usize>,
    id: Uuid,
    /// A try may have been written without our hearing of it.
    may_be_written: bool,
}

impl Piece {
    fn of(deeds: Range<usize>) -> Self {
        Self { deeds, id: Uuid::now_v7(), may_be_written: false }
    }
}

impl Walk {
    fn through(count: usize) -> Self {
        let pieces = if count == 0 { Vec::new() } else { vec![Piece::of(0..count)] };
        Self { verdicts: Vec::with_capacity(count), pieces }
    }

    /// Whether beginning anew could write something twice.
    fn is_begun(&self) -> bool {
        self.verdicts.contains(&Verdict::Kept) || self.pieces.iter().any(|piece| piece.may_be_written)
    }

    /// Takes note of what became of the next piece.
    fn decide(&mut self, refusal: Option<Refusal>) {
        let Some(Piece { deeds, .. }) = self.pieces.pop() else { return };
        match refusal {
            None => self.verdicts.extend(deeds.map(|_| Verdict::Kept)),
            Some(refusal) if deeds.len() == 1 => self.verdicts.push(Verdict::Refused(refusal)),
            Some(_) => {
                let middle = deeds.start + deeds.len() / 2;
                self.pieces.push(Piece::of(middle..deeds.end));
                self.pieces.push(Piece::of(deeds.start..middle));
            }
        }
    }
}

impl Writer {
    pub fn over(pool: PgPool) -> Self {
        Self { pool, uncertain: Mutex::default() }
    }

    /// Puts deeds on disk, trying again for a while.
    ///
    /// # Errors
    /// After one that passes, the same deeds may be handed in again: each is written once.
    pub async fn commit(&self, deeds: &[Deed]) -> Result<Vec<Verdict>, Trouble> {
        let earlier = {
            let mut uncertain = self.uncertain.lock();
            (!uncertain.is_empty()).then(|| uncertain.remove(&digest(deeds))).flatten()
        };
        let mut walk = earlier.unwrap_or_else(|| Walk::through(deeds.len()));
        let outcome = self.walk(&mut walk, deeds).await;
        if outcome.is_err() && walk.is_begun() {
            let mut uncertain = self.uncertain.lock();
            if uncertain.len() < MAX_UNCERTAIN {
                uncertain.insert(digest(deeds), walk);
            }
            return outcome.map(|()| Vec::new());
        }
        outcome.map(|()| walk.verdicts)
    }

    async fn walk(&self, walk: &mut Walk, deeds: &[Deed]) -> Result<(), Trouble> {
        while let Some(piece) = walk.pieces.last_mut() {
            let refusal = match Steps::of(&deeds[piece.deeds.clone()])? {
                Some(steps) => self.write_patiently(piece, &steps).await?,
                None => Some(Refusal::Overtaken),
            };
            walk.decide(refusal);
        }
        Ok(())
    }

    async fn write_patiently(&self, piece: &mut Piece, steps: &Steps) -> Result<Option<Refusal>, Trouble> {
        let deadline = Instant::now() + PATIENCE;
        let mut pause = Duration::from_millis(10);
        loop {
            let trouble = match within(ANSWER, self.write(piece.id, steps)).await {
                Ok(refusal) => return Ok(refusal),
                Err(trouble) => trouble,
            };
            piece.may_be_written |= trouble.is_uncertain();
            if !trouble.is_passing() || Instant::now() + pause > deadline {
                return Err(trouble);
            }
            tracing::debug!(%trouble, "a batch is tried again");
            // Not in step with the broker that was in the way.
            tokio::time::sleep(pause.mul_f64(rand::random_range(0.5..1.5))).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    async fn write(&self, id: Uuid, steps: &Steps) -> Result<Option<Refusal>, Trouble> {
        let mut session = Session::of(&self.pool).await?;
        let refusal = write(&mut session, id, steps).await?;
        session.release();
        Ok(refusal)
    }
}

async fn write(connection: &mut PgConnection, id: Uuid, steps: &Steps) -> Result<Option<Refusal>, Trouble> {
    let mut tx = connection.begin().await?;
    // Waits for an earlier try that the server is still busy with.
    let is_new = sqlx::query(BATCH).bind(id).execute(&mut *tx).await?.rows_affected() == 1;
    let refusal = if is_new { steps.run(&mut tx).await? } else { None };
    if !is_new || refusal.is_some() {
        tx.rollback().await?;
    } else {
        tx.commit().await?;
    }
    Ok(refusal)
}

/// What deeds amount to, so that they are known when they come again.
fn digest(deeds: &[Deed]) -> [u8; 32] {
    Sha256::digest(format!("{deeds:?}")).into()
}
