//! `GET /openapi.json`: the endpoints as an OpenAPI 3.1 document, made from their table.
//!
//! Lines of commands and shown positions have the schemas of `docs/replay.schema.json` and `docs/replay-output.schema.json`: the same
//! names and the same parser serve files and this door. The document is committed as `docs/openapi.json`, and a test holds both together.

use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use serde_json::{Map, Value, json};

use super::endpoints::{Answer, Body, ENDPOINTS, Endpoint, Kind, Parameter, plain};
use crate::access::{Privilege, Role};

const LINES: &str = include_str!("../../../docs/replay.schema.json");
const SHOWN: &str = include_str!("../../../docs/replay-output.schema.json");
/// Problems that any endpoint may answer, where there are logins and limits.
const ANYWHERE: [u16; 2] = [421, 429];
/// Of those that want a credential.
const GUARDED: [u16; 2] = [401, 403];

/// The document.
pub(super) async fn show() -> Response {
    ([(CONTENT_TYPE, "application/json")], document_as_text()).into_response()
}

/// As it is committed: indented, with a line feed at the end.
#[must_use]
pub fn document_as_text() -> String {
    format!("{:#}\n", document())
}

/// The document.
#[must_use]
pub fn document() -> Value {
    let mut paths = Map::new();
    for endpoint in ENDPOINTS {
        let path = paths.entry(plain(endpoint.path)).or_insert_with(|| json!({}));
        path[endpoint.method.to_lowercase()] = operation(endpoint);
    }
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Lotbook",
            "description": "Positions and tax lots: commands in, positions and events out. docs/http.md says what each endpoint does.",
            "version": env!("CARGO_PKG_VERSION"),
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "paths": paths,
        "components": {
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer", "description": "A token of `lotbook token new`, or a JWT."},
                "certificate": {"type": "mutualTLS", "description": "A certificate of a known user."},
            },
            "schemas": schemas(),
        },
    })
}

fn operation(endpoint: &Endpoint) -> Value {
    let Endpoint { method, path, privilege, summary, parameters, body, answer, problems, .. } = endpoint;
    let mut id = method.to_lowercase();
    id.extend(plain(path).chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }));
    let mut operation = json!({ "operationId": id.trim_end_matches('_'), "summary": summary });
    if !parameters.is_empty() {
        operation["parameters"] = parameters.iter().map(of_parameter).collect();
    }
    match body {
        Body::None => {}
        Body::Json(schema) => operation["requestBody"] = json!({"required": true, "content": content(schema)}),
        Body::Lines => {
            let mut content = content("Line");
            content["application/x-ndjson"] = json!({"schema": {"type": "string", "description": "A line each."}});
            operation["requestBody"] = json!({"required": true, "content": content});
        }
    }
    let mut answers = Map::new();
    let good = match answer {
        Answer::Json(schema) => content(schema),
        Answer::Text => json!({"text/plain": {"schema": {"type": "string"}}}),
        Answer::Events => json!({"text/event-stream": {"schema": {"type": "string"}}}),
    };
    answers.insert("200".into(), json!({"description": summary, "content": good}));
    if matches!(endpoint.path, "/health" | "/health/readiness" | "/health/detailed") {
        answers.insert("503".into(), json!({"description": "Not ready: the same document", "content": good}));
    }
    let guarded = if *privilege == Privilege::Open { &[][..] } else { &GUARDED };
    for status in problems.iter().chain(guarded).chain(&ANYWHERE) {
        let mut content = json!({"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}});
        if *body == Body::Lines && *status == 503 {
            content["application/json"] = json!({"schema": {"$ref": "#/components/schemas/Results"}});
        }
        answers.insert(status.to_string(), json!({"description": meaning(*status), "content": content}));
    }
    answers.sort_keys();
    operation["responses"] = answers.into();
    operation["security"] = if guarded.is_empty() { json!([]) } else { json!([{"bearer": []}, {"certificate": []}]) };
    if !guarded.is_empty() {
        let roles = Role::ALL.into_iter().filter(|role| role.may(*privilege)).map(Role::as_str);
        operation["x-roles"] = roles.collect::<Vec<_>>().into();
    }
    operation
}

fn meaning(status: u16) -> &'static str {
    match status {
        400 => "A parameter or the body cannot be understood",
        401 => "No credential that is known",
        403 => "The credential's role may not",
        404 => "No such position or event",
        408 => "The body did not come",
        409 => "Refused by the book",
        413 => "The body is too long",
        415 => "The body has another type",
        421 => "Without logins only names of this machine are served",
        429 => "Too many requests",
        _ => "Not taken in, out of reach, or of unknown fate",
    }
}

fn content(schema: &str) -> Value {
    json!({"application/json": {"schema": {"$ref": format!("#/components/schemas/{schema}")}}})
}

