//! Every route: method, path, what it does, its parameters, its body, its answer, and with what else it refuses.

use super::Route;
use crate::http::feedback::MAX_ROWS;
use crate::http::{goods, users};
use serde_json::{Value, json};

const JSON: &str = "application/json";
const ROWS: [&str; 2] = ["application/x-ndjson", "application/vnd.apache.parquet"];

/// The table.
pub(super) fn all() -> Vec<Route> {
    let page: &[&str] = &["n", "cursor"];
    let part: &[&str] = &["n", "offset", "category"];
    let list: &[&str] = &["n", "offset", "category", "user_id"];
    let slate: &[&str] =
        &["n", "offset", "category", "explain", "phrase", "explore", "write_back_type", "write_back_delay", "version"];
    let (touched, near) = (|| named("Touched"), || many("Near", None));
    let (rows, session) = (|| many("Feedback", Some(MAX_ROWS)), || many("SessionFeedback", Some(MAX_ROWS)));
    let slates =
        || json!({"anyOf": [{"type": "array", "items": {"type": "string"}}, many("Near", None), many("Place", None)]});
    vec![
        get("/", "The page for people").media(&["text/html"]),
        get("/docs", "This document for people").media(&["text/html"]),
        get("/page/{name}", "A file of the page").media(&["text/css", "text/javascript"]).or(&[404]),
        get("/favicon.ico", "Its sign").media(&["image/svg+xml"]),
        get("/api/openapi.json", "This document").json(json!({"type": "object"})),
        // what happened
        get("/api/feedback", "What arrived, newest first").with(page).json(named("Events")),
        post("/api/feedback", "Stores events").with(&["idempotency_key"]).body(rows()).json(touched()).or(&[507]),
        put("/api/feedback", "Stores events, each in place of those of the same type, shopper and item")
            .with(&["idempotency_key"])
            .body(rows())
            .json(touched())
            .or(&[507]),
        get("/api/feedback/{type}", "What arrived of one type").with(page).json(named("Events")),
        get("/api/feedback/{user}/{item}", "What a shopper did with an item").with(&["n"]).json(many("Event", None)),
        delete("/api/feedback/{user}/{item}", "Erases what a shopper did with an item").json(touched()).or(&[507]),
        get("/api/feedback/{type}/{user}/{item}", "The last time that a shopper did one thing with an item")
            .json(named("Event"))
            .or(&[404]),
        delete("/api/feedback/{type}/{user}/{item}", "Erases one thing that a shopper did with an item")
            .json(touched())
            .or(&[507]),
        // who there is
        get("/api/users", "Shoppers").with(&["n", "cursor", "part"]).json(named("Users")),
        post("/api/users", "Keeps what is said of shoppers")
            .body(many("SentUser", Some(users::MAX_BATCH)))
            .json(touched())
            .or(&[507]),
        post("/api/user", "Keeps what is said of a shopper").body(named("SentUser")).json(touched()).or(&[507]),
        get("/api/user/{user}", "A shopper").json(named("User")).or(&[404]),
        patch("/api/user/{user}", "Changes what is said of a shopper")
            .body(named("AmendedUser"))
            .json(touched())
            .or(&[404, 507]),
        delete("/api/user/{user}", "Forgets a shopper and all that they did").json(touched()).or(&[404, 507]),
        get("/api/user/{user}/feedback", "What a shopper did last").with(&["n"]).json(many("Event", None)),
        get("/api/user/{user}/feedback/{type}", "What a shopper did of one type")
            .with(&["n"])
            .json(many("Event", None)),
        get("/api/user/{user}/interests", "How much a shopper cares for each category")
            .with(&["n"])
            .json(many("Interest", None)),
        get("/api/user/{user}/neighbors", "Shoppers who took the same goods").with(&["n", "offset"]).json(near()),
        get("/api/user-to-user/similar/{user}", "The same").with(&["n", "offset"]).json(near()),
        // what is sold
        get("/api/items", "The catalogue, or the goods that a text means")
            .with(&["n", "cursor", "meaning"])
            .json(named("Items"))
            .or(&[501]),
        post("/api/items", "Takes goods in").body(many("SentItem", Some(goods::MAX_BATCH))).json(touched()).or(GOODS),
        post("/api/item", "Takes an item in").body(named("SentItem")).json(touched()).or(GOODS),
        get("/api/item/{item}", "An item").json(named("Item")).or(&[404]),
        patch("/api/item/{item}", "Changes an item").body(named("AmendedItem")).json(touched()).or(GOODS),
        delete("/api/item/{item}", "Takes an item away").json(touched()).or(&[404, 507]),
        put("/api/item/{item}/category/{category}", "Puts an item into a category").json(touched()).or(GOODS),
        delete("/api/item/{item}/category/{category}", "Takes it out of one").json(touched()).or(GOODS),
        get("/api/item/{item}/feedback", "What was done with an item last").with(&["n"]).json(many("Event", None)),
        get("/api/item/{item}/feedback/{type}", "The same of one type").with(&["n"]).json(many("Event", None)),
        get("/api/item/{item}/neighbors", "Goods like an item").with(part).json(near()).or(&[404]),
        get("/api/item/{item}/neighbors/{category}", "The same within a category").with(part).json(near()).or(&[404]),
        get("/api/item-to-item/similar/{item}", "The same").with(part).json(near()).or(&[404]),
        // what to show
        get("/api/recommend/{user}", "A slate for a shopper, logged as a decision")
            .with(slate)
            .json(slates())
            .or(&[507]),
        get("/api/recommend/{user}/", "The same: an empty category is none").with(slate).json(slates()).or(&[507]),
        get("/api/recommend/{user}/{category}", "The same within a category").with(slate).json(slates()).or(&[507]),
        post("/api/session/recommend", "Goods for a session that is not stored")
            .with(part)
            .body(session())
            .json(near()),
        post("/api/session/recommend/{category}", "The same within a category").with(part).body(session()).json(near()),
        get("/api/explain/{user}/{item}", "Why this item, or why not")
            .with(&["n", "phrase"])
            .json(named("Explanation"))
            .or(&[404]),
        get("/api/popular", "What most shoppers took").with(list).json(near()),
        get("/api/popular/{category}", "The same within a category").with(list).json(near()),
        get("/api/latest", "What came last").with(list).json(near()),
        get("/api/latest/{category}", "The same within a category").with(list).json(near()),
        get("/api/non-personalized/{name}", "A list by its name, popular or latest").with(list).json(near()).or(&[404]),
        get("/api/non-personalized/{name}/{category}", "The same within a category").with(list).json(near()).or(&[404]),
        get("/api/search", "Goods that a text means").with(&["q", "n", "offset", "category"]).json(near()).or(&[501]),
        // vectors of any texts
        post("/v1/embeddings", "Vectors, in OpenAI's shape")
            .body(named("EmbeddingsAsked"))
            .json(named("Embeddings"))
            .or(&[501]),
        post("/embed", "Vectors, in the shape of text-embeddings-inference")
            .body(named("EmbedAsked"))
            .json(json!({"type": "array", "items": {"type": "array", "items": {"type": "number"}}}))
            .or(&[501]),
        post("/similarity", "Cosines of one text and others")
            .body(named("SimilarityAsked"))
            .json(json!({"type": "array", "items": {"type": "number"}}))
            .or(&[501]),
        post("/rerank", "Texts by their nearness to a query, the best first")
            .body(named("RerankAsked"))
            .json(many("Ranked", None))
            .or(&[501]),
        // many rows at once
        get("/api/export/{what}", "All events, items, users or decisions").with(&["format"]).media(&ROWS).or(&[404]),
        post("/api/import/{what}", "Takes any number of events or items in, as a job")
            .with(&["format", "idempotency_key"])
            .rows()
            .json(named("Import"))
            .later()
            .or(&[404, 409, 501, 507]),
        get("/api/imports", "The imports that are remembered").json(named("Imports")),
        get("/api/imports/{id}", "How far an import is").json(named("Import")).or(&[404]),
        // how it learns
        get("/api/policy", "What the policy that answers has learnt").json(named("Policy")),
        post("/api/policy", "Keeps the policy as it is").json(named("PolicyDone")).or(&[409, 507]),
        post("/api/policy/{id}/use", "Goes back to a kept policy").json(named("PolicyDone")).or(&[404, 409, 507]),
        get("/api/builds", "What is being built and what is kept").json(named("Builds")).or(&[501]),
        post("/api/builds", "Builds a snapshot in the background").json(named("Done")).later().or(&[409, 501]),
        post("/api/builds/{id}/publish", "Lets a kept snapshot answer").json(named("Done")).or(&[404, 409, 501]),
        // what is tried
        get("/api/experiments", "What is tried on the shoppers, the last first").json(named("Experiments")),
        post("/api/experiments", "Starts an experiment")
            .body(named("SentExperiment"))
            .json(named("Experiment"))
            .or(&[409, 507]),
        get("/api/experiments/{name}", "What an experiment says now").json(named("Experiment")).or(&[404]),
        delete("/api/experiments/{name}", "Takes an experiment that ended away")
            .json(named("Removed"))
            .or(&[404, 409, 507]),
        post("/api/experiments/{name}/stop", "Stops an experiment: all its shoppers get what is served")
            .body(named("SentStop"))
            .json(named("Experiment"))
            .or(&[404, 507]),
        // how it is doing
        get("/api/dashboard/evaluation", "What the snapshot earned").json(json!({"type": "object"})).or(&[404]),
        get("/api/dashboard/curves", "How the models came to what they know").json(named("Curves")),
        get("/api/dashboard/stats", "Numbers of the moment").json(named("Stats")),
        get("/api/dashboard/categories", "The categories and how many goods each holds").json(many("Category", None)),
        get("/health/live", "The process answers").json(named("Health")),
        get("/health/ready", "It takes requests").json(named("Health")),
        get("/metrics", "Counters for Prometheus").media(&["text/plain"]),
    ]
}

