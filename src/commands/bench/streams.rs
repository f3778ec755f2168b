//! Idle pop streams: what each one costs a server in memory, and all of them in CPU while nothing
//! happens but keep-alives.

use std::time::Duration;

use anyhow::Context;
use futures_util::{StreamExt, TryStreamExt, stream};
use tonic::Streaming;

use super::{
    grpc::Caller,
    load_grpc::open_stream,
    process::{Server, Target},
};
use crate::rpc::pb::PopStreamResponse;

/// Streams that share a connection: fewer than any server's limit.
pub const PER_CONNECTION: usize = 100;
/// Streams that are being opened at a time.
const AT_A_TIME: usize = 64;
/// Streams opened before the first reading, so that what is made once is not counted.
const WARM_UP: usize = 50;
/// Longest pause before a reading, in which what was freed is given back.
const SETTLE: Duration = Duration::from_secs(1);

/// What idle streams cost.
#[derive(Clone, Copy, Debug)]
pub struct Footprint {
    /// Memory, per stream.
    pub kib_per_stream: f64,
    /// Share of one core, in percent, of all streams together.
    pub cpu_percent: f64,
}

/// Opens streams, of workers that each have their own name, and lets them idle.
pub async fn measure(
    server: &Server,
    count: usize,
    own_connection: bool,
    idle: Duration,
) -> anyhow::Result<Footprint> {
    let per_connection = if own_connection { 1 } else { PER_CONNECTION };
    let warm_up = open(&server.target, "warm", WARM_UP, per_connection).await.context("warming up")?;
    tokio::time::sleep(SETTLE.min(idle)).await;
    let before = server.resident_bytes()?;
    let streams = open(&server.target, "idle", count, per_connection).await?;
    tokio::time::sleep(SETTLE.min(idle)).await;
    let after = server.resident_bytes()?;
    let cpu = server.cpu_time()?;
    tokio::time::sleep(idle).await;
    let cpu = server.cpu_time()? - cpu;
    drop((warm_up, streams));
    Ok(Footprint {
        kib_per_stream: after.saturating_sub(before) as f64 / 1024.0 / count as f64,
        cpu_percent: cpu.as_secs_f64() / idle.as_secs_f64() * 100.0,
    })
}

/// Opens streams; they stay open until what is returned is dropped.
pub async fn open(
    target: &Target,
    name: &str,
    count: usize,
    per_connection: usize,
) -> anyhow::Result<Vec<Streaming<PopStreamResponse>>> {
    let connections = (0..count.div_ceil(per_connection)).map(|_| Caller::connect(target));
    let callers: Vec<Caller> = stream::iter(connections).buffer_unordered(AT_A_TIME).try_collect().await?;
    let opening = (0..count).map(|number| {
        let caller = callers[number / per_connection].clone();
        let name = format!("bench-{name}-{number}");
        async move {
            let opened = open_stream(&caller, name, 1).await.with_context(|| format!("stream {number}"));
            anyhow::Ok(opened?.0)
        }
    });
    stream::iter(opening).buffer_unordered(AT_A_TIME).try_collect().await
}
