//! Where the broker keeps what it must not lose.

use std::path::PathBuf;

use super::{Complaints, SecretUrl};

/// A server, a cluster, or a server that sentinels know of; with a second `s`, over TLS.
const REDIS_SCHEMES: &[&str] =
    &["redis", "rediss", "redis-cluster", "rediss-cluster", "redis-sentinel", "rediss-sentinel"];

/// The embedded store's directory, or the servers of the distributed one.
#[derive(Clone, PartialEq, Debug)]
pub struct Store {
    /// Directory of the embedded store. Made if missing.
    pub data: PathBuf,
    /// PostgreSQL; set if and only if `redis_url` is. `None`: the embedded store.
    pub database_url: Option<SecretUrl>,
    /// Most connections of this broker to PostgreSQL, 8 to 1000. What it needs for itself (batches,
    /// leadership) is among them; the rest serves reads and objects.
    pub database_connections: u32,
    /// Redis, a cluster (`redis-cluster://`) or by sentinels (`redis-sentinel://`); set if and only if `database_url` is. `None`: the embedded store.
    pub redis_url: Option<SecretUrl>,
    /// Redis stream of image jobs.
    pub job_stream_image: String,
    /// Redis stream of text jobs.
    pub job_stream_text: String,
    /// Redis stream of video jobs.
    pub job_stream_video: String,
    /// Redis stream of alchemy jobs.
    pub job_stream_alchemy: String,
    /// What the Redis stream of a request's events is called, before the request's ID.
    pub stream_prefix: String,
}

impl Default for Store {
    fn default() -> Self {
        Self {
            data: "./data".into(),
            database_url: None,
            database_connections: 30,
            redis_url: None,
            job_stream_image: "jobs:image".into(),
            job_stream_text: "jobs:text".into(),
            job_stream_video: "jobs:video".into(),
            job_stream_alchemy: "jobs:alchemy".into(),
            stream_prefix: "stream:".into(),
        }
    }
}

impl Store {
    pub(super) fn check(&self, complaints: &mut Complaints) {
        if self.data.as_os_str().is_empty() {
            complaints.about("data", "is empty; name a directory");
        }
        check_scheme("database_url", self.database_url.as_ref(), &["postgres", "postgresql"], complaints);
        check_scheme("redis_url", self.redis_url.as_ref(), REDIS_SCHEMES, complaints);
        match (&self.database_url, &self.redis_url) {
            (Some(_), None) => complaints.about(
                "database_url",
                "set without redis_url; set both for the distributed store, or none for the embedded one",
            ),
            (None, Some(_)) => complaints.about(
                "redis_url",
                "set without database_url; set both for the distributed store, or none for the embedded one",
            ),
            (Some(_), Some(_)) | (None, None) => {}
        }
        if !(8..=1000).contains(&self.database_connections) {
            complaints.about("database_connections", "must be from 8 to 1000");
        }
        let streams = [
            ("job_stream_image", &self.job_stream_image),
            ("job_stream_text", &self.job_stream_text),
            ("job_stream_video", &self.job_stream_video),
            ("job_stream_alchemy", &self.job_stream_alchemy),
        ];
        for (i, (key, name)) in streams.iter().enumerate() {
            if name.is_empty() || name.contains(['{', '}']) {
                complaints.about(key, "must be a name without braces");
            }
            if let Some((twin, _)) = streams[..i].iter().find(|(_, other)| other == name) {
                complaints.about(key, format!("is the same stream as {twin}; give each kind its own"));
            }
        }
        if self.stream_prefix.is_empty() || self.stream_prefix.contains(['{', '}']) {
            complaints.about("stream_prefix", "must be a name without braces");
        }
    }
}

fn check_scheme(key: &'static str, url: Option<&SecretUrl>, schemes: &[&str], complaints: &mut Complaints) {
    let Some(url) = url else { return };
    let scheme = url.expose().split_once("://").map(|(scheme, _)| scheme);
    if !scheme.is_some_and(|scheme| schemes.contains(&scheme)) {
        complaints.about(key, format!("must begin with {}://", schemes.join(":// or ")));
    }
}
