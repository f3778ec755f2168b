//! Checks, defaults, shapes and bindings of request messages; rules of RPCs; codes of reasons.

use std::fmt::Write;

use super::{Api, Field, Kind, Label, Message, Method, ident, snake};

impl Api {
    /// The source included by `rpc`.
    pub fn checks(&self) -> String {
        let mut out = String::new();
        for message in self.messages.values().filter(|message| message.is_input) {
            check(&mut out, message);
            if message.is_json {
                shape(&mut out, message);
            }
        }
        for method in self.methods.iter().filter(|method| !method.bindings.is_empty()) {
            if let Some(input) = self.messages.get(&method.input) {
                bind(&mut out, input);
            }
        }
        self.rules(&mut out);
        self.codes(&mut out);
        out
    }

    fn rules(&self, out: &mut String) {
        let mut all = String::new();
        for method in &self.methods {
            let constant = constant(method);
            let bindings: String = method
                .bindings
                .iter()
                .map(|b| {
                    format!(
                        "Binding {{ verb: {:?}, path: {:?}, has_body: {} }}, ",
                        b.verb, b.path, b.has_body
                    )
                })
                .collect();
            let limits: String = method.limits.iter().filter_map(|limit| self::limit(limit)).collect();
            let limits = match method.limits.as_slice() {
                [] => "Limit { count: 90, seconds: 60, key: LimitKey::Address }".to_owned(),
                _ => limits,
            };
            let subject = self.messages.get(&method.input).and_then(|input| {
                let is_name = |field: &&Field| matches!(field.name.as_str(), "id" | "name");
                let field = input.fields.iter().find(is_name).filter(|field| field.label == Label::Plain);
                field.map(|field| format!("&self.{}", field.name))
            });
            let subject = subject.unwrap_or_else(|| "\"\"".to_owned());
            let _ = writeln!(
                out,
                "/// Rule of the RPC.\npub static {constant}: MethodRule = MethodRule {{ path: \"/grid.v2.{}/{}\", \
                 caller: Caller::{}, late_key: {}, optional_body: {}, success_status: {}, limits: &[{limits}], bindings: &[{bindings}], \
                 headers: &{:?} }};\nimpl Rule for pb::{} {{ const METHOD: &'static MethodRule = &{constant};\n\
                 fn subject(&self) -> &str {{ {subject} }} }}",
                method.service,
                method.name,
                method.caller,
                method.late_key,
                method.optional_body,
                method.success_status,
                method.headers,
                method.input,
            );
            let _ = write!(all, "&{constant}, ");
        }
        let _ = writeln!(out, "/// Rules of all RPCs.\npub static METHODS: &[&MethodRule] = &[{all}];");
    }

    fn codes(&self, out: &mut String) {
        let arms = |write: &dyn Fn(&str, &str, u64) -> String| -> String {
            self.reasons.iter().map(|(name, rc, http)| write(name, rc, *http)).collect()
        };
        let _ = writeln!(
            out,
            "impl pb::Reason {{\n/// The stable return code.\npub fn rc(self) -> &'static str {{ match self {{ \
             Self::Unspecified => \"\", {} }} }}\n/// The HTTP status.\npub fn http(self) -> u16 {{ match self {{ \
             Self::Unspecified => 500, {} }} }}\n/// Reads [`Self::rc`].\npub fn from_rc(rc: &str) -> Option<Self> \
             {{ match rc {{ {} _ => None }} }} }}",
            arms(&|name, rc, _| format!("Self::{name} => {rc:?}, ")),
            arms(&|name, _, http| format!("Self::{name} => {http}, ")),
            arms(&|name, rc, _| format!("{rc:?} => Some(Self::{name}), ")),
        );
    }
}

/// Name of an RPC's rule.
pub(super) fn constant(method: &Method) -> String {
    format!("{}_{}", snake(&method.service), snake(&method.name)).to_uppercase()
}

