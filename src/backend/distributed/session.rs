//! A pooled connection that is only used again if all that was asked of it was answered.

use std::ops::{Deref, DerefMut};

use sqlx::{PgConnection, PgPool, Postgres, pool::PoolConnection};

use super::trouble::Trouble;

/// A connection of the pool. If it is dropped before [`Session::release`] it is closed, not given
/// back: an answer may still be under way on it, or never come.
pub(super) struct Session(Option<PoolConnection<Postgres>>);

impl Session {
    pub async fn of(pool: &PgPool) -> Result<Self, Trouble> {
        Ok(Self(Some(pool.acquire().await?)))
    }

    /// Gives it back to the pool.
    pub fn release(mut self) {
        drop(self.0.take());
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        if let Some(connection) = self.0.take() {
            // Without a farewell, which could hang as well; the server rolls back.
            drop(connection.detach());
        }
    }
}

impl Deref for Session {
    type Target = PgConnection;

    fn deref(&self) -> &PgConnection {
        self.0.as_ref().expect("a session has its connection until it is released")
    }
}

impl DerefMut for Session {
    fn deref_mut(&mut self) -> &mut PgConnection {
        self.0.as_mut().expect("a session has its connection until it is released")
    }
}
