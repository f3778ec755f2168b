//! Pieces of the page: an operation, tables of fields, a line for curl.

use serde_json::{Map, Value, json};

/// How deep an example goes.
const DEEPEST: usize = 4;

/// Text as HTML shows it.
pub fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            c => out.push(c),
        }
    }
    out
}

/// Text on one line, with `code` as such.
fn words(text: &str) -> String {
    let mut out = String::new();
    let parts: Vec<&str> = text.split('`').collect();
    for (i, part) in parts.iter().enumerate() {
        // A last backtick without a fellow is a backtick.
        match (i % 2, i + 1 == parts.len()) {
            (1, false) => out.push_str(&format!("<code>{}</code>", escape(part))),
            (1, true) => out.push_str(&format!("`{}", escape(part))),
            _ => out.push_str(&escape(part)),
        }
    }
    out
}

/// Paragraphs.
pub fn prose(text: &str) -> String {
    text.split("\n\n").filter(|part| !part.is_empty()).map(|part| format!("<p>{}</p>", words(part))).collect()
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

fn members(value: &Value) -> impl Iterator<Item = (&String, &Value)> {
    value.as_object().into_iter().flatten()
}

/// A schema under its name.
pub fn named_schema(name: &str, schema: &Value) -> String {
    let name = escape(name);
    let inside = match schema.get("oneOf") {
        Some(cases) => list(cases)
            .map(|case| {
                format!(
                    "<h3><code>{}</code></h3>{}{}",
                    escape(text(&case["title"])),
                    prose(text(&case["description"])),
                    fields(case)
                )
            })
            .collect(),
        None => fields(schema),
    };
    let codes = return_codes(&schema["x-return-codes"]);
    // The name is within, so that a link to it opens the entry.
    format!(
        "<details><summary><code>{name}</code></summary><div><span id=\"schema-{name}\"></span>{}{inside}{codes}</div></details>",
        prose(text(&schema["description"]))
    )
}

fn return_codes(codes: &Value) -> String {
    let rows: String = members(codes)
        .map(|(rc, said)| {
            format!(
                "<tr><th scope=\"row\"><code>{}</code></th><td>{}</td><td>{}</td></tr>",
                escape(rc),
                said["status"],
                words(text(&said["description"]))
            )
        })
        .collect();
    if rows.is_empty() { rows } else { table(&["Code", "Status", "When"], &rows) }
}

fn table(heads: &[&str], rows: &str) -> String {
    let heads: String = heads.iter().map(|head| format!("<th scope=\"col\">{head}</th>")).collect();
    format!(
        "<div class=\"wide\" tabindex=\"0\" role=\"group\" aria-label=\"Table\"><table><thead><tr>{heads}</tr></thead><tbody>{rows}</tbody></table></div>"
    )
}

/// A table of an object's fields, those that must be there first.
fn fields(schema: &Value) -> String {
    let is_required = |name: &str| list(&schema["required"]).any(|one| one == name);
    let mut properties: Vec<_> = members(&schema["properties"]).collect();
    properties.sort_by_key(|(name, _)| !is_required(name));
    let rows: String = properties
        .into_iter()
        .map(|(name, property)| row(name, property, is_required(name), text(&property["description"])))
        .collect();
    if rows.is_empty() { rows } else { table(&["Field", "Type", "Meaning"], &rows) }
}

fn row(name: &str, schema: &Value, is_required: bool, description: &str) -> String {
    let must = if is_required { " <strong>always</strong>" } else { "" };
    format!(
        "<tr><th scope=\"row\"><code>{}</code>{must}</th><td>{}</td><td>{}{}</td></tr>",
        escape(name),
        kind(schema),
        prose(description),
        bounds(schema)
    )
}

/// A schema's type, in words.
fn kind(schema: &Value) -> String {
    if let Some(name) = schema["$ref"].as_str().and_then(|reference| reference.rsplit('/').next()) {
        let name = escape(name);
        return format!("<a href=\"#schema-{name}\">{name}</a>");
    }
    let choices: Vec<String> = list(&schema["anyOf"]).map(kind).collect();
    if !choices.is_empty() {
        return choices.join(" or ");
    }
    let kinds = match &schema["type"] {
        Value::Array(kinds) => kinds.iter().map(text).collect(),
        one => vec![text(one)],
    };
    let named: Vec<String> = kinds
        .into_iter()
        .map(|name| match name {
            "array" => format!("list of {}", kind(&schema["items"])),
            "object" if schema["additionalProperties"].is_object() => {
                format!("object of {}", kind(&schema["additionalProperties"]))
            }
            "" => schema
                .get("const")
                .map_or("anything".to_owned(), |only| format!("<code>{}</code>", escape(&only.to_string()))),
            other => escape(other),
        })
        .collect();
    named.join(" or ")
}

/// What bounds a value, in words.
fn bounds(schema: &Value) -> String {
    let mut said = Vec::new();
    let mut say = |name: &str, words: &str| {
        if let Some(value) = schema.get(name) {
            said.push(format!("{words} <code>{}</code>", escape(&value.to_string())));
        }
    };
    say("default", "default");
    say("minimum", "at least");
    say("maximum", "at most");
    say("multipleOf", "a multiple of");
    say("minLength", "characters, at least");
    say("maxLength", "characters, at most");
    say("maxItems", "items, at most");
    let items = &schema["items"];
    let choices: Vec<String> = list(&schema["enum"])
        .chain(list(&items["enum"]))
        .map(|one| format!("<code>{}</code>", escape(text(one))))
        .collect();
    if !choices.is_empty() {
        said.push(format!("one of {}", choices.join(", ")));
    }
    if items.get("maxLength").is_some() {
        said.push(format!("characters of each, at most <code>{}</code>", items["maxLength"]));
    }
    if said.is_empty() { String::new() } else { format!("<p class=\"soft\">{}</p>", said.join("; ")) }
}

/// An operation, where it is.
pub struct Call<'a> {
    pub document: &'a Value,
    pub verb: &'a str,
    pub path: &'a str,
    pub operation: &'a Value,
    pub base: &'a str,
}

