//! Descriptors with their options → [`Api`].

use std::collections::BTreeMap;

use prost_reflect::{
    DescriptorPool, DynamicMessage, FieldDescriptor, Kind as ProtoKind, MessageDescriptor, MethodDescriptor,
    Value,
};

use super::{Api, Binding, Fallible, Field, Kind, Label, Message, Method, Rule, comments};

impl Api {
    /// Reads all services of a package.
    pub fn read(pool: &DescriptorPool, package: &str) -> Fallible<Self> {
        let mut methods = Vec::new();
        for service in pool.services().filter(|service| service.package_name() == package) {
            for rpc in service.methods() {
                methods.push(
                    method(pool, service.name(), &rpc).map_err(|e| format!("{}: {e}", rpc.full_name()))?,
                );
            }
        }
        let mut messages = BTreeMap::new();
        for rpc in &methods {
            let events = rpc.events.as_ref().map(|(_, oneof)| oneof.clone());
            let is_json = !rpc.bindings.is_empty();
            reach(pool, package, &rpc.input, true, is_json, None, &mut messages)?;
            if is_json {
                reach(pool, package, &rpc.output, false, true, events, &mut messages)?;
            }
        }
        let mut taken = BTreeMap::new();
        for rpc in &methods {
            for binding in &rpc.bindings {
                let route = format!("{} {}", binding.verb, anonymous(&binding.path)?);
                if let Some(other) = taken.insert(route.clone(), &rpc.name) {
                    return Err(format!("{route} is bound to {other} and to {}", rpc.name).into());
                }
            }
        }
        let reasons = reasons(pool, package)?;
        let comments = comments::read(pool, package, &reasons);
        Ok(Self { messages, methods, reasons, comments })
    }
}

/// A path without the names of its captures; only literals and `{name}` are understood.
fn anonymous(path: &str) -> Fallible<String> {
    let segments = path.strip_prefix('/').ok_or("a path begins with /")?.split('/').map(|segment| {
        let capture = segment.strip_prefix('{').and_then(|s| s.strip_suffix('}'));
        match capture {
            Some(name) if name.chars().all(|c| c.is_ascii_lowercase() || c == '_') => Ok("{}".to_owned()),
            None if !segment.is_empty() && !segment.contains(['{', '}', '*', ':']) => Ok(segment.to_owned()),
            _ => Err(format!("{path}: segment {segment:?} is not supported")),
        }
    });
    Ok(segments.collect::<Result<Vec<_>, _>>()?.join("/"))
}

fn option(pool: &DescriptorPool, options: &DynamicMessage, name: &str) -> Option<DynamicMessage> {
    let extension = pool.get_extension_by_name(name)?;
    options.has_extension(&extension).then(|| options.get_extension(&extension).as_message().cloned())?
}

fn get<T>(message: &DynamicMessage, field: &str, read: impl Fn(&Value) -> Option<T>) -> Option<T> {
    message.has_field_by_name(field).then(|| message.get_field_by_name(field))?.and_then(|value| read(&value))
}

fn text(message: &DynamicMessage, field: &str) -> Option<String> {
    get(message, field, |v| v.as_str().map(str::to_owned))
}

fn number(message: &DynamicMessage, field: &str) -> Option<u64> {
    get(message, field, |v| v.as_u32().map(u64::from))
}

fn flag(message: &DynamicMessage, field: &str) -> bool {
    get(message, field, Value::as_bool).unwrap_or(false)
}

fn texts(message: &DynamicMessage, field: &str) -> Vec<String> {
    let list = get(message, field, |v| v.as_list().map(<[Value]>::to_vec)).unwrap_or_default();
    list.iter().filter_map(|v| v.as_str().map(str::to_owned)).collect()
}

fn messages(message: &DynamicMessage, field: &str) -> Vec<DynamicMessage> {
    let list = get(message, field, |v| v.as_list().map(<[Value]>::to_vec)).unwrap_or_default();
    list.iter().filter_map(|v| v.as_message().cloned()).collect()
}

