//! The shapes of an experiment: as it is sent, and as it is answered.

use super::schemas::{closed, kind, open, perhaps};
use crate::experiments::Measure;
use crate::experiments::config::{MAX_ABOUT, MAX_NAME, MOST_ARMS};
use serde_json::{Value, json};

/// What is sent: the words of the TOML file as JSON.
pub(super) fn sent() -> Value {
    let number = |low: f64, high: f64| json!({"type": "number", "minimum": low, "maximum": high});
    let name = json!({"type": "string", "maxLength": MAX_NAME, "pattern": "^[A-Za-z0-9][A-Za-z0-9._-]*$"});
    let metric = json!({"enum": Measure::ALL.map(Measure::name)});
    let above_zero = |most: f64| json!({"type": "number", "exclusiveMinimum": 0, "maximum": most});
    let named = |name: &str, field: Option<(&str, Value)>| {
        let fields: Vec<(&str, Value)> = field.into_iter().collect();
        let required: Vec<&str> = std::iter::once("kind").chain(fields.iter().map(|(name, _)| *name)).collect();
        closed(&required, &fields, Some(("kind", json!({"const": name}))))
    };
    let policy = json!({"anyOf": [
        named("greedy", None),
        named("epsilon-greedy", Some(("epsilon", number(0.0, 1.0)))),
        named("softmax", Some(("temperature", json!({"type": "number", "exclusiveMinimum": 0})))),
        {"type": "null"},
    ]});
    let explore = json!({"type": ["number", "null"], "minimum": 0, "maximum": 1});
    let arm = [("name", name.clone()), ("share", above_zero(1e6)), ("explore", explore), ("policy", policy)];
    let guardrail = [("metric", metric.clone()), ("tolerated", number(0.0, 100.0))];
    let some = |of: Value, least: usize, most: usize| json!({"type": "array", "items": of, "minItems": least, "maxItems": most});
    let whole = |least: u64| json!({"type": "integer", "minimum": least, "maximum": 1_000_000_000});
    let mut metrics = some(metric, 1, Measure::ALL.len());
    metrics["uniqueItems"] = json!(true);
    let mut hours = above_zero(87_600.0);
    hours["type"] = json!(["number", "null"]);
    let fields = [
        ("name", name.clone()),
        ("about", json!({"type": "string", "maxLength": MAX_ABOUT})),
        ("layer", name),
        ("part", some(number(0.0, 1.0), 2, 2)),
        ("arms", some(closed(&["name", "share"], &arm, None), 2, MOST_ARMS)),
        ("metrics", metrics),
        ("guardrails", some(closed(&["metric", "tolerated"], &guardrail, None), 0, Measure::ALL.len())),
        ("alpha", number(1e-6, 0.5)),
        ("shoppers", whole(100)),
        ("first", whole(30)),
        ("within_hours", hours),
    ];
    closed(&["name", "arms"], &fields, None)
}

/// What is answered.
pub(super) fn answered() -> Value {
    let (text, number, whole, flag) = (kind("string"), kind("number"), kind("integer"), kind("boolean"));
    let numbers = json!({"type": "array", "items": {"type": "number"}});
    let array = |of: Value| json!({"type": "array", "items": of});
    let or_null = |of: Value| json!({"anyOf": [of, {"type": "null"}]});
    let arm = open(&[
        ("Name", text.clone()),
        ("Share", number.clone()),
        ("Explore", perhaps("number")),
        ("Policy", perhaps("object")),
        ("Shoppers", whole.clone()),
        ("Stopped", perhaps("string")),
        ("Why", perhaps("string")),
    ]);
    let compared = open(&[
        ("Arm", text.clone()),
        ("Difference", number.clone()),
        ("Lift", perhaps("number")),
        ("Interval", or_null(numbers.clone())),
        ("VarianceSaved", number.clone()),
        ("Verdict", text.clone()),
    ]);
    let metric = open(&[
        ("Metric", text.clone()),
        ("LessIsBetter", flag.clone()),
        ("Means", numbers.clone()),
        ("Deviations", numbers.clone()),
        ("Compared", array(or_null(compared))),
    ]);
    let guarded = open(&[("Arm", text.clone()), ("State", text.clone())]);
    let guard = open(&[
        ("Metric", text.clone()),
        ("Tolerated", number.clone()),
        ("Bar", number.clone()),
        ("Arms", array(guarded)),
    ]);
    let ratio = open(&[("Sound", flag), ("PValue", number.clone())]);
    open(&[
        ("Name", text.clone()),
        ("About", text.clone()),
        ("Layer", text.clone()),
        ("Part", numbers),
        ("State", json!({"enum": ["running", "ended"]})),
        ("Started", text.clone()),
        ("Ended", perhaps("string")),
        ("Why", perhaps("string")),
        ("Alpha", number),
        ("First", whole),
        ("WithinHours", perhaps("number")),
        ("Arms", array(arm)),
        ("SampleRatio", or_null(ratio)),
        ("Metrics", array(metric)),
        ("Guardrails", array(guard)),
    ])
}
