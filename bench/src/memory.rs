//! What an idle link costs the gateway.

use std::time::Duration;

use anyhow::Result;
use futures_util::future::try_join_all;
use serde::Serialize;

use crate::Plan;
use crate::bed::{Bed, Gateway};
use crate::load::{Caller, Era, Target, Work};
use crate::process;
use crate::upstream::TOOLS;

/// Links that are opened at the same time.
const AT_ONCE: usize = 10;
/// Time for the gateway to put away what the last calls left.
const SETTLE: Duration = Duration::from_secs(2);

/// The slope of resident memory over links.
#[derive(Debug, Serialize)]
pub(crate) struct Row {
    pub(crate) protocol: &'static str,
    pub(crate) links: usize,
    pub(crate) before_kib: u64,
    pub(crate) after_kib: u64,
    pub(crate) kib_per_link: f64,
}

/// Measures links of either protocol, each on a gateway of its own.
///
/// Every link carries a call before it rests, as a connector's does: a link that never did would look cheaper. A few
/// links are opened before the first look, so that what the gateway allocates once is not counted.
pub(crate) async fn run(bed: &Bed, plan: &Plan) -> Result<Vec<Row>> {
    let mut rows = Vec::new();
    for (protocol, h2) in [("HTTP/1.1", false), ("HTTP/2", true)] {
        eprintln!("memory: {} idle links, {protocol}", plan.links);
        let gateway = Gateway::start(bed, if h2 { "memory-h2" } else { "memory-h1" }).await?;
        let dialer = if h2 { gateway.dialer()? } else { gateway.dialer()?.http1_only() };
        let process = gateway.process.id();
        let (name, port, path) = ("Lockgate", gateway.port, Gateway::PATH);
        let target = Target { name, dialer, port, path, process: Some(process) };
        let mut idle = open(&target, plan.links / 50).await?;
        tokio::time::sleep(SETTLE).await;
        let before_kib = process::resident_kib(process)?;
        idle.extend(open(&target, plan.links).await?);
        tokio::time::sleep(SETTLE).await;
        let after_kib = process::resident_kib(process)?;
        let kib_per_link = (after_kib as f64 - before_kib as f64) / plan.links as f64;
        rows.push(Row { protocol, links: plan.links, before_kib, after_kib, kib_per_link });
        drop(idle);
    }
    Ok(rows)
}

async fn open(target: &Target, links: usize) -> Result<Vec<Caller>> {
    let (tool, result_kib) = TOOLS[0];
    let work = Work { era: Era::Modern, tool, result_kib };
    let mut opened = Vec::with_capacity(links);
    while opened.len() < links {
        let some = (links - opened.len()).min(AT_ONCE);
        opened.extend(try_join_all((0..some).map(|_| Caller::open(target, work))).await?);
    }
    Ok(opened)
}
