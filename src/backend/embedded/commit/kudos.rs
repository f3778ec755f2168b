//! Statements about kudos.

pub(super) const BALANCES: &str = "INSERT INTO balances SELECT account, sum(amount) FROM ( \
       SELECT value ->> 1 AS account, -(value ->> 3) AS amount FROM json_each($1) \
         WHERE NOT EXISTS (SELECT 1 FROM postings WHERE key = value ->> 0) \
       UNION ALL \
       SELECT value ->> 2, value ->> 3 FROM json_each($1) \
         WHERE NOT EXISTS (SELECT 1 FROM postings WHERE key = value ->> 0)) \
     WHERE true GROUP BY account ON CONFLICT (account) DO UPDATE SET amount = amount + excluded.amount";
pub(super) const POSTINGS: &str = "INSERT INTO postings SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 3, value ->> 4 \
     FROM json_each($1) WHERE true ON CONFLICT DO NOTHING";
pub(super) const HOLDS: &str = "INSERT INTO holds (request, owner, amount) SELECT value ->> 0, value ->> 1, value ->> 2 FROM json_each($1)";
pub(super) const ALL_PUT_ASIDE: &str = "INSERT INTO impossible SELECT 'more is given back than was put aside' \
     FROM json_each($1) JOIN balances ON account = value ->> 1 WHERE account >= 1099511627776 AND amount < 0";
/// Of what is set aside for a request, what it has cost by now is spent, and nothing is left once it is done.
pub(super) const ALL_COVERED: &str = "INSERT INTO impossible SELECT 'an account sets more aside than it has' \
     FROM json_each($1) WHERE \
     (SELECT coalesce(sum(max(holds.amount - consumed, 0)), 0) FROM holds JOIN requests ON requests.id = request \
         WHERE holds.owner = value ->> 0 AND done = 0) \
     > coalesce((SELECT amount FROM balances WHERE account = value ->> 0), 0) - (value ->> 1)";
pub(super) const KUDOS_COUNTS: &str = "UPDATE users SET gifted = gifted + (value ->> 1), \
     donated = donated + (value ->> 2), received = received + (value ->> 3), \
     recurring = recurring + (value ->> 4), awarded = awarded + (value ->> 5), styled = styled + (value ->> 6), \
     lifts = lifts + (value ->> 7) FROM json_each($1) WHERE users.id = value ->> 0";
pub(super) const TRANSFERS: &str = "INSERT INTO transfers SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 3, \
     value ->> 4, value ->> 5 FROM json_each($1)";
pub(super) const ALL_COOL: &str = "INSERT INTO impossible SELECT 'kudos are sent back too soon' \
     FROM json_each($1) AS new JOIN transfers AS back ON sender = new.value ->> 2 AND receiver = new.value ->> 1 \
     WHERE back.at > new.value ->> 6";
pub(super) const KEY_FILLS: &str = "UPDATE shared_keys SET budget = budget + (value ->> 1) FROM json_each($1) \
     WHERE shared_keys.id = value ->> 0";
pub(super) const MONTHLY_CHANGES: &str = "UPDATE users SET monthly = max(monthly + (value ->> 1), 0), \
     monthly_at = coalesce(monthly_at, value ->> 2) FROM json_each($1) WHERE users.id = value ->> 0";
/// Only the next payment counts.
pub(super) const MONTHLY_PAYMENTS: &str = "UPDATE users SET monthly_at = value ->> 2 FROM json_each($1) \
     WHERE users.id = value ->> 0 AND monthly_at IS value ->> 1";
pub(super) const ALL_DUE: &str = "INSERT INTO impossible SELECT 'a month is paid for twice' \
     WHERE changes() <> json_array_length($1)";

pub(super) const STATEMENTS: &[&str] = &[
    BALANCES,
    POSTINGS,
    HOLDS,
    ALL_PUT_ASIDE,
    ALL_COVERED,
    KUDOS_COUNTS,
    TRANSFERS,
    ALL_COOL,
    KEY_FILLS,
    MONTHLY_CHANGES,
    MONTHLY_PAYMENTS,
    ALL_DUE,
];
