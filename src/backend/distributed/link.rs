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
    types::{
        Builder, ConnectHandle, InfoKind, Value,
        config::{Config, ReconnectPolicy, TcpConfig, UnresponsiveConfig},
    },
};
use parking_lot::RwLock;
use tokio::task::JoinHandle;
use uuid::Uuid;

use super::scripts;
use crate::{
    backend::Failure,
    config::{SecretUrl, Store},
    domain::{RequestId, request::Kind},
};

/// How long a command may take before its outcome counts as unknown.
const COMMAND_TIMEOUT: Duration = Duration::from_millis(1500);
/// How long one connection attempt may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// Silence after which a broker is taken for dead.
pub(super) const SILENCE: Duration = Duration::from_secs(5);
/// A connection that owes an answer for longer is given up and made anew.
const SILENT_FOR: Duration = Duration::from_secs(4);
/// Longest wait between two attempts to connect, in milliseconds.
const RECONNECT_MS: u32 = 500;
/// Commands that may wait in this process; past it they fail. More than the dispatches of a second.
const BUFFERED_COMMANDS: usize = 100_000;
/// Wake-ups that may wait to be passed on. One that is dropped costs a reader a second.
const BUFFERED_MESSAGES: usize = 16_384;

/// The connections to Redis.
pub struct Link {
    commands: Client,
    logs: Client,
    subscriber: SubscriberClient,
    connections: Vec<ConnectHandle>,
    subscriptions: JoinHandle<()>,
    broker: String,
    url: SecretUrl,
    /// Brokers that live, this one among them, by their beats.
    living: RwLock<Vec<Arc<str>>>,
    streams: [String; 2],
    log_prefix: String,
}

impl Link {
    /// Connects.
    ///
    /// # Errors
    /// The URL is none, nobody answers, or the server may throw away what it holds (`maxmemory-policy`).
    pub async fn open(settings: &Store) -> Result<Arc<Self>, Failure> {
        let url = settings.redis_url.as_ref().ok_or("redis_url is not set")?;
        let builder = builder(url.expose())?;
        let (commands, logs) = (builder.build()?, builder.build()?);
        let subscriber = builder.build_subscriber_client()?;
        // From here on dropping it ends its tasks, whatever fails.
        let link = Arc::new(Self {
            connections: vec![commands.connect(), logs.connect(), subscriber.connect()],
            subscriptions: subscriber.manage_subscriptions(),
            commands,
            logs,
            subscriber,
            url: url.clone(),
            broker: Uuid::new_v4().simple().to_string(),
            living: RwLock::default(),
            streams: [settings.job_stream_image.clone(), settings.job_stream_text.clone()],
            log_prefix: settings.stream_prefix.clone(),
        });
        let connected = async {
            connected(&link.commands).await?;
            connected(&link.logs).await?;
            connected(&link.subscriber).await
        };
        let patience = CONNECT_TIMEOUT * 2;
        tokio::time::timeout(patience, connected).await.map_err(|_| "Redis does not answer")??;
        link.check_memory_policy().await?;
        Ok(link)
    }

    /// A server that throws keys away when its memory is full would lose jobs without a word.
    async fn check_memory_policy(&self) -> Result<(), Failure> {
        let info: String = self.commands.info(Some(InfoKind::Memory)).await?;
        let policy =
            info.lines().find_map(|line| line.strip_prefix("maxmemory_policy:")).unwrap_or("").trim();
        if policy != "noeviction" {
            return Err(format!(
                "Redis has the maxmemory-policy {policy:?} and would drop jobs when its memory is full; \
                 set it to noeviction"
            )
            .into());
        }
        Ok(())
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
        let mut builder = builder(self.url.expose())?;
        builder.with_performance_config(|performance| performance.default_command_timeout = Duration::ZERO);
        let client = builder.build()?;
        let connection = client.connect();
        tokio::time::timeout(CONNECT_TIMEOUT * 2, connected(&client))
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
        self.subscriptions.abort();
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

/// Waits for a client's connection, or for what prevents it. The client's own word of it is missed if it
/// comes just when one begins to wait, so its state is looked at too.
async fn connected(client: &impl ClientLike) -> Result<(), Error> {
    let looking = async {
        while !client.is_connected() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::select! {
        biased;
        () = looking => Ok(()),
        outcome = client.wait_for_connect() => outcome,
    }
}

fn builder(url: &str) -> Result<Builder, Failure> {
    let mut builder = Builder::from_config(Config::from_url(url)?);
    builder
        .set_policy(ReconnectPolicy::new_exponential(0, 50, RECONNECT_MS, 2))
        .with_connection_config(|connection| {
            connection.connection_timeout = CONNECT_TIMEOUT;
            connection.internal_command_timeout = CONNECT_TIMEOUT;
            // A command that was cut off is unknown; to try it again is for those who gave it.
            connection.max_command_attempts = 1;
            connection.max_command_buffer_len = BUFFERED_COMMANDS;
            connection.unresponsive =
                UnresponsiveConfig { max_timeout: Some(SILENT_FOR), interval: Duration::from_millis(500) };
            connection.reconnect_on_auth_error = true;
            connection.auto_client_setname = true;
            connection.tcp = TcpConfig { nodelay: Some(true), ..TcpConfig::default() };
        })
        .with_performance_config(|performance| {
            // `with_options` does not reach scripts, so what holds for them holds for all.
            performance.default_command_timeout = COMMAND_TIMEOUT;
            performance.broadcast_channel_capacity = BUFFERED_MESSAGES;
        });
    Ok(builder)
}
