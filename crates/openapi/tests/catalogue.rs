//! What documents become.
#![allow(clippy::unwrap_used, reason = "a test may fail")]

use lockgate_openapi::{Catalogue, Limits, ResourceKind, Response, Shaping};
use serde_json::{Value, json};

fn shop() -> Catalogue {
    Catalogue::read(include_bytes!("shop.yaml"), &Limits::default()).unwrap()
}

fn definition(catalogue: &Catalogue, tool: &str) -> Value {
    serde_json::from_str(&catalogue.tool(tool).unwrap().definition()).unwrap()
}

#[test]
fn operations_become_tools() {
    let shop = shop();
    let names: Vec<&str> = shop.tools.iter().map(|tool| tool.name.as_str()).collect();
    let mut sorted = names.clone();
    sorted.sort_unstable();
    assert_eq!(
        sorted,
        ["createOrder", "createOrder_2", "file", "get_orders_id", "health", "orders_list", "scan"]
    );
    let left: Vec<&str> = shop.left_out.iter().map(|one| one.at.as_str()).collect();
    assert_eq!(left.len(), 3, "{left:?}");
    for place in ["/paths/~1upload/post", "/paths/~1broken~1{x}/get", "/paths/~1far/get"] {
        assert!(left.contains(&place), "{place}: {left:?}");
    }
    assert_eq!(shop.security, ["key: a key in the header x-api-key"]);

    let list = definition(&shop, "orders_list");
    assert_eq!(
        list["description"],
        "Lists orders. Newest first. Only those of the tenant. Gives one page a call; the answer says which `page` gives the next."
    );
    let mut arguments: Vec<&String> = list["inputSchema"]["properties"].as_object().unwrap().keys().collect();
    arguments.sort();
    // Credentials and what turns a method into another are not the caller's.
    assert_eq!(arguments, ["X-Trace", "filter_total", "page", "per_page", "status", "tenant"]);
    assert_eq!(list["inputSchema"]["required"], json!(["tenant"]));
    assert!(list.get("outputSchema").is_none(), "a list is no object");
    let hints = |tool: &str| {
        let hints = &definition(&shop, tool)["annotations"];
        ["readOnlyHint", "destructiveHint", "idempotentHint", "openWorldHint"]
            .map(|hint| hints[hint].as_bool().unwrap())
    };
    assert_eq!(hints("orders_list"), [true, false, true, true]);
    assert_eq!(hints("createOrder"), [false, true, false, true]);
    assert_eq!(hints("createOrder_2"), [false, true, true, true]);
}

#[test]
fn schemas_stand_alone() {
    let order = definition(&shop(), "createOrder");
    let input = &order["inputSchema"];
    assert_eq!(input["properties"]["body"]["$ref"], "#/$defs/Order");
    let expected = json!({ "type": "object", "required": ["total"], "properties": {
        "total": { "type": ["number", "null"] }, "parent": { "$ref": "#/$defs/Order" } } });
    assert_eq!(input["$defs"]["Order"], expected, "what only answers hold is not asked for");
    assert_eq!(input["required"], json!(["tenant", "body"]));
    let output = &order["outputSchema"];
    assert_eq!(output["type"], "object");
    assert_eq!(output["properties"]["id"]["type"], json!(["string", "null"]));
    assert_eq!(output["$defs"]["Order"]["properties"]["parent"]["$ref"], "#/$defs/Order");
    let scan = definition(&shop(), "scan");
    let file = &scan["inputSchema"]["properties"]["body"]["properties"]["file"];
    assert_eq!(file["contentEncoding"], "base64");
}

