//! A request's place in the order.

use crate::domain::{
    RequestId, Timestamp,
    request::{Accepted, Kind},
};

/// A request's place: smaller comes first. Forms of alchemy do not age.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Place {
    lateness: i64,
    created_at: Timestamp,
    /// Whose place.
    pub request: RequestId,
}

impl Place {
    /// `50 × ⌊created_ms / 10 000⌋ − priority` (of alchemy `−priority`), then creation, then ID.
    pub fn of(request: &Accepted) -> Self {
        let ageing = match request.spec.kind() {
            Kind::Alchemy => 0,
            Kind::Image | Kind::Text | Kind::Video => 50 * request.created_at.0.div_euclid(10_000),
        };
        Self { lateness: ageing - request.priority, created_at: request.created_at, request: request.id }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use uuid::Uuid;

    use super::*;

    pub fn place(lateness: i64, created_at: i64, id: i64) -> Place {
        let request = RequestId(Uuid::from_u128(id as u128));
        Place { lateness, created_at: Timestamp(created_at), request }
    }
}
