//! Filters that moderators keep, figures of what was made, and documents.

use gridbroker::config::Config;
use serde_json::json;
use tonic::Code;

use super::{Names, Scene};
use crate::harness::{
    ADA, ALICE, ANONYMOUS, BOB, Broker, CAROL, MONA, Row, Verb,
    Verdict::{self, Done, Fields, Once, Reason},
};

const NOBODY: &str = "nobody-has-this-key";

macro_rules! rows {
    ($($rule:literal: $verb:ident $key:expr, $message:tt => $verdict:expr;)*) => {
        vec![$(Row {
            rule: $rule,
            verb: Verb::$verb,
            key: Option::from($key),
            message: json!($message),
            verdict: $verdict,
        }),*]
    };
}

fn bad(rc: &'static str) -> Verdict {
    Reason(400, rc, Code::InvalidArgument)
}

pub fn all() -> Vec<Scene> {
    vec![
        Scene {
            name: "filters of moderators",
            settings: |config: &mut Config| config.people.filter_testers = vec!["carol#3".into()],
            prepare: |broker| Box::pin(prepare(broker)),
            rows: [closed(), filters()].concat_rows(),
            is_void: false,
        },
        Scene {
            name: "figures and documents",
            settings: |_| {},
            prepare: |_| Box::pin(async { Names::new() }),
            rows: [figures(), documents()].concat_rows(),
            is_void: true,
        },
    ]
}

/// Rows have no copies.
trait ConcatRows {
    fn concat_rows(self) -> Vec<Row>;
}

impl<const N: usize> ConcatRows for [Vec<Row>; N] {
    fn concat_rows(self) -> Vec<Row> {
        self.into_iter().flatten().collect()
    }
}

async fn prepare(broker: &Broker) -> Names {
    let mona = broker.json(MONA);
    let mut names = Names::new();
    for (name, regex) in [("cub", "cubs?"), ("den", "dens?"), ("gone", "gone"), ("going", "going")] {
        let added = mona.put("/filters", json!({"regex": regex, "filter_type": 10})).await.ok();
        names.insert(name, added["id"].as_str().expect("an ID").to_owned());
    }
    mona.delete(&format!("/filters/{}", names["gone"])).await.ok();
    names
}

fn closed() -> Vec<Row> {
    let unknown = Reason(401, "InvalidAPIKey", Code::Unauthenticated);
    let closed = Reason(403, "NotModerator", Code::PermissionDenied);
    rows! {
        "without a key": ListFilters None, {} => Fields(&["apikey"]);
        "nor is one added": AddFilter None, {"regex": "x", "filter_type": 10} => Fields(&["apikey"]);
        "nor a prompt tested": TestFilters None, {"prompt": "x"} => Fields(&["apikey"]);
        "nor are regexes shown": ListFilterRegexes None, {} => Fields(&["apikey"]);
        "nor one": GetFilter None, {"id": "<cub>"} => Fields(&["apikey"]);
        "nor changed": UpdateFilter None, {"id": "<cub>", "regex": "x"} => Fields(&["apikey"]);
        "nor deleted": DeleteFilter None, {"id": "<cub>"} => Fields(&["apikey"]);
        "nobody's key": ListFilters NOBODY, {} => unknown;
        "adds none": AddFilter NOBODY, {"regex": "x", "filter_type": 10} => unknown;
        "tests nothing": TestFilters NOBODY, {"prompt": "x"} => unknown;
        "sees no regexes": ListFilterRegexes NOBODY, {} => unknown;
        "and no filter": GetFilter NOBODY, {"id": "<gone>"} => unknown;
        "changes none": UpdateFilter NOBODY, {"id": "<gone>", "regex": "x"} => unknown;
        "deletes none": DeleteFilter NOBODY, {"id": "<gone>"} => unknown;
        "others see none": ListFilters ALICE, {} => closed;
        "everybody neither": ListFilters ANONYMOUS, {} => closed;
        "trust is not enough": AddFilter BOB, {"regex": "x", "filter_type": 10} => closed;
        "others test nothing": TestFilters ALICE, {"prompt": "x"} => closed;
        "who may test sees no regexes": ListFilterRegexes CAROL, {} => closed;
        "whether there is one": GetFilter CAROL, {"id": "<gone>"} => closed;
        "or not": UpdateFilter ALICE, {"id": "<gone>", "regex": "x"} => closed;
        "is told to moderators": DeleteFilter ALICE, {"id": "seven"} => closed;
        "a field goes first": AddFilter ALICE, {"regex": "x", "filter_type": 9} => Fields(&["filter_type"]);
    }
}

