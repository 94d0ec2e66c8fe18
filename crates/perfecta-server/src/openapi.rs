//! The daemon's pages for machines: an OpenAPI document.
//!
//! Schemas are derived from the types that are sent. What each page takes and answers stands here, and
//! a test holds it to the router.

use serde_json::{Map, Value, json};
use utoipa::openapi::{RefOr, Schema};
use utoipa::{PartialSchema, ToSchema};

use crate::api::{Config, ITEMS_MAX, Stats, WAIT_MAX};
use crate::history::Samples;
use crate::overview::{LIMIT_MAX, Overview};
use crate::problem::{Problem, ProblemKind};
use crate::report::TableLine;
use crate::spec::{FILES_MAX, InputSpec, JobSpec, PATTERNS_MAX};
use crate::wire::{Accepted, Items, NEXT_HEADER, PROTOCOL, PROTOCOL_HEADER, Ping, RequestStatus};

/// The document.
pub(crate) fn document() -> Value {
    let mut schemas = Schemas::default();
    let paths = pages(&mut schemas);
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "perfecta",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "Order-preserving perfect hash tables from files of keys, as a daemon. A page that \
                is asked for by another method answers 405, and says by `Allow` which it takes.",
            "license": {"name": "MIT OR Apache-2.0", "identifier": "MIT OR Apache-2.0"},
        },
        "servers": [{"url": "http://localhost", "description": "on the daemon's socket"}],
        "paths": paths,
        "components": {"schemas": schemas.tidied()},
    })
}

fn pages(schemas: &mut Schemas) -> Value {
    let text = |description| answer(description, "text/plain", &json!({"type": "string"}), None);
    json!({
        "/v1/requests": {"post": submit(schemas), "get": list(schemas)},
        "/v1/requests/{id}": {"get": status(schemas), "delete": forget(schemas)},
        "/v1/requests/{id}/items": {"get": items(schemas)},
        "/v1/requests/{id}/wait": {"get": wait(schemas)},
        "/v1/requests/{id}/events": {"get": events(schemas)},
        "/v1/requests/{id}/cancel": {"post": cancel(schemas)},
        "/v1/requests/{id}/spec": {"get": of_request("spec", "What was asked for")
            .answers(200, told::<JobSpec>(schemas, "the request as it was sent, with what is in force where it said nothing", None)).done(schemas)},
        "/v1/requests/{id}/slowest": {"get": slowest(schemas)},
        "/v1/overview": {"get": overview(schemas)},
        "/v1/history": {"get": page("history", "What the last ten minutes were like")
            .takes(number("after", "of the last sample that is known", u64::MAX))
            .answers(200, told::<Samples>(schemas, "samples since then", None)).done(schemas)},
        "/v1/ping": {"get": page("ping", "Whether it is there, and how much it has to do")
            .answers(200, told::<Ping>(schemas, "it is", None)).done(schemas)},
        "/v1/stats": {"get": page("stats", "What its parts do, and an audit of its accounts")
            .answers(200, told::<Stats>(schemas, "what they do", None)).done(schemas)},
        "/v1/config": {"get": page("config", "What it gives to requests, and its limits")
            .answers(200, told::<Config>(schemas, "its limits", None)).done(schemas)},
        "/v1/drain": {"post": page("drain", "Finish what there is, take nothing more, and end")
            .answers(202, told::<Ping>(schemas, "it will", None)).done(schemas)},
        "/v1/shutdown": {"post": page("shutdown", "Cancel what there is, and end")
            .answers(202, told::<Ping>(schemas, "it will", None)).done(schemas)},
        "/v1/openapi.json": {"get": page("openapi", "This document")
            .answers(200, answer("the document", "application/json", &json!({"type": "object"}), None))
            .done(schemas)},
        "/healthz": {"get": page("health", "Whether it is alive")
            .answers(200, text("it is")).done(schemas)},
        "/readyz": {"get": page("ready", "Whether it takes requests")
            .answers(200, text("it does")).refuses(ProblemKind::Draining)
            .refuses(ProblemKind::Storage).done(schemas)},
        "/metrics": {"get": page("metrics", "What Prometheus reads").answers(
            200,
            answer("OpenMetrics", "application/openmetrics-text", &json!({"type": "string"}), None),
        ).done(schemas)},
    })
}