fn of_parameter(parameter: &Parameter) -> Value {
    let Parameter { name, meaning, kind } = parameter;
    let (place, schema) = match kind {
        Kind::Path => {
            ("path", json!({"type": "string", "minLength": 1, "maxLength": 64, "pattern": "^[A-Za-z0-9._-]+$"}))
        }
        Kind::Count => ("path", json!({"type": "integer", "minimum": 0, "maximum": i64::MAX})),
        Kind::Word(words) => ("path", json!({"type": "string", "enum": words})),
        Kind::Name => ("query", json!({"type": "string", "minLength": 1, "maxLength": 64, "pattern": "^[!-~]+$"})),
        Kind::Number(min, max) => ("query", json!({"type": "integer", "minimum": min, "maximum": max})),
        Kind::OneOf(words) => ("query", json!({"type": "string", "enum": words})),
        Kind::Date => ("query", json!({"type": "string", "format": "date"})),
        Kind::Time => ("query", json!({"type": "string", "format": "date-time"})),
        Kind::Moment => ("query", json!({"type": "string", "description": "A sequence of the log, or a time."})),
        Kind::Text => ("query", json!({"type": "string"})),
        Kind::Header => ("header", json!({"type": "string"})),
    };
    json!({"name": name, "in": place, "required": place == "path", "description": meaning, "schema": schema})
}

fn schemas() -> Map<String, Value> {
    let number = json!({"type": "integer", "minimum": 0});
    let texts = json!({"type": "array", "items": {"type": "string"}});
    let outcome = json!({"enum": ["applied", "provisional", "held", "duplicate", "rejected", "not_taken", "unknown"]});
    let object = |required: &[&str], properties: Value| json!({"type": "object", "required": required, "properties": properties});
    let list = |name: &str| json!({"type": "array", "items": {"$ref": format!("#/components/schemas/{name}")}});
    let verdict = json!({"problems": texts, "critical": texts, "warnings": texts, "ready": {"type": "boolean"},
        "status": {"enum": ["ok", "degraded", "critical", "failing"]}, "version": {"type": "string"}});
    let mut schemas = Map::new();
    let mut put = |name: &str, schema: Value| schemas.insert(name.into(), schema);
    put("Object", json!({"type": "object"}));
    put(
        "Problem",
        object(
            &["type", "title", "status", "detail"],
            json!({"type": {"type": "string", "format": "uri-reference"}, "title": {"type": "string"},
                "status": {"type": "integer"}, "detail": {"type": "string"},
                "parameter": {"type": "string"}, "code": {"type": "string"}}),
        ),
    );
    put("Health", object(&["status", "ready", "problems", "critical", "warnings", "version"], verdict.clone()));
    put("Details", object(&["status", "ready", "log", "side_log", "read_model", "coldpath", "recovery"], verdict));
    put("Liveness", object(&["alive"], json!({"alive": {"const": true}})));
    put("Readiness", object(&["ready", "problems"], json!({"ready": {"type": "boolean"}, "problems": texts})));
    put(
        "Positions",
        object(
            &["positions", "next", "as_of_sequence", "durable_sequence"],
            json!({"positions": list("shown_position"), "next": {"type": ["string", "null"]},
                "as_of_sequence": number, "durable_sequence": number}),
        ),
    );
    put(
        "Events",
        object(
            &["events", "next", "complete_through", "durable_sequence"],
            json!({"events": list("Object"), "next": {"type": ["integer", "null"]},
                "complete_through": number, "durable_sequence": number}),
        ),
    );
    put(
        "Trail",
        object(
            &["lines", "next", "broken_at"],
            json!({"lines": list("Object"), "next": {"type": ["integer", "null"]}, "broken_at": {"type": ["integer", "null"]}}),
        ),
    );
    put(
        "Letters",
        object(
            &["dead_letters", "next", "open", "alert"],
            json!({"dead_letters": list("Object"), "next": {"type": ["integer", "null"]}, "open": number,
                "alert": {"type": "boolean"}}),
        ),
    );
    let mut deed = object(
        &["reason"],
        json!({"user_id": {"type": "string", "minLength": 1, "maxLength": 64, "description": "Left out where there are logins."},
            "reason": {"type": "string", "minLength": 1, "maxLength": 200}, "line": {"type": ["object", "null"]}}),
    );
    deed["additionalProperties"] = false.into();
    put("LetterDeed", deed);
    put("Held", object(&["held", "as_of_sequence"], json!({"held": list("Object"), "as_of_sequence": number})));
    put(
        "ColdpathWish",
        json!({"oneOf": [
            {"type": "object", "required": ["do"], "properties": {"do": {"enum": ["pause", "resume"]}}, "additionalProperties": false},
            {"type": "object", "required": ["do", "workers"], "additionalProperties": false, "properties":
                {"do": {"const": "resize"}, "workers": {"type": "integer", "minimum": 1,
                    "maximum": lotbook_engine::limits::COLD_WORKERS_MAX}}},
            {"type": "object", "required": ["do"], "properties": {"do": {"const": "retry"}}, "additionalProperties": false},
            {"type": "object", "required": ["do", "account", "instrument"], "additionalProperties": false, "properties":
                {"do": {"const": "retry"}, "account": {"type": "string"}, "instrument": {"type": "string"}}},
        ]}),
    );
    let by = json!({"user_id": {"type": "string", "minLength": 1, "maxLength": 64, "description": "Left out where there are logins."},
        "reason": {"type": "string", "minLength": 1, "maxLength": 200}});
    let order = |required: &[&str], own: Value| {
        let mut order = object(required, by.clone());
        if let (Value::Object(own), Some(properties)) = (own, order["properties"].as_object_mut()) {
            properties.extend(own);
        }
        order
    };
    let halt = json!({"enum": ["halt", "resume"]});
    put(
        "ControlOrder",
        json!({"oneOf": [
            order(&["do", "scope", "reason"], json!({"do": halt, "scope": {"const": "all"}})),
            order(&["do", "scope", "name", "reason"], json!({"do": halt,
                "scope": {"enum": ["account", "instrument", "session"]}, "name": {"type": "string", "minLength": 1, "maxLength": 64}})),
            order(&["do", "on", "reason"], json!({"do": {"enum": ["read_only", "drain"]}, "on": {"type": "boolean"}})),
        ]}),
    );
    put("Resolution", json!({"$ref": "#/components/schemas/resolve"}));
    put(
        "Resolved",
        object(
            &["account", "instrument", "version", "sequence"],
            json!({"account": {"type": "string"}, "instrument": {"type": "string"}, "version": number, "sequence": number}),
        ),
    );
    put(
        "Result",
        object(
            &["type", "outcome", "sequence"],
            json!({"type": {"type": "string"}, "id": {"type": "string"}, "outcome": outcome, "first_outcome": outcome,
                "reason": {"type": ["string", "null"]}, "sequence": number, "version": number,
                "realized_pnl": {"type": "string"}, "correlation_id": {"type": "string"}}),
        ),
    );
    put("Results", object(&["results"], json!({"results": list("Result")})));
    put("Done", json!({"anyOf": [{"$ref": "#/components/schemas/Result"}, {"$ref": "#/components/schemas/Results"}]}));
    for (prefix, text) in [("", LINES), ("shown_", SHOWN)] {
        // Files of this repository: a test reads them.
        let Ok(Value::Object(mut file)) = serde_json::from_str::<Value>(text) else { continue };
        if prefix.is_empty() {
            // A resolution has an endpoint of its own.
            let mut lines = file["oneOf"].take();
            if let Some(lines) = lines.as_array_mut() {
                lines.retain(|line| line["$ref"] != "#/$defs/resolve");
            }
            schemas.insert("Line".into(), moved(json!({"oneOf": lines}), prefix));
        }
        if let Some(Value::Object(definitions)) = file.remove("$defs") {
            schemas.extend(
                definitions.into_iter().map(|(name, schema)| (format!("{prefix}{name}"), moved(schema, prefix))),
            );
        }
    }
    schemas
}

