//! HTTP routes, each a call into a generic function with the RPC's rule.

use std::{collections::BTreeMap, fmt::Write};

use super::{Api, Binding, Method, camel, checks::constant, snake};

impl Api {
    /// The source included by `transcode`.
    pub fn routes(&self) -> String {
        let mut out = String::new();
        self.events(&mut out);
        let mut services: Vec<&str> = self.methods.iter().map(|method| method.service.as_str()).collect();
        services.dedup();
        let fields: String =
            services.iter().map(|s| format!("/// Its service.\npub {}: Arc<{s}>,\n", snake(s))).collect();
        let bounds: String =
            services.iter().map(|s| format!("{s}: pb::{0}_server::{s}, ", snake(s))).collect();
        let names = services.join(", ");
        let _ = writeln!(
            out,
            "/// The services that HTTP routes call, in process.\npub struct Services<{names}> {{ {fields} }}\n\
             /// All HTTP routes of the API.\n#[allow(clippy::redundant_closure_for_method_calls)]\n\
             pub fn router<{bounds}>(services: Services<{names}>, door: Door) -> axum::Router {{ \
             let mut router = axum::Router::new();"
        );
        let mut paths: BTreeMap<&str, Vec<(&Method, &Binding, usize)>> = BTreeMap::new();
        for method in &self.methods {
            for (i, binding) in method.bindings.iter().enumerate() {
                paths.entry(&binding.path).or_default().push((method, binding, i));
            }
        }
        for (path, bound) in paths {
            let mut verbs: Vec<&str> = bound.iter().map(|(_, binding, _)| binding.verb.as_str()).collect();
            if verbs.contains(&"GET") {
                verbs.push("HEAD");
            }
            verbs.push("OPTIONS");
            let allow = verbs.join(", ");
            let mut route = format!("other_verbs({allow:?})");
            for (method, binding, i) in bound {
                let _ = write!(route, ".{}({})", binding.verb.to_lowercase(), handler(method, binding, i));
            }
            let _ = writeln!(out, "router = router.route({path:?}, {route});");
        }
        out.push_str("router }\n");
        out
    }

    fn events(&self, out: &mut String) {
        for method in &self.methods {
            let Some((cursor, oneof)) = &method.events else { continue };
            let output = &self.messages[&method.output];
            let module = snake(&output.name);
            let cases = |write: &dyn Fn(&str, &str) -> String| -> String {
                let cases = output.fields.iter().filter(|field| field.in_oneof);
                cases.map(|field| write(&field.name, &camel(&field.name))).collect()
            };
            let path = format!("pb::{module}::{}", camel(oneof));
            let cursor = match cursor {
                Some(field) => format!("Some(&self.{field})"),
                None => "None".to_owned(),
            };
            let _ = writeln!(
                out,
                "impl Event for pb::{} {{ fn cursor(&self) -> Option<&str> {{ {cursor} }} \
                 fn kind(&self) -> &'static str {{ match &self.{oneof} {{ {} None => \"unknown\" }} }} \
                 fn data(&self) -> String {{ match &self.{oneof} {{ {} None => \"{{}}\".to_owned() }} }} }}",
                output.name,
                cases(&|name, case| format!("Some({path}::{case}(_)) => {name:?}, ")),
                cases(&|_, case| format!("Some({path}::{case}(data)) => line(data), ")),
            );
        }
    }
}

fn handler(method: &Method, binding: &Binding, index: usize) -> String {
    let (service, rpc, rule) = (snake(&method.service), snake(&method.name), constant(method));
    let call = format!("async move |request| service.{rpc}(request).await");
    let run = if method.is_server_stream {
        format!("stream(door, target, parts, {call}).await")
    } else {
        let project = match &binding.response_body {
            Some(field) => format!("|answer| answer.{field}"),
            None => "|answer| answer".to_owned(),
        };
        format!("unary(door, target, parts, {call}, {project}).await")
    };
    format!(
        "{{ let (service, door) = (services.{service}.clone(), door.clone()); \
         move |parts: Incoming| {{ let (service, door) = (service.clone(), door.clone()); async move {{ \
         let target = Target {{ rule: &rules::{rule}, binding: &rules::{rule}.bindings[{index}] }}; {run} }} }} }}"
    )
}