fn submit(schemas: &mut Schemas) -> Value {
    let mut accepted = told::<Accepted>(schemas, "it was accepted", Some(example_accepted()));
    let link = |operation: &str| json!({"operationId": operation, "parameters": {"id": "$response.body#/id"}});
    accepted["links"] = ["status", "items", "wait", "events", "cancel", "forget"]
        .into_iter()
        .map(|operation| (operation.to_owned(), link(operation)))
        .collect::<Map<_, _>>()
        .into();
    let key = json!({
        "name": "Idempotency-Key", "in": "header",
        "description": "the same request with the same key is run once",
        "schema": {"type": "string", "pattern": "^[!-~]{1,255}$"},
    });
    page("submit", "Hand in a request")
        .takes(key)
        .body(&schemas.of::<JobSpec>(), example_spec())
        .answers(202, accepted)
        .refuses(ProblemKind::Conflict)
        .refuses(ProblemKind::TooLarge)
        .refuses(ProblemKind::Encoded)
        .refuses(ProblemKind::InvalidField)
        .refuses(ProblemKind::Storage)
        .done(schemas)
}

fn list(schemas: &mut Schemas) -> Value {
    let requests = json!({"type": "array", "items": schemas.of::<RequestStatus>()});
    let mut some = answer("a page of them", "application/json", &requests, None);
    some["headers"][NEXT_HEADER] = json!({
        "description": "what to ask for the rest with, as `after`; not there if there is no rest",
        "schema": {"type": "integer"},
    });
    page("list", "Requests that are kept, in the order in which they came")
        .takes(number("after", "what the page before gave for the rest", u64::MAX))
        .takes(number("limit", "of their number", LIMIT_MAX as u64))
        .answers(200, some)
        .refuses(ProblemKind::InvalidField)
        .done(schemas)
}

fn status(schemas: &mut Schemas) -> Value {
    of_request("status", "Where a request is, and what came of it")
        .answers(200, told::<RequestStatus>(schemas, "where it is", None))
        .done(schemas)
}

fn forget(schemas: &mut Schemas) -> Value {
    of_request("forget", "Forget a request that has ended")
        .answers(204, json!({"description": "it is forgotten", "headers": headers()}))
        .refuses(ProblemKind::Conflict)
        .done(schemas)
}

fn overview(schemas: &mut Schemas) -> Value {
    page("overview", "How many requests there are, and a page of them, for whoever watches many")
        .takes(number("outstanding_offset", "of the first that has not ended", usize::MAX as u64))
        .takes(number("ended_offset", "of the first that has", usize::MAX as u64))
        .takes(number("limit", "of each", LIMIT_MAX as u64))
        .answers(200, told::<Overview>(schemas, "some of each", None))
        .refuses(ProblemKind::InvalidField)
        .done(schemas)
}

fn slowest(schemas: &mut Schemas) -> Value {
    let tables = json!({"type": "array", "items": schemas.of::<TableLine>()});
    of_request("slowest", "The tables that were searched longest")
        .takes(number("limit", "of their number", LIMIT_MAX as u64))
        .answers(200, answer("the longest first", "application/json", &tables, None))
        .refuses(ProblemKind::InvalidField)
        .done(schemas)
}

fn items(schemas: &mut Schemas) -> Value {
    of_request("items", "What came of single tables, in the order in which they settled")
        .takes(tables_wanted())
        .takes(number("offset", "of the first", usize::MAX as u64))
        .takes(number("limit", "of their number", ITEMS_MAX as u64))
        .answers(200, told::<Items>(schemas, "a page of them", None))
        .refuses(ProblemKind::InvalidField)
        .done(schemas)
}

fn wait(schemas: &mut Schemas) -> Value {
    of_request("wait", "Where a request is, once it has ended or the time is over")
        .takes(number("timeout_ms", "to wait at most", WAIT_MAX.as_millis() as u64))
        .answers(200, told::<RequestStatus>(schemas, "where it is", None))
        .refuses(ProblemKind::InvalidField)
        .done(schemas)
}

fn events(schemas: &mut Schemas) -> Value {
    let event = json!({
        "type": "object", "required": ["event", "data"],
        "properties": {
            "event": {"enum": ["table", "notice", "progress", "end"]},
            "data": {"type": "string", "contentMediaType": "application/json"},
        },
    });
    let stream = answer(
        "what is told of it until it has ended; the grammar stands in docs/protocol.md",
        "text/event-stream",
        &event,
        None,
    );
    of_request("events", "Follow a request by server-sent events")
        .takes(tables_wanted())
        .answers(200, stream)
        .done(schemas)
}

fn cancel(schemas: &mut Schemas) -> Value {
    of_request("cancel", "Begin nothing of a request any more; what is published stays")
        .answers(202, told::<RequestStatus>(schemas, "it was asked to stop", None))
        .done(schemas)
}

