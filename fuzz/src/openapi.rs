//! Documents of REST APIs, and arguments of calls.

use lockgate_openapi::{Catalogue, Limits, Response, Shaping};
use serde_json::Value;

/// Documents to start from.
pub const DOCUMENT_SEEDS: &[&[u8]] = &[
    b"openapi: 3.1.0\npaths:\n  /a/{b}:\n    get:\n      operationId: x\n      parameters: [{ name: b, in: path, schema: { $ref: '#/components/schemas/S' } }]\n      responses: { 200: { content: { application/json: { schema: { $ref: '#/components/schemas/S' } } } } }\ncomponents: { schemas: { S: { type: object, nullable: true, allOf: [{ $ref: '#/components/schemas/S' }] } } }\n",
    b"{\"swagger\":\"2.0\",\"host\":\"h\",\"paths\":{\"/a\":{\"post\":{\"parameters\":[{\"name\":\"f\",\"in\":\"formData\",\"type\":\"file\"},{\"$ref\":\"#/parameters/p\"}],\"responses\":{\"200\":{\"schema\":{\"$ref\":\"#/definitions/D\"}}}}}},\"definitions\":{\"D\":{\"type\":\"object\"}},\"parameters\":{\"p\":{\"name\":\"q\",\"in\":\"query\",\"type\":\"array\",\"collectionFormat\":\"pipes\"}}}",
    b"a: &a [x, x]\nb: &b { <<: *a, c: [*a, *a] }\nopenapi: 3.0.0\npaths: { /x: *b }\n",
];

/// A tiny limit finds what a large one hides.
fn limits() -> Limits {
    Limits {
        nodes_max: 2_000,
        depth_max: 32,
        schema_bytes_max: 4 << 10,
        operations_max: 50,
        ..Limits::default()
    }
}

/// Any bytes are a catalogue or are rejected with reasons; what is shown of it is bounded, plain and valid.
pub fn document(data: &[u8]) {
    let catalogue = match Catalogue::read(data, &limits()) {
        Ok(catalogue) => catalogue,
        Err(rejected) => {
            assert!(!rejected.problems.is_empty());
            return;
        }
    };
    let mut names = std::collections::BTreeSet::new();
    for tool in &catalogue.tools {
        assert!(names.insert(&tool.name) && tool.name.len() <= 64 && !tool.name.is_empty(), "{}", tool.name);
        assert!(tool.name.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-.".contains(&b)), "{}", tool.name);
        let definition: Value = serde_json::from_str(&tool.definition()).expect("a definition is JSON");
        assert!(definition["inputSchema"]["type"] == "object");
        for text in [&tool.description, &tool.summary] {
            assert!(!text.chars().any(char::is_control), "{text:?}");
        }
        let _ = tool.request(&Value::Null, &limits());
    }
    for resource in catalogue.resources() {
        serde_json::to_string(&resource.definition("s")).expect("plain data serialises");
    }
    let _ = catalogue.search("get x", 5);
}

/// Arguments, then an answer.
pub const CALL_SEEDS: &[&[u8]] = &[
    b"{\"id\":\"../x\",\"q\":[1,\"a\"],\"X-H\":\"v\\r\\n\",\"c\":{\"a\":1},\"body\":{\"f\":\"aGk=\",\"n\":[1]}}\n{\"next_cursor\":\"x\",\"items\":[1]}",
    b"{\"id\":\"%252e%252e\",\"c\":\"=;\"}\n[1,2,3]",
];

const API: &str = "openapi: 3.1.0
paths:
  /a/{id}/b:
    post:
      operationId: call
      parameters:
        - { name: id, in: path }
        - { name: q, in: query }
        - { name: X-H, in: header }
        - { name: c, in: cookie }
      requestBody: { content: { multipart/form-data: { schema: { type: object, properties: { f: { type: string, format: binary } } } } } }
      responses: { '200': { description: d, content: { application/json: { schema: { type: object, properties: { next_cursor: { type: string } } } } } } }
";

/// Whatever the arguments are, the request is for the one operation; whatever the answer is, the result keeps its promise.
pub fn call(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let (arguments, answer) = text.split_once('\n').unwrap_or((&text, ""));
    let Ok(arguments) = serde_json::from_str::<Value>(arguments) else { return };
    let catalogue = Catalogue::read(API.as_bytes(), &Limits::default()).expect("it is sound");
    let tool = catalogue.tool("call").expect("it is there");
    if let Ok(request) = tool.request(&arguments, &Limits::default()) {
        assert_eq!(request.method, "POST");
        let path = request.target.split('?').next().unwrap_or_default();
        let segments: Vec<&str> = path.split('/').collect();
        assert!(
            segments.len() == 4 && segments[1] == "a" && segments[3] == "b" && !segments[2].is_empty(),
            "{path}"
        );
        assert!(!matches!(segments[2], "." | ".."), "{path}");
        assert!(request.target.bytes().all(|b| b.is_ascii_graphic() && b != b'#'), "{}", request.target);
        for (name, value) in &request.headers {
            assert!(value.bytes().all(|b| matches!(b, b' '..=b'~')), "{name}: {value}");
        }
    }
    let response = Response { status: 200, media: "application/json", link: None, body: answer.as_bytes() };
    let shaping = Shaping { text_bytes_max: 100, ..Shaping::default() };
    let result = tool.result(&arguments, &response, &shaping, "s");
    assert!(result["structuredContent"].is_object() && result["isError"] == false);
}
