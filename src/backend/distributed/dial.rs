//! How Redis is reached: what a URL says, TLS, and whether a server is fit for us.
//!
//! ```text
//!  redis://[user:password@]host[:6379][/database]
//!  redis-cluster://host:port[?node=host:port…]                      any node tells of the others
//!  redis-sentinel://host[:26379][/database]?sentinelServiceName=name[&node=host:port…]
//!  rediss…://…[?ssl_ca_certs=FILE][&ssl_certfile=FILE&ssl_keyfile=FILE]   the same over TLS
//! ```

use std::{net::IpAddr, path::Path, time::Duration};

use fred::{
    clients::Client,
    error::{Error, ErrorKind},
    interfaces::{ClientLike, ClusterInterface, EventInterface},
    types::{
        Builder,
        config::{
            Config, ReconnectPolicy, TcpConfig, TlsConfig, TlsConnector, TlsHostMapping, UnresponsiveConfig,
        },
    },
};
use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
};
use tokio::sync::broadcast::error::RecvError;

use crate::{
    backend::{Failure, distributed::Unreachable},
    config::SecretUrl,
};

/// How long a command may take before its outcome counts as unknown.
const COMMAND_TIMEOUT: Duration = Duration::from_millis(1500);
/// How long one connection attempt may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// How long the first connections may take in all: a cluster's nodes are tried one after the other.
pub(super) const OPEN_TIMEOUT: Duration = Duration::from_secs(6);
/// A connection that owes an answer for longer is given up and made anew.
const SILENT_FOR: Duration = Duration::from_secs(4);
/// Longest wait between two attempts to connect, in milliseconds.
const RECONNECT_MS: u32 = 500;
/// Commands that may wait in this process; past it they fail. More than the dispatches of a second.
const BUFFERED_COMMANDS: usize = 100_000;
/// Wake-ups that may wait to be passed on. One that is dropped costs a reader a second.
const BUFFERED_MESSAGES: usize = 16_384;

/// Makes clients for a URL.
///
/// # Errors
/// It cannot be read, or names a certificate that cannot.
pub(super) fn builder(url: &SecretUrl) -> Result<Builder, Failure> {
    let mut builder = Builder::from_config(config(url)?);
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

fn config(url: &SecretUrl) -> Result<Config, Failure> {
    // The library's errors may quote what they could not read.
    let unreadable = "redis_url cannot be read; write it as redis://:password@host:6379/0, \
         redis-cluster://host:port?node=host:port or \
         redis-sentinel://host:26379/0?sentinelServiceName=name&node=host:port";
    let text = url.expose();
    let (plain, has_tls) = match text.strip_prefix("rediss") {
        // Read without TLS, whose certificates it would take from the system before we can say otherwise.
        Some(rest) => (format!("redis{rest}"), true),
        None => (text.to_owned(), false),
    };
    let mut config = Config::from_url(&plain).map_err(|_| unreadable)?;
    config.tls = if has_tls { Some(tls(text)?) } else { None };
    Ok(config)
}

fn tls(url: &str) -> Result<TlsConfig, Failure> {
    let mut files = Files::default();
    let query = url.split_once('?').map_or("", |(_, query)| query);
    for (key, value) in form_urlencoded::parse(query.as_bytes()) {
        match &*key {
            "ssl_ca_certs" => files.authorities = Some(value.into_owned()),
            "ssl_certfile" => files.certificate = Some(value.into_owned()),
            "ssl_keyfile" => files.key = Some(value.into_owned()),
            _ => {}
        }
    }
    let builder = ClientConfig::builder().with_root_certificates(files.roots()?);
    let config = match files.identity()? {
        Some((chain, key)) => builder
            .with_client_auth_cert(chain, key)
            .map_err(|error| format!("ssl_certfile and ssl_keyfile do not fit together: {error}"))?,
        None => builder.with_no_client_auth(),
    };
    // A cluster tells its nodes by address. Their certificates go by the name that the URL has, if it
    // has one.
    let authority = url.split_once("://").map_or("", |(_, rest)| rest);
    let authority = authority.split(['/', '?']).next().unwrap_or_default();
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    let is_address =
        host.starts_with('[') || host.split(':').next().is_some_and(|host| host.parse::<IpAddr>().is_ok());
    let hostnames = if is_address { TlsHostMapping::None } else { TlsHostMapping::DefaultHost };
    Ok(TlsConfig { connector: TlsConnector::from(config), hostnames })
}

/// Files with certificates that a URL names.
#[derive(Default)]
struct Files {
    authorities: Option<String>,
    certificate: Option<String>,
    key: Option<String>,
}

impl Files {
    /// Who may vouch for the server: the file's authorities alone, or else the system's.
    fn roots(&self) -> Result<RootCertStore, Failure> {
        let mut roots = RootCertStore::empty();
        match &self.authorities {
            Some(path) => {
                for certificate in certificates("ssl_ca_certs", path)? {
                    let added = roots.add(certificate);
                    added
                        .map_err(|error| format!("ssl_ca_certs {path} holds a wrong certificate: {error}"))?;
                }
            }
            None => {
                roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
            }
        }
        Ok(roots)
    }

    /// What we show to a server that asks who we are.
    fn identity(&self) -> Result<Option<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>)>, Failure> {
        match (&self.certificate, &self.key) {
            (Some(certificate), Some(key)) => {
                let chain = certificates("ssl_certfile", certificate)?;
                let key = PrivateKeyDer::from_pem_file(Path::new(key))
                    .map_err(|error| format!("ssl_keyfile {key} cannot be read: {error}"))?;
                Ok(Some((chain, key)))
            }
            (None, None) => Ok(None),
            _ => Err("redis_url names one of ssl_certfile and ssl_keyfile; name both, or none".into()),
        }
    }
}

