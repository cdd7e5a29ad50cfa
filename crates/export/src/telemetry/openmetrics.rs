//! From the text format of OpenMetrics 1.0, as this node writes it, to metrics of OTLP: one source of figures, two forms.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::otlp::{object, text};

/// A figure that the semantic conventions have a name for.
struct Conventional {
    ours: &'static str,
    theirs: &'static str,
    /// A label of ours, and the attribute that it is.
    label: (&'static str, &'static str),
}

const CONVENTIONAL: [Conventional; 1] = [Conventional {
    ours: "lockgate_call_duration_seconds",
    theirs: "mcp.server.operation.duration",
    label: ("method", "mcp.method.name"),
}];

/// `AggregationTemporality` of the protocol: sums since the start.
const CUMULATIVE: u8 = 2;

/// A family of figures.
#[derive(Default)]
struct Family<'a> {
    name: &'a str,
    kind: &'a str,
    unit: &'a str,
    help: &'a str,
    /// By their labels, as written.
    points: BTreeMap<String, Point<'a>>,
}

/// What is known of one set of labels.
#[derive(Default)]
struct Point<'a> {
    labels: Vec<(&'a str, String)>,
    value: Option<&'a str>,
    count: Option<&'a str>,
    sum: Option<&'a str>,
    /// Upper bounds, and how many lie at or below each.
    buckets: Vec<(String, u64)>,
}

/// The metrics in `text`, counted since `since` and read `now`, both in nanoseconds of Unix time. Lines that are no samples of
/// a family that was announced are passed over.
pub(super) fn to_otlp(text: &str, since: u128, now: u128) -> Vec<Value> {
    let mut families: Vec<Family<'_>> = Vec::new();
    for line in text.lines() {
        if let Some(told) = line.strip_prefix("# ") {
            announce(&mut families, told);
        } else if let (Some(family), Some((name, labels, value))) = (families.last_mut(), sample(line)) {
            family.add(name, labels, value);
        }
    }
    let times = [since.to_string(), now.to_string()];
    families.iter().filter_map(|family| family.metric(&times)).collect()
}

fn announce<'a>(families: &mut Vec<Family<'a>>, told: &'a str) {
    let mut words = told.splitn(3, ' ');
    let (Some(what), Some(name)) = (words.next(), words.next()) else { return };
    let rest = words.next().unwrap_or_default();
    if families.last().is_none_or(|family| family.name != name) {
        families.push(Family { name, ..Family::default() });
    }
    let family = families.last_mut().expect("one was pushed");
    match what {
        "TYPE" => family.kind = rest,
        "UNIT" => family.unit = rest,
        "HELP" => family.help = rest.trim_end_matches('.'),
        _ => {}
    }
}

/// Name, labels and value of a sample.
fn sample(line: &str) -> Option<(&str, &str, &str)> {
    let (head, value) = line.rsplit_once(' ')?;
    match head.split_once('{') {
        Some((name, labels)) => Some((name, labels.strip_suffix('}')?, value)),
        None => Some((head, "", value)),
    }
}

/// `a="b",c="d"`, with the escapes of the format undone.
fn labels(mut text: &str) -> Vec<(&str, String)> {
    let mut found = Vec::new();
    while let Some((name, rest)) = text.split_once("=\"") {
        let (mut value, mut escaped, mut end) = (String::new(), false, rest.len());
        for (at, c) in rest.char_indices() {
            match (escaped, c) {
                (false, '\\') => escaped = true,
                (false, '"') => {
                    end = at;
                    break;
                }
                (true, 'n') => {
                    value.push('\n');
                    escaped = false;
                }
                (_, c) => {
                    value.push(c);
                    escaped = false;
                }
            }
        }
        found.push((name.trim_start_matches(','), value));
        text = rest.get(end + 1..).unwrap_or_default();
    }
    found
}

impl<'a> Family<'a> {
    fn add(&mut self, name: &str, text: &'a str, value: &'a str) {
        let Some(suffix) = name.strip_prefix(self.name) else { return };
        let (mut labels, mut bound) = (labels(text), None);
        if suffix == "_bucket" {
            let le = labels.iter().position(|(name, _)| *name == "le");
            bound = le.map(|at| labels.remove(at).1);
        }
        let key = format!("{labels:?}");
        let point = self.points.entry(key).or_default();
        point.labels = labels;
        match (suffix, bound) {
            ("_bucket", Some(bound)) => point.buckets.push((bound, value.parse().unwrap_or(0))),
            ("_count", _) => point.count = Some(value),
            ("_sum", _) => point.sum = Some(value),
            ("" | "_total", _) => point.value = Some(value),
            _ => {}
        }
    }

