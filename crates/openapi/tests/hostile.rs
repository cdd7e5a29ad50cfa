//! Documents that mean harm, and arguments that do: bounded, reported, harmless.
#![allow(clippy::unwrap_used, reason = "a test may fail")]

use std::time::{Duration, Instant};

use lockgate_openapi::{Catalogue, Limits, Response, Shaping};
use proptest::prelude::*;
use serde_json::{Value, json};

fn api(paths: Value, schemas: Value) -> Value {
    json!({ "openapi": "3.1.0", "info": { "title": "x", "version": "1" }, "paths": paths, "components": { "schemas": schemas } })
}

fn get(operation: Value) -> Value {
    json!({ "/a": { "get": operation } })
}

/// Reads within a time that no honest document needs either.
fn read(document: &str) -> Result<Catalogue, String> {
    let begun = Instant::now();
    let read = Catalogue::read(document.as_bytes(), &Limits::default());
    assert!(begun.elapsed() < Duration::from_secs(60), "it took {:?}", begun.elapsed());
    read.map_err(|rejected| rejected.problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))
}

#[test]
fn hostile_documents_are_reported() {
    let refer =
        |to: &str| get(json!({ "parameters": [{ "name": "q", "in": "query", "schema": { "$ref": to } }] }));
    let circle =
        json!({ "A": { "$ref": "#/components/schemas/B" }, "B": { "$ref": "#/components/schemas/A" } });
    let deep = format!("{{\"openapi\":\"3.1.0\",\"paths\":{}{}}}", "{\"a\":".repeat(2000), "}".repeat(2000));
    let bomb = (0..30).fold("openapi: 3.1.0\na0: &a0 [x,x,x,x,x,x,x,x,x,x]\n".to_owned(), |text, n| {
        let list = vec![format!("*a{n}"); 10].join(",");
        format!("{text}a{}: &a{} [{list}]\n", n + 1, n + 1)
    });
    let many: serde_json::Map<String, Value> =
        (0..20_000).map(|n| (format!("/p{n}"), json!({ "get": {} }))).collect();
    for (name, document, told) in [
        ("a file", api(refer("file:///etc/passwd"), json!({})).to_string(), "another document"),
        (
            "metadata of the cloud",
            api(refer("http://169.254.169.254/latest"), json!({})).to_string(),
            "another document",
        ),
        ("a neighbour", api(refer("other.yaml#/x"), json!({})).to_string(), "another document"),
        ("nothing", api(refer("#/components/schemas/None"), json!({})).to_string(), "leads to nothing"),
        (
            "a parameter that is itself",
            api(get(json!({ "parameters": [{ "$ref": "#/paths/~1a/get/parameters/0" }] })), json!({}))
                .to_string(),
            "circle",
        ),
        ("depth", deep, "deep"),
        ("an alias bomb", bomb, "values"),
        ("too many", api(many.into(), json!({})).to_string(), "at most"),
        ("size", format!("openapi: 3.1.0\nx: '{}'", "x".repeat(50 << 20)), "bytes"),
        ("no document", "hello".to_owned(), "neither"),
        ("nothing at all", String::new(), "empty"),
        ("a list", "[1]".to_owned(), "neither"),
        ("another version", json!({ "openapi": "4.0.0", "paths": {} }).to_string(), "version"),
        ("no paths", json!({ "openapi": "3.1.0" }).to_string(), "no paths"),
        (
            "headers in names",
            api(get(json!({ "parameters": [{ "name": "a\r\nb", "in": "header" }] })), json!({})).to_string(),
            "no header can have",
        ),
        (
            "a path that climbs",
            api(json!({ "/a/../b": { "get": {} } }), json!({})).to_string(),
            "dot segment",
        ),
        (
            "a path that climbs encoded",
            api(json!({ "/a/%2e%2e/b": { "get": {} } }), json!({})).to_string(),
            "dot segment",
        ),
        (
            "a host for a path",
            api(json!({ "@evil.example/": { "get": {} } }), json!({})).to_string(),
            "no path template",
        ),
    ] {
        let error = read(&document).err().unwrap_or_else(|| panic!("{name} was taken"));
        assert!(error.contains(told), "{name}: {error:.300}");
        assert!(!error.contains('\r') && !error.contains('\u{1b}'));
    }
    // A circle of schemas is no harm: nobody walks it.
    let round = api(refer("#/components/schemas/A"), circle);
    assert!(read(&round.to_string()).is_ok_and(|catalogue| catalogue.tools.len() == 1));
}

