//! What PostgreSQL fails at, without SQL, values or URLs; and what of it passes.

use std::time::Duration;

use tokio::time::Instant;

use crate::backend::Failure;

/// What went wrong.
#[derive(Debug, thiserror::Error)]
pub(super) enum Trouble {
    /// Nobody knows whether the last thing asked for was done.
    #[error("PostgreSQL does not answer: {0}")]
    Silent(String),
    /// It was not done.
    #[error("PostgreSQL refused: SQLSTATE {code} ({meaning}){constraint}")]
    Refused {
        /// SQLSTATE.
        code: String,
        /// What the state says, for those that operators meet.
        meaning: &'static str,
        /// The constraint in the way, if there is one.
        constraint: String,
    },
    /// It was not done because of what the records hold, or they hold what they cannot.
    #[error("{0}")]
    Wrong(Failure),
}

impl Trouble {
    /// Whether the same may well succeed a little later.
    pub fn is_passing(&self) -> bool {
        match self {
            Self::Silent(_) => true,
            Self::Refused { code, .. } => {
                // Serialisation, deadlock, lock and statement time-outs; a server that is starting,
                // stopping, out of something, or a standby until it is promoted.
                let whole = ["40001", "40P01", "55P03", "57014", "25006", "25P03"];
                whole.contains(&code.as_str())
                    || ["57P", "08", "53"].iter().any(|class| code.starts_with(class))
            }
            Self::Wrong(_) => false,
        }
    }

    /// Whether it may have been done all the same.
    pub fn is_uncertain(&self) -> bool {
        // A server that is told to stop says so in the middle of anything.
        matches!(self, Self::Silent(_))
            || matches!(self, Self::Refused { code, .. } if code.starts_with("57P"))
    }
}

impl From<sqlx::Error> for Trouble {
    fn from(error: sqlx::Error) -> Self {
        match error {
            sqlx::Error::Database(error) => {
                let code = error.code().unwrap_or_default().into_owned();
                let constraint = error.constraint().map(|name| format!(", constraint {name}"));
                Self::Refused { meaning: meaning(&code), code, constraint: constraint.unwrap_or_default() }
            }
            sqlx::Error::Io(error) => match error.get_ref().and_then(|cause| cause.downcast_ref()) {
                Some(rustls::Error::InvalidCertificate(why)) => {
                    Self::Wrong(format!("its certificate is not accepted: {why}").into())
                }
                Some(rustls::Error::AlertReceived(why)) => {
                    Self::Wrong(format!("TLS to PostgreSQL was refused: {why:?}").into())
                }
                _ => Self::Silent(error.kind().to_string()),
            },
            sqlx::Error::Tls(error) => {
                Self::Wrong(format!("TLS to PostgreSQL could not be set up: {error}").into())
            }
            sqlx::Error::PoolTimedOut => Self::Silent("no connection was free in time".into()),
            sqlx::Error::PoolClosed | sqlx::Error::WorkerCrashed => Self::Silent("it is closed".into()),
            sqlx::Error::Protocol(_) => Self::Silent("the connection is out of step".into()),
            sqlx::Error::ColumnNotFound(column) => Self::Wrong(format!("there is no column {column}").into()),
            sqlx::Error::ColumnDecode { index, .. } => {
                Self::Wrong(format!("column {index} holds what it cannot").into())
            }
            _ => Self::Wrong("PostgreSQL was used wrongly".into()),
        }
    }
}

impl From<Failure> for Trouble {
    fn from(failure: Failure) -> Self {
        Self::Wrong(failure)
    }
}

impl From<sqlx::migrate::MigrateError> for Trouble {
    fn from(error: sqlx::migrate::MigrateError) -> Self {
        use sqlx::migrate::MigrateError::{Execute, ExecuteMigration, VersionMismatch, VersionMissing};
        match error {
            Execute(error) | ExecuteMigration(error, _) => error.into(),
            VersionMissing(version) => Self::Wrong(
                format!(
                    "the database has migration {version}, which this version does not know: run a newer one"
                )
                .into(),
            ),
            VersionMismatch(version) => Self::Wrong(
                format!("migration {version} is not the one that the database was made with").into(),
            ),
            _ => Self::Wrong("the migrations could not be run".into()),
        }
    }
}

fn meaning(code: &str) -> &'static str {
    match code {
        "23505" => "there is one already",
        "23502" | "23514" | "22003" => "a value out of bounds",
        "28P01" | "28000" => "it does not know this user with this password",
        "3D000" => "there is no such database",
        "42501" => "this user may not do that",
        "25006" => "it is read-only",
        "40001" | "40P01" | "55P03" => "others were in the way",
        "57014" => "it took too long",
        "53100" => "its disk is full",
        "53300" => "it has too many connections",
        code if code.starts_with("57P") => "it is starting or stopping",
        _ => "see its log",
    }
}

/// Ends what takes too long.
pub(super) async fn within<T>(
    limit: Duration,
    work: impl Future<Output = Result<T, Trouble>>,
) -> Result<T, Trouble> {
    let ended = tokio::time::timeout(limit, work).await;
    ended.unwrap_or_else(|_| Err(Trouble::Silent(format!("no answer in {} s", limit.as_secs()))))
}

/// For how long what may be done twice is tried again. Longer than it takes to come upon all the
/// pooled connections that a restart of the server broke.
const PATIENCE: Duration = Duration::from_secs(3);

/// Does what may be done twice, each try within a limit, and again for a while if what went wrong
/// passes.
pub(super) async fn again<T, W>(limit: Duration, mut work: impl FnMut() -> W) -> Result<T, Trouble>
where
    W: Future<Output = Result<T, Trouble>>,
{
    let deadline = Instant::now() + PATIENCE;
    let mut pause = Duration::from_millis(5);
    loop {
        match within(limit, work()).await {
            Err(trouble) if trouble.is_passing() && Instant::now() + pause < deadline => {
                tracing::debug!(%trouble, "the database is asked again");
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(Duration::from_millis(100));
            }
            outcome => return outcome,
        }
    }
}
