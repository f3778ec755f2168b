//! gRPC reflection, both versions, over raw messages: services are listed, and their files are served.

use prost::Message;
use prost_types::FileDescriptorProto;
use tonic::{client::Grpc, transport::Channel};
use tonic_prost::ProstCodec;
use tonic_reflection::pb::v1::{
    ServerReflectionRequest, ServerReflectionResponse, server_reflection_request::MessageRequest,
    server_reflection_response::MessageResponse,
};

use crate::harness::Broker;

/// The messages of both versions are alike on the wire.
async fn ask(channel: &Channel, version: &str, request: MessageRequest) -> MessageResponse {
    let mut client = Grpc::new(channel.clone());
    client.ready().await.expect("the connection is there");
    let path = format!("/grpc.reflection.{version}.ServerReflection/ServerReflectionInfo");
    let message = ServerReflectionRequest { host: String::new(), message_request: Some(request) };
    let codec = ProstCodec::<ServerReflectionRequest, ServerReflectionResponse>::default();
    let requests = tonic::Request::new(tokio_stream::once(message));
    let mut answers =
        client.streaming(requests, path.parse().unwrap(), codec).await.expect("it is served").into_inner();
    let answer = answers.message().await.expect("the stream is whole").expect("there is an answer");
    answer.message_response.expect("it says something")
}

#[tokio::test(flavor = "multi_thread")]
async fn services_are_listed_and_described() {
    let broker = Broker::start().await;
    let channel = broker.channel().await;
    for version in ["v1", "v1alpha"] {
        let MessageResponse::ListServicesResponse(list) =
            ask(&channel, version, MessageRequest::ListServices(String::new())).await
        else {
            panic!("services were expected");
        };
        let names: Vec<_> = list.service.iter().map(|service| service.name.as_str()).collect();
        for wanted in [
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
            assert!(names.contains(&wanted), "{wanted} in {names:?}");
        }
        assert!(
            !names.iter().any(|name| name.contains("admin")),
            "the operator's service is not here: {names:?}"
        );
        let symbol = MessageRequest::FileContainingSymbol("grid.v2.Worker".into());
        let MessageResponse::FileDescriptorResponse(files) = ask(&channel, version, symbol).await else {
            panic!("a file was expected");
        };
        let file = FileDescriptorProto::decode(files.file_descriptor_proto[0].as_slice()).expect("it is one");
        let worker = file.service.iter().find(|service| service.name() == "Worker").expect("it is there");
        assert!(worker.method.iter().any(|method| method.name() == "PopStream" && method.server_streaming()));
        let unknown = MessageRequest::FileContainingSymbol("grid.v2.Nothing".into());
        let mut client = Grpc::new(channel.clone());
        client.ready().await.expect("the connection is there");
        let message = ServerReflectionRequest { host: String::new(), message_request: Some(unknown) };
        let path =
            format!("/grpc.reflection.{version}.ServerReflection/ServerReflectionInfo").parse().unwrap();
        let codec = ProstCodec::<ServerReflectionRequest, ServerReflectionResponse>::default();
        let streamed = client.streaming(tonic::Request::new(tokio_stream::once(message)), path, codec).await;
        let told = match streamed {
            Ok(answers) => answers.into_inner().message().await,
            Err(status) => Err(status),
        };
        let is_told = match told {
            Ok(Some(answer)) => matches!(answer.message_response, Some(MessageResponse::ErrorResponse(_))),
            Ok(None) => false,
            Err(status) => status.code() == tonic::Code::NotFound,
        };
        assert!(is_told, "an unknown name is told");
    }
    broker.stop().await;
}