#[test]
fn calls_become_requests() {
    let (shop, limits) = (shop(), Limits::default());
    for (tool, arguments, expected) in [
        (
            "orders_list",
            json!({ "tenant": "a&b", "status": ["open", "paid"], "filter_total": 3 }),
            "GET /orders?tenant=a%26b&status=open&status=paid&filter%5Btotal%5D=3",
        ),
        ("get_orders_id", json!({ "id": "7?x=1#y" }), "GET /orders/7%3Fx%3D1%23y"),
        ("createOrder_2", json!({ "id": 7 }), "DELETE /orders/7"),
        ("file", json!({ "path": "a/b c.png" }), "GET /files/a/b%20c.png"),
    ] {
        let request = shop.tool(tool).unwrap().request(&arguments, &limits).unwrap();
        assert_eq!(format!("{} {}", request.method, request.target), expected);
    }
    let post = shop
        .tool("createOrder")
        .unwrap()
        .request(&json!({ "tenant": "a", "body": { "total": 1.5 } }), &limits)
        .unwrap();
    assert_eq!(post.body.as_deref(), Some(&br#"{"total":1.5}"#[..]));
    assert!(post.headers.contains(&("content-type".to_owned(), "application/json".to_owned())));
    let traced = shop.tool("orders_list").unwrap();
    let traced = traced.request(&json!({ "tenant": "a", "X-Trace": "t" }), &limits).unwrap();
    assert!(traced.headers.contains(&("x-trace".to_owned(), "t".to_owned())));
}

#[test]
fn arguments_stay_in_their_places() {
    let (shop, limits) = (shop(), Limits::default());
    for (tool, arguments, why) in [
        ("get_orders_id", json!({ "id": "../admin" }), "path"),
        ("get_orders_id", json!({ "id": ".." }), "path"),
        ("get_orders_id", json!({ "id": "7/scan" }), "path"),
        ("get_orders_id", json!({ "id": "7%2fscan" }), "path"),
        ("get_orders_id", json!({ "id": "" }), "empty"),
        ("get_orders_id", json!({}), "missing"),
        ("get_orders_id", json!({ "id": "1", "ID": "2" }), "no argument"),
        ("get_orders_id", json!([1]), "object"),
        ("file", json!({ "path": "a/../../etc/passwd" }), "path"),
        ("file", json!({ "path": "/etc" }), "path"),
        ("orders_list", json!({ "tenant": "a", "X-Trace": "t\r\nX-Admin: 1" }), "header"),
        ("orders_list", json!({ "tenant": null }), "missing"),
        ("orders_list", json!({ "tenant": "x".repeat(10_000) }), "larger"),
        ("createOrder", json!({}), "missing"),
        ("scan", json!({ "id": "1", "body": { "file": "not base64!" } }), "base64"),
    ] {
        let error = shop.tool(tool).unwrap().request(&arguments, &limits).unwrap_err().to_string();
        assert!(error.contains(why), "{tool} {arguments}: {error}");
    }
}

fn answer<'a>(status: u16, media: &'a str, body: &'a [u8]) -> Response<'a> {
    Response { status, media, link: None, body }
}

#[test]
fn answers_become_results() {
    let shop = shop();
    let shaping = Shaping { text_bytes_max: 60, blob_bytes_max: 8, ..Shaping::default() };
    let result = |tool: &str, arguments: Value, response: &Response<'_>| {
        shop.tool(tool).unwrap().result(&arguments, response, &shaping, "shop")
    };
    let one = result(
        "get_orders_id",
        json!({ "id": "1" }),
        &answer(200, "application/json", br#"{"id":1,"total":2,"parent":{"id":"0"}}"#),
    );
    assert_eq!(one["structuredContent"], json!({ "total": 2, "parent": { "id": "0" } }));
    assert_eq!(one["content"][0]["text"], r#"{"id":1,"total":2,"parent":{"id":"0"}}"#);
    assert!(one["content"][1]["text"].as_str().unwrap().contains("/id"));
    assert_eq!(one["isError"], false);

    let many = format!("[{}]", vec![r#"{"id":"abcdef"}"#; 20].join(","));
    let cut =
        result("orders_list", json!({ "per_page": 20 }), &answer(200, "application/json", many.as_bytes()));
    assert_eq!(cut["content"][1]["text"], "Cut: 3 of 20 items are shown. Ask for less, or for a part.");
    assert!(cut["content"][2]["text"].as_str().unwrap().contains(r#"{"page":2}"#), "{cut}");

    let gone = result("createOrder_2", json!({}), &answer(204, "", b""));
    assert_eq!(gone["content"][0]["text"], "Done: 204.");
    let image = result("file", json!({}), &answer(200, "image/png", b"\x89PNG"));
    assert_eq!(
        (&image["content"][0]["type"], &image["content"][0]["data"]),
        (&json!("image"), &json!("iVBORw=="))
    );
    let large = result("file", json!({}), &answer(200, "application/zip", &[0xff; 9]));
    assert!(large["content"][0]["text"].as_str().unwrap().contains("at most 8"));
    for (status, what) in
        [(404, "knows nothing"), (302, "not followed"), (500, "failed"), (422, "does not accept")]
    {
        let failed = result(
            "get_orders_id",
            json!({}),
            &answer(status, "application/json", b"{\"detail\":\"x\x1b[31m\"}"),
        );
        let text = failed["content"][0]["text"].as_str().unwrap();
        assert!(failed["isError"] == true && text.contains(what) && !text.contains('\u{1b}'), "{failed}");
        assert!(failed.get("structuredContent").is_none());
    }
}

#[test]
fn safe_reads_are_resources() {
    let shop = shop();
    let mut resources: Vec<(String, ResourceKind)> =
        shop.resources().map(|one| (one.uri("shop"), one.kind)).collect();
    resources.sort_by(|a, b| a.0.cmp(&b.0));
    let expected =
        [("rest://shop/health", ResourceKind::Fixed), ("rest://shop/orders/{id}", ResourceKind::Template)];
    assert_eq!(resources, expected.map(|(uri, kind)| (uri.to_owned(), kind)));
    let (tool, arguments) = shop.reads("/orders/a%20b").unwrap();
    assert_eq!((tool.name.as_str(), arguments), ("get_orders_id", json!({ "id": "a b" })));
    for nothing in ["/orders", "/orders/", "/orders/a/b", "/health/", "/health?x=1", "orders/1", ""] {
        assert!(shop.reads(nothing).is_none(), "{nothing}");
    }
    let (tool, arguments) = shop.reads("/orders/%2e%2e").unwrap();
    assert!(
        tool.request(&arguments, &Limits::default()).is_err(),
        "a decoded argument is held to its place, too"
    );
}

#[test]
fn swagger_is_converted() {
    let document = json!({
        "swagger": "2.0", "info": { "title": "Old", "version": "1" }, "host": "old.example", "basePath": "/v1",
        "consumes": ["application/json"], "produces": ["application/json"],
        "definitions": { "Pod": { "type": "object", "properties": { "name": { "type": "string" }, "next": { "$ref": "#/definitions/Pod" } } } },
        "parameters": { "ns": { "name": "ns", "in": "path", "required": true, "type": "string" },
                        "pod": { "name": "pod", "in": "body", "required": true, "schema": { "$ref": "#/definitions/Pod" } } },
        "paths": { "/{ns}/pods": { "parameters": [{ "$ref": "#/parameters/ns" }],
            "post": { "operationId": "make", "parameters": [{ "$ref": "#/parameters/pod" }, { "name": "tags", "in": "query", "type": "array", "items": { "type": "string" } }],
                      "responses": { "200": { "description": "d", "schema": { "$ref": "#/definitions/Pod" } } } } },
            "/up": { "post": { "operationId": "up", "parameters": [{ "name": "f", "in": "formData", "type": "file", "required": true }, { "name": "n", "in": "formData", "type": "string" }], "responses": {} } } },
    });
    let catalogue = Catalogue::read(document.to_string().as_bytes(), &Limits::default()).unwrap();
    assert_eq!(catalogue.dialect, "Swagger 2.0");
    assert_eq!(catalogue.servers, ["https://old.example/v1"]);
    let make = definition(&catalogue, "make");
    assert_eq!(make["inputSchema"]["required"], json!(["ns", "body"]));
    assert_eq!(make["inputSchema"]["$defs"]["Pod"]["properties"]["next"]["$ref"], "#/$defs/Pod");
    assert_eq!(make["outputSchema"]["type"], "object");
    let request = catalogue.tool("make").unwrap();
    let request =
        request.request(&json!({ "ns": "a", "body": {}, "tags": ["x", "y"] }), &Limits::default()).unwrap();
    assert_eq!(request.target, "/a/pods?tags=x,y");
    let up = catalogue
        .tool("up")
        .unwrap()
        .request(&json!({ "body": { "f": "aGk=", "n": "1" } }), &Limits::default())
        .unwrap();
    assert!(
        up.headers.iter().any(
            |(name, value)| name == "content-type" && value.starts_with("multipart/form-data; boundary=")
        )
    );
}

#[test]
fn operations_are_found_by_words() {
    let shop = shop();
    let found: Vec<&str> = shop.search("delete an order", 2).iter().map(|tool| tool.name.as_str()).collect();
    assert_eq!(found[0], "createOrder_2");
    assert!(shop.search("zebra", 5).is_empty());
    assert!(shop.search("", 5).is_empty());
}
