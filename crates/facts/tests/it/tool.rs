//! Facts out of tools.

use std::sync::{Arc, Weak};

use lockgate_facts::{Absence, Answer, From, Tools};
use serde_json::{Map, Value, json};

use crate::rig::{ask, facts, now_ms, record, rooms, spec, why};

struct Calendar;

impl Tools for Calendar {
    fn call<'a>(&'a self, server: &'a str, tool: &'a str, arguments: Map<String, Value>) -> Answer<'a> {
        Box::pin(async move {
            match (server, tool, arguments["patient"].as_str()) {
                ("his", "appointments", Some("p-1")) => {
                    Ok(json!({"structuredContent": record(9)}).to_string())
                }
                ("his", "appointments", Some("p-2")) => {
                    Ok(json!({"isError": true, "content": []}).to_string())
                }
                ("his", "appointments", Some("p-3")) => Ok(" ".repeat(1 << 20)),
                ("his", "appointments", Some("p-4")) => std::future::pending().await,
                _ => Err("the tool is not permitted".to_owned()),
            }
        })
    }
}

#[tokio::test]
async fn a_tool_is_asked_with_the_key() {
    let from = From::Mcp { server: "his".to_owned(), tool: "appointments".to_owned() };
    let facts = facts(spec(from, Some("patient")));
    assert!(
        matches!(why(&ask(&facts, "p-0", now_ms()).await), Absence::Unreachable(_)),
        "nobody calls tools yet"
    );
    let calendar: Arc<dyn Tools> = Arc::new(Calendar);
    facts.tools().fill(Arc::downgrade(&calendar) as Weak<dyn Tools>);
    assert_eq!(rooms(&ask(&facts, "p-1", now_ms()).await), Some(9));
    assert!(matches!(why(&ask(&facts, "p-2", now_ms()).await), Absence::Refused(_)));
    assert!(matches!(why(&ask(&facts, "p-3", now_ms()).await), Absence::TooLarge { .. }));
    assert!(matches!(why(&ask(&facts, "p-4", now_ms()).await), Absence::Timeout(_)));
    assert!(matches!(why(&ask(&facts, "p-5", now_ms()).await), Absence::Refused(_) | Absence::Resting(_)));
    // The facts do not keep alive what calls tools.
    drop(calendar);
    assert_eq!(rooms(&ask(&facts, "p-1", now_ms()).await), Some(9), "what is known stays known");
}
