//! What holds for every request: reading never fails otherwise than with a refusal, what is read is
//! written as it was, and what stands in a path arrives.

use axum::{Router, body::Body, extract::Request, routing};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use proptest::prelude::*;
use serde::Serialize;
use serde_json::{Map, Value, json};
use tower::ServiceExt;

use super::{
    Incoming,
    binding::{Input, decode},
};
use crate::rpc::{
    json::{self, FieldShape, MessageShape, ShapeKind},
    pb,
    rules::METHODS,
};

/// Values that fit a type, or at least look like it.
fn fitting(kind: &'static ShapeKind) -> BoxedStrategy<Value> {
    match kind {
        ShapeKind::Text | ShapeKind::LaxText => any::<String>().prop_map(Value::from).boxed(),
        ShapeKind::Bool => any::<bool>().prop_map(Value::from).boxed(),
        ShapeKind::Whole(min, max) | ShapeKind::LaxWhole(min, max) => {
            let (min, max) = ((*min).max(i64::MIN.into()), (*max).min(i64::MAX.into()));
            let whole = (min..=max).prop_map(|n| json!(i64::try_from(n).expect("it is within bounds")));
            // A zero fraction is a whole number too.
            prop_oneof![3 => whole, 1 => (0..1000_i32).prop_map(|n| json!(f64::from(n)))].boxed()
        }
        ShapeKind::Number => prop_oneof![any::<i32>().prop_map(Value::from), eighths()].boxed(),
        ShapeKind::Message(shape) => message(shape, fitting),
        ShapeKind::Object => proptest::collection::btree_map("[a-z]{0,3}", loose(), 0..3)
            .prop_map(|map| Value::Object(map.into_iter().collect::<Map<_, _>>()))
            .boxed(),
    }
}

/// Numbers that are read to the last bit; of longer ones the last may differ.
fn eighths() -> impl Strategy<Value = Value> {
    any::<i32>().prop_map(|n| json!(f64::from(n) / 8.0))
}

/// Any value at all.
fn loose() -> BoxedStrategy<Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        eighths(),
        any::<String>().prop_map(Value::from),
    ];
    let nested = leaf.prop_recursive(3, 16, 4, |inner| {
        let list = proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::from);
        let object = proptest::collection::btree_map("[a-z_]{0,8}", inner, 0..4);
        prop_oneof![list, object.prop_map(|map| Value::Object(map.into_iter().collect::<Map<_, _>>()))]
    });
    nested.boxed()
}

/// Values of which some fit and some do not.
fn mixed(kind: &'static ShapeKind) -> BoxedStrategy<Value> {
    match kind {
        ShapeKind::Message(shape) => prop_oneof![3 => message(shape, mixed), 1 => loose()].boxed(),
        other => prop_oneof![2 => fitting(other), 1 => loose()].boxed(),
    }
}

fn message(
    shape: &'static MessageShape,
    value: fn(&'static ShapeKind) -> BoxedStrategy<Value>,
) -> BoxedStrategy<Value> {
    let one = move |field: &'static FieldShape| match field.is_list {
        true => proptest::collection::vec(value(&field.kind), 0..3).prop_map(Value::from).boxed(),
        false => value(&field.kind),
    };
    if let (true, [field]) = (shape.is_transparent, shape.fields) {
        return one(field);
    }
    let fields: Vec<_> = shape
        .fields
        .iter()
        .map(|field| proptest::option::of(one(field)).prop_map(|value| (field.name.to_owned(), value)))
        .collect();
    let set = |(name, value): (String, Option<Value>)| Some((name, value?));
    fields.prop_map(move |fields| Value::Object(fields.into_iter().filter_map(set).collect())).boxed()
}

/// As a client would send back what it was shown: without what is unset.
fn without_nulls(value: Value) -> Value {
    match value {
        Value::Object(map) => map
            .into_iter()
            .filter(|(_, value)| !value.is_null())
            // What stands in a free-form object is the client's own.
            .map(|(name, value)| if name == "special" { (name, value) } else { (name, without_nulls(value)) })
            .collect(),
        Value::Array(items) => items.into_iter().map(without_nulls).collect(),
        other => other,
    }
}

fn written<T: Serialize>(message: &T) -> Value {
    let line = json::to_vec(message);
    without_nulls(serde_json::from_slice(&line).expect("what is written is JSON"))
}

fn read<T: Input>(value: &Value) -> Result<T, u16> {
    decode::<T>(value.to_string().as_bytes()).map_err(|refusal| refusal.status().as_u16())
}

macro_rules! for_each_request {
    ($run:ident) => {
        $run! {
            submit_image SubmitImageRequest, submit_text SubmitTextRequest, pop_image PopImageRequest,
            pop_text PopTextRequest, image_result SubmitImageResultRequest, text_result SubmitTextResultRequest,
            progress ReportProgressRequest, check CheckImageRequest, watch WatchRequest,
            models ListModelsRequest, workers ListWorkersRequest, worker GetWorkerByNameRequest
        }
    };
}