impl Call<'_> {
    /// What stands within its entry.
    pub fn html(&self) -> String {
        let Self { verb, path, operation, .. } = self;
        let verb = verb.to_uppercase();
        let limits: Vec<&str> = list(&operation["x-rate-limits"]).map(text).collect();
        let limits = if limits.is_empty() { "as often as one likes".to_owned() } else { limits.join(", ") };
        format!(
            "<summary><span class=\"verb {verb}\">{verb}</span> <code>{}</code> <span class=\"soft\">{}</span></summary>\
             <div>{}<dl><dt>Who may call</dt><dd>{}</dd><dt>How often</dt><dd>{}</dd><dt>Over gRPC</dt><dd><code>{}</code></dd></dl>\
             {}{}{}<h3>With curl</h3><pre tabindex=\"0\">{}</pre></div>",
            escape(path),
            words(text(&operation["summary"])),
            prose(text(&operation["description"])),
            escape(text(&operation["x-caller"])),
            escape(&limits),
            escape(text(&operation["x-grpc"])),
            self.parameters(),
            self.body(),
            self.responses(),
            escape(&self.curl()),
        )
    }

    fn parameters(&self) -> String {
        let rows: String = list(&self.operation["parameters"])
            .map(|parameter| {
                let place = text(&parameter["in"]);
                let name = format!("{} ({place})", text(&parameter["name"]));
                let is_required = parameter["required"] == true;
                row(&name, &parameter["schema"], is_required, text(&parameter["description"]))
            })
            .collect();
        if rows.is_empty() {
            rows
        } else {
            format!("<h3>Parameters</h3>{}", table(&["Name", "Type", "Meaning"], &rows))
        }
    }

    fn body(&self) -> String {
        let body = &self.operation["requestBody"];
        let Some((form, content)) = members(&body["content"]).next() else { return String::new() };
        format!(
            "<h3>Body</h3><p><code>{}</code>: {}. {}</p>{}",
            escape(form),
            kind(&content["schema"]),
            words(text(&body["description"])),
            fields(self.resolve(&content["schema"])),
        )
    }

    fn responses(&self) -> String {
        let rows: String = members(&self.operation["responses"])
            .map(|(status, response)| {
                let forms: Vec<String> = members(&response["content"])
                    .map(|(form, content)| {
                        format!("{} <span class=\"soft\">{}</span>", kind(&content["schema"]), escape(form))
                    })
                    .collect();
                format!(
                    "<tr><th scope=\"row\">{}</th><td>{}</td><td>{}</td></tr>",
                    escape(status),
                    prose(text(&response["description"])),
                    forms.join("<br>")
                )
            })
            .collect();
        format!("<h3>Answers</h3>{}", table(&["Status", "When", "Body"], &rows))
    }

    fn resolve<'s>(&'s self, schema: &'s Value) -> &'s Value {
        match schema["$ref"].as_str().and_then(|reference| reference.rsplit('/').next()) {
            Some(name) => &self.document["components"]["schemas"][name],
            None => schema,
        }
    }

    /// A line that makes the call, with placeholders in capitals where something of one's own belongs.
    fn curl(&self) -> String {
        let Self { document, verb, path, operation, base } = self;
        let path: String = path
            .split_inclusive(['{', '}'])
            .map(|part| match part.strip_suffix('}') {
                Some(name) => name.to_uppercase(),
                None => part.trim_end_matches('{').to_owned(),
            })
            .collect();
        let is_stream = operation["responses"]["200"]["content"].get("text/event-stream").is_some();
        let mut line = format!("curl {}", if is_stream { "-N " } else { "" });
        if *verb != "get" {
            line.push_str(&format!("-X {} ", verb.to_uppercase()));
        }
        line.push_str(&format!("'{base}{path}'"));
        let header = text(&document["components"]["securitySchemes"]["ApiKey"]["name"]);
        if list(&operation["security"]).next().is_some() {
            line.push_str(&format!(" \\\n  -H '{header}: 0000000000'"));
        }
        if let Some((form, content)) = members(&operation["requestBody"]["content"]).next() {
            line.push_str(&format!(" \\\n  -H 'Content-Type: {form}' "));
            match form.as_str() {
                "application/json" => {
                    line.push_str(&format!("-d '{}'", self.example("", &content["schema"], DEEPEST)));
                }
                _ => line.push_str("--data-binary @FILE"),
            }
        }
        line
    }

    /// The least that a schema lets pass, more or less.
    fn example(&self, name: &str, schema: &Value, depth: usize) -> Value {
        let schema = self.resolve(schema);
        if let Some(known) = schema.get("default").or_else(|| schema["enum"].get(0)) {
            return known.clone();
        }
        match (text(&schema["type"]), name) {
            (_, _) if depth == 0 => Value::Null,
            ("object", _) => {
                let required = list(&schema["required"]).map(text);
                let fields = required.map(|name| {
                    (name.to_owned(), self.example(name, &schema["properties"][name], depth - 1))
                });
                Value::Object(fields.collect::<Map<_, _>>())
            }
            ("array", _) => json!([self.example(name, &schema["items"], depth - 1)]),
            ("integer" | "number", _) => schema.get("minimum").cloned().unwrap_or(json!(1)),
            ("boolean", _) => json!(true),
            (_, "prompt") => json!("A lighthouse at dusk"),
            (_, name) => json!(name.to_uppercase()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_and_bounds_are_said_in_words() {
        for (schema, said) in [
            (json!({"type": "string"}), "string"),
            (json!({"type": ["integer", "null"]}), "integer or null"),
            (json!({"type": "array", "items": {"type": "number"}}), "list of number"),
            (json!({"type": "object", "additionalProperties": {"type": "integer"}}), "object of integer"),
            (json!({"$ref": "#/components/schemas/A"}), "<a href=\"#schema-A\">A</a>"),
            (
                json!({"anyOf": [{"$ref": "#/components/schemas/A"}, {"type": "null"}]}),
                "<a href=\"#schema-A\">A</a> or null",
            ),
            (json!({}), "anything"),
        ] {
            assert_eq!(kind(&schema), said);
        }
        let said = bounds(&json!({"minimum": 64, "default": "a<b", "enum": ["x", "y"]}));
        assert!(said.contains("at least <code>64</code>") && said.contains("&quot;a&lt;b&quot;"), "{said}");
        assert!(said.contains("one of <code>x</code>, <code>y</code>"), "{said}");
    }

    #[test]
    fn curl_gets_a_key_a_body_and_no_braces() {
        let document = json!({"components": {
            "securitySchemes": {"ApiKey": {"name": "apikey"}},
            "schemas": {"A": {"type": "object", "required": ["prompt", "n"], "properties":
                {"prompt": {"type": "string"}, "n": {"type": "integer", "minimum": 3}, "more": {"type": "string"}}}},
        }});
        let operation = json!({"security": [{"ApiKey": []}],
            "requestBody": {"content": {"application/json": {"schema": {"$ref": "#/components/schemas/A"}}}}});
        let call = Call {
            document: &document,
            verb: "post",
            path: "/a/{id}/b",
            operation: &operation,
            base: "http://x",
        };
        assert_eq!(
            call.curl(),
            "curl -X POST 'http://x/a/ID/b' \\\n  -H 'apikey: 0000000000' \\\n  \
             -H 'Content-Type: application/json' -d '{\"n\":3,\"prompt\":\"A lighthouse at dusk\"}'"
        );
    }
}
