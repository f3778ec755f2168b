//! Several Redis servers that belong together: a cluster, or a primary with a replica and a sentinel.

use gridbroker::config::Store;

use super::{
    Authority,
    redis::{Queue, Redis, by_url, free_port, wait_until},
};

/// Slots of every cluster.
const SLOTS: usize = 16_384;

/// A cluster of three, without replicas.
pub struct Cluster {
    /// The nodes, each with a third of the slots.
    pub nodes: Vec<Redis>,
    /// Scheme and query of its URL.
    url: (&'static str, String),
}

impl Cluster {
    /// An empty one.
    pub fn start() -> Self {
        Self::of(Redis::with_flags, ("redis-cluster", String::new()))
    }

    /// An empty one that speaks TLS alone.
    pub fn secured(authority: &Authority) -> Self {
        let start = |flags: &[&str]| Redis::secured(authority, &[flags, &["--tls-cluster", "yes"]].concat());
        Self::of(start, ("rediss-cluster", tls_query(authority)))
    }

    fn of(start: impl Fn(&[&str]) -> Redis, url: (&'static str, String)) -> Self {
        let buses = [free_port(), free_port(), free_port()];
        let nodes = buses.map(|bus| {
            let bus = bus.to_string();
            let flags =
                ["--cluster-enabled", "yes", "--cluster-port", &bus, "--cluster-node-timeout", "2000"];
            start(&flags)
        });
        for (i, node) in nodes.iter().enumerate() {
            let [from, to] = [i, i + 1].map(|third| (third * SLOTS).div_ceil(nodes.len()));
            let (from, to, epoch) = (from.to_string(), (to - 1).to_string(), (i + 1).to_string());
            assert_eq!(node.says(&["CLUSTER", "ADDSLOTSRANGE", &from, &to]), "OK");
            assert_eq!(node.says(&["CLUSTER", "SET-CONFIG-EPOCH", &epoch]), "OK");
        }
        for (node, bus) in nodes.iter().zip(buses).skip(1) {
            let (port, bus) = (node.port().to_string(), bus.to_string());
            assert_eq!(nodes[0].says(&["CLUSTER", "MEET", "127.0.0.1", &port, &bus]), "OK");
        }
        let cluster = Self { nodes: nodes.into(), url };
        cluster.is_whole();
        cluster
    }

    /// Waits until every node knows of all others, and that all slots are served.
    pub fn is_whole(&self) {
        wait_until(|| {
            self.nodes.iter().all(|node| {
                let info = node.says(&["CLUSTER", "INFO"]);
                info.contains("cluster_state:ok") && info.contains("cluster_known_nodes:3")
            })
        });
    }
}

impl Queue for Cluster {
    fn settings(&self) -> Store {
        let [first, rest @ ..] = self.nodes.as_slice() else { unreachable!("there are three") };
        let (scheme, query) = &self.url;
        let others: Vec<_> = rest.iter().map(|node| format!("node=127.0.0.1:{}", node.port())).collect();
        by_url(format!("{scheme}://127.0.0.1:{}?{}{query}", first.port(), others.join("&")))
    }
}

/// What a URL adds to be believed and to believe.
pub fn tls_query(authority: &Authority) -> String {
    let (ca, cert, key) = (authority.authority(), authority.certificate(), authority.key());
    format!("&ssl_ca_certs={}&ssl_certfile={}&ssl_keyfile={}", ca.display(), cert.display(), key.display())
}

/// A primary, its replica, and a sentinel that watches over them.
pub struct Watched {
    /// The two servers; the first begins as the primary.
    pub servers: [Redis; 2],
    sentinel: Redis,
}

impl Watched {
    /// Both empty, the second following the first.
    pub fn start() -> Self {
        let primary = Redis::start();
        let replica = Redis::with_flags(&["--replicaof", "127.0.0.1", &primary.port().to_string()]);
        wait_until(|| replica.says(&["INFO", "replication"]).contains("master_link_status:up"));
        let sentinel = Redis::sentinel();
        let port = primary.port().to_string();
        assert_eq!(sentinel.says(&["SENTINEL", "MONITOR", "grid", "127.0.0.1", &port, "1"]), "OK");
        for (option, value) in [("down-after-milliseconds", "500"), ("failover-timeout", "5000")] {
            assert_eq!(sentinel.says(&["SENTINEL", "SET", "grid", option, value]), "OK");
        }
        wait_until(|| sentinel.says(&["SENTINEL", "REPLICAS", "grid"]).contains(&replica.port().to_string()));
        Self { servers: [primary, replica], sentinel }
    }

    /// Port of the server that the sentinel takes for the primary.
    pub fn primary(&self) -> u16 {
        let address = self.sentinel.says(&["SENTINEL", "GET-MASTER-ADDR-BY-NAME", "grid"]);
        address.lines().nth(1).and_then(|port| port.parse().ok()).expect("it knows one")
    }
}

impl Queue for Watched {
    fn settings(&self) -> Store {
        by_url(format!("redis-sentinel://127.0.0.1:{}?sentinelServiceName=grid", self.sentinel.port()))
    }
}
