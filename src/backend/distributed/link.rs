//! The connections to Redis, and what things are called there.
//!
//! Scripts of claims, event logs and wake-ups have a connection each: within one, commands are carried
//! out in the order in which they were given, and a large event does not hold up a claim. A command
//! that finds no connection fails at once; one that gets no answer in time may have been carried out
//! or not, or may be later, which is why every change is a script that does no harm twice.
//!
//! News of other brokers (the jobs' streams and logs) are read by one more connection per kind, in a
//! blocking `XREAD` without a default time-out: a client that blocks answers nothing else.

use std::{sync::Arc, time::Duration};

use fred::{
    clients::{Client, SubscriberClient},
    error::{Error, ErrorKind},
    interfaces::ClientLike,
    types::{ConnectHandle, Value},
};
use parking_lot::RwLock;
use tokio::task::JoinHandle;
use uuid::Uuid;

use super::{Unreachable, dial, scripts};
use crate::{
    backend::Failure,
    config::{SecretUrl, Store},
    domain::{RequestId, request::Kind},
};

/// Silence after which a broker is taken for dead.
pub(super) const SILENCE: Duration = Duration::from_secs(5);

/// The connections to Redis.
pub struct Link {
    commands: Client,
    logs: Client,
    subscriber: SubscriberClient,
    connections: Vec<ConnectHandle>,
    tasks: [JoinHandle<()>; 2],
    broker: String,
    url: SecretUrl,
    /// Brokers that live, this one among them, by their beats.
    living: RwLock<Vec<Arc<str>>>,
    streams: [String; Kind::COUNT],
    log_prefix: String,
}

impl Link {
    /// Connects.
    ///
    /// # Errors
    /// The URL is none, nobody answers ([`Unreachable`]), or the server is not fit: it may throw away what
    /// it holds (`maxmemory-policy`). The message names the server and never the password.
    pub async fn open(settings: &Store) -> Result<Arc<Self>, Failure> {
        let url = settings.redis_url.as_ref().ok_or("redis_url is not set")?;
        let builder = dial::builder(url)?;
        let (commands, logs) = (builder.build()?, builder.build()?);
        let subscriber = builder.build_subscriber_client()?;
        let begin = async { tokio::join!(commands.init(), logs.init(), subscriber.init()) };
        let began = tokio::time::timeout(dial::OPEN_TIMEOUT, begin)
            .await
            .map_err(|_| dial::told(url, Unreachable("it does not answer".into()).into()))?;
        let (began, failed): (Vec<_>, Vec<_>) =
            [began.0, began.1, began.2].into_iter().partition(Result::is_ok);
        // From here on dropping it ends its tasks, whatever fails.
        let link = Arc::new(Self {
            connections: began.into_iter().flatten().collect(),
            tasks: [
                subscriber.manage_subscriptions(),
                tokio::spawn(dial::keep_checking(commands.clone(), url.clone())),
            ],
            commands,
            logs,
            subscriber,
            url: url.clone(),
            broker: Uuid::new_v4().simple().to_string(),
            living: RwLock::default(),
            // By the index of the kind.
            streams: [
                settings.job_stream_image.clone(),
                settings.job_stream_text.clone(),
                settings.job_stream_video.clone(),
                settings.job_stream_alchemy.clone(),
            ],
            log_prefix: settings.stream_prefix.clone(),
        });
        match failed.into_iter().find_map(Result::err) {
            Some(error) => Err(dial::told(url, error.into())),
            None => dial::check(&link.commands).await.map(|()| link).map_err(|error| dial::told(url, error)),
        }
    }

    /// This broker's name, new with each start.
    pub fn broker(&self) -> &str {
        &self.broker
    }

    /// The names of all brokers that are alive, with spaces between.
    pub(super) fn living(&self) -> String {
        let mut names = self.broker.clone();
        for broker in self.living.read().iter().filter(|broker| ***broker != *self.broker) {
            names.push(' ');
            names.push_str(broker);
        }
        names
    }