fn filters() -> Vec<Row> {
    let missing = Reason(404, "FilterNotFound", Code::NotFound);
    rows! {
        "what is needed": AddFilter MONA, {} => Fields(&["filter_type", "regex"]);
        "and in which bounds": AddFilter MONA, {"regex": "", "filter_type": 30, "replacement": ("x".repeat(256)),
            "description": ("x".repeat(1001))} => Fields(&["description", "filter_type", "regex", "replacement"]);
        "a pattern that is none": AddFilter MONA, {"regex": "a(b", "filter_type": 10} => bad("BadRequest");
        "one that looks around": AddFilter MONA, {"regex": "a(?=b)", "filter_type": 10} => bad("BadRequest");
        "one that matches everything": AddFilter MONA, {"regex": "x*", "filter_type": 29} => bad("BadRequest");
        "one that takes too much": AddFilter MONA, {"regex": "(?:x{1000}){1000}", "filter_type": 20} => bad("BadRequest");
        "NUL": AddFilter MONA, {"regex": "a\0b", "filter_type": 10} => bad("NulByteInPayload");
        "NUL in what it is for": UpdateFilter MONA, {"id": "<cub>", "description": "a\0b"} => bad("NulByteInPayload");
        "one is added": AddFilter MONA, {"regex": "bites?", "filter_type": 20} => Done(200);
        "by administrators as well": AddFilter ADA, {"regex": "barks?", "filter_type": 20, "description": "loud"} => Done(200);
        "all": ListFilters MONA, {} => Done(200);
        "some": ListFilters MONA, {"filter_type": 20, "contains": "loud"} => Done(200);
        "a prompt is tested": TestFilters MONA, {"prompt": "a cub bites"} => Done(200);
        "by whom the operator lets": TestFilters CAROL, {"prompt": "a cub bites", "filter_type": 10} => Done(200);
        "a prompt is needed": TestFilters MONA, {"filter_type": 10} => Fields(&["prompt"]);
        "and not too long a one": TestFilters MONA, {"prompt": ("x".repeat(70_000))} => bad("InvalidPromptSize");
        "regexes": ListFilterRegexes MONA, {} => Done(200);
        "of a type": ListFilterRegexes MONA, {"filter_type": 20} => Done(200);
        "one": GetFilter MONA, {"id": "<cub>"} => Done(200);
        "one that is gone": GetFilter MONA, {"id": "<gone>"} => missing;
        "what is no ID": GetFilter MONA, {"id": "seven"} => missing;
        "nor this": UpdateFilter MONA, {"id": "-1", "regex": "x"} => missing;
        "none is changed": UpdateFilter MONA, {"id": "<gone>", "regex": "x"} => missing;
        "before what is to change": UpdateFilter MONA, {"id": "<gone>"} => missing;
        "something is to change": UpdateFilter MONA, {"id": "<cub>"} => bad("NoFilterModSelected");
        "an empty text is nothing": UpdateFilter MONA, {"id": "<cub>", "regex": "", "description": "", "replacement": ""} =>
            bad("NoFilterModSelected");
        "fields have bounds": UpdateFilter MONA, {"id": "<cub>", "filter_type": 9} => Fields(&["filter_type"]);
        "no two are alike": UpdateFilter MONA, {"id": "<den>", "regex": "cubs?"} => bad("BadRequest");
        "patterns can be used": UpdateFilter MONA, {"id": "<den>", "regex": "dens?("} => bad("BadRequest");
        "one is changed": UpdateFilter ADA, {"id": "<den>", "replacement": "house"} => Done(200);
        "one goes": DeleteFilter MONA, {"id": "<going>"} => Once(200);
        "what is gone": DeleteFilter MONA, {"id": "<gone>"} => missing;
        "what never was": DeleteFilter MONA, {"id": "99999999999999999999"} => missing;
    }
}

fn figures() -> Vec<Row> {
    rows! {
        "images": ImageTotals None, {} => Done(200);
        "a key does not matter": ImageTotals NOBODY, {} => Done(200);
        "by model": ImageModels None, {} => Done(200);
        "that are known": ImageModels None, {"model_state": "known"} => Done(200);
        "that are not": ImageModels None, {"model_state": "custom"} => Done(200);
        "all": ImageModels None, {"model_state": "all"} => Done(200);
        "a state that is none": ImageModels None, {"model_state": "none"} => bad("BadRequest");
        "texts": TextTotals None, {} => Done(200);
        "texts by model": TextModels None, {} => Done(200);
    }
}

fn documents() -> Vec<Row> {
    rows! {
        "terms": GetTerms None, {} => Done(200);
        "as they are written": GetTerms None, {"format": "markdown"} => Done(200);
        "or not at all": GetTerms None, {"format": "pdf"} => bad("BadRequest");
        "privacy": GetPrivacy None, {"format": "html"} => Done(200);
        "in no other form": GetPrivacy None, {"format": "HTML"} => bad("BadRequest");
        "sponsors": GetSponsors NOBODY, {} => Done(200);
        "an empty one is none": GetSponsors None, {"format": ""} => bad("BadRequest");
    }
}
