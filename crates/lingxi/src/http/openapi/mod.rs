//! `/api/openapi.json`: what can be asked and what is answered, as an OpenAPI 3.1 document.
//!
//! To document a new route, add one line to the table in [`routes`]; the parameters of its path are read from the path, and
//! the refusals that every route may answer are added to it. Shapes are in [`schemas`]. A test holds that the table and the
//! router name the same routes.

mod experiment;
mod routes;
mod schemas;
mod vectors;

use super::error::Answer;
use super::params::{MAX_ID, MAX_N, MAX_OFFSET, MAX_QUERY, Query};
use axum::Json;
use serde_json::{Map, Value, json};

/// `GET /api/openapi.json`.
pub async fn get(query: Query) -> Answer<Json<Value>> {
    query.only(&[])?;
    Ok(Json(document()))
}

/// One method of one path.
struct Route {
    method: &'static str,
    path: &'static str,
    summary: &'static str,
    /// Names of parameters behind the question mark or in headers.
    parameters: Vec<&'static str>,
    /// Media types and shape of the body.
    body: Option<Vec<(&'static str, Value)>>,
    /// Media type and shape of the answer.
    answer: Vec<(&'static str, Value)>,
    /// Whether what is asked for is done later (202).
    later: bool,
    /// Statuses of refusals beyond [`EVERYWHERE`].
    refusals: Vec<u16>,
}

/// What any request may be refused with.
const EVERYWHERE: [u16; 8] = [400, 401, 403, 405, 408, 429, 500, 503];

/// A status and what it means.
const MEANINGS: [(u16, &str); 14] = [
    (400, "something in the request is wrong; `field` says where"),
    (401, "a key is missing or not known"),
    (403, "the key does not allow this"),
    (404, "there is no such thing"),
    (405, "the path does not take this method"),
    (408, "the request took too long"),
    (409, "not now: it conflicts with what is there"),
    (413, "the body is too large"),
    (422, "the content cannot be used"),
    (429, "too many requests; try again later"),
    (500, "the server failed"),
    (501, "this snapshot cannot do that"),
    (503, "busy or stopping; try again later"),
    (507, "the disk is full; reading goes on"),
];

/// The whole document.
pub fn document() -> Value {
    let mut paths: Map<String, Value> = Map::new();
    for route in routes::all() {
        let path = paths.entry(route.path).or_insert_with(|| json!({}));
        path[route.method] = operation(&route);
    }
    let mut schemas = schemas::all();
    vectors::add(&mut schemas);
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Lingxi",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "A shop's recommendation engine. Shaped as Gorse's API, so that its clients work.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        // Without a key on the machine's own address, with one elsewhere.
        "security": [{}, {"Key": []}, {"Bearer": []}],
        "paths": paths,
        "components": {
            "schemas": schemas,
            "parameters": parameters(),
            "securitySchemes": {
                "Key": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
                "Bearer": {"type": "http", "scheme": "bearer"},
            },
        },
    })
}

fn operation(route: &Route) -> Value {
    let in_path = route.path.split('/').filter_map(|step| step.strip_prefix('{')?.strip_suffix('}'));
    let in_path = in_path.map(|name| {
        let schema = if name == "type" { "Type" } else { "Id" };
        let schema = json!({"$ref": format!("#/components/schemas/{schema}")});
        json!({"name": name, "in": "path", "required": true, "schema": schema})
    });
    let others = route.parameters.iter().map(|name| json!({"$ref": format!("#/components/parameters/{name}")}));
    let content = route.answer.iter().map(|(media, schema)| ((*media).to_owned(), json!({"schema": schema})));
    let mut ok = json!({"description": "as asked", "content": Value::Object(content.collect())});
    if route.path.starts_with("/api/recommend/") {
        let schema = json!({"type": "string", "pattern": "^[0-9]+$"});
        ok["headers"]["Lingxi-Decision"] = json!({"description": "the decision's id", "schema": schema});
    }
    let status = if route.later { "202" } else { "200" };
    let mut responses = Map::from_iter([(status.to_owned(), ok)]);
    for status in EVERYWHERE.iter().chain(&route.refusals) {
        responses.insert(status.to_string(), refusal(*status));
    }
    let words = route.path.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty());
    let slash = if route.path.len() > 1 && route.path.ends_with('/') { Some("slash") } else { None };
    let id: Vec<&str> = std::iter::once(route.method).chain(words).chain(slash).collect();
    let mut operation = json!({
        "operationId": id.join("_"),
        "summary": route.summary,
        "tags": [route.path.split('/').nth(2).unwrap_or("page")],
        "parameters": in_path.chain(others).collect::<Vec<_>>(),
        "responses": responses,
    });
    if let Some(body) = &route.body {
        let content: Map<String, Value> =
            body.iter().map(|(media, schema)| ((*media).to_owned(), json!({"schema": schema}))).collect();
        operation["requestBody"] = json!({"required": true, "content": content});
        operation["responses"]["413"] = refusal(413);
    }
    operation
}