fn method(pool: &DescriptorPool, service: &str, rpc: &MethodDescriptor) -> Fallible<Method> {
    let options = rpc.options();
    let rule = option(pool, &options, "grid.rpc").ok_or("has no (grid.rpc): say who may call it")?;
    let caller = get(&rule, "caller", Value::as_enum_number).unwrap_or(0);
    let caller = match caller {
        1 => "Anyone",
        2 => "KeyOptional",
        3 => "Key",
        4 => "User",
        5 => "Owner",
        6 => "OwnerOrModerator",
        7 => "Moderator",
        8 => "Trusted",
        9 => "Customizer",
        10 => "Awarder",
        11 => "ByField",
        _ => return Err("(grid.rpc).caller is not set: every RPC says who may call it".into()),
    };
    let mut bindings = Vec::new();
    if let Some(http) = option(pool, &options, "google.api.http") {
        bindings.push(binding(&http)?);
        for more in messages(&http, "additional_bindings") {
            bindings.push(binding(&more)?);
        }
    }
    let events = get(&rule, "events", |v| v.as_message().cloned())
        .map(|events| Some((text(&events, "cursor_field"), text(&events, "payload_oneof")?)));
    let is_server_stream = rpc.is_server_streaming();
    if !bindings.is_empty() && (rpc.is_client_streaming() || is_server_stream != events.is_some()) {
        return Err("only unary RPCs and server streams with (grid.rpc).events can be bound to HTTP".into());
    }
    let bound = messages(&rule, "headers");
    Ok(Method {
        service: service.to_owned(),
        name: rpc.name().to_owned(),
        input: rpc.input().name().to_owned(),
        output: rpc.output().name().to_owned(),
        is_server_stream,
        caller: caller.to_owned(),
        late_key: flag(&rule, "late_key"),
        optional_body: flag(&rule, "optional_body"),
        success_status: number(&rule, "success_status").unwrap_or(200),
        limits: texts(&rule, "limits"),
        headers: bound.iter().filter_map(|h| Some((text(h, "header")?, text(h, "field")?))).collect(),
        events: events.flatten(),
        bindings,
    })
}

fn binding(http: &DynamicMessage) -> Fallible<Binding> {
    let verbs = ["get", "put", "post", "delete", "patch"];
    let (verb, path) = verbs
        .iter()
        .find_map(|verb| Some((verb.to_uppercase(), text(http, verb)?)))
        .ok_or("an HTTP rule names a verb and a path")?;
    let body = text(http, "body");
    if body.as_deref().is_some_and(|body| body != "*") {
        return Err("a body other than \"*\" is not supported".into());
    }
    Ok(Binding { verb, path, has_body: body.is_some(), response_body: text(http, "response_body") })
}

/// Takes in a message and all it holds.
fn reach(
    pool: &DescriptorPool,
    package: &str,
    name: &str,
    is_input: bool,
    is_json: bool,
    events: Option<String>,
    found: &mut BTreeMap<String, Message>,
) -> Fallible<()> {
    if let Some(known) = found.get_mut(name) {
        if (known.is_input || !is_input) && (known.is_json || !is_json) {
            return Ok(());
        }
        known.is_input |= is_input;
        known.is_json |= is_json;
    } else {
        let full = format!("{package}.{name}");
        let descriptor = pool.get_message_by_name(&full).ok_or(format!("{full} is not in the pool"))?;
        let message = message(pool, &descriptor, is_input, is_json, events)?;
        found.insert(name.to_owned(), message);
    }
    let inner: Vec<_> = found[name]
        .fields
        .iter()
        .filter_map(|field| match &field.kind {
            Kind::Message(inner) => Some(inner.clone()),
            _ => None,
        })
        .collect();
    for inner in inner {
        reach(pool, package, &inner, is_input, is_json, None, found)?;
    }
    Ok(())
}

fn message(
    pool: &DescriptorPool,
    descriptor: &MessageDescriptor,
    is_input: bool,
    is_json: bool,
    events: Option<String>,
) -> Fallible<Message> {
    let rule = option(pool, &descriptor.options(), "grid.message");
    let fields = descriptor.fields().map(|field| self::field(pool, &field)).collect::<Fallible<Vec<_>>>()?;
    let name = descriptor.name().to_owned();
    if is_json && events.is_none() && fields.iter().any(|field| field.in_oneof) {
        return Err(
            format!("{name}: a oneof has no JSON form, unless it is the payload of an event stream").into()
        );
    }
    let has = |flag_name: &str| rule.as_ref().is_some_and(|rule| flag(rule, flag_name));
    Ok(Message {
        name,
        fields,
        skip_none: has("skip_none"),
        transparent: has("transparent"),
        is_input,
        is_json,
        events,
    })
}

