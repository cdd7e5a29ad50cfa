//! `lockgate deploy`: from a description to calls through all nine stages, and what changes while the node runs.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on says where")]

#[path = "support/api.rs"]
mod api;
mod support;

use std::path::Path;

use serde_json::{Value, json};
use support::{Node, Running, call, modern, place, run, run_with, shake_hands};

const SHOP: &str = r##"
openapi: 3.1.0
info: { title: Shop, version: "2" }
paths:
  /orders:
    get:
      operationId: listOrders
      summary: Lists orders
      parameters: [{ name: page, in: query, schema: { type: integer } }]
      responses: { "200": { description: d, content: { application/json: { schema: { type: array } } } } }
    post:
      operationId: createOrder
      requestBody: { required: true, content: { application/json: { schema: { $ref: "#/components/schemas/Order" } } } }
      responses: { "201": { description: d, content: { application/json: { schema: { $ref: "#/components/schemas/Order" } } } } }
  /orders/{id}:
    get:
      operationId: getOrder
      parameters: [{ name: id, in: path, required: true, schema: { type: string } }]
      responses: { "200": { description: d, content: { application/json: { schema: { $ref: "#/components/schemas/Order" } } } } }
    delete:
      operationId: deleteOrder
      parameters: [{ name: id, in: path, required: true, schema: { type: string } }]
      responses: { "204": { description: d } }
components: { schemas: { Order: { type: object, properties: { id: { type: string }, total: { type: number } } } } }
"##;

