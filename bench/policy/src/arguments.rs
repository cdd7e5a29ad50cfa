//! What it costs to look into the arguments of a call, by itself.

use anyhow::{Result, ensure};
use lockgate_policy::arguments::{Arguments, Needles, Shape};
use serde::Serialize;
use serde_json::{Value, json};

use crate::Plan;
use crate::clock::{Times, medians, timed, turn};

/// What one look needed.
#[derive(Debug, Serialize)]
pub(crate) struct Row {
    pub(crate) what: &'static str,
    pub(crate) arguments: &'static str,
    pub(crate) bytes: usize,
    #[serde(flatten)]
    pub(crate) times: Times,
}

/// An operation on the text of the arguments.
type Look = (&'static str, Box<dyn Fn(&str) -> Result<bool>>);

/// Measures each look at each kind of arguments.
pub(crate) fn run(plan: &Plan) -> Result<Vec<Row>> {
    eprintln!("looks into arguments");
    let looks = looks()?;
    let mut rows = Vec::new();
    for (name, arguments) in kinds() {
        let text = arguments.to_string();
        for (what, look) in &looks {
            let mut turns = Vec::new();
            for _ in 0..plan.rounds {
                ensure!(look(&text)?, "{what} of {name}");
                turns.push(turn(plan.turn / 4, |_| timed(|| look(&text)).0));
            }
            rows.push(Row { what, arguments: name, bytes: text.len(), times: medians(&turns) });
        }
    }
    Ok(rows)
}

fn looks() -> Result<Vec<Look>> {
    let shape = Shape::read(
        &json!({"inputSchema": {"type": "object", "properties": {
        "rows": {"type": "array", "items": {"type": "object", "properties": {
            "id": {"type": "integer"}, "name": {"type": "string"}, "active": {"type": "boolean"}}}},
        "text": {"type": "string"}}}})
        .to_string(),
    )?;
    let words: Vec<String> = (0..100).map(|n| format!("forbidden_word_{n}")).collect();
    let one = Needles::new(["system_config"])?;
    let many = Needles::new(words.iter().map(String::as_str))?;
    Ok(vec![
        (
            "read and typed",
            Box::new(move |text| {
                Arguments::read(Some(text))?.to_record(Some(&shape))?;
                Ok(true)
            }),
        ),
        ("read and scanned", Box::new(|text| Ok(!Arguments::read(Some(text))?.scan()?.keys.is_empty()))),
        ("one word searched", Box::new(move |text| Ok(one.touched(Some(text), &[]).is_empty()))),
        ("100 words searched", Box::new(move |text| Ok(many.touched(Some(text), &[]).is_empty()))),
    ])
}

fn kinds() -> [(&'static str, Value); 4] {
    let row =
        |n: usize| json!({"id": n, "name": format!("Customer number {n}"), "active": n.is_multiple_of(2)});
    let rows = |count| Value::Array((0..count).map(row).collect());
    let sentence = "The customer called this morning and asks for a copy of the last invoice. ";
    // Bytes that are no text, as in a picture.
    let alphabet = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let letter = |n: u32| char::from(alphabet[(n.wrapping_mul(2_654_435_761) >> 26) as usize]);
    [
        ("records", json!({"rows": rows(19)})),
        ("prose", json!({"text": sentence.repeat(13)})),
        ("records, many", json!({"rows": rows(1_200)})),
        ("a picture in base64", json!({"text": (0..65_000).map(letter).collect::<String>()})),
    ]
}