/// `<count>/<s|min|h>:<path|known|ip|ip+group|key|anonymous>`; `exempt` is no limit.
fn limit(text: &str) -> Option<String> {
    if text == "exempt" {
        return None;
    }
    let (count, rest) = text.split_once('/').unwrap_or_else(|| panic!("limit {text:?} has no /"));
    let (unit, key) = rest.split_once(':').unwrap_or_else(|| panic!("limit {text:?} has no :"));
    let seconds = match unit {
        "s" => 1,
        "min" => 60,
        "h" => 3600,
        _ => panic!("limit {text:?}: unit {unit:?} is none of s, min, h"),
    };
    let key = match (key, key.strip_prefix("ip+")) {
        ("path", _) => "Path".to_owned(),
        ("known", _) => "Known".to_owned(),
        ("ip", _) => "Address".to_owned(),
        ("key", _) => "Key".to_owned(),
        ("anonymous", _) => "Anonymous".to_owned(),
        (_, Some(group)) => format!("Group({group:?})"),
        _ => panic!("limit {text:?}: key {key:?} is none of path, known, ip, ip+group, key, anonymous"),
    };
    let count: u32 = count.parse().unwrap_or_else(|_| panic!("limit {text:?} begins with a number"));
    Some(format!("Limit {{ count: {count}, seconds: {seconds}, key: LimitKey::{key} }}, "))
}

fn check(out: &mut String, message: &Message) {
    let (mut checks, mut defaults) = (String::new(), String::new());
    for field in &message.fields {
        // A message that is its only field is that field on the wire: its name is nobody's business.
        field_checks(&mut checks, field, if message.transparent { "" } else { &field.name });
        field_defaults(&mut defaults, field);
    }
    let nuls: Vec<_> = message.fields.iter().filter_map(field_nul).collect();
    let nuls = if nuls.is_empty() { "false".to_owned() } else { nuls.join(" || ") };
    let _ = writeln!(
        out,
        "impl Check for pb::{} {{\n#[allow(unused_variables)]\nfn check(&self, at: &mut FieldPath, v: &mut Violations) \
         {{ {checks} }}\nfn normalize(&mut self) {{ {defaults} }}\nfn has_nul(&self) -> bool {{ {nuls} }} }}",
        message.name
    );
}

/// Whether a field holds a NUL character.
fn field_nul(field: &Field) -> Option<String> {
    let rust = ident(&field.name);
    let test = match &field.kind {
        Kind::Text => "has_nul(value)",
        Kind::Object => "value.has_nul()",
        Kind::Message(_) if !field.in_oneof => "value.has_nul()",
        _ => return None,
    };
    match field.label {
        Label::Plain => Some(format!("has_nul(&self.{rust})")),
        Label::Optional | Label::Repeated => Some(format!("self.{rust}.iter().any(|value| {test})")),
        Label::Map => None,
    }
}

fn field_checks(out: &mut String, field: &Field, name: &str) {
    let (rust, rule) = (ident(&field.name), &field.rule);
    if rule.required {
        let _ = write!(out, "v.required(at, {name:?}, self.{rust}.is_some());");
    }
    if field.label == Label::Repeated {
        if let Some(most) = rule.max_items {
            let _ = write!(out, "v.items(at, {name:?}, self.{rust}.len(), {most});");
        }
        if rule.unique_items {
            let _ = write!(out, "v.unique(at, {name:?}, &self.{rust});");
        }
    }
    let one = match &field.kind {
        Kind::Text if rule.min_length.is_some() || rule.max_length.is_some() || !rule.one_of.is_empty() => {
            Some(format!(
                "v.text(at, value, {:?}, {:?}, &{:?})",
                rule.min_length, rule.max_length, rule.one_of
            ))
        }
        // Without bounds a float must still be a number: JSON, and so the store, has no others.
        Kind::Int(_) | Kind::Float
            if field.kind == Kind::Float
                || rule.min.is_some()
                || rule.max.is_some()
                || rule.multiple_of.is_some() =>
        {
            let is_whole = field.kind != Kind::Float;
            let value = if is_whole { "*value as f64" } else { "*value" };
            let (min, max, multiple) = (rule.min, rule.max, rule.multiple_of);
            Some(format!("v.number(at, {value}, {is_whole}, {min:?}, {max:?}, {multiple:?})"))
        }
        Kind::Message(_) if !field.in_oneof => Some("value.check(at, v)".to_owned()),
        Kind::Object => Some("v.object(at, value)".to_owned()),
        _ => None,
    };
    let Some(one) = one else { return };
    let _ = match field.label {
        Label::Repeated => write!(
            out,
            "for (i, value) in self.{rust}.iter().enumerate() {{ if v.is_full() {{ break; }} \
             at.within_item({name:?}, i, |at| {{ {one}; }}); }}"
        ),
        Label::Optional => {
            write!(out, "\nif let Some(value) = &self.{rust} {{ at.within({name:?}, |at| {{ {one}; }}); }}")
        }
        _ => write!(out, "{{ let value = &self.{rust}; at.within({name:?}, |at| {{ {one}; }}); }}"),
    };
}

