//! TLS to both servers, by certificates of an authority that only the URL vouches for.

use gridbroker::{config::SecretUrl, server::Server};

use super::{broker, takes_a_text};
use crate::harness::{Authority, Broker, Cluster, Home, PostgresServer, Queue, Redis, by_url, tls_query};

/// A Redis that speaks TLS alone, reached by this URL's end.
struct Secured {
    redis: Redis,
    query: String,
}

impl Queue for Secured {
    fn settings(&self) -> gridbroker::config::Store {
        by_url(format!("rediss://127.0.0.1:{}/1?{}", self.redis.port(), self.query))
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_text_goes_its_way_over_redis_with_tls() {
    let authority = Authority::new();
    let redis = Redis::secured(&authority, &[]);
    let broker = broker(Secured { redis, query: tls_query(&authority) }).await;
    takes_a_text(&broker).await;
    broker.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_text_goes_its_way_over_a_redis_cluster_with_tls() {
    let authority = Authority::new();
    let broker = broker(Cluster::secured(&authority)).await;
    takes_a_text(&broker).await;
    broker.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_text_goes_its_way_over_postgresql_with_tls_and_every_connection_has_it() {
    let authority = Authority::new();
    let server = PostgresServer::secured(&authority);
    let database = server.database().await;
    let query = format!("?sslmode=verify-full&sslrootcert={}", authority.authority().display());
    let url = SecretUrl::new(format!("{}{query}", server.url(&database).expose()));
    let broker = Broker::over(Home::over(url, Redis::start()), |_| {}).await;
    takes_a_text(&broker).await;
    let mut connection = server.connection(&database).await;
    let (all, secure): (i64, i64) = sqlx::query_as(
        "SELECT count(*), count(*) FILTER (WHERE ssl) FROM pg_stat_activity JOIN pg_stat_ssl USING (pid) \
         WHERE application_name = 'gridbroker'",
    )
    .fetch_one(&mut connection)
    .await
    .unwrap();
    assert!(all > 2 && all == secure, "{secure} of {all}");
    broker.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_nobody_vouches_for_is_refused_at_once() {
    let (authority, stranger) = (Authority::new(), Authority::new());
    let server = PostgresServer::secured(&authority);
    let database = server.url(&server.database().await).expose().to_owned();
    let ca = |authority: &Authority| authority.authority().display().to_string();
    let secured = Secured { redis: Redis::secured(&authority, &[]), query: tls_query(&authority) };
    let (good, bad) = (ca(&authority), ca(&stranger));
    let by_name = database.replace("127.0.0.1", "localhost.localdomain");
    for (database, query, words) in [
        (&database, format!("sslmode=verify-full&sslrootcert={bad}"), "certificate is not accepted"),
        (&database, format!("sslmode=verify-full&sslrootcert={good}.missing"), "cannot be read"),
        (&database, "sslmode=verify-full".to_owned(), "certificate is not accepted"),
        // The name is not the certificate's, wherever it leads.
        (&by_name, format!("sslmode=verify-full&host=127.0.0.1&sslrootcert={good}"), ""),
    ] {
        let mut config = gridbroker::config::Config::for_testing();
        let dir = tempfile::tempdir().unwrap();
        config.store = secured.settings();
        config.store.data = dir.path().to_owned();
        config.store.database_url = Some(SecretUrl::new(format!("{database}?{query}")));
        let started = Server::start(config).await;
        if words.is_empty() {
            started.expect("the address is the certificate's");
            continue;
        }
        let error = format!("{:#}", started.err().expect(words));
        assert!(error.contains(words) && !error.contains("a-test-password"), "{error}");
    }
    for (query, words) in [
        (tls_query(&authority).replace(&good, &bad), "UnknownIssuer"),
        (String::new(), "UnknownIssuer"),
        // The server wants to know who we are.
        (format!("ssl_ca_certs={good}"), "ertificate"),
    ] {
        let settings = by_url(format!("rediss://127.0.0.1:{}?{query}", secured.redis.port()));
        let error = gridbroker::backend::distributed::Link::open(&settings).await.err().expect(words);
        assert!(error.to_string().contains(words), "{error}");
        assert!(!gridbroker::backend::distributed::is_passing(&error), "{error}");
    }
}
