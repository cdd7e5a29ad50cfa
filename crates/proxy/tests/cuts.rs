//! Where only certain fields of results may pass, nothing else does: not in the answer, not beside it, not later.

#![allow(clippy::unwrap_used, reason = "what fails here is a test that fails")]

mod rig;

use std::sync::{Arc, Mutex};

use lockgate_proxy::Limits;
use rig::scripted::{Seen, event, events, scripted, status, stream_of, whole};
use rig::{Client, data, gateway, modern, records, text, within};
use serde_json::{Value, json};
use tokio::sync::mpsc;

const PATH: &str = "/servers/crm/mcp";

/// Two tools whose results are cut in both ways, and one whose results are not.
const CUT: &str = r#"
    @id("session") permit(principal, action in [Lockgate::Action::"session", Lockgate::Action::"list"], resource);
    @id("only") @result_fields("name,address.city")
    permit(principal, action in Lockgate::Action::"tools/call", resource == Lockgate::Tool::"crm/only");
    @id("hide") @result_hidden("ssn")
    permit(principal, action in Lockgate::Action::"tools/call", resource == Lockgate::Tool::"crm/hide");
    @id("free") permit(principal, action in Lockgate::Action::"tools/call", resource == Lockgate::Tool::"crm/free");
    @id("rest") @result_fields("name")
    permit(principal, action in [Lockgate::Action::"resources/read", Lockgate::Action::"prompts/get",
        Lockgate::Action::"completion/complete"], resource);
    @id("tasks") permit(principal, action in [Lockgate::Action::"tasks/get", Lockgate::Action::"tasks/result"], resource);
"#;

/// What nobody may read.
const SECRET: &str = "s3cret";

/// A row with numbers that a parser would change, in an order of its own, with the secret in the middle.
const ROW: &str = r#"{"z":1,"name":"Ann","ssn":"s3cret","address":{"street":"s3cret","city":12345678901234567890123,"zip":1.0},"n":1E+2}"#;

/// The same after `only` and after `hide`.
const ONLY: &str = r#"{"name":"Ann","address":{"city":12345678901234567890123}}"#;
const HIDE: &str =
    r#"{"z":1,"name":"Ann","address":{"street":"s3cret","city":12345678901234567890123,"zip":1.0},"n":1E+2}"#;