fn field_defaults(out: &mut String, field: &Field) {
    let rust = ident(&field.name);
    if let Some(default) = &field.rule.default_json {
        let call = match &field.kind {
            Kind::Text => format!("get_or_insert_with(|| {default}.to_owned())"),
            Kind::Message(_) if default == "{}" => "get_or_insert_default()".to_owned(),
            // A transparent list.
            Kind::Message(inner) => {
                let items = default.trim_matches(['[', ']']);
                format!("get_or_insert_with(|| pb::{inner} {{ names: vec![{items}.to_owned()] }})")
            }
            _ => format!("get_or_insert({default})"),
        };
        let _ = write!(out, "self.{rust}.{call};");
    }
    if let (Kind::Message(_), false) = (&field.kind, field.in_oneof) {
        let _ = write!(out, "for value in self.{rust}.iter_mut() {{ value.normalize(); }}");
    }
}

fn shape(out: &mut String, message: &Message) {
    let fields: String = message
        .fields
        .iter()
        .filter_map(|field| {
            let kind = match &field.kind {
                Kind::Text if field.rule.lax => "LaxText".to_owned(),
                Kind::Int(ty) if field.rule.lax => format!("LaxWhole({ty}::MIN as i128, {ty}::MAX as i128)"),
                Kind::Text => "Text".to_owned(),
                Kind::Bool => "Bool".to_owned(),
                Kind::Int(ty) => format!("Whole({ty}::MIN as i128, {ty}::MAX as i128)"),
                Kind::Float => "Number".to_owned(),
                Kind::Message(inner) => format!("Message(<pb::{inner} as Shape>::SHAPE)"),
                Kind::Object => "Object".to_owned(),
                Kind::Opaque => return None,
            };
            let (name, is_list) = (&field.name, field.label == Label::Repeated);
            Some(format!("FieldShape {{ name: {name:?}, kind: ShapeKind::{kind}, is_list: {is_list} }}, "))
        })
        .collect();
    let _ = writeln!(
        out,
        "impl Shape for pb::{} {{ const SHAPE: &'static MessageShape = &MessageShape {{ is_transparent: {}, \
         fields: &[{fields}] }}; }}",
        message.name, message.transparent
    );
}

fn bind(out: &mut String, message: &Message) {
    let mut arms = String::new();
    for field in &message.fields {
        let (name, rust) = (&field.name, ident(&field.name));
        let value = match &field.kind {
            Kind::Text => "text.to_owned()",
            Kind::Bool => "bind::boolean(text)?",
            Kind::Int(_) => "bind::whole(text)?",
            Kind::Float => "bind::number(text)?",
            _ => continue,
        };
        let _ = match field.label {
            Label::Plain => write!(arms, "{name:?} => self.{rust} = {value}, "),
            Label::Optional => write!(arms, "{name:?} => self.{rust} = Some({value}), "),
            Label::Repeated => write!(arms, "{name:?} => self.{rust}.push({value}), "),
            Label::Map => Ok(()),
        };
    }
    let _ = writeln!(
        out,
        "impl Bind for pb::{} {{\n#[allow(unused_variables, clippy::match_single_binding, clippy::single_match)]\n\
         fn bind(&mut self, name: &str, text: &str) -> Result<(), String> {{ match name {{ {arms} _ => {{}} }} Ok(()) }} }}",
        message.name
    );
}
