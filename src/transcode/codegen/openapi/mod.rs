//! The protos as documents for people and programs: OpenAPI 3.1, and Swagger 2.0 made of it.
//!
//! Comments become descriptions, `google.api.http` the paths, options of fields bounds and defaults, and
//! options of RPCs who may call, how often, and what is answered. What only a running broker knows (its
//! title, the name of the key's header) is put in there.

mod errors;
mod operation;
mod schema;
mod swagger;

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::Api;
use schema::Schemas;

/// Version of the API, as clients of the legacy one know it.
const VERSION: &str = "2.5";

impl Api {
    /// The OpenAPI 3.1 document, and the Swagger 2.0 one, as JSON.
    pub fn documents(&self) -> (String, String) {
        let document = self.openapi();
        let swagger = swagger::convert(&document);
        (document.to_string(), swagger.to_string())
    }

    fn openapi(&self) -> Value {
        let mut schemas = Schemas::new(self);
        let mut paths: BTreeMap<&str, Map<String, Value>> = BTreeMap::new();
        for method in &self.methods {
            for (index, binding) in method.bindings.iter().enumerate() {
                let operation = operation::of(self, &mut schemas, method, binding, index);
                paths.entry(&binding.path).or_default().insert(binding.verb.to_lowercase(), operation);
            }
        }
        paths.entry(operation::PREVIEW).or_default().insert("post".into(), operation::preview(self));
        let bound = |service: &str| {
            self.methods.iter().any(|method| method.service == service && !method.bindings.is_empty())
        };
        let mut services: Vec<&str> = self.methods.iter().map(|method| method.service.as_str()).collect();
        services.dedup();
        let tags: Vec<Value> = services
            .into_iter()
            .filter(|service| bound(service))
            .map(|service| json!({ "name": service, "description": self.comments.get(service) }))
            .collect();
        json!({
            "openapi": "3.1.0",
            "info": {
                "title": "gridbroker",
                "version": VERSION,
                "description": "Requests, workers and accounts of a broker for AI generation. \
                    The same services are there over gRPC and gRPC-Web, on the same port.",
                "license": { "name": "Apache-2.0", "identifier": "Apache-2.0" },
            },
            "servers": [{ "url": "/" }],
            "tags": tags,
            "paths": paths,
            "components": {
                "schemas": schemas.finish().into_iter().chain(errors::schemas(self)).collect::<Map<_, _>>(),
                "headers": errors::headers(),
                "securitySchemes": {
                    "ApiKey": {
                        "type": "apiKey",
                        "in": "header",
                        "name": "apikey",
                        "description": "The key of an account. 0000000000 is everybody's.",
                    },
                },
            },
        })
    }
}
