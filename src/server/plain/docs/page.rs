//! The page for people: an entry for each operation, by service, and one for each schema.

use serde_json::Value;

use super::parts::{self, escape};

/// The page's style; it stands in the page.
pub const STYLE: &str = include_str!("style.css");
/// As many entries or fewer are shown open when they are what was searched for.
const OPEN_AT_MOST: usize = 5;
/// The order of verbs of one path.
const VERBS: [&str; 5] = ["get", "post", "put", "patch", "delete"];

/// The page in pieces, ready to be put together for a search.
pub struct Page {
    title: String,
    version: String,
    about: String,
    base: String,
    services: Vec<Service>,
    schemas: String,
}

struct Service {
    name: String,
    about: String,
    entries: Vec<Entry>,
}

struct Entry {
    /// The ID of its element.
    id: String,
    /// What stands within the element.
    html: String,
    /// What a search looks through, in lower case.
    words: String,
}

impl Page {
    /// The page of an OpenAPI document, for a broker that is reached at a base URL.
    pub fn new(document: &Value, base: &str) -> Self {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let tags = document["tags"].as_array().into_iter().flatten();
        let services = tags
            .map(|tag| {
                let name = text(&tag["name"]);
                let entries = entries(document, &name, base);
                Service { about: text(&tag["description"]), name, entries }
            })
            .collect();
        let schemas = document["components"]["schemas"].as_object().into_iter().flatten();
        Self {
            title: text(&document["info"]["title"]),
            version: text(&document["info"]["version"]),
            about: text(&document["info"]["description"]),
            base: base.to_owned(),
            services,
            schemas: schemas.map(|(name, schema)| parts::named_schema(name, schema)).collect(),
        }
    }

    /// The page with what holds all words of a search; an empty search finds everything.
    pub fn render(&self, search: &str) -> String {
        let wanted: Vec<String> = search.to_lowercase().split_whitespace().map(str::to_owned).collect();
        let fits = |entry: &&Entry| wanted.iter().all(|word| entry.words.contains(word));
        let found: usize =
            self.services.iter().map(|service| service.entries.iter().filter(fits).count()).sum();
        let open = if !wanted.is_empty() && found <= OPEN_AT_MOST { " open" } else { "" };
        let (mut links, mut sections) = (String::new(), String::new());
        for service in &self.services {
            let mut entries = service.entries.iter().filter(fits).peekable();
            if entries.peek().is_none() {
                continue;
            }
            let name = escape(&service.name);
            links.push_str(&format!("<li><a href=\"#service-{name}\">{name}</a></li>"));
            sections.push_str(&format!(
                "<section aria-labelledby=\"service-{name}\"><h2 id=\"service-{name}\">{name}</h2>{}",
                parts::prose(&service.about)
            ));
            for entry in entries {
                sections.push_str(&format!(
                    "<details id=\"{}\"{open}>{}</details>",
                    escape(&entry.id),
                    entry.html
                ));
            }
            sections.push_str("</section>");
        }
        let result = match (wanted.is_empty(), found) {
            (true, _) => String::new(),
            (false, 0) => "<p role=\"status\">Nothing holds all of these words. <a href=\"/api/\">Show everything</a></p>".into(),
            (false, found) => {
                let noun = if found == 1 { "operation" } else { "operations" };
                format!("<p role=\"status\">{found} {noun} found. <a href=\"/api/\">Show everything</a></p>")
            }
        };
        let (title, base, search) = (escape(&self.title), escape(&self.base), escape(search));
        format!(
            "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\">\
             <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\
             <title>{title}: API</title><style>{STYLE}</style></head><body>\
             <a class=\"skip\" href=\"#main\">To the operations</a>\
             <header><h1>{title}: API</h1><p class=\"soft\">Version {version} at <code>{base}</code></p>{about}\
             <p>For programs: <a href=\"/api/openapi.json\">OpenAPI 3.1</a>, \
             <a href=\"/api/swagger.json\">Swagger 2.0</a>; over gRPC, ask the server itself (reflection is on).</p>\
             <form role=\"search\" action=\"/api/\" method=\"get\"><label for=\"q\">Search</label>\
             <input id=\"q\" name=\"q\" type=\"search\" maxlength=\"100\" value=\"{search}\" \
             placeholder=\"a path, a field, a return code\"><button>Search</button></form>{result}\
             <nav aria-label=\"Services\"><ul>{links}<li><a href=\"#schemas\">Schemas</a></li></ul></nav></header>\
             <main id=\"main\">{sections}\
             <section aria-labelledby=\"schemas\"><h2 id=\"schemas\">Schemas</h2>{schemas}</section></main></body></html>\n",
            version = escape(&self.version),
            about = parts::prose(&self.about),
            schemas = self.schemas,
        )
    }
}

/// The operations of a service, by path.
fn entries(document: &Value, service: &str, base: &str) -> Vec<Entry> {
    let mut entries = Vec::new();
    for (path, operations) in document["paths"].as_object().into_iter().flatten() {
        for verb in VERBS {
            let operation = &operations[verb];
            if operation["tags"][0] != service {
                continue;
            }
            let call = parts::Call { document, verb, path, operation, base };
            entries.push(Entry {
                id: operation["operationId"].as_str().unwrap_or_default().to_owned(),
                html: call.html(),
                words: format!("{verb} {path} {operation}").to_lowercase(),
            });
        }
    }
    entries
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn page() -> Page {
        let operation = |name: &str, words: &str| {
            json!({"operationId": name, "tags": ["Things"], "summary": words, "description": words,
                "parameters": [], "responses": {}, "security": [], "x-caller": "Anybody.", "x-rate-limits": [],
                "x-grpc": format!("/things/{name}")})
        };
        let document = json!({
            "info": {"title": "T", "version": "1", "description": "About"},
            "tags": [{"name": "Things", "description": "All <of> them"}],
            "paths": {"/a": {"get": operation("GetA", "Reads `a`"), "put": operation("PutA", "Writes it")},
                "/b": {"get": operation("GetB", "Reads & shows")}},
            "components": {"schemas": {}},
        });
        Page::new(&document, "http://x")
    }

    #[test]
    fn a_search_finds_what_holds_all_of_its_words() {
        let page = page();
        for (search, found) in [
            ("", vec!["GetA", "PutA", "GetB"]),
            ("reads", vec!["GetA", "GetB"]),
            ("READS /b", vec!["GetB"]),
            ("put", vec!["PutA"]),
            ("nowhere", vec![]),
        ] {
            let html = page.render(search);
            let shown: Vec<&str> = ["GetA", "PutA", "GetB"]
                .into_iter()
                .filter(|id| html.contains(&format!("id=\"{id}\"")))
                .collect();
            assert_eq!(shown, found, "{search}");
            assert_eq!(html.contains(" open>"), !search.is_empty() && !found.is_empty(), "{search}");
        }
    }

    #[test]
    fn nothing_that_is_said_becomes_markup() {
        let html = page().render("\"><script>alert(1)</script>");
        assert!(!html.contains("<script"), "what is searched for");
        assert!(page().render("").contains("All &lt;of&gt; them"), "what the document says");
        assert!(page().render("").contains("Reads <code>a</code>"), "but for code");
    }
}
