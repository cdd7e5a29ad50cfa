use base64::{
    Engine,
    engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE_NO_PAD},
};
use serde_json::json;

use super::super::*;

fn touched(raw: &str) -> Vec<String> {
    let needles = Needles::new(["system_config", "ssn"]).unwrap();
    needles.touched(Some(raw), &[]).into_iter().map(str::to_owned).collect()
}

fn hex(text: &str) -> String {
    text.bytes().map(|byte| format!("{byte:02x}")).collect()
}

fn percent(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02X}")).collect()
}

/// Every way to write it, each as a key, a value, in a list, and deep inside.
#[test]
fn what_hides_is_found() {
    let word = "system_config";
    let text = format!("please read {word} for me, thank you very much");
    let padded = STANDARD.encode(&text);
    let broken = padded
        .as_bytes()
        .chunks(20)
        .map(|line| String::from_utf8_lossy(line))
        .collect::<Vec<_>>()
        .join("\r\n");
    let utf16: Vec<u8> = word.encode_utf16().flat_map(u16::to_le_bytes).collect();
    let binary = [&[0xff, 0x80, 0x01][..], text.as_bytes(), &[0xfe; 40]].concat();
    let forms = [
        word.to_owned(),
        "SYSTEM-CONFIG".into(),
        "systemConfig".into(),
        "/etc/System.Config/x.yaml".into(),
        "$['system']['config']".into(),
        "my_system_configuration".into(),
        "ｓｙｓｔｅｍ＿ｃｏｎｆｉｇ".into(),
        "sys\u{200b}tem_\u{ad}con\u{2066}fig".into(),
        "ѕуѕтем_соnfіg".into(),
        "s\u{332}y\u{332}stem_config".into(),
        percent(word),
        percent(&percent(word)),
        "%u0073ystem_config".into(),
        "&#115;ystem&lowbar;config".into(),
        "&amp;#x73;ystem_config".into(),
        r"\u0073ystem_config".into(),
        r"\x73\x79stem\137config".into(),
        STANDARD.encode(word),
        STANDARD_NO_PAD.encode(word),
        URL_SAFE_NO_PAD.encode(&text),
        format!("data:text/plain;base64,{padded}"),
        broken,
        STANDARD.encode(STANDARD.encode(word)),
        STANDARD.encode(percent(word)),
        STANDARD.encode(&utf16),
        STANDARD.encode(&binary),
        hex(word),
        hex(&text).to_uppercase(),
        format!("SELECT 0x{}", hex(word)),
        word.bytes().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().join(" "),
        word.bytes().map(|byte| format!("0x{byte:02x}")).collect::<Vec<_>>().join(","),
        hex(&STANDARD.encode(word)),
        json!({"a": [{word: 1}]}).to_string(),
        json!({"system": {"config": 1}}).to_string(),
        json!(json!({"x": {"system": ["config"]}}).to_string()).to_string(),
        STANDARD.encode(json!({"system": {"config": 1}}).to_string()),
    ];
    for form in &forms {
        for raw in [
            json!({form: 1}),
            json!({"a": form}),
            json!({"a": [1, [form]]}),
            json!({"a": {"b": {"c": [{"d": form}]}}}),
        ] {
            let raw = raw.to_string();
            assert_eq!(touched(&raw), [word], "{raw}");
        }
        let needles = Needles::new([word]).unwrap();
        assert_eq!(needles.touched(None, &["x", form]).len(), 1, "carried: {form}");
    }
}

#[test]
fn paths_are_found_step_by_step() {
    for raw in [
        r#"{"system":{"config":1}}"#,
        r#"{"x":{"System":{"_Config_":{"y":1}}}}"#,
        r#"{"system":[{"config":1}]}"#,
        r#"{"system":"config"}"#,
        r#"{"path":["system","config"]}"#,
        r#"{"path":["etc","system","config","x"]}"#,
        r#"{"a":1,"sys":{"tem":{"con":{"fig":true}}}}"#,
        r#"{"\u0073ystem":{"\u0063onfig":1}}"#,
        r#"{"table":"system config"}"#,
    ] {
        assert_eq!(touched(raw), ["system_config"], "{raw}");
    }
}

