//! Who is let in where: every RPC, over gRPC and over each of its HTTP routes, by everybody there is.
//!
//! Whom to expect follows from the caller rule that the protos declare; where an RPC goes beyond its rule,
//! `calls.rs` says whom it lets in, and why. A new RPC needs a row there: how it is called.

mod calls;
mod wire;

use std::collections::{BTreeMap, BTreeSet};

use gridbroker::rpc::{
    admin::{AddSharedKeyRequest, AddUserRequest},
    rules::{Caller, METHODS, MethodRule},
};
use serde_json::Value;

use crate::harness::{ADA, ALICE, ANONYMOUS, BOB, Broker, DAVE, MALLORY, MONA, OPEN_KEY, SAM};

use calls::{CALLS, EXCEPTIONS, LAST, NEVER};

/// Key of olga, who owns what calls are about.
pub(super) const OLGA: &str = "olga-has-this-key-00";
/// Key of eve, who owns something else.
const EVE: &str = "eve-has-this-key-000";

/// Everybody there is, and the key they come with; the lent one is the owner's.
const PEOPLE: [(&str, Option<&str>); 13] = [
    ("nobody", None),
    ("anonymous", Some(ANONYMOUS)),
    ("user", Some(EVE)),
    ("owner", Some(OLGA)),
    ("awarder", Some(ALICE)),
    ("shared", Some("<lent>")),
    ("trusted", Some(BOB)),
    ("service", Some(SAM)),
    ("moderator", Some(MONA)),
    ("admin", Some(ADA)),
    ("deleted", Some(DAVE)),
    ("flagged", Some(MALLORY)),
    ("stranger", Some("a-key-that-nobody-has")),
];

/// Whom a rule lets in by itself.
fn by_rule(rule: Caller, person: &str) -> bool {
    let has_account = !matches!(person, "nobody" | "shared" | "stranger");
    let is_someone = has_account && person != "anonymous";
    match rule {
        Caller::Anyone | Caller::KeyOptional => true,
        Caller::Key | Caller::ByField => has_account,
        Caller::User => is_someone,
        Caller::Owner => person == "owner",
        Caller::OwnerOrModerator => matches!(person, "owner" | "moderator" | "admin"),
        Caller::Moderator => matches!(person, "moderator" | "admin"),
        Caller::Trusted | Caller::Customizer => matches!(person, "trusted" | "moderator"),
        Caller::Awarder => person == "awarder",
    }
}

fn name_of(method: &MethodRule) -> &'static str {
    method.path.strip_prefix("/grid.v2.").expect("it is a method of the API")
}

/// Whom a method is expected to let in.
fn expected(method: &MethodRule, person: &str) -> bool {
    match EXCEPTIONS.iter().find(|(name, ..)| *name == name_of(method)) {
        Some((_, let_in, _)) => let_in.split(' ').any(|one| one == person),
        None => by_rule(method.caller, person),
    }
}

#[test]
fn every_rpc_says_how_it_is_called_and_nothing_is_said_in_vain() {
    let names: BTreeSet<&str> = METHODS.iter().map(|method| name_of(method)).collect();
    let said: BTreeSet<&str> = CALLS.iter().chain(NEVER).map(|(name, _)| *name).collect();
    let unsaid: Vec<_> = names.difference(&said).collect();
    assert!(unsaid.is_empty(), "say in CALLS (tests/it/rpc/callers/calls.rs) how to call {unsaid:#?}");
    let apart = NEVER.iter().map(|(name, _)| *name).chain(LAST.iter().copied());
    let gone: Vec<_> = said.iter().copied().chain(apart).filter(|name| !names.contains(name)).collect();
    assert!(gone.is_empty(), "there is no {gone:#?}");
    for (name, let_in, why) in EXCEPTIONS {
        let method = METHODS.iter().find(|method| name_of(method) == *name);
        let method = method.unwrap_or_else(|| panic!("there is no {name}"));
        let mut people = PEOPLE.iter().map(|(person, _)| *person);
        assert!(let_in.split(' ').all(|one| people.clone().any(|person| person == one)), "{name}: {let_in}");
        let differs = people.any(|person| expected(method, person) != by_rule(method.caller, person));
        assert!(differs && !why.is_empty(), "{name}: its rule says that already");
    }
}