fn result(id: &Value, raw: &str) -> String {
    format!(r#"{{"jsonrpc":"2.0","id":{id},"result":{raw}}}"#)
}

/// The row as a tool gives it, in its three places.
fn rows(row: &str) -> String {
    let text = Value::from(row).to_string();
    format!(
        r#"{{"content":[{{"type":"text","text":{text}}},{{"type":"text","text":"her ssn is s3cret"}}],"structuredContent":{row},"isError":false}}"#
    )
}

fn json_answer(raw: &str) -> rig::scripted::Answer {
    rig::scripted::typed(200, "application/json", raw)
}

#[tokio::test]
async fn what_stays_keeps_its_bytes_in_json_and_in_streams() {
    let upstream = scripted(|seen| match seen.method() {
        "tools/call" => {
            let raw = result(&seen.body["id"], &rows(ROW));
            match seen.body["params"]["arguments"]["sse"] == true {
                true => events(&format!(": s3cret\nevent: message\nid: 1\ns3cret: x\ndata: {raw}\n\n")),
                false => json_answer(&raw),
            }
        }
        _ => seen.usual("s-1"),
    })
    .await;
    let rig = gateway(&[("crm", upstream)], CUT, Limits::default()).await;
    let mut client = Client::to(rig.address).await;
    client.initialize(PATH).await;
    for sse in [false, true] {
        for (tool, row) in [("only", ONLY), ("hide", HIDE)] {
            let (_, body) = client.tool(PATH, tool, json!({ "sse": sse })).await;
            let expected = result(&json!(7), &rows(row).replace("her ssn is s3cret", "[withheld by policy]"));
            assert_eq!(data(&body).unwrap(), expected, "{tool} {sse}");
            if sse {
                assert_eq!(body, format!(":\n\nid: 1\ndata: {expected}\n\n"), "nothing is said around it");
            }
        }
        let (_, body) = client.tool(PATH, "free", json!({ "sse": sse })).await;
        assert!(
            body.contains(ROW) && body.contains(&rows(ROW)),
            "what nothing restricts is as it came: {body}"
        );
        assert_eq!(sse, body.contains(": s3cret"), "{body}");
    }
}

#[tokio::test]
async fn what_is_readable_in_two_ways_or_not_at_all_is_withheld() {
    let upstream = scripted(|seen| match seen.method() {
        "tools/call" => {
            let raw = seen.body["params"]["arguments"]["raw"].as_str().unwrap();
            let raw = raw.replace("ID", &seen.body["id"].to_string());
            json_answer(&raw)
        }
        _ => seen.usual("s-1"),
    })
    .await;
    let rig = gateway(&[("crm", upstream)], CUT, Limits::default()).await;
    let mut client = Client::to(rig.address).await;
    client.initialize(PATH).await;
    let deep = format!("{}\"s3cret\"{}", "[".repeat(70), "]".repeat(70));
    let answer = |result: &str| format!(r#"{{"jsonrpc":"2.0","id":ID,"result":{result}}}"#);
    for raw in [
        answer(r#"{"structuredContent":{"name":"a","name":"s3cret"}}"#),
        answer(r#"{"structuredContent":{"ssn":1,"\u0073sn":"s3cret"}}"#),
        answer(r#"{"structuredContent":{"ssn":"s3cret"},"structuredContent":{"name":"a"}}"#),
        answer(&format!(r#"{{"structuredContent":{{"name":{deep}}}}}"#)),
        answer(
            &json!({"content": [{"type": "text", "text": r#"{"name":1,"name":"s3cret","ssn":1}"#}]})
                .to_string(),
        ),
        answer(
            r#"{"content":[{"type":"text","text":"ssn: s3cret"},{"type":"resource","resource":{"uri":"x","text":"ssn s3cret"}}]}"#,
        ),
        answer(r#"{"content":[],"_meta":{"ssn":"s3cret"}}"#),
        answer(r#"["ssn s3cret"]"#),
        r#"{"jsonrpc":"2.0","id":ID,"error":{"code":-5,"message":"ssn s3cret","data":{"ssn":"s3cret"}}}"#
            .to_owned(),
        r#"{"jsonrpc":"2.0","id":ID,"result":{},"ssn":"s3cret"}"#.to_owned(),
    ] {
        for tool in ["only", "hide"] {
            let (_, body) = client.tool(PATH, tool, json!({ "raw": raw })).await;
            assert!(!body.contains(SECRET), "{tool} {raw}\n{body}");
            let answer: Value = serde_json::from_str(&body).unwrap();
            assert_eq!(answer["id"], 7, "it is answered all the same: {body}");
        }
    }
}

#[tokio::test]
async fn resources_prompts_and_completions_are_cut_like_tools() {
    let upstream = scripted(|seen| match seen.method() {
        "resources/read" => whole(
            200,
            &seen.result(json!({"contents": [
                {"uri": "file:///a", "mimeType": "application/json", "text": ROW},
                {"uri": "file:///b", "text": "s3cret"}, {"uri": "file:///c", "blob": "czNjcmV0"}],
                "ttlMs": 60, "cacheScope": "public", "resultType": "complete"})),
        ),
        "prompts/get" => whole(
            200,
            &seen.result(json!({"description": "s3cret", "resultType": "complete", "messages": [
                {"role": "user", "content": {"type": "text", "text": ROW}},
                {"role": "user", "content": {"type": "text", "text": "s3cret"}}]})),
        ),
        "completion/complete" => whole(
            200,
            &seen.result(
                json!({"resultType": "complete", "completion": {"values": ["s3cret"], "hasMore": true}}),
            ),
        ),
        _ => seen.usual("s-1"),
    })
    .await;
    let rig = gateway(&[("crm", upstream)], CUT, Limits::default()).await;
    let mut client = Client::modern(rig.address).await;
    let read = modern(1, "resources/read", json!({"uri": "file:///a"}));
    let (_, answer) = client.asked(PATH, &read).await;
    let contents = answer["result"]["contents"].clone();
    assert_eq!(contents[0]["text"], r#"{"name":"Ann"}"#, "{answer}");
    assert_eq!(contents.as_array().unwrap().len(), 2, "what is not JSON leaves one word: {answer}");
    assert_eq!((&answer["result"]["ttlMs"], &answer["result"]["cacheScope"]), (&json!(0), &json!("private")));
    let (_, answer) = client.asked(PATH, &modern(2, "prompts/get", json!({"name": "p"}))).await;
    assert_eq!(answer["result"]["messages"][0]["content"]["text"], r#"{"name":"Ann"}"#, "{answer}");
    assert!(!answer.to_string().contains(SECRET), "{answer}");
    let complete =
        json!({"ref": {"type": "ref/prompt", "name": "p"}, "argument": {"name": "a", "value": "s"}});
    let (_, answer) = client.asked(PATH, &modern(3, "completion/complete", complete)).await;
    assert_eq!(answer["result"]["completion"], json!({"values": [], "hasMore": false}), "{answer}");
}

/// A server that says the secret in every way but the answer, before the answer.
fn tattler(seen: &Seen, heard: &Mutex<Vec<Value>>) -> rig::scripted::Answer {
    match (seen.verb.as_str(), seen.method()) {
        ("POST", "tools/call") => {
            let said = [
                json!({"method": "notifications/progress", "params": {"progressToken": 1, "progress": 0.5, "message": "ssn s3cret"}}),
                json!({"method": "notifications/message", "params": {"level": "info", "data": "ssn s3cret"}}),
                json!({"method": "notifications/message", "params": {"level": "info", "data": {"ssn": "s3cret", "a": 1}}}),
                json!({"method": "notifications/cancelled", "params": {"requestId": 99, "reason": "ssn s3cret"}}),
                json!({"method": "notifications/vendor", "params": {"ssn": "s3cret"}}),
                json!({"id": "ask", "method": "sampling/createMessage", "params": {"messages": [{"role": "user", "content": {"type": "text", "text": "ssn s3cret"}}], "maxTokens": 1}}),
                json!({"id": 5, "method": "elicitation/create", "params": {"message": "ssn s3cret", "requestedSchema": {}}}),
                json!({"id": 6, "method": "ping"}),
            ];
            let mut stream = String::from(": ssn s3cret\n\nid: 1\nevent: message\nretry: 5\ndata:\n\n");
            for mut message in said {
                message["jsonrpc"] = "2.0".into();
                stream += &format!(": s3cret\n{}", event(&message));
            }
            events(&(stream + &event(&seen.result(json!({"content": []})))))
        }
        ("POST", _) if !seen.body["error"].is_null() => {
            heard.lock().unwrap().push(seen.body.clone());
            status(202)
        }
        _ => seen.usual("s-1"),
    }
}

#[tokio::test]
async fn a_server_cannot_say_beside_its_answer_what_it_may_not_say_in_it() {
    let heard = Arc::new(Mutex::new(Vec::new()));
    let upstream = scripted({
        let heard = heard.clone();
        move |seen| tattler(&seen, &heard)
    })
    .await;
    for (path, policy) in [(PATH, CUT.to_owned()), ("/mcp", format!("{CUT}\n{}", OTHER))] {
        heard.lock().unwrap().clear();
        let other = scripted(|seen| seen.usual("s-2")).await;
        let servers = [("crm", upstream), ("docs", other)];
        let rig = gateway(&servers, &policy, Limits::default()).await;
        let mut client = Client::to(rig.address).await;
        client.initialize(path).await;
        for tool in ["only", "hide"] {
            let named = if path == PATH { tool.to_owned() } else { format!("crm_{tool}") };
            let (status, body) = client.tool(path, &named, json!({})).await;
            assert_eq!(status, 200);
            assert!(!body.contains(SECRET), "{tool}: {body}");
            assert!(body.contains(r#""progress":0.5"#) && body.contains("retry: 5\n"), "{tool}: {body}");
            assert!(
                body.contains(r#""method":"ping""#) && body.contains(r#""content":[]"#),
                "{tool}: {body}"
            );
            assert!(
                !body.contains("createMessage") && !body.contains("elicitation/create"),
                "{tool}: {body}"
            );
            assert_eq!(tool == "hide", body.contains(r#"{"a":1}"#), "{tool}: {body}");
        }
        within(async {
            while heard.lock().unwrap().len() < 4 {
                tokio::task::yield_now().await;
            }
        })
        .await;
        let heard = heard.lock().unwrap().clone();
        for id in [json!("ask"), json!(5)] {
            let to = heard.iter().filter(|answer| answer["id"] == id && answer["error"]["code"] == -31001);
            assert_eq!(to.count(), 2, "the server is told that it may not ask: {heard:?}");
        }
        let refused: Vec<_> = records(&rig).into_iter().filter(|r| r["kind"] == "refusal").collect();
        assert_eq!(refused.len(), 4, "{refused:?}");
        assert!(refused.iter().all(|r| r["stage"] == "permit" && r["server"] == "crm"), "{refused:?}");
    }
}

const OTHER: &str = r#"@id("docs") permit(principal, action, resource in Lockgate::Server::"docs");"#;

#[tokio::test]
async fn what_belongs_to_no_call_is_cut_for_a_caller_that_any_permit_there_restricts() {
    let (sender, receiver) = mpsc::unbounded_channel();
    let waiting = Mutex::new(Some(receiver));
    let upstream = scripted(move |seen| match seen.verb.as_str() {
        "GET" => stream_of(waiting.lock().unwrap().take().expect("one listener")),
        _ => seen.usual("s-1"),
    })
    .await;
    let rig = gateway(&[("crm", upstream)], CUT, Limits::default()).await;
    let mut client = Client::to(rig.address).await;
    client.initialize(PATH).await;
    let mut stream = client.listen(PATH).await;
    let note = |data: &str| {
        event(
            &json!({"jsonrpc": "2.0", "method": "notifications/message", "params": {"level": "info", "data": data}}),
        )
    };
    sender.send(note("a call of long ago: s3cret")).unwrap();
    let said = stream.next().await.unwrap();
    assert_eq!(said["params"], json!({"level": "info", "data": "[withheld by policy]"}));
}

#[tokio::test]
async fn a_task_is_cut_like_the_call_that_it_comes_from() {
    let upstream = scripted(|seen| match seen.method() {
        "tools/call" => {
            let task = seen.body["params"]["name"].as_str().unwrap();
            whole(200, &seen.result(json!({"resultType": "task", "taskId": task, "status": "working", "statusMessage": "ssn s3cret", "ttlMs": 1})))
        }
        "tasks/get" => whole(
            200,
            &seen.result(json!({"resultType": "complete", "taskId": seen.body["params"]["taskId"], "status": "completed", "ttlMs": 1,
                "statusMessage": "ssn s3cret", "result": {"structuredContent": {"name": "Ann", "ssn": "s3cret"}}})),
        ),
        _ => seen.usual("unused"),
    })
    .await;
    let rig = gateway(&[("crm", upstream)], CUT, Limits::default()).await;
    let mut client = Client::modern(rig.address).await;
    for (tool, cut) in [("only", true), ("hide", true), ("free", false)] {
        let (_, begun) =
            client.asked(PATH, &modern(1, "tools/call", json!({"name": tool, "arguments": {}}))).await;
        assert_eq!(begun["result"]["taskId"], tool, "{begun}");
        let (_, done) = client.asked(PATH, &modern(2, "tasks/get", json!({"taskId": tool}))).await;
        assert_eq!(done["result"]["status"], "completed");
        assert_eq!(done["result"]["result"]["structuredContent"]["name"], "Ann", "{done}");
        for answer in [begun, done] {
            assert_eq!(answer.to_string().contains(SECRET), !cut, "{tool}: {answer}");
        }
    }
    // Begun over another node: nobody knows here whose it is, and what held for it.
    let (_, unknown) = client.asked(PATH, &modern(3, "tasks/get", json!({"taskId": "unknown"}))).await;
    assert_eq!(unknown["error"]["code"], -32602, "{unknown}");
    let unknown = unknown.to_string();
    assert!(!unknown.contains(SECRET) && !unknown.contains("Ann"), "{unknown}");
}

#[tokio::test]
async fn definitions_do_not_promise_what_is_cut() {
    let upstream = scripted(|seen| match seen.method() {
        "tools/list" => {
            let tool = |name: &str| json!({"name": name, "inputSchema": {"type": "object"}, "outputSchema": {"type": "object", "required": ["ssn"]}});
            whole(200, &seen.result(json!({"tools": [tool("only"), tool("hide"), tool("free"), tool("denied")]})))
        }
        _ => seen.usual("s-1"),
    })
    .await;
    let rig = gateway(&[("crm", upstream)], CUT, Limits::default()).await;
    let mut client = Client::to(rig.address).await;
    client.initialize(PATH).await;
    let (_, _, body) = client.post(PATH, r#"{"jsonrpc":"2.0","id":1,"method":"tools/list"}"#).await;
    let listed: Value = serde_json::from_str(data(&body).unwrap()).unwrap();
    let tools = listed["result"]["tools"].as_array().unwrap().clone();
    let promised: Vec<_> =
        tools.iter().map(|t| (t["name"].as_str().unwrap(), t.get("outputSchema").is_some())).collect();
    assert_eq!(promised, [("only", false), ("hide", false), ("free", true)], "{listed}");
}

#[tokio::test]
async fn a_late_answer_is_cut_as_its_call_was() {
    let upstream = scripted(|seen| match (seen.verb.as_str(), seen.method()) {
        ("POST", "tools/call") => events("id: ev-1\nretry: 10\ndata: \n\n"),
        ("GET", _) => events(&format!("id: ev-2\ndata: {}\n\n", result(&json!(7), &rows(ROW)))),
        _ => seen.usual("s-1"),
    })
    .await;
    let rig = gateway(&[("crm", upstream)], CUT, Limits::default()).await;
    let mut client = Client::to(rig.address).await;
    client.initialize(PATH).await;
    client.tool(PATH, "only", json!({})).await;
    let mut client = client.with("last-event-id", "ev-1");
    let late = text(client.send("GET", PATH, "").await).await;
    assert!(late.contains(&rows(ONLY).replace("her ssn is s3cret", "[withheld by policy]")), "{late}");
}