    fn metric(&self, times: &[String; 2]) -> Option<Value> {
        let known = CONVENTIONAL.iter().find(|known| known.ours == self.name);
        let name = known.map_or_else(
            || self.name.trim_end_matches(&format!("_{}", self.unit)).replacen('_', ".", 1),
            |known| known.theirs.to_owned(),
        );
        let renamed = known.map(|known| known.label);
        let points: Vec<Value> =
            self.points.values().filter_map(|point| point.data(self.kind, renamed, times)).collect();
        let (member, data) = match self.kind {
            "counter" => (
                "sum",
                json!({ "dataPoints": points, "isMonotonic": true, "aggregationTemporality": CUMULATIVE }),
            ),
            "gauge" => ("gauge", json!({ "dataPoints": points })),
            "histogram" => {
                ("histogram", json!({ "dataPoints": points, "aggregationTemporality": CUMULATIVE }))
            }
            _ => return None,
        };
        let unit = if self.unit == "seconds" { "s" } else { self.unit };
        let metric = object([
            ("name", name.into()),
            ("description", self.help.into()),
            ("unit", unit.into()),
            (member, data),
        ]);
        (!points.is_empty()).then_some(Value::Object(metric))
    }
}

impl Point<'_> {
    fn data(&self, kind: &str, renamed: Option<(&str, &str)>, [since, now]: &[String; 2]) -> Option<Value> {
        let attributes = self.labels.iter().map(|(label, value)| {
            let theirs = renamed.filter(|(ours, _)| ours == label);
            text(theirs.map_or(*label, |(_, theirs)| theirs), value)
        });
        let attributes: Vec<Value> = attributes.collect();
        let mut point = object([
            ("attributes", attributes.into()),
            ("startTimeUnixNano", since.as_str().into()),
            ("timeUnixNano", now.as_str().into()),
        ]);
        if kind == "histogram" {
            // Theirs are the counts of each bucket, ours of all up to it; the last one has no bound.
            let mut before = 0;
            let counts = self.buckets.iter().map(|(_, up_to)| {
                let own = up_to.saturating_sub(before);
                before = *up_to;
                own.to_string()
            });
            let counts: Vec<String> = counts.collect();
            let bounds: Vec<f64> = self.buckets.iter().filter_map(|(bound, _)| finite(bound)).collect();
            point.insert("count".into(), self.count?.into());
            point.insert("sum".into(), finite(self.sum?)?.into());
            point.insert("bucketCounts".into(), counts.into());
            point.insert("explicitBounds".into(), bounds.into());
        } else {
            point.insert("asDouble".into(), finite(self.value?)?.into());
        }
        Some(Value::Object(point))
    }
}

fn finite(number: &str) -> Option<f64> {
    number.parse().ok().filter(|number: &f64| number.is_finite())
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "\
# HELP lockgate_calls Calls by server, method and outcome.
# TYPE lockgate_calls counter
lockgate_calls_total{server=\"a\\\"b,c=\\\"d\",method=\"tools/call\"} 3
lockgate_calls_total{server=\"x\",method=\"ping\"} 4
# HELP lockgate_call_duration_seconds Time.
# TYPE lockgate_call_duration_seconds histogram
# UNIT lockgate_call_duration_seconds seconds
lockgate_call_duration_seconds_sum{method=\"ping\"} 1.5
lockgate_call_duration_seconds_count{method=\"ping\"} 7
lockgate_call_duration_seconds_bucket{le=\"0.1\",method=\"ping\"} 2
lockgate_call_duration_seconds_bucket{le=\"1.0\",method=\"ping\"} 5
lockgate_call_duration_seconds_bucket{le=\"+Inf\",method=\"ping\"} 7
# HELP lockgate_links Live links.
# TYPE lockgate_links gauge
lockgate_links 2
# EOF
";

    #[test]
    fn each_kind_becomes_its_own() {
        let metrics = to_otlp(TEXT, 5, 9);
        assert_eq!(metrics.len(), 3, "{metrics:?}");
        let calls = &metrics[0];
        assert_eq!((&calls["name"], &calls["sum"]["isMonotonic"]), (&json!("lockgate.calls"), &json!(true)));
        let points = calls["sum"]["dataPoints"].as_array().unwrap();
        assert_eq!(points[0]["attributes"][0], text("server", "a\"b,c=\"d"));
        assert_eq!((&points[0]["asDouble"], &points[0]["startTimeUnixNano"]), (&json!(3.0), &json!("5")));
        let time = &metrics[1];
        assert_eq!((&time["name"], &time["unit"]), (&json!("mcp.server.operation.duration"), &json!("s")));
        let point = &time["histogram"]["dataPoints"][0];
        assert_eq!(point["bucketCounts"], json!(["2", "3", "2"]));
        assert_eq!((&point["explicitBounds"], &point["count"]), (&json!([0.1, 1.0]), &json!("7")));
        assert_eq!(point["attributes"], json!([text("mcp.method.name", "ping")]));
        assert_eq!(metrics[2]["gauge"]["dataPoints"][0]["asDouble"], 2.0);
    }

    #[test]
    fn what_is_no_sample_is_passed_over() {
        for text in [
            "",
            "x",
            "x 1",
            "# TYPE",
            "# TYPE a counter\nb 1",
            "# TYPE a counter\na{x=\"",
            "# TYPE a what\na 1",
        ] {
            assert_eq!(to_otlp(text, 0, 0), Vec::<Value>::new(), "{text}");
        }
    }
}
