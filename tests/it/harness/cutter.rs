//! A proxy that cuts each connection after some bytes, wherever that is.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
};

use rand::{RngExt, SeedableRng, rngs::StdRng};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::JoinSet,
};

/// Once it has relented one connection in so many gets much more than the others.
const FEW: u32 = 20;
const MUCH: usize = 1 << 20;

/// Stands before a broker. Its connections end with it.
pub struct Cutter {
    address: SocketAddr,
    cuts: Arc<AtomicUsize>,
    has_relented: Arc<AtomicBool>,
    _tasks: JoinSet<()>,
}

impl Cutter {
    /// Before the broker at a URL. Connections get fewer bytes than `most` from it.
    pub async fn before(url: &str, most: usize, seed: u64) -> Self {
        let target: SocketAddr =
            url.trim_start_matches("http://").trim_end_matches('/').parse().expect("a URL of an address");
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port is free");
        let address = listener.local_addr().expect("it is bound");
        let cuts = Arc::new(AtomicUsize::new(0));
        let has_relented = Arc::new(AtomicBool::new(false));
        let (counter, relents, mut chance) =
            (cuts.clone(), has_relented.clone(), StdRng::seed_from_u64(seed));
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let mut connections = JoinSet::new();
            loop {
                let (near, _) = listener.accept().await.expect("it listens");
                let is_lucky = relents.load(Ordering::Relaxed) && chance.random_ratio(1, FEW);
                let room = if is_lucky { MUCH } else { chance.random_range(0..most) };
                connections.spawn(carries(near, target, room, counter.clone()));
                while connections.try_join_next().is_some() {}
            }
        });
        Self { address, cuts, has_relented, _tasks: tasks }
    }

    /// Where it listens.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Lets a few connections have much more from now on: a message may be longer than the others get.
    pub fn relents(&self) {
        self.has_relented.store(true, Ordering::Relaxed);
    }

    /// Connections that it has cut.
    pub fn cuts(&self) -> usize {
        self.cuts.load(Ordering::Relaxed)
    }
}

/// Carries bytes both ways until so many have come from the broker.
async fn carries(near: TcpStream, target: SocketAddr, mut room: usize, cuts: Arc<AtomicUsize>) {
    let Ok(far) = TcpStream::connect(target).await else { return };
    let ((mut near_in, mut near_out), (mut far_in, mut far_out)) = (near.into_split(), far.into_split());
    let forth = async { tokio::io::copy(&mut near_in, &mut far_out).await };
    let back = async {
        let mut buffer = vec![0; 4096];
        loop {
            let read = match far_in.read(&mut buffer).await {
                Ok(0) | Err(_) => return false,
                Ok(read) => read.min(room),
            };
            if near_out.write_all(&buffer[..read]).await.is_err() {
                return false;
            }
            room -= read;
            if room == 0 {
                return true;
            }
        }
    };
    let was_cut = tokio::select! {
        was_cut = back => was_cut,
        // The reader left.
        _ = forth => false,
    };
    if was_cut {
        cuts.fetch_add(1, Ordering::Relaxed);
    }
}