#[test]
fn all_problems_are_told_at_once() {
    let paths = json!({ "/a/{x}": { "get": {} }, "/b": { "get": { "servers": [{ "url": "https://x" }] } }, "/c": { "put": 7 } });
    let error = read(&api(paths, json!({})).to_string()).unwrap_err();
    for place in ["/paths/~1a~1{x}/get: ", "/paths/~1b/get: ", "/paths/~1c/put: "] {
        assert!(error.contains(place), "{error}");
    }
}

#[test]
fn texts_are_bounded_and_show_all_that_they_hold() {
    let name = "\u{1b}]0;x\u{7}<script>\u{202e}list\u{e0041}";
    let text = "<b>hi</b>\u{200b}\u{1b}[2J".to_owned() + &"long ".repeat(100_000);
    let paths = get(json!({ "operationId": name, "summary": text, "description": text, "parameters": [
        { "name": "q", "in": "query", "description": text, "schema": { "type": "string", "x-mcp-header": "Authorization" } }] }));
    let catalogue = read(&api(paths, json!({})).to_string()).unwrap();
    let tool = &catalogue.tools[0];
    assert_eq!(tool.name, "0_x_script_list");
    let definition = tool.definition();
    assert!(definition.len() < 4_000, "{}", definition.len());
    assert!(
        !definition.chars().any(|c| c.is_control() || matches!(c, '\u{200b}' | '\u{202e}' | '\u{e0041}'))
    );
    assert!(!definition.contains("x-mcp-header"));
    assert_eq!(catalogue.notices.len(), 1);
}

#[test]
fn huge_schemas_are_simplified() {
    let member =
        |n: usize| (format!("m{n}"), json!({ "$ref": format!("#/components/schemas/S{}", n % 300) }));
    let schema = |n: usize| {
        let properties: serde_json::Map<String, Value> = (0..40).map(|m| member(n * 7 + m)).collect();
        (
            format!("S{n}"),
            json!({ "type": "object", "description": "d".repeat(200), "properties": properties }),
        )
    };
    let schemas: serde_json::Map<String, Value> = (0..300).map(schema).collect();
    let content = json!({ "application/json": { "schema": { "$ref": "#/components/schemas/S0" } } });
    let paths = json!({ "/a": { "post": { "requestBody": { "content": content } } } });
    let catalogue = read(&api(paths, schemas.into()).to_string()).unwrap();
    let input = catalogue.tools[0].input_schema();
    assert!(
        input.len() <= Limits::default().schema_bytes_max && input.contains("left out here for its size")
    );
}

#[test]
fn nothing_is_deeper_than_messages_may_be() {
    fn depth(value: &Value) -> usize {
        match value {
            Value::Array(items) => 1 + items.iter().map(depth).max().unwrap_or(0),
            Value::Object(members) => 1 + members.values().map(depth).max().unwrap_or(0),
            _ => 0,
        }
    }
    let nest =
        |from: Value, n: usize| (0..n).fold(from, |inner, _| json!({ "type": "array", "items": inner }));
    let deep = (0..40).fold(json!(1), |inner, _| json!([inner]));
    let leaf = json!({ "type": "string", "const": deep, "enum": [deep], "default": deep });
    let of = |schema: Value| json!({ "content": { "application/json": { "schema": schema } } });
    let answer = json!({ "type": "object", "properties": { "a": nest(leaf.clone(), 28) } });
    let paths = json!({ "/a": { "post": { "requestBody": of(nest(leaf, 28)), "responses": { "200": of(answer) } } } });
    let catalogue = read(&api(paths, json!({})).to_string()).unwrap();
    let tool = &catalogue.tools[0];
    // A list of tools has three levels around each definition.
    assert!(depth(&serde_json::from_str(&tool.definition()).unwrap()) <= 60);
    let far = (0..100).fold(json!(1), |inner, _| json!({ "b": inner }));
    let body = json!({ "a": far, "c": far }).to_string();
    let response = Response { status: 200, media: "application/json", link: None, body: body.as_bytes() };
    assert!(depth(&tool.result(&json!({}), &response, &Shaping::default(), "s")) <= 60);
}