fn certificates(what: &str, path: &str) -> Result<Vec<CertificateDer<'static>>, Failure> {
    let read =
        CertificateDer::pem_file_iter(Path::new(path)).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    let read = read.map_err(|error| format!("{what} {path} cannot be read: {error}"))?;
    if read.is_empty() {
        Err(format!("{what} {path} holds no certificate in PEM form").into())
    } else {
        Ok(read)
    }
}

/// Looks whether every server is fit: of a cluster, each that takes writes.
///
/// # Errors
/// One is not; [`Unreachable`] if that may pass.
pub(super) async fn check(client: &Client) -> Result<(), Failure> {
    if !client.is_clustered() {
        let info: String = client.info(None).await?;
        return fitness(&info, false);
    }
    let nodes = client.cached_cluster_state().map(|state| state.unique_primary_nodes()).unwrap_or_default();
    for node in nodes {
        let info: String = client.with_cluster_node(node.clone()).info(None).await?;
        fitness(&info, true).map_err(|failure| match failure.downcast::<Unreachable>() {
            Ok(passing) => Failure::from(Unreachable(format!("its node {node}: {passing}"))),
            Err(failure) => format!("its node {node}: {failure}").into(),
        })?;
    }
    Ok(())
}

/// What the server says of itself, in lines of `name:value`.
fn fitness(info: &str, is_cluster: bool) -> Result<(), Failure> {
    let said = |name: &str| {
        let mut lines = info.lines().filter_map(|line| line.split_once(':'));
        lines.find(|(key, _)| *key == name).map_or("", |(_, value)| value.trim())
    };
    // One that throws keys away when its memory is full would lose jobs without a word.
    let policy = said("maxmemory_policy");
    if policy != "noeviction" {
        return Err(format!(
            "it has the maxmemory-policy {policy:?} and would drop jobs when its memory is full; \
             set it to noeviction"
        )
        .into());
    }
    if said("cluster_enabled") == "1" && !is_cluster {
        return Err("it is a node of a cluster; let redis_url begin with redis-cluster://".into());
    }
    if said("role") == "slave" {
        return Err(Unreachable("it is a replica".into()).into());
    }
    Ok(())
}