fn example_spec() -> Value {
    json!({
        "directory": "/home/me",
        "inputs": {"tree": {"root": "keys"}},
        "output": {"directory": "tables", "emit": "pht,c"},
        "limits": {"max_milliseconds": 60_000, "deadline_ms": 600_000},
    })
}

fn example_accepted() -> Value {
    json!({"id": "5eb1c0de-1"})
}

/// A page as it is being described.
struct Page {
    id: &'static str,
    summary: &'static str,
    parameters: Vec<Value>,
    body: Option<Value>,
    answers: Map<String, Value>,
    refusals: Vec<ProblemKind>,
}

/// A page that takes the protocol's version, and may refuse what makes no sense.
fn page(id: &'static str, summary: &'static str) -> Page {
    let protocol = json!({
        "name": PROTOCOL_HEADER, "in": "header",
        "description": "the version that the client speaks; without it, the current one",
        "schema": {"type": "string", "enum": [PROTOCOL.to_string()]},
    });
    Page {
        id,
        summary,
        parameters: vec![protocol],
        body: None,
        answers: Map::new(),
        refusals: vec![
            ProblemKind::Malformed,
            ProblemKind::Unauthorized,
            ProblemKind::Forbidden,
            ProblemKind::TooSlow,
            ProblemKind::Busy,
        ],
    }
}

/// A page of one request.
fn of_request(id: &'static str, summary: &'static str) -> Page {
    let parameter = json!({
        "name": "id", "in": "path", "required": true, "description": "the request's id",
        "schema": {"type": "string", "minLength": 1},
    });
    page(id, summary).takes(parameter).refuses(ProblemKind::NotFound)
}

impl Page {
    fn takes(mut self, parameter: Value) -> Self {
        self.parameters.push(parameter);
        self
    }

    fn body(mut self, schema: &Value, example: Value) -> Self {
        let content = json!({"application/json": {"schema": schema, "example": example}});
        self.body = Some(json!({"required": true, "content": content}));
        self
    }

    fn answers(mut self, status: u16, answer: Value) -> Self {
        self.answers.insert(status.to_string(), answer);
        self
    }

    fn refuses(mut self, kind: ProblemKind) -> Self {
        self.refusals.push(kind);
        self
    }

    fn done(mut self, schemas: &mut Schemas) -> Value {
        for kind in self.refusals {
            let problem = Problem::new(kind, kind.meaning(), "what can be done");
            let schema = schemas.of::<Problem>();
            let example = Some(json!(problem));
            let mut refusal = answer(kind.meaning(), "application/problem+json", &schema, example);
            if kind.is_passing() {
                refusal["headers"]["Retry-After"] = json!({
                    "description": "seconds", "schema": {"type": "integer"},
                });
            }
            self.answers.insert(kind.status().as_u16().to_string(), refusal);
        }
        let mut operation = json!({
            "operationId": self.id,
            "summary": self.summary,
            "parameters": self.parameters,
            "responses": self.answers,
        });
        if let Some(body) = self.body {
            operation["requestBody"] = body;
        }
        operation
    }
}

fn tables_wanted() -> Value {
    json!({
        "name": "tables", "in": "query", "description": "which tables are told",
        "schema": {"type": "string", "enum": ["all", "failed", "none"], "default": "all"},
    })
}

fn number(name: &str, what: &str, max: u64) -> Value {
    json!({
        "name": name, "in": "query", "description": what,
        "schema": {"type": "integer", "minimum": 0, "maximum": max},
    })
}

fn told<T: ToSchema>(schemas: &mut Schemas, description: &str, example: Option<Value>) -> Value {
    answer(description, "application/json", &schemas.of::<T>(), example)
}

fn answer(description: &str, kind: &str, schema: &Value, example: Option<Value>) -> Value {
    let mut content = json!({"schema": schema});
    if let Some(example) = example {
        content["example"] = example;
    }
    json!({"description": description, "content": {kind: content}, "headers": headers()})
}

/// Every answer says which version of the protocol it speaks.
fn headers() -> Value {
    json!({PROTOCOL_HEADER: {"schema": {"type": "integer"}, "required": true}})
}

/// The schemas that pages refer to, by name.
#[derive(Default)]
struct Schemas(Vec<(String, RefOr<Schema>)>);

