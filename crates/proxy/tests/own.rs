//! Tools that a node calls in its own name.

#![allow(clippy::unwrap_used, reason = "what fails here is a test that fails")]

mod rig;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use lockgate_facts::Tools as _;
use lockgate_identity::SpiffeId;
use lockgate_proxy::Limits;
use lockgate_proxy::own::{OwnTool, OwnTools};
use rig::scripted::{event, events, scripted, status, whole};
use rig::{Rig, gateway, records, within};
use serde_json::{Map, json};

/// Policies that permit nobody anything, this node neither.
const NONE: &str = r#"@id("none") forbid(principal, action, resource);"#;

fn tool(server: &str) -> OwnTool {
    OwnTool { fact: "appointment".into(), server: server.into(), tool: "read".into() }
}

fn tools(rig: &Rig) -> Arc<OwnTools> {
    OwnTools::new(&rig.node, SpiffeId::node("test.example", "gw").unwrap(), &[tool("his")]).unwrap()
}

async fn ask(tools: &OwnTools, server: &str, tool: &str) -> Result<String, String> {
    let arguments = Map::from_iter([("patient".to_owned(), json!("p-1"))]);
    within(tools.call(server, tool, arguments)).await
}

#[tokio::test]
async fn a_session_is_opened_once_and_again_when_the_server_has_lost_it() {
    let opened = Arc::new(AtomicUsize::new(0));
    let count = opened.clone();
    let upstream = scripted(move |seen| {
        let session = format!("s-{}", count.load(Ordering::SeqCst));
        match seen.method() {
            "initialize" => {
                let session = format!("s-{}", count.fetch_add(1, Ordering::SeqCst) + 1);
                seen.usual(&session)
            }
            "tools/call" if seen.header("mcp-session-id") != Some(session.as_str()) => status(404),
            "tools/call" => {
                assert_eq!(seen.body["params"]["arguments"], json!({"patient": "p-1"}));
                let note = json!({"jsonrpc": "2.0", "method": "notifications/message", "params": {"level": "info", "data": "x"}});
                let asks = json!({"jsonrpc": "2.0", "id": 1, "method": "sampling/createMessage", "params": {}});
                events(&(event(&note) + &event(&asks) + &event(&seen.result(json!({"structuredContent": {"n": 1}})))))
            }
            _ => seen.usual(&session),
        }
    })
    .await;
    let rig = gateway(&[("his", upstream), ("other", upstream)], NONE, Limits::default()).await;
    let tools = tools(&rig);
    for _ in 0..2 {
        assert_eq!(ask(&tools, "his", "read").await.unwrap(), r#"{"structuredContent":{"n":1}}"#);
    }
    assert_eq!(opened.load(Ordering::SeqCst), 1);
    opened.store(7, Ordering::SeqCst);
    ask(&tools, "his", "read").await.unwrap();
    assert_eq!(opened.load(Ordering::SeqCst), 8);
    for (server, tool) in [("his", "write"), ("other", "read"), ("nowhere", "read")] {
        assert!(ask(&tools, server, tool).await.is_err(), "{server} {tool}");
    }
    assert_eq!(opened.load(Ordering::SeqCst), 8, "what it may not call it does not open");
    tools.allow(&[tool("other")]).unwrap();
    assert!(ask(&tools, "his", "read").await.is_err(), "another configuration");
    let all = records(&rig);
    let ok: Vec<_> = all.iter().filter(|record| record["outcome"] == "ok").collect();
    assert_eq!(ok.len(), 3, "{all:#?}");
    for record in ok {
        assert_eq!(record["agent"], "spiffe://test.example/node/gw");
        assert_eq!(
            (&record["policies"], &record["policy_generation"]),
            (&json!(["fact.appointment"]), &json!(0))
        );
    }
    assert_eq!(all.iter().filter(|record| record["outcome"] == "refused").count(), 3, "{all:#?}");
    assert_eq!(rig.node.status().calls_in_flight, 0);
    assert!(rig.node.links.is_empty(), "it is on no link");
}

#[tokio::test]
async fn a_server_of_the_modern_era_is_asked_in_its_way() {
    let seen_headers = Arc::new(Mutex::new(Vec::new()));
    let heard = seen_headers.clone();
    let upstream = scripted(move |seen| match seen.method() {
        "initialize" => {
            whole(400, &json!({"jsonrpc": "2.0", "id": 0, "error": {"code": -32022, "message": "no"}}))
        }
        "tools/call" => {
            let told = |name: &str| seen.header(name).unwrap_or_default().to_owned();
            heard.lock().unwrap().push([told("mcp-protocol-version"), told("mcp-method"), told("mcp-name")]);
            assert!(seen.body["params"]["_meta"]["io.modelcontextprotocol/clientCapabilities"].is_object());
            whole(200, &seen.result(json!({"resultType": "complete", "structuredContent": {"n": 1}})))
        }
        _ => status(500),
    })
    .await;
    let rig = gateway(&[("his", upstream)], NONE, Limits::default()).await;
    let tools = tools(&rig);
    for _ in 0..2 {
        assert!(ask(&tools, "his", "read").await.unwrap().contains("structuredContent"));
    }
    let expected = ["2026-07-28", "tools/call", "read"].map(str::to_owned);
    assert_eq!(*seen_headers.lock().unwrap(), [expected.clone(), expected]);
}

#[tokio::test]
async fn whatever_goes_wrong_is_an_error_and_recorded() {
    let upstream = scripted(|seen| match seen.method() {
        "tools/call" => whole(200, &json!({"jsonrpc": "2.0", "id": seen.body["id"], "error": {"code": -5, "message": "secret words"}})),
        _ => seen.usual("s-1"),
    })
    .await;
    let rig = gateway(&[("his", upstream)], NONE, Limits::default()).await;
    let tools = tools(&rig);
    let why = ask(&tools, "his", "read").await.unwrap_err();
    assert!(why.contains("-5") && !why.contains("secret"), "{why}");
    assert_eq!(records(&rig).pop().unwrap()["outcome"], "failed");
    rig.node.draining.cancel();
    assert!(ask(&tools, "his", "read").await.unwrap_err().contains("draining"));
    drop(rig);
    assert!(ask(&tools, "his", "read").await.is_err(), "a node that is gone calls nobody");
}