/// Looks again at servers that come later: one that took over from another may be set up in another way.
pub(super) async fn keep_checking(client: Client, url: SecretUrl) {
    let mut reconnects = client.reconnect_rx();
    // Whoever missed some of them looks at all servers just the same.
    while !matches!(reconnects.recv().await, Err(RecvError::Closed)) {
        if let Err(failure) = check(&client).await.map_err(|failure| told(&url, failure))
            && !failure.is::<Unreachable>()
        {
            tracing::error!("{failure}");
        }
    }
}

/// Tells of a failure, with the server and without a password.
pub(super) fn told(url: &SecretUrl, failure: Failure) -> Failure {
    let cause = failure.downcast_ref().map_or_else(|| failure.to_string(), plain);
    let text = format!("Redis at {url} cannot be used: {cause}");
    let is_passing = failure.is::<Unreachable>() || failure.downcast_ref().is_some_and(is_passing);
    if is_passing { Unreachable(text).into() } else { text.into() }
}

/// What an error says, without what the library wraps around it: a kind, and how Rust shows I/O errors.
fn plain(error: &Error) -> String {
    let text = error.details();
    if let Some((message, _)) = text.split_once("message: \"").and_then(|(_, rest)| rest.split_once('"')) {
        return message.to_owned();
    }
    let inner = text.split_once("error: ").filter(|_| text.starts_with("Custom {"));
    inner.map_or(text, |(_, inner)| inner.trim_end_matches([' ', '}'])).to_owned()
}

/// Whether the same may well succeed a little later. What the server itself refused will not, but for what
/// it says while it starts, or has too much to do.
pub(super) fn is_passing(error: &Error) -> bool {
    const PASSING: [&str; 6] =
        ["LOADING", "MASTERDOWN", "CLUSTERDOWN", "BUSY", "TRYAGAIN", "ERR max number of clients"];
    // However it is wrapped up: by a sentinel client, say.
    const LASTING: [&str; 6] =
        ["WRONGPASS", "NOAUTH", "NOPERM", "ERR AUTH", "InvalidCertificate", "AlertReceived"];
    let text = error.details();
    if LASTING.iter().any(|word| text.contains(word)) {
        return false;
    }
    if PASSING.iter().any(|word| text.starts_with(word)) {
        return true;
    }
    let first = text.split(' ').next().unwrap_or_default();
    let is_refusal = first.len() > 2 && first.bytes().all(|byte| byte.is_ascii_uppercase());
    match error.kind() {
        ErrorKind::Config
        | ErrorKind::Url
        | ErrorKind::Auth
        | ErrorKind::Tls
        | ErrorKind::InvalidArgument
        | ErrorKind::InvalidCommand => false,
        _ => !is_refusal,
    }
}

#[cfg(test)]
mod tests {
    use fred::types::config::ServerConfig;

    use super::*;

    #[test]
    fn what_passes_is_told_from_what_stays() {
        for (kind, text, passes) in [
            (ErrorKind::IO, "Os { code: 111, kind: ConnectionRefused }", true),
            (ErrorKind::Timeout, "Request timed out.", true),
            (ErrorKind::Unknown, "LOADING Redis is loading the dataset in memory", true),
            (ErrorKind::Unknown, "ERR max number of clients reached", true),
            (ErrorKind::Cluster, "CLUSTERDOWN The cluster is down", true),
            (ErrorKind::Sentinel, "Failed to connect to all sentinel nodes.", true),
            (ErrorKind::Auth, "WRONGPASS invalid username-password pair or user is disabled.", false),
            (ErrorKind::Sentinel, "NOAUTH Authentication required.", false),
            (ErrorKind::Unknown, "ERR AUTH <password> called without any password configured", false),
            (ErrorKind::Unknown, "NOPERM this user has no permissions to run the 'info' command", false),
            (ErrorKind::Unknown, "ERR DB index is out of range", false),
            (ErrorKind::Config, "ERR This instance has cluster support disabled", false),
            (ErrorKind::IO, "Custom { kind: InvalidData, error: InvalidCertificate(UnknownIssuer) }", false),
        ] {
            assert_eq!(is_passing(&Error::new(kind, text)), passes, "{text}");
        }
    }