fn field(pool: &DescriptorPool, field: &FieldDescriptor) -> Fallible<Field> {
    let kind = match field.is_map() {
        true => Kind::Opaque,
        false => kind(&field.kind()),
    };
    let map_of = match field.kind() {
        ProtoKind::Message(entry) if field.is_map() => {
            Some(self::kind(&entry.map_entry_value_field().kind()))
        }
        _ => None,
    };
    let in_oneof = field.containing_oneof().is_some_and(|oneof| !oneof.is_synthetic());
    let label = match () {
        () if field.is_map() => Label::Map,
        () if field.is_list() => Label::Repeated,
        () if field.supports_presence() => Label::Optional,
        () => Label::Plain,
    };
    let rule = match option(pool, &field.options(), "grid.field") {
        None => Rule::default(),
        Some(rule) => Rule {
            required: flag(&rule, "required"),
            default_json: text(&rule, "default_json"),
            min: get(&rule, "min", Value::as_f64),
            max: get(&rule, "max", Value::as_f64),
            multiple_of: number(&rule, "multiple_of"),
            min_length: number(&rule, "min_length"),
            max_length: number(&rule, "max_length"),
            one_of: texts(&rule, "one_of"),
            max_items: number(&rule, "max_items"),
            unique_items: flag(&rule, "unique_items"),
            omit_when_empty: flag(&rule, "omit_when_empty"),
            null_when_empty: flag(&rule, "null_when_empty"),
            lax: flag(&rule, "lax"),
        },
    };
    if (rule.required || rule.default_json.is_some()) && label != Label::Optional {
        return Err(format!("{}: required and default_json need an optional field", field.full_name()).into());
    }
    let may_be_lax = matches!(kind, Kind::Text | Kind::Int(_)) && label == Label::Optional;
    if rule.lax && !may_be_lax {
        return Err(format!("{}: lax is for optional texts and whole numbers", field.full_name()).into());
    }
    let renamed = field.json_name().contains('-').then(|| field.json_name().to_owned());
    Ok(Field { name: field.name().to_owned(), renamed, kind, map_of, label, rule, in_oneof })
}

fn kind(kind: &ProtoKind) -> Kind {
    match kind {
        ProtoKind::String => Kind::Text,
        ProtoKind::Bool => Kind::Bool,
        ProtoKind::Int32 => Kind::Int("i32"),
        ProtoKind::Int64 => Kind::Int("i64"),
        ProtoKind::Uint32 => Kind::Int("u32"),
        ProtoKind::Uint64 => Kind::Int("u64"),
        ProtoKind::Double => Kind::Float,
        ProtoKind::Message(inner) if inner.full_name() == "google.protobuf.Struct" => Kind::Object,
        ProtoKind::Message(inner) if inner.package_name() == "grid.v2" => {
            Kind::Message(inner.name().to_owned())
        }
        _ => Kind::Opaque,
    }
}

fn reasons(pool: &DescriptorPool, package: &str) -> Fallible<Vec<(String, String, u64)>> {
    let reasons = pool.get_enum_by_name(&format!("{package}.Reason")).ok_or("there is no enum Reason")?;
    let mut known = Vec::new();
    for value in reasons.values().filter(|value| value.number() != 0) {
        let name = value.name();
        let rule =
            option(pool, &value.options(), "grid.reason").ok_or(format!("{name} has no (grid.reason)"))?;
        let (Some(rc), Some(http)) = (text(&rule, "rc"), number(&rule, "http")) else {
            return Err(format!("{name}: (grid.reason) needs rc and http").into());
        };
        let bare = name.strip_prefix("REASON_").ok_or(format!("{name} does not begin with REASON_"))?;
        known.push((super::camel(&bare.to_lowercase()), rc, http));
    }
    Ok(known)
}
