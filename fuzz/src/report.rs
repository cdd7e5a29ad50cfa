//! Lines of a log that anyone may have written, as a report reads them.

use lockgate_audit::Line;
use lockgate_report::{
    Background, Cited, Collector, Framework, Inputs, Integrity, Period, Report, Verdict, cited_lines, html,
    oscal,
};

/// Inputs to start from: a framework's number, a period, then lines.
pub const LINES_SEEDS: &[&[u8]] = &[
    b"\x002026-11\n{\"schema\":\"lockgate.audit/1\",\"seq\":1,\"prev\":\"0\",\"time\":\"2026-11-02T00:00:00.000000Z\",\"kind\":\"call\",\"outcome\":\"ok\",\"agent\":\"spiffe://d/agent/a\",\"server\":\"crm\",\"method\":\"tools/call\",\"name\":\"<b>\",\"policies\":[\"p\"],\"quantum_safe\":false,\"group\":\"x\",\"peer\":\"192.0.2.1:5\"}\n{\"schema\":\"lockgate.audit/1\",\"seq\":2,\"prev\":\"0\",\"time\":\"2026-11-01T00:00:00Z\",\"kind\":\"refusal\",\"outcome\":\"refused\",\"stage\":\"permit\",\"consequence\":\"kill\",\"reason\":\"\\u202e\",\"count\":99}\n",
    b"\x062026-Q4\n{\"seq\":18446744073709551615,\"prev\":\"\",\"time\":\"9999-12-30T00:00:00Z\",\"kind\":\"lifecycle\",\"outcome\":\"failed\",\"reason\":\"node started\"}\n{\"seq\":1,\"prev\":\"\",\"time\":\"-009999-01-02T00:00:00Z\",\"kind\":\"lifecycle\",\"outcome\":\"ok\",\"reason\":\"node stopped\"}\n",
    b"\x010001-01-01..0005-01-01\ngarbage",
];

/// Any bytes give a report, or their period is none; the page holds no markup but ours, and OSCAL keeps its rules.
pub fn lines(data: &[u8]) {
    let Some((number, rest)) = data.split_first() else { return };
    let frameworks = lockgate_report::FRAMEWORKS;
    let framework: &'static Framework = frameworks[usize::from(*number) % frameworks.len()];
    let mut all = rest.split_inclusive(|byte| *byte == b'\n');
    let text = String::from_utf8_lossy(all.next().unwrap_or_default());
    let Ok(period) = Period::parse(text.trim_end()) else { return };
    let all: Vec<&[u8]> = all.collect();
    let mut log = Collector::new(period);
    all.iter().for_each(|bytes| log.add(Line::new(bytes)));
    log.end();
    let cited = cited_lines(&log, framework);
    let cited = cited.keys().map(|number| {
        let bytes = all[usize::try_from(*number).expect("a line of this input")];
        Cited::of(Line::new(bytes)).expect("what was counted can be read")
    });
    let integrity = Integrity {
        verdict: Verdict::Whole,
        records: all.len() as u64,
        from: 1,
        to: all.len() as u64,
        head_hash: None,
        end_known_to: None,
        torn_bytes: 0,
        damage: None,
        anchors: Vec::new(),
    };
    let (node, trust_domain, version) = ("gw".to_owned(), "d".to_owned(), "1.0.0".to_owned());
    let background = Background { node, trust_domain, version, ..Background::default() };
    let inputs = Inputs { framework, integrity, background, now_ms: 1_796_428_800_000 };
    let report = Report::new(inputs, &log, cited.collect()).expect("the tables are sound");
    let page = html::render(&report);
    assert!(!page.contains("<script") && !page.contains("<img"), "markup came through");
    assert!(!page.chars().any(|c| c.is_control() && c != '\n'), "a control character came through");
    oscal::assessment_results(&report).expect("OSCAL keeps its rules");
    oscal::component_definition(&report).expect("OSCAL keeps its rules");
    serde_json::to_string(&report).expect("plain data serialises");
}
