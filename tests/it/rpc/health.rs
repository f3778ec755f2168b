//! gRPC health: per service, and while the broker goes down.

use tonic::Code;
use tonic_health::pb::{
    HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient,
};

use crate::harness::{Broker, PATIENCE, Refusal};

fn service(name: &str) -> HealthCheckRequest {
    HealthCheckRequest { service: name.into() }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_service_serves_and_others_are_unknown() {
    let broker = Broker::start().await;
    let mut client = HealthClient::new(broker.channel().await);
    for name in [
        "",
        "grid.v2.Generate",
        "grid.v2.Worker",
        "grid.v2.Status",
        "grid.v2.Users",
        "grid.v2.Styles",
        "grid.v2.Collections",
        "grid.v2.Filters",
        "grid.v2.Stats",
        "grid.v2.Documents",
        "grid.v2.SharedKeys",
        "grid.v2.Teams",
        "grid.v2.Operations",
        "grid.v2.Kudos",
        "grpc.health.v1.Health",
    ] {
        let status = client.check(service(name)).await.expect("it is known").into_inner().status();
        assert_eq!(status, ServingStatus::Serving, "{name}");
    }
    let unknown = client.check(service("grid.v2.Nothing")).await.expect_err("it is unknown");
    assert_eq!(unknown.code(), Code::NotFound);
    let mut watched = client.watch(service("grid.v2.Nothing")).await.expect("it may come later").into_inner();
    let told = watched.message().await.expect("the stream is whole").expect("it begins");
    assert_eq!(told.status(), ServingStatus::ServiceUnknown);
    broker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn watchers_are_told_of_the_stop_and_do_not_hold_it_up() {
    let broker = Broker::with(|config| config.server.drain_seconds = 600).await;
    let mut client = HealthClient::new(broker.channel().await);
    let mut watched = client.watch(service("grid.v2.Worker")).await.expect("it is known").into_inner();
    assert_eq!(watched.message().await.unwrap().unwrap().status(), ServingStatus::Serving);
    let stopping = tokio::spawn(broker.stop());
    assert_eq!(watched.message().await.unwrap().unwrap().status(), ServingStatus::NotServing);
    let ended = watched.message().await.expect_err("it does not end well");
    let refusal = Refusal::from(&ended);
    assert_eq!((refusal.code, refusal.reason.as_str()), (Code::Unavailable, "Draining"));
    assert!(refusal.retry.is_some());
    tokio::time::timeout(PATIENCE, stopping).await.expect("nothing holds it up").expect("it stops");
}