/// The state that calls are made in.
struct Scene {
    broker: Broker,
    lent: String,
    /// What was made for calls, by what it is called in them.
    made: BTreeMap<String, String>,
}

impl Scene {
    async fn set() -> Self {
        let broker = Broker::with(|config| config.api.long_poll_timeout = 0).await;
        let operator = gridbroker::server::admin::connect(broker.data()).await.expect("its socket is there");
        let mut operator = operator.expect("it runs");
        for (alias, key) in [("eve", EVE), ("olga", OLGA)] {
            let new = AddUserRequest {
                alias: alias.into(),
                kudos: 1000,
                worker_invites: 100,
                api_key: Some(key.into()),
                ..Default::default()
            };
            operator.add_user(new).await.expect("she is made");
        }
        let owner = broker.json(OLGA).get("/find_user").await.ok();
        let owner = owner["id"].as_i64().expect("an ID");
        let lent = broker.lends(AddSharedKeyRequest { owner, name: Some("lent".into()), ..OPEN_KEY }).await;
        Self { broker, lent, made: BTreeMap::new() }
    }

    /// A message with what its `<kind:name>` stand for, made for the owner; `<me>` is who calls.
    async fn fill(&mut self, value: &Value, person: &str) -> Value {
        let mut filled = value.clone();
        let mut waiting = vec![&mut filled];
        while let Some(value) = waiting.pop() {
            match value {
                Value::String(text) if text.starts_with('<') => {
                    let name = text.trim_matches(['<', '>']).to_owned();
                    *text = match name.as_str() {
                        "me" => format!("works for {person}"),
                        "my images" => format!("draws for {person}"),
                        _ => self.make(&name).await,
                    };
                }
                Value::Array(values) => waiting.extend(values.iter_mut()),
                Value::Object(members) => waiting.extend(members.values_mut()),
                _ => {}
            }
        }
        filled
    }

    async fn make(&mut self, name: &str) -> String {
        if let Some(known) = self.made.get(name) {
            return known.clone();
        }
        let made = calls::make(&self.broker, name).await;
        self.made.insert(name.to_owned(), made.clone());
        made
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_rpc_lets_in_whom_its_rule_names_and_nobody_else() {
    let mut scene = Scene::set().await;
    let pool = wire::Pool::new(scene.broker.channel().await);
    let mut wrong = Vec::new();
    let mut methods = METHODS.to_vec();
    methods.sort_by_key(|method| LAST.iter().position(|name| *name == name_of(method)));
    for method in methods {
        let name = name_of(method);
        let Some((_, call)) = CALLS.iter().find(|(known, _)| *known == name) else { continue };
        let call: Value = serde_json::from_str(call).unwrap_or_else(|error| panic!("{name}: {error}"));
        // Those who are refused come first: what the others do may take away what the call is about.
        let mut people = PEOPLE.to_vec();
        people.sort_by_key(|(person, _)| expected(method, person));
        for (person, key) in people {
            let key = key.map(|key| if key == "<lent>" { scene.lent.clone() } else { key.to_owned() });
            let message = scene.fill(&call, person).await;
            let mut said = vec![("gRPC".to_owned(), pool.call(method.path, key.as_deref(), &message).await)];
            for binding in method.bindings {
                let route = format!("{} {}", binding.verb, binding.path);
                let answer = wire::over_json(&scene.broker, binding, key.as_deref(), &message).await;
                said.push((route, answer));
            }
            for (face, verdict) in said {
                if verdict.is_let_in != expected(method, person) {
                    let should = if verdict.is_let_in { "is let in" } else { "is turned away" };
                    wrong.push(format!("{name} over {face}: {person} {should}: {}", verdict.words));
                }
            }
        }
    }
    scene.broker.stop().await;
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn rules_are_understood() {
    for (rule, let_in) in [
        (Caller::User, "user owner awarder trusted service moderator admin deleted flagged"),
        (Caller::OwnerOrModerator, "owner moderator admin"),
        (Caller::Awarder, "awarder"),
    ] {
        let found: Vec<&str> =
            PEOPLE.iter().map(|(person, _)| *person).filter(|person| by_rule(rule, person)).collect();
        assert_eq!(found.join(" "), let_in, "{rule:?}");
    }
}