/// Refusals of what is said of goods.
const GOODS: &[u16] = &[404, 409, 501, 507];

fn named(name: &str) -> Value {
    json!({"$ref": format!("#/components/schemas/{name}")})
}

fn many(name: &str, most: Option<usize>) -> Value {
    let mut array = json!({"type": "array", "items": named(name)});
    if let Some(most) = most {
        array["maxItems"] = json!(most);
    }
    array
}

fn get(path: &'static str, summary: &'static str) -> Route {
    let (parameters, answer, refusals) = (Vec::new(), Vec::new(), Vec::new());
    Route { method: "get", path, summary, parameters, body: None, answer, later: false, refusals }
}

fn post(path: &'static str, summary: &'static str) -> Route {
    Route { method: "post", ..get(path, summary) }
}

fn put(path: &'static str, summary: &'static str) -> Route {
    Route { method: "put", ..get(path, summary) }
}

fn patch(path: &'static str, summary: &'static str) -> Route {
    Route { method: "patch", ..get(path, summary) }
}

fn delete(path: &'static str, summary: &'static str) -> Route {
    Route { method: "delete", ..get(path, summary) }
}

impl Route {
    /// Parameters by their names in the document.
    fn with(mut self, parameters: &[&'static str]) -> Route {
        self.parameters.extend(parameters);
        self
    }

    fn body(self, schema: Value) -> Route {
        Route { body: Some(vec![(JSON, schema)]), ..self }
    }

    /// A body of rows.
    fn rows(self) -> Route {
        // Whatever the header says: `format` tells which rows they are.
        Route { body: Some(vec![("application/octet-stream", json!({"type": "string", "format": "binary"}))]), ..self }
    }

    /// It is done later.
    fn later(self) -> Route {
        Route { later: true, ..self }
    }

    /// The answer as JSON.
    fn json(self, schema: Value) -> Route {
        Route { answer: vec![(JSON, schema)], ..self }
    }

    /// The answer as text of one of these types.
    fn media(self, types: &[&'static str]) -> Route {
        Route { answer: types.iter().map(|media| (*media, json!({"type": "string"}))).collect(), ..self }
    }

    /// Further statuses of refusals.
    fn or(self, refusals: &[u16]) -> Route {
        Route { refusals: refusals.to_vec(), ..self }
    }
}