/// A schema of a file with its references where they are here.
fn moved(schema: Value, prefix: &str) -> Value {
    match schema {
        Value::Object(fields) => Value::Object(
            fields
                .into_iter()
                .map(|(key, value)| match (key.as_str(), value.as_str().and_then(|at| at.strip_prefix("#/$defs/"))) {
                    ("$ref", Some(name)) => (key, format!("#/components/schemas/{prefix}{name}").into()),
                    _ => (key, moved(value, prefix)),
                })
                .collect(),
        ),
        Value::Array(values) => values.into_iter().map(|value| moved(value, prefix)).collect(),
        plain => plain,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn references(value: &Value, found: &mut Vec<String>) {
        match value {
            Value::Object(fields) => {
                if let Some(Value::String(at)) = fields.get("$ref") {
                    found.push(at.clone());
                }
                fields.values().for_each(|value| references(value, found));
            }
            Value::Array(values) => values.iter().for_each(|value| references(value, found)),
            _ => {}
        }
    }

    #[test]
    fn every_reference_leads_somewhere() {
        let document = document();
        let mut found = Vec::new();
        references(&document, &mut found);
        assert!(found.len() > 100, "{}", found.len());
        for at in found {
            let place = at.strip_prefix('#').expect("within the document");
            assert!(document.pointer(place).is_some(), "{at}");
        }
    }

    /// `LOTBOOK_BLESS=1 cargo test -p lotbook-gateway --lib documentation` writes the committed one.
    #[test]
    fn the_committed_documentation_is_what_is_served() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/openapi.json");
        let served = document_as_text();
        if std::env::var_os("LOTBOOK_BLESS").is_some() {
            std::fs::write(path, &served).expect("written");
        }
        let committed = std::fs::read_to_string(path).unwrap_or_default();
        assert!(committed == served, "docs/openapi.json is old: run with LOTBOOK_BLESS=1");
    }

    #[test]
    fn names_of_operations_are_their_own() {
        let document = document();
        let mut names: Vec<&str> = document["paths"]
            .as_object()
            .expect("paths")
            .values()
            .flat_map(|path| path.as_object().expect("methods").values())
            .map(|operation| operation["operationId"].as_str().expect("a name"))
            .collect();
        let all = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!((names.len(), all), (ENDPOINTS.len(), ENDPOINTS.len()));
    }
}