impl Schemas {
    /// A reference to the schema of a type.
    fn of<T: ToSchema>(&mut self) -> Value {
        let name = T::name().into_owned();
        let reference = json!({"$ref": format!("#/components/schemas/{name}")});
        self.0.push((name, T::schema()));
        T::schemas(&mut self.0);
        reference
    }

    fn tidied(self) -> Value {
        let schemas = self.0.into_iter().map(|(name, schema)| (name, json!(schema)));
        let mut schemas = Value::Object(schemas.collect());
        tidy(&mut schemas);
        schemas
    }
}

/// By hand: the derive takes no paths in the variants of an enum.
impl PartialSchema for InputSpec {
    fn schema() -> RefOr<Schema> {
        let path = json!({"type": "string", "minLength": 1});
        let patterns =
            json!({"type": "array", "items": {"type": "string"}, "maxItems": PATTERNS_MAX});
        // What is null is left out.
        let variant = |name: &str, fields: Value, other: &str| {
            json!({
                "type": "object", "required": [name],
                "properties": {name: fields, other: {"type": "null"}},
                "additionalProperties": false,
            })
        };
        let files = json!({"type": "array", "items": path, "minItems": 1, "maxItems": FILES_MAX});
        let tree = json!({
            "type": "object", "required": ["root"], "additionalProperties": false,
            "properties": {"root": path, "include": patterns, "exclude": patterns},
        });
        let either =
            json!({"oneOf": [variant("files", files, "tree"), variant("tree", tree, "files")]});
        serde_json::from_value(either).expect("it is a schema")
    }
}

impl ToSchema for InputSpec {}

