//! Messages that are none, too large, compressed, or hold what JSON cannot: typed refusals, and nothing is left.

use bytes::{Bytes, BytesMut};
use gridbroker::rpc::pb::{self, generate_client::GenerateClient};
use prost::Message;
use tonic::{Code, Request, Status, client::Grpc, codec::CompressionEncoding, transport::Channel};

use crate::harness::{ALICE, BOB, Broker, Raw, Refusal};

async fn raw(channel: &Channel, path: &'static str, message: Bytes) -> Result<Bytes, Status> {
    let mut client = Grpc::new(channel.clone());
    client.ready().await.expect("the connection is there");
    let mut request = Request::new(message);
    request.metadata_mut().insert("apikey", ALICE.parse().unwrap());
    client.unary(request, path.parse().unwrap(), Raw).await.map(tonic::Response::into_inner)
}

#[tokio::test(flavor = "multi_thread")]
async fn bytes_that_are_no_message_are_an_invalid_argument() {
    let broker = Broker::start().await;
    let channel = broker.channel().await;
    let mut deep = BytesMut::new();
    // `params.special`, nested until a decoder must give up.
    for _ in 0..40 {
        let inner = pb::SubmitImageRequest::default();
        assert_eq!(inner.encoded_len(), 0);
        let entry =
            [&[0x0a, 1, b'a', 0x12][..], &varint(deep.len() + 2), &[0x2a], &varint(deep.len()), &deep]
                .concat();
        deep = [&[0x0a][..], &varint(entry.len()), &entry].concat().as_slice().into();
    }
    let special = [&[0xca, 0x01][..], &varint(deep.len()), &deep].concat();
    let deep = [&[0x0a, 1, b'x', 0x12][..], &varint(special.len()), &special].concat();
    for bytes in [
        &b"\x0a\xff"[..],
        b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff",
        b"\x0a\x02\xc3\x28",
        b"\x08\x01",
        &deep,
    ] {
        for path in ["/grid.v2.Generate/SubmitImage", "/grid.v2.Generate/SubmitText"] {
            if bytes == deep && path.ends_with("Text") {
                continue;
            }
            let refused =
                raw(&channel, path, Bytes::copy_from_slice(bytes)).await.expect_err("it is no message");
            let refusal = Refusal::from(&refused);
            assert_eq!(
                (refusal.code, refusal.reason.as_str()),
                (Code::InvalidArgument, "BadRequest"),
                "{refused}"
            );
        }
    }
    broker.holds_nothing().await;
    broker.stop().await;
}

fn varint(n: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    prost::encoding::encode_varint(n as u64, &mut bytes);
    bytes
}

#[tokio::test(flavor = "multi_thread")]
async fn unknown_fields_and_methods_are_told_apart() {
    let broker = Broker::start().await;
    let channel = broker.channel().await;
    let known = pb::SubmitTextRequest { prompt: Some("x".into()), ..Default::default() };
    let later = [known.encode_to_vec(), vec![0xf8, 0x7f, 1]].concat();
    assert!(
        raw(&channel, "/grid.v2.Generate/SubmitText", later.into()).await.is_ok(),
        "fields of a later version"
    );
    for path in [
        "/grid.v2.Generate/Nothing",
        "/grid.v2.Nothing/SubmitText",
        "/grid.v3.Generate/SubmitText",
        "/nothing",
    ] {
        let refused = raw(&channel, path, Bytes::new()).await.expect_err("there is none");
        assert_eq!(refused.code(), Code::Unimplemented, "{path}: {refused}");
    }
    broker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_over_the_limit_are_refused_by_reason_also_when_they_only_unpack_to_it() {
    let most = 4096;
    let broker = Broker::with(|config| config.limits.max_message_bytes = most).await;
    let channel = broker.channel().await;
    let plain = GenerateClient::new(channel.clone());
    let packed =
        plain.clone().send_compressed(CompressionEncoding::Gzip).accept_compressed(CompressionEncoding::Gzip);
    for (mut client, what) in [(plain, "plain"), (packed, "packed")] {
        for length in [most, 50 * most, 2000 * most] {
            let message = pb::SubmitTextRequest { prompt: Some("x".repeat(length)), ..Default::default() };
            let mut request = Request::new(message);
            request.metadata_mut().insert("apikey", ALICE.parse().unwrap());
            let refused = client.submit_text(request).await.expect_err("it is too large");
            let refusal = Refusal::from(&refused);
            assert_eq!(
                (refusal.code, refusal.reason.as_str()),
                (Code::OutOfRange, "PayloadTooLarge"),
                "{what} {length}: {refused}"
            );
        }
        let message =
            pb::SubmitTextRequest { prompt: Some("x".repeat(most - 5)), dry_run: true, ..Default::default() };
        let mut request = Request::new(message);
        request.metadata_mut().insert("apikey", ALICE.parse().unwrap());
        client.submit_text(request).await.expect("at the limit it is read");
    }
    let mut worker = broker.worker(BOB, "verbose").await;
    let report = pb::ReportRequest { id: "x".into(), text: "x".repeat(most), ..Default::default() };
    let refused = worker.reports(vec![report]).await.expect_err("streams have the same limit");
    assert_eq!(Refusal::from(&refused).reason, "PayloadTooLarge", "{refused}");
    broker.holds_nothing().await;
    broker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn refusals_fit_into_headers_however_much_is_wrong() {
    let broker = Broker::start().await;
    let mut client = broker.requester(ALICE).await.client;
    let wrong =
        pb::Lora { name: Some("x".repeat(300)), model: Some(9.0), clip: Some(-9.0), ..Default::default() };
    let params = pb::ImageParams { loras: vec![wrong; 100_000], ..Default::default() };
    let message = pb::SubmitImageRequest { params: Some(params), ..Default::default() };
    let refused = client.submit_image(message).await.expect_err("it is wrong");
    let refusal = Refusal::from(&refused);
    assert_eq!(refusal.code, Code::InvalidArgument, "{refused}");
    assert!(
        refusal.paths.contains(&"prompt".into()) && refused.details().len() < 6000,
        "{}",
        refused.details().len()
    );
    let long = pb::CheckImageRequest { id: "é".repeat(1 << 20) };
    let refused = client.check_image(long).await.expect_err("there is none");
    assert_eq!(Refusal::from(&refused).reason, "RequestNotFound", "{}", refused.code());
    assert!(refused.message().len() < 1100);
    broker.holds_nothing().await;
    broker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn numbers_that_are_none_are_refused_for_the_store_could_not_read_them_back() {
    let broker = Broker::start().await;
    let alice = broker.requester(ALICE).await;
    for bad in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
        let extra = pb::ExtraSourceImage { image: Some("AAAA".into()), strength: Some(bad) };
        let params =
            pb::ImageParams { cfg_scale: Some(bad), denoising_strength: Some(bad), ..Default::default() };
        let message = pb::SubmitImageRequest {
            prompt: Some("x".into()),
            source_processing: Some("remix".into()),
            extra_source_images: vec![extra],
            params: Some(params),
            ..Default::default()
        };
        let refused =
            alice.client.clone().submit_image(alice.keyed(message)).await.expect_err("they are no numbers");
        let paths = Refusal::from(&refused).paths;
        assert_eq!(
            paths,
            ["extra_source_images.0.strength", "params.cfg_scale", "params.denoising_strength"]
        );
    }
    broker.holds_nothing().await;
    broker.stop().await;
}