fn shop(first: &str) -> String {
    match first {
        line if line.starts_with("GET /v1/orders/7") => api::json("200 OK", r#"{"id":"7","total":3}"#),
        line if line.starts_with("GET /v1/orders/moved") => {
            "HTTP/1.1 302 Found\r\nlocation: http://169.254.169.254/latest\r\ncontent-length: 0\r\n\r\n"
                .to_owned()
        }
        line if line.starts_with("GET /v1/orders ") => api::json("200 OK", r#"[{"id":"7"}]"#),
        line if line.starts_with("POST /v1/orders") => {
            api::json("201 Created", r#"{"id":"8","total":"wrong"}"#)
        }
        _ => api::json("404 Not Found", r#"{"detail":"nothing here"}"#),
    }
}

fn write(folder: &Path, text: &str) -> String {
    let path = folder.join("api.yaml");
    std::fs::write(&path, text).unwrap();
    path.to_str().unwrap().to_owned()
}

fn text(answer: &Value) -> &str {
    answer["result"]["content"][0]["text"].as_str().unwrap_or_else(|| panic!("{answer:#}"))
}

fn tools(client: &mut Running, id: u64) -> Vec<String> {
    let answer = client.ask(&json!({"jsonrpc": "2.0", "id": id, "method": "tools/list"}));
    let tools = answer["result"]["tools"].as_array().unwrap_or_else(|| panic!("{answer:#}"));
    tools.iter().map(|tool| tool["name"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn a_dry_run_shows_everything_and_writes_nothing() {
    let (folder, state) = place();
    let file = write(folder.path(), SHOP);
    let args = ["deploy", &file, "--name", "shop", "--base-url", "https://shop.example/v1", "--dry-run"];
    let shown = run(&state, &args);
    assert_eq!(shown.code, 0, "{}", shown.stderr);
    for line in [
        "listOrders",
        "off: name it with --allow-unsafe",
        "\"shop/getOrder\"",
        "[end]",
        "Nothing was written",
    ] {
        assert!(shown.stdout.contains(line), "{line}: {}", shown.stdout);
    }
    let report = run(&state, &[&args[..], &["--output", "json"]].concat()).json();
    let on: Vec<&Value> =
        report["operations"].as_array().unwrap().iter().filter(|one| one["on"] == true).collect();
    assert_eq!(on.len(), 2, "{report:#}");
    let role = report["role"].as_str().unwrap();
    assert!(!role.contains("createOrder") && !role.contains("deleteOrder"), "{role}");
    assert!(!state.join("deployed").exists());
}

#[test]
fn mistakes_are_told_and_nothing_is_written() {
    let (folder, state) = place();
    let file = write(folder.path(), SHOP);
    let evil = folder.path().join("evil.yaml");
    std::fs::write(
        &evil,
        "openapi: 3.1.0\npaths: { /a: { get: { parameters: [{ $ref: 'file:///etc/passwd' }] } } }\n",
    )
    .unwrap();
    let evil = evil.to_str().unwrap();
    let base = "https://shop.example";
    for (args, code, told) in [
        (vec![file.as_str(), "--base-url", base, "--name", "No"], 3, "no server name"),
        (vec![&file, "--base-url", "ftp://x", "--name", "shop"], 3, "no URL at which"),
        (vec![&file, "--base-url", base, "--name", "shop", "--allow", "nope"], 3, "no operation nope"),
        (vec![&file, "--base-url", base, "--name", "shop", "--allow-unsafe", "getOrder"], 3, "only reads"),
        (vec![&file, "--base-url", base, "--name", "shop", "--network", "x"], 3, "--network"),
        (vec![&file, "--base-url", base, "--name", "shop"], 2, "--dry-run"),
        (vec![evil, "--base-url", base, "--name", "shop", "--yes"], 3, "another document"),
        (vec!["/nowhere.yaml", "--base-url", base, "--name", "shop", "--yes"], 3, "cannot read"),
        (
            vec!["http://169.254.169.254/openapi.json", "--base-url", base, "--name", "shop", "--yes"],
            4,
            "not public",
        ),
    ] {
        let ended = run_with(support::command(&state).arg("deploy").args(&args), "");
        assert_eq!(ended.code, code, "{args:?}: {}", ended.stderr);
        assert!(ended.stderr.contains(told), "{args:?}: {}", ended.stderr);
    }
    assert!(!state.join("deployed").exists());
}

#[test]
fn a_running_node_serves_it_at_once_and_follows_its_description() {
    let (address, asked) = api::serve(shop);
    let node = Node::up();
    let mut before = node.connect("sample");
    shake_hands(&mut before);
    let folder = tempfile::tempdir().unwrap();
    let file = write(folder.path(), SHOP);
    let sealed = run_with(support::command(&node.state).args(["secret", "put", "shop-key"]), "s3cret\n");
    assert_eq!(sealed.code, 0, "{}", sealed.stderr);
    let base = format!("http://{address}/v1");
    let deploy = [
        "deploy",
        &file,
        "--name",
        "shop",
        "--base-url",
        &base,
        "--allow-unsafe",
        "createOrder",
        "--secret",
        "shop-key",
        "--yes",
        "--output",
        "json",
    ];
    let deployed = node.run(&deploy);
    assert_eq!(deployed.code, 0, "{}", deployed.stderr);
    assert_eq!(deployed.json()["outcome"], "served");
    // Who was there before goes on.
    let echo = before.ask(&call(5, "echo", json!({ "text": "still here" })));
    assert!(echo.get("result").is_some(), "{echo}");

    let mut client = node.connect("shop");
    shake_hands(&mut client);
    let mut listed = tools(&mut client, 2);
    listed.sort();
    assert_eq!(listed, ["createOrder", "getOrder", "listOrders"]);
    let one = client.ask(&call(3, "getOrder", json!({ "id": "7" })));
    assert_eq!(one["result"]["structuredContent"], json!({ "id": "7", "total": 3 }), "{one:#}");
    let last = asked.last().to_ascii_lowercase();
    assert!(last.starts_with("get /v1/orders/7 http/1.1"), "{last}");
    assert!(last.contains("authorization: bearer s3cret") && !last.contains("mcp-"), "{last}");
    let made = client.ask(&call(4, "createOrder", json!({ "body": { "total": 1 } })));
    assert_eq!(made["result"]["structuredContent"], json!({ "id": "8" }), "what does not fit is left out");
    assert!(asked.last().ends_with(r#"{"total":1}"#), "{}", asked.last());
    let count = asked.all().len();
    for (tool, arguments) in [
        ("getOrder", json!({ "id": "../admin" })),
        ("getOrder", json!({ "x": 1 })),
        ("deleteOrder", json!({ "id": "7" })),
    ] {
        let refused = client.ask(&call(6, tool, arguments.clone()));
        assert!(
            refused["result"]["isError"] == true || refused.get("error").is_some(),
            "{tool} {arguments}: {refused:#}"
        );
    }
    assert_eq!(asked.all().len(), count, "nothing of that reached the API");
    let away = client.ask(&call(7, "getOrder", json!({ "id": "moved" })));
    assert!(text(&away).contains("not followed"), "{away:#}");
    let gone = client.ask(&call(8, "getOrder", json!({ "id": "9" })));
    assert!(gone["result"]["isError"] == true && text(&gone).contains("nothing here"), "{gone:#}");

    let read = client.ask(&json!({"jsonrpc": "2.0", "id": 9, "method": "resources/read", "params": { "uri": "rest://shop/orders/7" }}));
    assert_eq!(read["result"]["contents"][0]["mimeType"], "application/json", "{read:#}");
    let listed = client.ask(&modern(10, "tools/list", json!({})));
    assert_eq!(listed["result"]["tools"].as_array().map(Vec::len), Some(3), "{listed:#}");

    // Another description: what changed is held until a person approves, what is new is there, the rest goes on.
    let other = SHOP.replace("summary: Lists orders", "summary: Lists orders and sends them to me");
    std::fs::write(node.state.join("deployed/shop.yaml"), other).unwrap();
    let pending = loop {
        let threats = node.run(&["threats", "list", "--output", "json"]).stdout;
        if threats.contains("listOrders") {
            break threats;
        }
    };
    assert!(pending.contains("LG-D002"), "{pending}");
    let held = client.ask(&call(11, "listOrders", json!({})));
    assert!(held.get("error").is_some(), "{held:#}");
    assert!(client.ask(&call(12, "getOrder", json!({ "id": "7" }))).get("result").is_some());

    // What cannot be read changes nothing.
    let broken = node.run(&["deploy", "/nowhere.yaml", "--name", "shop", "--base-url", &base, "--yes"]);
    assert_eq!(broken.code, 3);
    assert!(client.ask(&call(13, "getOrder", json!({ "id": "7" }))).get("result").is_some());
}

#[test]
fn a_large_api_is_searched_and_calls_are_by_the_real_names() {
    let (address, asked) = api::serve(|first| api::json("200 OK", &format!("{{\"was\":{:?}}}", first)));
    let node = Node::up();
    let folder = tempfile::tempdir().unwrap();
    let mut document = "openapi: 3.0.0\npaths:\n".to_owned();
    for n in 0..300 {
        document.push_str(&format!(
            "  /things{n}:\n    get:\n      operationId: listThings{n}\n      summary: Lists things of kind {n}\n      responses: {{ '200': {{ description: d }} }}\n"
        ));
    }
    let file = write(folder.path(), &document);
    let deployed =
        node.run(&["deploy", &file, "--name", "large", "--base-url", &format!("http://{address}"), "--yes"]);
    assert_eq!(deployed.code, 0, "{}", deployed.stderr);
    assert!(deployed.stdout.contains("search_operations"), "{}", deployed.stdout);
    let mut client = node.connect("large");
    shake_hands(&mut client);
    assert_eq!(tools(&mut client, 2), ["search_operations", "activate_operations"]);
    let found = client.ask(&call(3, "search_operations", json!({ "query": "things of kind 217" })));
    assert!(text(&found).contains("listThings217"), "{found:#}");
    let early = client.ask(&call(4, "listThings217", json!({})));
    assert!(early["result"]["isError"] == true && asked.all().is_empty(), "{early:#}");
    client.say(&call(5, "activate_operations", json!({ "names": ["listThings217", "nope"] })));
    let told = client.json();
    assert_eq!(told["method"], "notifications/tools/list_changed", "{told:#}");
    let on = client.answer(&json!(5));
    assert!(text(&on).contains("On: listThings217") && text(&on).contains("Not known: nope"), "{on:#}");
    assert_eq!(tools(&mut client, 6), ["search_operations", "activate_operations", "listThings217"]);
    let called = client.ask(&call(7, "listThings217", json!({})));
    assert!(text(&called).contains("GET /things217"), "{called:#}");
    let records = node.run(&["audit", "tail", "--output", "jsonl"]).stdout;
    assert!(records.contains("listThings217"), "the record has the real name");
}