    /// Brokers that live, by their beats.
    pub(super) fn brokers(&self) -> Vec<Arc<str>> {
        self.living.read().clone()
    }

    /// Tells this broker's name, and hears who else lives.
    ///
    /// # Errors
    /// Redis does not answer.
    pub async fn beat(&self) -> Result<(), Error> {
        let silence = i64::try_from(SILENCE.as_millis()).unwrap_or(i64::MAX);
        let arguments = vec![self.broker.as_str().into(), silence.into()];
        let living = scripts::BEAT.run(&self.logs, vec![self.beside("brokers")], arguments).await?;
        let living: Vec<String> = living.convert()?;
        *self.living.write() = living.into_iter().map(Arc::from).collect();
        Ok(())
    }

    /// A name beside the stream of images, for what is of no kind.
    pub(super) fn beside(&self, what: &str) -> String {
        format!("{{{}}}:{what}", self.streams[0])
    }

    /// A connection of its own, for reads that block.
    ///
    /// # Errors
    /// It cannot be made.
    pub(super) async fn reader(&self) -> Result<Reader, Failure> {
        let mut builder = dial::builder(&self.url)?;
        builder.with_performance_config(|performance| performance.default_command_timeout = Duration::ZERO);
        let client = builder.build()?;
        let connection = tokio::time::timeout(dial::OPEN_TIMEOUT, client.init())
            .await
            .map_err(|_| "Redis does not answer")??;
        Ok(Reader { client, connection })
    }

    /// Whether claims can be asked for at present.
    pub(super) fn is_up(&self) -> bool {
        self.commands.is_connected()
    }

    /// For scripts of claims.
    pub(super) fn commands(&self) -> &Client {
        &self.commands
    }

    /// For event logs.
    pub(super) fn logs(&self) -> &Client {
        &self.logs
    }

    /// For wake-ups.
    pub(super) fn subscriber(&self) -> &SubscriberClient {
        &self.subscriber
    }

    /// The keys of a kind: stream, open, expiry, log, generation. All in one slot of a cluster.
    pub(super) fn lane_keys(&self, kind: Kind) -> Vec<String> {
        let stream = &self.streams[kind.index()];
        let beside = |what: &str| format!("{{{stream}}}:{what}");
        vec![stream.clone(), beside("open"), beside("expiry"), beside("log"), beside("generation")]
    }

    /// The name of a request's log; also of the channel on which its appends are told.
    pub(super) fn log_name(&self, request: RequestId) -> String {
        format!("{}{request}", self.log_prefix)
    }

    /// The request whose log has this name.
    pub(super) fn request_of(&self, log_name: &str) -> Option<RequestId> {
        RequestId::parse(log_name.strip_prefix(&self.log_prefix)?)
    }

    /// The keys of a request's log: log, at. Both in one slot of a cluster.
    pub(super) fn log_keys(&self, request: RequestId) -> Vec<String> {
        let name = self.log_name(request);
        let at = format!("{{{name}}}:at");
        vec![name, at]
    }

    /// Runs a script of claims.
    pub(super) async fn run(
        &self,
        script: &scripts::Script,
        keys: Vec<String>,
        arguments: Vec<Value>,
    ) -> Result<Value, Error> {
        script.run(&self.commands, keys, arguments).await
    }
}

/// A connection whose reads may block.
pub(super) struct Reader {
    pub client: Client,
    connection: ConnectHandle,
}

impl Drop for Reader {
    fn drop(&mut self) {
        self.connection.abort();
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
        for connection in &self.connections {
            connection.abort();
        }
    }
}

/// Logs why something failed that is tried again. What comes of Redis being away is expected, and would be
/// said by everybody who waits for it.
pub(super) fn complain(error: &Error, what: &str) {
    match error.kind() {
        ErrorKind::IO | ErrorKind::Timeout | ErrorKind::Canceled | ErrorKind::Backpressure => {
            tracing::debug!(%error, "{what}");
        }
        _ => tracing::warn!(%error, "{what}"),
    }
}
