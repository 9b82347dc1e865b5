//! The shapes of bodies and answers. What people send is closed: a field that is not named is refused. What we answer is
//! open, since fields may be added to it.

use super::experiment;
use crate::http::experiments::MAX_WHY;
use crate::http::params::MAX_ID;
use crate::http::sent::{MAX_CATEGORIES, MAX_TEXT};
use crate::http::users::{MAX_COMMENT, MAX_SUBSCRIBE};
use lingxi_data::EventKind;
use serde_json::{Map, Value, json};

/// Text without control characters.
const NO_CONTROL: &str = r"^[^\u0000-\u001f\u007f-\u009f]+$";

/// The same, or nothing.
pub(super) const NO_CONTROL_OR_EMPTY: &str = r"^[^\u0000-\u001f\u007f-\u009f]*$";

/// All shapes by name.
pub(super) fn all() -> Value {
    let (text, number, whole, flag) = (kind("string"), kind("number"), kind("integer"), kind("boolean"));
    let anything = json!({});
    // What is usual comes first; many other ways of writing it are understood.
    let time = json!({"anyOf": [{"type": "string", "format": "date-time"}, {"type": ["string", "number", "null"]}]});
    let names = EventKind::ALL.map(EventKind::name);
    let any_type = json!({"anyOf": [{"enum": names}, {"type": "string", "minLength": 1, "maxLength": MAX_ID}]});
    let up_to = |most: usize| json!({"type": ["string", "null"], "maxLength": most});
    let id = json!({"$ref": "#/components/schemas/Id"});
    let ids = |most: usize| {
        let id = json!({"type": "string", "minLength": 1, "maxLength": MAX_ID, "pattern": NO_CONTROL});
        json!({"type": ["array", "null"], "items": id, "maxItems": most})
    };
    let array = |name: &str| json!({"type": "array", "items": {"$ref": format!("#/components/schemas/{name}")}});
    let amended_user =
        [("Labels", anything.clone()), ("Comment", up_to(MAX_COMMENT)), ("Subscribe", ids(MAX_SUBSCRIBE))];
    let amended_item = [
        ("IsHidden", perhaps("boolean")),
        ("Categories", ids(MAX_CATEGORIES)),
        ("Timestamp", time.clone()),
        ("Labels", anything.clone()),
        ("Comment", up_to(MAX_COMMENT)),
        ("Title", up_to(MAX_COMMENT)),
        ("Text", up_to(MAX_TEXT)),
        ("Price", json!({"type": ["number", "null"], "minimum": 0, "maximum": 1e9})),
    ];
    let row = [
        ("FeedbackType", any_type.clone()),
        ("ItemId", id.clone()),
        ("Timestamp", time),
        ("Value", json!({"type": ["number", "null"], "minimum": -1e9, "maximum": 1e9})),
        ("Comment", up_to(MAX_COMMENT)),
        ("Updated", anything.clone()),
        ("Key", json!({"type": ["string", "null"], "minLength": 1, "maxLength": MAX_ID, "pattern": NO_CONTROL})),
    ];
    let session_user = json!({"type": ["string", "null"], "maxLength": MAX_ID, "pattern": NO_CONTROL_OR_EMPTY});
    let reasons = json!({"type": "array", "items": {"type": "object", "required": ["by", "value"]}});
    let (words, scores) = (json!({"type": "array", "items": {"type": "string"}}), number.clone());
    let why = ["code", "message", "field", "expected", "got", "remedy"].map(|name| match name {
        "code" | "message" => (name, text.clone()),
        _ => (name, perhaps("string")),
    });
    let stats = ["Users", "Items", "Events", "NewEvents", "Requests", "Refused"].map(|name| (name, whole.clone()));
    json!({
        "Id": {"type": "string", "minLength": 1, "maxLength": MAX_ID, "pattern": NO_CONTROL},
        "Type": any_type,
        "Feedback": closed(&["FeedbackType", "UserId", "ItemId"], &row, Some(("UserId", id.clone()))),
        "SessionFeedback": closed(&["FeedbackType", "ItemId"], &row, Some(("UserId", session_user))),
        "SentUser": closed(&["UserId"], &amended_user, Some(("UserId", id.clone()))),
        "AmendedUser": closed(&[], &amended_user, None),
        "SentItem": closed(&["ItemId"], &amended_item, Some(("ItemId", id))),
        "AmendedItem": closed(&[], &amended_item, None),
        "Touched": open(&[("RowAffected", whole.clone())]),
        "Event": open(&[
            ("FeedbackType", text.clone()), ("UserId", text.clone()), ("ItemId", text.clone()),
            ("Timestamp", text.clone()), ("Value", number.clone()), ("Title", text.clone()),
        ]),
        "Events": open(&[("Cursor", text.clone()), ("Feedback", array("Event"))]),
        "User": open(&[
            ("UserId", text.clone()), ("Labels", anything.clone()), ("Comment", text.clone()),
            ("Subscribe", words.clone()), ("Events", whole.clone()),
        ]),
        "Users": open(&[("Cursor", text.clone()), ("Users", array("User"))]),
        "Item": open(&[
            ("ItemId", text.clone()), ("IsHidden", flag.clone()), ("Categories", words.clone()),
            ("Timestamp", text.clone()), ("Labels", anything), ("Comment", text.clone()), ("Title", text.clone()),
            ("Text", text.clone()), ("Price", perhaps("number")),
        ]),
        "Items": open(&[("Cursor", text.clone()), ("Items", array("Item"))]),
        "Interest": open(&[("Category", text.clone()), ("Degree", number.clone()), ("Low", number.clone()), ("High", number.clone()), ("Events", number.clone())]),
        "Near": open(&[("Id", text.clone()), ("Score", scores.clone()), ("Title", text.clone())]),
        "Place": open(&[
            ("ItemId", text.clone()), ("Title", text.clone()), ("Score", scores.clone()), ("Propensity", number.clone()),
            ("Explored", flag.clone()), ("Explores", perhaps("string")), ("Reason", text.clone()),
            ("Phrase", perhaps("string")), ("Parts", reasons.clone()), ("Rules", words.clone()),
            ("Moves", json!({"type": "array"})),
        ]),
        "Explanation": open(&[
            ("UserId", text.clone()), ("ItemId", text.clone()), ("Title", text.clone()), ("Score", scores),
            ("Parts", reasons), ("Reason", text.clone()), ("Rules", words), ("Rank", perhaps("integer")),
            ("Candidates", whole.clone()), ("Place", perhaps("integer")), ("Propensity", perhaps("number")),
            ("KeptAway", perhaps("string")), ("Phrase", perhaps("string")),
        ]),
        "Import": open(&[
            ("Id", whole.clone()), ("Stage", text.clone()), ("Rows", whole.clone()), ("Stored", whole.clone()),
            ("Duplicates", whole.clone()), ("Refused", whole.clone()), ("Share", number.clone()),
        ]),
        "Imports": open(&[("Imports", array("Import"))]),
        "Builds": open(&[
            ("Running", perhaps("object")), ("Last", perhaps("object")), ("Kept", array("Kept")),
            ("EveryHours", perhaps("number")),
        ]),
        "Kept": open(&[
            ("Id", whole.clone()), ("Built", text.clone()), ("Snapshot", text.clone()), ("Events", whole.clone()),
            ("Items", whole.clone()), ("Metric", text.clone()), ("Value", perhaps("number")), ("Serving", flag.clone()),
        ]),
        "Policy": open(&[
            ("Version", text.clone()), ("Learns", flag.clone()), ("Lessons", whole.clone()), ("Fingerprint", text.clone()),
            ("UpTo", whole.clone()), ("After", whole.clone()), ("WaitMinutes", number.clone()), ("Curve", array("Stretch")),
            ("Drift", kind("object")), ("Kept", array("KeptPolicy")),
        ]),
        "Stretch": open(&[
            ("Until", text.clone()), ("Slates", whole.clone()), ("Reward", number.clone()), ("Explored", number.clone()),
            ("BestReward", perhaps("number")), ("ExploredReward", perhaps("number")),
        ]),
        "KeptPolicy": open(&[
            ("Id", whole.clone()), ("At", text.clone()), ("Version", text.clone()), ("Lessons", whole.clone()),
            ("Reward", number.clone()), ("BackTo", perhaps("integer")),
        ]),
        "PolicyDone": open(&[("Status", text.clone()), ("Version", text.clone())]),
        "SentExperiment": experiment::sent(),
        "SentStop": closed(&[], &[("Why", up_to(MAX_WHY))], None),
        "Experiments": open(&[("Experiments", array("Experiment"))]),
        "Experiment": experiment::answered(),
        "Removed": open(&[("Removed", text.clone())]),
        "Done": open(&[("Status", text.clone())]),
        "Curves": open(&[("Curves", array("Curve"))]),
        "Curve": open(&[("Model", text.clone()), ("Metric", text.clone()), ("Points", json!({"type": "array"}))]),
        "Category": open(&[("Name", text.clone()), ("Items", whole)]),
        "Stats": open(&stats),
        "Health": open(&[("status", text)]),
        "Refusal": open(&[("error", open(&why))]),
    })
}

pub(super) fn kind(name: &str) -> Value {
    json!({"type": name})
}

pub(super) fn perhaps(kind: &str) -> Value {
    json!({"type": [kind, "null"]})
}

/// An object with these fields, all of which are there, and perhaps others.
pub(super) fn open(fields: &[(&str, Value)]) -> Value {
    let required: Vec<&str> = fields.iter().map(|(name, _)| *name).collect();
    json!({"type": "object", "required": required, "properties": properties(fields)})
}

/// An object with these fields and no others.
pub(super) fn closed(required: &[&str], fields: &[(&str, Value)], first: Option<(&str, Value)>) -> Value {
    let mut properties = properties(fields);
    properties.extend(first.map(|(name, schema)| (name.to_owned(), schema)));
    json!({"type": "object", "required": required, "properties": properties, "additionalProperties": false})
}

fn properties(fields: &[(&str, Value)]) -> Map<String, Value> {
    fields.iter().map(|(name, schema)| ((*name).to_owned(), schema.clone())).collect()
}
