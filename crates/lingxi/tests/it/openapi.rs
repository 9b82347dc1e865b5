//! The document of the API: it names what the router answers, no more and no less, and its parts hold together.

use crate::shop::Server;
use serde_json::{Map, Value};
use std::collections::{BTreeMap, BTreeSet};

const METHODS: [&str; 6] = ["get", "put", "post", "patch", "delete", "head"];

/// Path and methods of every route that the source registers; the methods are what the server itself says.
fn registered(server: &Server) -> BTreeMap<String, BTreeSet<String>> {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src/http");
    let sources =
        std::fs::read_dir(folder).unwrap().filter_map(|entry| std::fs::read_to_string(entry.unwrap().path()).ok());
    let mut routes = BTreeMap::new();
    for source in sources {
        for line in source.split(".route(\"").skip(1) {
            let path = line.split('"').next().unwrap().to_owned();
            let url = format!("http://{}{}", server.address(), path.replace(['{', '}'], ""));
            // No route takes this method, so each says which it takes.
            let config = ureq::Agent::config_builder().http_status_as_error(false).allow_non_standard_methods(true);
            let agent: ureq::Agent = config.build().into();
            let request = ureq::http::Request::builder().method("BREW").uri(&url).body("").unwrap();
            let response = agent.run(request).unwrap();
            assert_eq!(response.status().as_u16(), 405, "{path}");
            let allowed = response.headers()["allow"].to_str().unwrap().to_lowercase();
            // HEAD comes with GET.
            let methods = allowed.split(',').map(|m| m.trim().to_owned()).filter(|m| m != "head");
            routes.insert(path, methods.collect());
        }
    }
    routes
}

fn document(server: &Server) -> Value {
    let (status, _, document) = server.get("/api/openapi.json");
    assert_eq!((status, &document["openapi"]), (200, &Value::from("3.1.0")));
    document
}

#[test]
fn every_route_is_documented_and_every_documented_route_exists() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(&dir.path().join("s"));
    let paths = document(&server)["paths"].as_object().unwrap().clone();
    let methods = |path: &Value| path.as_object().unwrap().keys().cloned().collect::<BTreeSet<String>>();
    let documented: BTreeMap<String, BTreeSet<String>> = paths.iter().map(|(p, v)| (p.clone(), methods(v))).collect();
    let registered = registered(&server);
    assert!(registered.len() > 40 && documented.values().flatten().all(|m| METHODS.contains(&m.as_str())));
    assert_eq!(documented, registered);
}

#[test]
fn every_reference_leads_somewhere_every_parameter_is_named_and_no_operation_has_the_name_of_another() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(&dir.path().join("s"));
    let document = document(&server);
    let mut references = Vec::new();
    collect(&document, "$ref", &mut references);
    assert!(references.len() > 100);
    for reference in references {
        let pointer = reference.as_str().unwrap().strip_prefix('#').unwrap();
        assert!(document.pointer(pointer).is_some(), "{reference}");
    }
    let mut ids = Vec::new();
    collect(&document, "operationId", &mut ids);
    let unique: BTreeSet<&str> = ids.iter().map(|id| id.as_str().unwrap()).collect();
    assert_eq!(unique.len(), ids.len());
    for (path, methods) in document["paths"].as_object().unwrap() {
        let wanted: Vec<&str> = path.split('{').skip(1).map(|rest| rest.split('}').next().unwrap()).collect();
        for operation in methods.as_object().unwrap().values() {
            let parameters = operation["parameters"].as_array().unwrap().iter();
            let in_path: Vec<&str> =
                parameters.filter(|p| p["in"] == "path").map(|p| p["name"].as_str().unwrap()).collect();
            assert_eq!(in_path, wanted, "{path}");
            let refusals: &Map<String, Value> = operation["responses"].as_object().unwrap();
            assert!(["400", "503"].iter().all(|status| refusals.contains_key(*status)), "{path}");
            assert!(refusals.contains_key("200") != refusals.contains_key("202"), "{path}");
        }
    }
}

#[test]
fn what_is_sent_is_described_as_closed_and_an_unknown_field_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(&dir.path().join("s"));
    let schemas = document(&server)["components"]["schemas"].clone();
    for name in ["Feedback", "SessionFeedback", "SentUser", "AmendedUser", "SentItem", "AmendedItem"] {
        assert_eq!(schemas[name]["additionalProperties"], Value::Bool(false), "{name}");
    }
    for (method, path, body) in [
        ("POST", "/api/user", r#"{"UserId": "a", "Nmae": 1}"#),
        ("PATCH", "/api/user/shopper-1", r#"{"UserId": "a"}"#),
        ("POST", "/api/item", r#"{"ItemId": "a", "Comment": "b", "Nmae": 1}"#),
        ("PATCH", "/api/item/tea-1", r#"{"ItemId": "a"}"#),
        ("PUT", "/api/feedback", r#"[{"FeedbackType": "buy", "UserId": "a", "ItemId": "b", "Nmae": 1}]"#),
        ("POST", "/api/session/recommend", r#"[{"FeedbackType": "buy", "ItemId": "b", "Nmae": 1}]"#),
    ] {
        assert_eq!(server.send(method, path, body).0, 400, "{method} {path}");
    }
}

/// All values of a field, wherever it is; what only looks like the field, as a property of a schema, is passed over.
fn collect(value: &Value, field: &str, found: &mut Vec<Value>) {
    match value {
        Value::Object(fields) => {
            found.extend(fields.get(field).filter(|v| v.is_string()).cloned());
            fields.values().for_each(|value| collect(value, field, found));
        }
        Value::Array(values) => values.iter().for_each(|value| collect(value, field, found)),
        _ => {}
    }
}
