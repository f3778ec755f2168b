//! The Operations service: networks that nothing is taken from.

use std::{net::IpAddr, time::Duration};

use tonic::{Request, Response, Status};

use super::{
    Api,
    gate::{Call, enter},
    pb::{self, operations_server::Operations},
    refuse,
};
use crate::{
    config::Network,
    domain::{Error, Result, WorkerId},
};

const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(24 * 3600);

/// The Operations service.
pub struct OperationsService(pub Api);

type Answer<T> = Result<Response<T>, Status>;

#[tonic::async_trait]
impl Operations for OperationsService {
    async fn list_timeouts(
        &self,
        request: Request<pb::ListTimeoutsRequest>,
    ) -> Answer<pb::ListTimeoutsResponse> {
        let call = enter(&*self.0.gate, request)?;
        list(&self.0, call).await.map(Response::new).map_err(refuse)
    }

    async fn add_timeout(&self, request: Request<pb::AddTimeoutRequest>) -> Answer<pb::AddTimeoutResponse> {
        let call = enter(&*self.0.gate, request)?;
        add(&self.0, call).await.map_err(refuse)?;
        Ok(Response::new(pb::AddTimeoutResponse { message: done() }))
    }

    async fn delete_timeout(
        &self,
        request: Request<pb::DeleteTimeoutRequest>,
    ) -> Answer<pb::DeleteTimeoutResponse> {
        let call = enter(&*self.0.gate, request)?;
        delete(&self.0, call).await.map_err(refuse)?;
        Ok(Response::new(pb::DeleteTimeoutResponse { message: done() }))
    }

    async fn get_timeouts(
        &self,
        request: Request<pb::GetTimeoutsRequest>,
    ) -> Answer<pb::GetTimeoutsResponse> {
        let call = enter(&*self.0.gate, request)?;
        of_address(&self.0, call).await.map(Response::new).map_err(refuse)
    }

    async fn block_worker(
        &self,
        request: Request<pb::BlockWorkerRequest>,
    ) -> Answer<pb::BlockWorkerResponse> {
        let Call { message, key, .. } = enter(&*self.0.gate, request)?;
        self.0.authorize::<pb::BlockWorkerRequest>(key, None).await.map_err(refuse)?;
        let lasts = DAY * message.days.unwrap_or_default().unsigned_abs();
        block(&self.0, message.worker_id, Some(lasts)).await.map_err(refuse)?;
        Ok(Response::new(pb::BlockWorkerResponse { message: done() }))
    }

    async fn unblock_worker(
        &self,
        request: Request<pb::UnblockWorkerRequest>,
    ) -> Answer<pb::UnblockWorkerResponse> {
        let Call { message, key, .. } = enter(&*self.0.gate, request)?;
        self.0.authorize::<pb::UnblockWorkerRequest>(key, None).await.map_err(refuse)?;
        block(&self.0, message.worker_id, None).await.map_err(refuse)?;
        Ok(Response::new(pb::UnblockWorkerResponse { message: done() }))
    }
}

async fn list(api: &Api, call: Call<pb::ListTimeoutsRequest>) -> Result<pb::ListTimeoutsResponse> {
    api.authorize::<pb::ListTimeoutsRequest>(call.key, None).await?;
    let found = api.host.read(|engine, now| engine.networks_in_timeout(now)).await?;
    Ok(pb::ListTimeoutsResponse { timeouts: found.into_iter().map(shown).collect() })
}

async fn add(api: &Api, call: Call<pb::AddTimeoutRequest>) -> Result<()> {
    let Call { message, key, .. } = call;
    // What is no network is told to whoever asks.
    let network = network(&message.ipaddr.unwrap_or_default())?;
    api.authorize::<pb::AddTimeoutRequest>(key, None).await?;
    let lasts = HOUR * message.hours.unwrap_or_default().unsigned_abs();
    api.host
        .act(move |engine, step, _| {
            let until = step.now.plus(lasts);
            engine.time_out(step, network, Some(until))
        })
        .await
}

async fn delete(api: &Api, call: Call<pb::DeleteTimeoutRequest>) -> Result<()> {
    let Call { message, key, .. } = call;
    let network = network(&message.ipaddr.unwrap_or_default())?;
    api.authorize::<pb::DeleteTimeoutRequest>(key, None).await?;
    api.host.act(move |engine, step, _| engine.end_timeout(step, network)).await
}

async fn of_address(api: &Api, call: Call<pb::GetTimeoutsRequest>) -> Result<pb::GetTimeoutsResponse> {
    let Call { message, key, .. } = call;
    let address: IpAddr = message.ipaddr.trim().parse().map_err(|_| {
        Error::BadRequest(format!(
            "{:?} is no address: write it as 203.0.113.7 or 2001:db8::7",
            message.ipaddr
        ))
    })?;
    api.authorize::<pb::GetTimeoutsRequest>(key, None).await?;
    let found = api.host.read(move |engine, now| engine.timeouts_of(address, now)).await?;
    Ok(pb::GetTimeoutsResponse { timeouts: found.into_iter().map(shown).collect() })
}

async fn block(api: &Api, worker: String, lasts: Option<Duration>) -> Result<()> {
    let id = WorkerId::parse(&worker).ok_or(Error::WorkerNotFound(worker))?;
    api.host
        .act(move |engine, step, _| {
            let until = lasts.map(|lasts| step.now.plus(lasts));
            engine.block_worker(step, id, until)
        })
        .await
}

/// An address or a network as moderators write it.
fn network(text: &str) -> Result<Network> {
    let network: Network = text.parse().map_err(|_| {
        Error::BadRequest(format!(
            "{text:?} is neither an address nor a network: write it as 203.0.113.7, 10.0.0.0/8 or fd00::/8"
        ))
    })?;
    if network.has_host_bits() {
        let plain = network.plain();
        return Err(Error::BadRequest(format!(
            "{text:?} has bits beyond its prefix: if you mean the network, write {plain}"
        )));
    }
    Ok(network.plain())
}

fn shown((network, left): (Network, Duration)) -> pb::Timeout {
    let ipaddr = network.single().map_or_else(|| network.to_string(), |address| address.to_string());
    // Whole seconds, and none of them too few.
    let seconds = i64::try_from(left.as_millis().div_ceil(1000)).unwrap_or(i64::MAX);
    pb::Timeout { ipaddr, seconds }
}

fn done() -> String {
    "OK".into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_and_networks_are_read_and_slips_are_told() {
        for (text, read) in [
            ("203.0.113.7", Some("203.0.113.7/32")),
            ("203.0.113.0/24", Some("203.0.113.0/24")),
            ("2001:db8::/32", Some("2001:db8::/32")),
            ("::ffff:203.0.113.7", Some("203.0.113.7/32")),
            ("203.0.113.7/24", None),
            ("2001:db8::1/32", None),
            ("203.0.113.0/33", None),
            ("2001:db8::/129", None),
            ("203.0.113.0/-1", None),
            ("203.0.113", None),
            ("example.org", None),
            ("", None),
        ] {
            let outcome = network(text);
            assert_eq!(outcome.as_ref().ok().map(ToString::to_string).as_deref(), read, "{text}");
            if let Err(error) = outcome {
                assert!(matches!(error, Error::BadRequest(_)), "{text}: {error}");
            }
        }
        let told = network("203.0.113.7/24").unwrap_err().to_string();
        assert!(told.contains("write 203.0.113.0/24"), "{told}");
    }
}
