//! serde attributes on prost's structs: the JSON dialect of the API.

use super::{Api, Field, Kind, Label, Message};

impl Api {
    /// Attributes of messages, by path.
    pub fn message_attributes(&self) -> Vec<(String, String)> {
        self.json_messages()
            .filter(|message| message.events.is_none())
            .map(|message| {
                let form = if message.transparent { "transparent" } else { "default" };
                let attribute = format!("#[derive(serde::Serialize, serde::Deserialize)] #[serde({form})]");
                (format!(".grid.v2.{}", message.name), attribute)
            })
            .collect()
    }

    /// Attributes of fields, by path.
    pub fn field_attributes(&self) -> Vec<(String, String)> {
        self.json_messages()
            .filter(|message| message.events.is_none() && !message.transparent)
            .flat_map(|message| message.fields.iter().map(move |field| (message, field)))
            .filter_map(|(message, field)| {
                let attributes = attributes(message, field, |inner| !self.messages[inner].transparent);
                let path = format!(".grid.v2.{}.{}", message.name, field.name);
                (!attributes.is_empty()).then(|| (path, format!("#[serde({})]", attributes.join(", "))))
            })
            .collect()
    }

    fn json_messages(&self) -> impl Iterator<Item = &Message> {
        self.messages.values().filter(|message| message.is_json)
    }
}

fn attributes(message: &Message, field: &Field, is_object: impl Fn(&str) -> bool) -> Vec<String> {
    let mut attributes = Vec::new();
    if let Some(name) = &field.renamed {
        attributes.push(format!("rename = {name:?}"));
    }
    match (&field.kind, field.label) {
        (Kind::Int(_), _) if field.rule.lax => attributes.push(with("deserialize", "lax_whole")),
        (Kind::Text, _) if field.rule.lax => attributes.push(with("deserialize", "lax_text")),
        (Kind::Int(_), Label::Plain) => attributes.push(with("deserialize", "whole")),
        (Kind::Int(_), Label::Optional) => attributes.push(with("deserialize", "present_whole")),
        (Kind::Int(_), Label::Repeated) => attributes.push(with("deserialize", "wholes")),
        (Kind::Message(inner), label) if is_object(inner) => match label {
            Label::Repeated => attributes.push(with("deserialize", "objects")),
            _ => attributes.push(with("deserialize", "present_object")),
        },
        (_, Label::Optional) => attributes.push(with("deserialize", "present")),
        _ => {}
    }
    if field.label == Label::Optional && message.skip_none {
        attributes.push("skip_serializing_if = \"Option::is_none\"".into());
    }
    match field.label {
        // A message that leaves all of them out has said so above.
        Label::Optional if field.rule.omit_when_empty && !message.skip_none => {
            attributes.push("skip_serializing_if = \"Option::is_none\"".into());
        }
        Label::Repeated if field.rule.omit_when_empty => {
            attributes.push("skip_serializing_if = \"Vec::is_empty\"".into());
        }
        _ => {}
    }
    if field.rule.null_when_empty {
        attributes.push(with("serialize", "null_when_empty"));
    }
    attributes
}

fn with(direction: &str, function: &str) -> String {
    format!("{direction}_with = \"crate::rpc::json::{function}\"")
}