fn refusal(status: u16) -> Value {
    let meaning = MEANINGS.iter().find(|(known, _)| *known == status).map_or("refused", |(_, meaning)| *meaning);
    let schema = json!({"$ref": "#/components/schemas/Refusal"});
    let mut refusal = json!({"description": meaning, "content": {"application/json": {"schema": schema}}});
    if [429, 503].contains(&status) {
        let schema = json!({"type": "string", "pattern": "^[0-9]+$"});
        refusal["headers"]["Retry-After"] = json!({"description": "in so many seconds", "schema": schema});
    }
    refusal
}

/// The parameters that routes share, by the name that the table uses.
fn parameters() -> Value {
    let query = |name: &str, description: &str, schema: Value| {
        let mut parameter = json!({"name": name, "in": "query", "description": description});
        parameter["schema"] = schema;
        parameter
    };
    let free = json!({"type": "string", "maxLength": MAX_ID, "pattern": schemas::NO_CONTROL_OR_EMPTY});
    let put_away = json!({"anyOf": [{"enum": ["view", "click"]}, {"type": "string"}]});
    let delay = json!({"anyOf": [{"enum": ["0s", "10m", "1h30m"]}, {"type": "string"}]});
    let text = json!({"type": "string", "minLength": 1, "maxLength": MAX_QUERY});
    let flag = json!({"type": "string", "enum": ["true", "false", "1", "0", ""]});
    let whole = |least: usize, most: usize, default: usize| json!({"type": "integer", "minimum": least, "maximum": most, "default": default});
    let mut needed = query("q", "a text", text.clone());
    needed["required"] = json!(true);
    json!({
        "n": query("n", "how many", whole(1, MAX_N, super::params::DEFAULT_N)),
        "offset": query("offset", "how many to pass over", whole(0, MAX_OFFSET, 0)),
        "cursor": query("cursor", "the Cursor of the page before", json!({"type": "string"})),
        "q": needed,
        "part": query("q", "a part of the id", json!({"type": "string"})),
        "meaning": query("q", "a text; then the goods that it means", text),
        "category": query("category", "only goods of this category", free.clone()),
        "explain": query("explain", "whether to answer with scores, propensities and reasons", flag.clone()),
        "phrase": query("phrase", "whether reasons are told by the small model too, of at most 5 goods", flag),
        "explore": query("explore", "how much the policy may explore: 0 is the best only, 1 as the recipe says", json!({"type": "number", "minimum": 0, "maximum": 1, "default": 1})),
        "write_back_type": query("write-back-type", "puts what is answered away as this type", put_away),
        "write_back_delay": query("write-back-delay", "after this time, e.g. 10m", delay),
        "user_id": query("user-id", "without what this shopper took", free),
        "format": query("format", "how the rows are written", json!({"type": "string", "enum": ["jsonl", "parquet"], "default": "jsonl"})),
        "idempotency_key": {
            "name": "Idempotency-Key", "in": "header", "description": "with it a batch that is sent again is stored once",
            "schema": {"type": "string", "minLength": 1, "maxLength": MAX_ID, "pattern": "^[ -~]+$"},
        },
        "version": {
            "name": "X-API-Version", "in": "header", "description": "2: ids with scores", "schema": {"type": "string"},
        },
    })
}