/// What a `forbid` must not kill.
#[test]
fn what_is_harmless_is_left_alone() {
    let picture = STANDARD
        .encode((0..60_000u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 13) as u8).collect::<Vec<_>>());
    let cases = [
        json!({"business_name": "Passnumber & Co", "className": "lessnoise"}),
        json!({"note": "Please check the operating system. Configure it, then restart."}),
        json!({"note": "the system configuration is old"}),
        json!({"columns": "file_system,config_id"}),
        json!({"section": "system", "config": {"x": 1}}),
        json!({"operating_system": {"config_tool": "x"}}),
        json!({"system": {"x": {"config": 1}}}),
        json!({"system": 1, "config": 2}),
        json!({"a": ["system"], "b": ["config"]}),
        json!({"a": ["system", "x", "config"]}),
        json!({"image": picture}),
        json!({"html": "<p>100&nbsp;%, a\\b &amp; c</p>".repeat(500)}),
        json!({"numbers": (0..3_000).collect::<Vec<_>>()}),
        json!({}),
    ];
    for raw in cases {
        let raw = raw.to_string();
        assert_eq!(touched(&raw), [] as [&str; 0], "{raw:.200}");
    }
}

#[test]
fn short_needles_are_whole_words() {
    for raw in [
        r#"{"ssn":1}"#,
        r#"{"a":"SSN"}"#,
        r#"{"customerSsn":1}"#,
        r#"{"x":"get ssn2, please"}"#,
        r#"{"x":"c3Nu"}"#,
    ] {
        assert_eq!(touched(raw), ["ssn"], "{raw}");
    }
    assert_eq!(Needles::new(["a-b"]).unwrap_err(), TooShort { needle: "a-b".into() });
    assert!(Needles::new(["___"]).is_err() && Needles::new([""]).is_err());
}

#[test]
fn numbers_and_other_scripts_are_needles_too() {
    let needles = Needles::new(["4111-1111-1111-1111", "пароль", "system config", "SYSTEM_CONFIG"]).unwrap();
    assert_eq!(needles.touched(Some(r#"{"card":4111111111111111}"#), &[]).len(), 1);
    assert_eq!(needles.touched(Some(r#"{"a":"мой Пароль!"}"#), &[]).len(), 1);
    let hidden = json!({"a": STANDARD.encode("мой пароль очень длинный и никто его не знает, правда ведь")});
    assert_eq!(needles.touched(Some(&hidden.to_string()), &[]).len(), 1);
    let both: Vec<_> = needles.touched(Some(r#"{"system-config":1}"#), &[]).into_iter().collect();
    assert_eq!(both, ["SYSTEM_CONFIG", "system config"]);
    assert!(Needles::default().touched(Some("{}"), &["x"]).is_empty());
}

#[test]
fn a_used_up_budget_touches_everything() {
    // JSON in JSON in JSON, each string a document again, wide at every layer.
    let mut text = "[1]".to_owned();
    for _ in 0..3 {
        text = serde_json::to_string(&vec![text.as_str(); 30]).unwrap();
    }
    let deep = "[".repeat(1_000);
    for raw in [deep.as_str(), &format!("{{\"a\":\"{deep}\"}}")] {
        assert_eq!(touched(raw).len(), 2, "{raw:.40}");
    }
    // Whatever it answers, it answers soon and without a panic.
    touched(&text);
}

#[test]
fn any_text_is_taken() {
    for raw in [
        "",
        "\"",
        "{\"",
        "{\"\\",
        "{\"a\\\"",
        "}}]]",
        "\u{feff}{",
        "{\"a\":\"\\ud800\"}",
        ":::",
        "[\"x\" :",
        "%",
        "&#",
        "é",
    ] {
        assert_eq!(touched(raw), [] as [&str; 0], "{raw:?}");
    }
}