/// What the derived schemas leave open: the largest number of each width, by the name that its format
/// is registered under, and that what is flattened into an object may be absent.
fn tidy(schema: &mut Value) {
    match schema {
        Value::Array(parts) => parts.iter_mut().for_each(tidy),
        Value::Object(fields) => {
            let numbers = match fields.get("format").and_then(Value::as_str) {
                Some("u-int8") => Some(("uint8", u64::from(u8::MAX))),
                Some("u-int32") => Some(("uint32", u64::from(u32::MAX))),
                Some("u-int64") => Some(("uint64", u64::MAX)),
                // A count of the machine's width.
                None if may_be(fields, "integer") => Some(("uint64", usize::MAX as u64)),
                _ => None,
            };
            if let Some((format, max)) = numbers {
                fields.insert("format".to_owned(), format.into());
                fields.entry("maximum").or_insert(max.into());
            }
            if let Some(Value::Array(parts)) = fields.get_mut("allOf") {
                parts.iter_mut().for_each(allow_absence);
            }
            fields.values_mut().for_each(tidy);
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

fn may_be(schema: &Map<String, Value>, kind: &str) -> bool {
    match schema.get("type") {
        Some(Value::Array(kinds)) => kinds.iter().any(|told| told == kind),
        told => told.is_some_and(|told| told == kind),
    }
}

/// A part that is null is written as none of its fields.
fn allow_absence(part: &mut Value) {
    let Some(Value::Array(choices)) = part.get("oneOf") else { return };
    let is_null = |choice: &Value| choice["type"] == "null";
    if choices.iter().any(is_null) {
        let mut choices: Vec<Value> =
            choices.iter().filter(|choice| !is_null(choice)).cloned().collect();
        choices.push(json!({"type": "object"}));
        *part = json!({"anyOf": choices});
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use axum::body::Body;
    use axum::http::{Request, StatusCode, header};
    use axum::response::Response;

    use perfecta_emit::{ArtifactKind, ArtifactKinds};

    use super::*;
    use crate::access::{Caller, Transport};
    use crate::spec::Bounds;
    use crate::{api, body};

    #[test]
    fn the_router_and_the_document_have_the_same_pages_with_the_same_methods() {
        let document = document();
        let documented = document["paths"].as_object().unwrap();
        let routed: BTreeSet<&str> = api::pages().into_iter().map(|(path, _)| path).collect();
        assert_eq!(routed, documented.keys().map(String::as_str).collect());
        for (path, page) in documented {
            let methods: BTreeSet<String> = page.as_object().unwrap().keys().cloned().collect();
            assert_eq!(methods_of(path), methods, "{path}");
        }
    }

    /// What a page says that it allows when it is asked for what it does not. The router answers HEAD
    /// wherever it answers GET.
    fn methods_of(path: &str) -> BTreeSet<String> {
        let request = Request::builder().method("OPTIONS").uri(path.replace("{id}", "1"));
        let answer = answer_of(request.body(Body::empty()).unwrap());
        assert_eq!(answer.status(), StatusCode::METHOD_NOT_ALLOWED, "{path}");
        let kind = &answer.headers()[header::CONTENT_TYPE];
        assert_eq!(kind, "application/problem+json", "{path}");
        let allowed = answer.headers()[header::ALLOW].to_str().unwrap().to_lowercase();
        allowed.split(',').filter(|method| *method != "head").map(ToOwned::to_owned).collect()
    }

    fn answer_of(mut request: Request<Body>) -> Response {
        request.headers_mut().insert(header::HOST, "localhost".parse().unwrap());
        request.extensions_mut().insert(Caller::Owner);
        request.extensions_mut().insert(Transport::Local);
        let api = api::Api::new(api::tests::control());
        let mut runtime = tokio::runtime::Builder::new_current_thread();
        let runtime = runtime.enable_time().build().unwrap();
        runtime.block_on(api.answer(request))
    }

    #[test]
    fn every_answer_of_every_page_has_its_schema() {
        let document = document();
        let schemas = document["components"]["schemas"].as_object().unwrap();
        let text = document["paths"].to_string() + &document["components"].to_string();
        for reference in text.split("#/components/schemas/").skip(1) {
            let name = reference.split('"').next().unwrap();
            assert!(schemas.contains_key(name), "{name}");
        }
    }

    #[test]
    fn operations_have_names_of_their_own_and_links_name_them() {
        let document = document();
        let pages = document["paths"].as_object().unwrap().values();
        let operations: Vec<&Value> =
            pages.flat_map(|page| page.as_object().unwrap().values()).collect();
        let names: BTreeSet<&str> =
            operations.iter().map(|page| page["operationId"].as_str().unwrap()).collect();
        assert_eq!(names.len(), operations.len());
        let links = &document["paths"]["/v1/requests"]["post"]["responses"]["202"]["links"];
        for link in links.as_object().unwrap().values() {
            assert!(names.contains(link["operationId"].as_str().unwrap()), "{link}");
        }
    }

    #[test]
    fn every_number_of_a_request_has_its_bounds() {
        fn check(schema: &Value, place: &str) {
            if schema.as_object().is_some_and(|schema| may_be(schema, "integer")) {
                let is_bounded = schema["minimum"].is_u64() && schema["maximum"].is_u64();
                assert!(is_bounded, "{place}: {schema}");
            }
            for (name, field) in schema["properties"].as_object().into_iter().flatten() {
                check(field, &format!("{place}.{name}"));
            }
            if schema["items"].is_object() {
                check(&schema["items"], place);
            }
        }
        let document = document();
        for name in ["JobSpec", "SearchSpec", "ShareSpec", "LimitSpec", "OutputSpec", "KeySpec"] {
            check(&document["components"]["schemas"][name], name);
        }
    }

    /// The document says which words there are, and the crate that emits knows them.
    #[test]
    fn the_artifacts_are_those_that_there_are() {
        let document = document();
        let emit = &document["components"]["schemas"]["OutputSpec"]["properties"]["emit"];
        let names: Vec<&str> = ArtifactKind::ALL.iter().map(|kind| kind.name()).collect();
        let word = format!("({}|all)", names.join("|"));
        assert_eq!(emit["pattern"], format!("^ *{word} *(, *{word} *)*$"));
        for named in names.into_iter().chain(["all", " c, rust ", "all,c"]) {
            assert!(named.parse::<ArtifactKinds>().is_ok(), "{named}");
        }
    }

    #[test]
    fn what_is_null_in_either_kind_of_inputs_is_left_out_as_the_document_says() {
        let document = document();
        let kinds = &document["components"]["schemas"]["InputSpec"]["oneOf"];
        for (kind, inputs, other) in
            [(0, json!({"files": ["/a"]}), "tree"), (1, json!({"tree": {"root": "/a"}}), "files")]
        {
            assert_eq!(kinds[kind]["properties"][other], json!({"type": "null"}));
            let mut with_null = inputs.clone();
            with_null[other] = Value::Null;
            let read = |inputs: &Value| {
                body::parse(json!({"inputs": inputs, "output": null}).to_string().as_bytes())
            };
            assert_eq!(read(&with_null).unwrap(), read(&inputs).unwrap());
        }
    }

    #[test]
    fn examples_are_what_they_are_examples_of() {
        let spec: JobSpec = serde_json::from_value(example_spec()).unwrap();
        spec.checked(&Bounds::SMALL, std::time::Duration::ZERO).unwrap();
        serde_json::from_value::<Accepted>(example_accepted()).unwrap();
    }
}