macro_rules! properties {
    ($($name:ident $request:ident),*) => { $(
        mod $name {
            use super::*;
            use crate::rpc::json::Shape;

            type Message = pb::$request;

            proptest! {
                #![proptest_config(ProptestConfig::with_cases(64))]

                #[test]
                fn what_fits_is_read_and_written_as_it_was(value in message(Message::SHAPE, fitting)) {
                    let message: Message = read(&value).expect("every type is right");
                    let shown = written(&message);
                    let again: Message = read(&shown).expect("what was written is read");
                    prop_assert_eq!(&again, &message);
                    prop_assert_eq!(written(&again), shown);
                }

                #[test]
                fn what_does_not_fit_is_refused_as_the_callers_mistake(value in message(Message::SHAPE, mixed)) {
                    if let Err(status) = read::<Message>(&value) {
                        prop_assert_eq!(status, 400);
                    }
                }

                #[test]
                fn no_bytes_make_reading_fail_otherwise(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
                    if let Err(refusal) = decode::<Message>(&bytes) {
                        prop_assert_eq!(refusal.status().as_u16(), 400);
                    }
                }

                #[test]
                fn any_pair_is_bound_or_refused_in_words(
                    pairs in proptest::collection::vec((field(Message::SHAPE), any::<String>()), 0..4)
                ) {
                    let mut message = Message::default();
                    for (name, text) in pairs {
                        if let Err(offence) = crate::rpc::json::Bind::bind(&mut message, &name, &text) {
                            prop_assert!(offence.contains("is not of type"), "{}", offence);
                        }
                    }
                }
            }
        }
    )* };
}

/// A field's name, or any other.
fn field(shape: &'static MessageShape) -> BoxedStrategy<String> {
    let names: Vec<String> = shape.fields.iter().map(|field| field.name.to_owned()).collect();
    prop_oneof![4 => proptest::sample::select(names), 1 => any::<String>()].boxed()
}

for_each_request!(properties);

/// What the route of a path sees in it.
async fn captured(template: &'static str, path: String) -> Option<Vec<(String, String)>> {
    let (seen, captures) = std::sync::mpsc::channel();
    let route = routing::any(move |incoming: Incoming| {
        let _ = seen.send(incoming.captures);
        async {}
    });
    let request = Request::builder().uri(path).body(Body::empty()).expect("it is a URI");
    let _ = Router::new().route(template, route).oneshot(request).await;
    captures.try_recv().ok()
}

proptest! {
    #[test]
    fn what_stands_in_a_path_arrives_whatever_it_is(text in "\\PC{1,40}|[/%?#&+ .]{1,8}") {
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime can be made");
        for binding in METHODS.iter().flat_map(|method| method.bindings) {
            let names: Vec<&str> = binding.path.split(['{', '}']).skip(1).step_by(2).collect();
            let encoded = utf8_percent_encode(&text, NON_ALPHANUMERIC).to_string();
            let path = names.iter().fold(binding.path.to_owned(), |path, name| path.replace(&format!("{{{name}}}"), &encoded));
            let expected: Vec<_> = names.iter().map(|name| ((*name).to_owned(), text.clone())).collect();
            prop_assert_eq!(runtime.block_on(captured(binding.path, path)), Some(expected), "{}", binding.path);
        }
    }
}

#[test]
fn every_capture_is_a_field_of_its_request() {
    // A capture that no field takes would be dropped in silence.
    let mut captures = 0;
    for binding in METHODS.iter().flat_map(|method| method.bindings) {
        for name in binding.path.split(['{', '}']).skip(1).step_by(2) {
            let known = ["id", "name", "ipaddr", "worker_id", "example_id"];
            assert!(known.contains(&name), "{}: {name}", binding.path);
            captures += 1;
        }
    }
    assert!(captures > 5);
    let mut by_id = pb::WatchRequest::default();
    json::Bind::bind(&mut by_id, "id", "x").expect("it is a text");
    let mut by_name = pb::GetWorkerByNameRequest::default();
    json::Bind::bind(&mut by_name, "name", "x").expect("it is a text");
    assert_eq!((by_id.id.as_str(), by_name.name.as_str()), ("x", "x"));
    let mut by_address = pb::GetTimeoutsRequest::default();
    json::Bind::bind(&mut by_address, "ipaddr", "x").expect("it is a text");
    let mut by_worker = pb::BlockWorkerRequest::default();
    json::Bind::bind(&mut by_worker, "worker_id", "x").expect("it is a text");
    assert_eq!((by_address.ipaddr.as_str(), by_worker.worker_id.as_str()), ("x", "x"));
    let mut by_both = pb::DeleteStyleExampleRequest::default();
    json::Bind::bind(&mut by_both, "example_id", "x").expect("it is a text");
    assert_eq!(by_both.example_id, "x");
}