#[test]
fn thousands_of_operations_are_read() {
    let schemas = json!({ "T": { "type": "object", "properties": { "id": { "type": "integer" }, "next": { "$ref": "#/components/schemas/T" } } } });
    let path = |n: usize| {
        let content = json!({ "application/json": { "schema": { "$ref": "#/components/schemas/T" } } });
        let operation = json!({ "operationId": format!("things{}", n % 4000), "summary": "Reads things",
            "parameters": [{ "name": "id", "in": "path", "required": true, "schema": { "type": "string" } }],
            "responses": { "200": { "description": "d", "content": content } } });
        (format!("/t{n}/{{id}}"), json!({ "get": operation }))
    };
    let paths: serde_json::Map<String, Value> = (0..5000).map(path).collect();
    let catalogue = read(&api(paths.into(), schemas).to_string()).unwrap();
    assert_eq!(catalogue.tools.len(), 5000);
    let names: std::collections::BTreeSet<&str> =
        catalogue.tools.iter().map(|tool| tool.name.as_str()).collect();
    assert_eq!(names.len(), 5000);
}

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<String>().prop_map(Value::from),
        "(\\.\\.|/|%2e|%2f|\r\n|\\\\|;|\\?|#|a){0,6}".prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 16, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map(any::<String>(), inner, 0..4)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

fn shop() -> Catalogue {
    Catalogue::read(include_bytes!("shop.yaml"), &Limits::default()).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, ..ProptestConfig::default() })]

    /// Whatever the arguments are: the request is for this operation, in one line, and nothing stands where it was not meant.
    #[test]
    fn no_argument_leaves_its_place(id in any_json(), tenant in any_json(), trace in any_json(), status in any_json(), body in any_json()) {
        let (shop, limits) = (shop(), Limits::default());
        for (tool, arguments) in [
            ("get_orders_id", json!({ "id": id })),
            ("createOrder_2", json!({ "id": id })),
            ("file", json!({ "path": id })),
            ("orders_list", json!({ "tenant": tenant, "X-Trace": trace, "status": status })),
            ("scan", json!({ "id": id, "body": body })),
            ("createOrder", json!({ "body": body })),
        ] {
            let tool = shop.tool(tool).unwrap();
            let Ok(request) = tool.request(&arguments, &limits) else { continue };
            prop_assert_eq!(&request.method, &tool.method);
            prop_assert!(request.target.bytes().all(|b| b.is_ascii_graphic()), "{}", request.target);
            prop_assert!(!request.target.contains('#'));
            let path = request.target.split('?').next().unwrap();
            let template = tool.path.split('/').collect::<Vec<_>>();
            let segments = path.split('/').collect::<Vec<_>>();
            prop_assert!(segments.iter().all(|segment| !matches!(*segment, "." | "..")), "{path}");
            prop_assert!(segments[1..].iter().all(|segment| !segment.is_empty()), "{path}");
            if tool.name != "file" {
                prop_assert_eq!(segments.len(), template.len());
                for (segment, of) in segments.iter().zip(template) {
                    let fits = of.starts_with('{') || *segment == of;
                    prop_assert!(fits, "{}", path);
                }
            }
            for (name, value) in &request.headers {
                prop_assert!(name.bytes().all(|b| b.is_ascii_lowercase() || b"-".contains(&b)), "{name}");
                prop_assert!(value.bytes().all(|b| matches!(b, b' '..=b'~')), "{value}");
            }
        }
    }

    /// Whatever an API answers, it becomes a result that keeps its promises.
    #[test]
    fn every_answer_becomes_a_result(status in 100_u16..600, body in prop::collection::vec(any::<u8>(), 0..200), json in any_json(), as_json in any::<bool>()) {
        let shop = shop();
        let tool = shop.tool("get_orders_id").unwrap();
        let body = if as_json { json.to_string().into_bytes() } else { body };
        let response = Response { status, media: "application/json", link: None, body: &body };
        let result = tool.result(&json!({ "id": "1" }), &response, &Shaping::default(), "shop");
        prop_assert!(result["content"].as_array().is_some_and(|content| !content.is_empty()));
        let good = (200..300).contains(&status);
        prop_assert_eq!(result["isError"] == json!(true), !good);
        // With an output schema every good result is structured.
        prop_assert_eq!(result.get("structuredContent").is_some_and(Value::is_object), good);
    }

    #[test]
    fn no_text_breaks_the_reader(text in any::<String>()) {
        let limits = Limits { nodes_max: 1000, ..Limits::default() };
        let _ = Catalogue::read(text.as_bytes(), &limits);
        let _ = Catalogue::read(format!("openapi: 3.1.0\npaths:\n  /a:\n    get: {text}\n").as_bytes(), &limits);
    }
}