    #[test]
    fn a_failure_is_told_with_its_server_and_in_plain_words() {
        let url = SecretUrl::new("redis://:s3cret@cache:6379/0");
        for (text, words) in [
            (
                "Os { code: 111, kind: ConnectionRefused, message: \"Connection refused\" }",
                "Connection refused",
            ),
            (
                "Custom { kind: InvalidData, error: InvalidCertificate(UnknownIssuer) }",
                "InvalidCertificate(UnknownIssuer)",
            ),
            ("NOAUTH Authentication required.", "NOAUTH Authentication required."),
        ] {
            let told = told(&url, Error::new(ErrorKind::IO, text).into()).to_string();
            assert_eq!(told, format!("Redis at redis://:***@cache:6379/0 cannot be used: {words}"));
        }
    }

    #[test]
    fn a_server_says_itself_whether_it_is_fit() {
        let info = |policy: &str, cluster: &str, role: &str| {
            format!(
                "# Memory\r\nmaxmemory_policy:{policy}\r\nrole:{role}\r\n# Cluster\r\ncluster_enabled:{cluster}\r\n"
            )
        };
        assert!(fitness(&info("noeviction", "0", "master"), false).is_ok());
        assert!(fitness(&info("noeviction", "1", "master"), true).is_ok());
        for (info, words, passes) in [
            (info("allkeys-lru", "0", "master"), "noeviction", false),
            (info("noeviction", "1", "master"), "redis-cluster://", false),
            (info("noeviction", "0", "slave"), "replica", true),
            (String::new(), "noeviction", false),
        ] {
            let failure = fitness(&info, false).unwrap_err();
            assert!(failure.to_string().contains(words), "{failure}");
            assert_eq!(failure.is::<Unreachable>(), passes, "{failure}");
        }
    }

    #[test]
    fn urls_say_which_servers_and_how() {
        // A provider that is installed already serves as well.
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let read = |url: &str| config(&SecretUrl::new(url));
        let plain = read("redis://:s3cret@cache/2").unwrap();
        assert_eq!(
            (plain.database, plain.password.as_deref(), plain.tls.is_some()),
            (Some(2), Some("s3cret"), false)
        );
        let cluster = read("rediss-cluster://u:s3cret@a.example:7000?node=b.example:7001").unwrap();
        assert!(matches!(&cluster.server, ServerConfig::Clustered { hosts, .. } if hosts.len() == 2));
        assert_eq!(cluster.tls.map(|tls| tls.hostnames), Some(TlsHostMapping::DefaultHost));
        let by_address = read("rediss-cluster://u:s3cret@127.0.0.1:7000").unwrap();
        assert_eq!(by_address.tls.map(|tls| tls.hostnames), Some(TlsHostMapping::None));
        let sentinel = read("redis-sentinel://a:1?sentinelServiceName=grid&node=b:2").unwrap();
        assert!(
            matches!(&sentinel.server, ServerConfig::Sentinel { service_name, .. } if service_name == "grid")
        );
        for (url, words) in [
            ("redis-sentinel://u:s3cret@a:1", "sentinelServiceName"),
            ("redis://u:s3cret@host:port", "redis://:password@host"),
            ("redis-cluster://u:s3cret@a:1?node=b", "node=host:port"),
            ("rediss://u:s3cret@a?ssl_ca_certs=/missing.pem", "ssl_ca_certs /missing.pem"),
            ("rediss://u:s3cret@a?ssl_certfile=/missing.pem", "name both"),
        ] {
            let failure = read(url).expect_err(url).to_string();
            assert!(failure.contains(words) && !failure.contains("s3cret"), "{failure}");
        }
    }
}
