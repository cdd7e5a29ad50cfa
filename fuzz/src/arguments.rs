//! The targets on what tools and agents say of arguments, and on results reduced to fields.

use cedar_policy::{Context, Request, Schema};
use lockgate_mcp::project::{Fields, project, said};
use lockgate_mcp::tree::Tree;
use lockgate_mcp::{Limits, Message};
use lockgate_policy::arguments::{Arguments, Needles, Shape};

/// Tool definitions.
pub const SHAPE_SEEDS: &[&[u8]] = &[
    br##"{"name":"t","inputSchema":{"type":"object","required":["s","u"],"properties":{"s":{"type":"string","enum":["a"]},"i":{"type":["integer","null"]},"n":{"anyOf":[{"type":"number"},{"type":"null"}]},"l":{"type":"array","items":{"$ref":"#/$defs/d"}},"u":{"oneOf":[{"type":"string"},{"type":"boolean"}]},"\"};\n//":{"const":true}},"additionalProperties":false,"$defs":{"d":{"type":"object","properties":{"x":{"type":"integer"},"y":{"allOf":[{"type":"boolean"}]}}},"e":{"$ref":"#/$defs/e"}}}}"##,
    br##"{"inputSchema":{"properties":{"a":{"$ref":"#/properties/b"},"b":{"$ref":"#/properties/a"},"c":{"items":[{}]},"d":{"prefixItems":[]},"e":{"patternProperties":{}}},"required":["q","a"]}}"##,
];

/// A definition, arguments that mostly fit it, and a header, parted by zero bytes.
pub const ARGUMENTS_SEEDS: &[&[u8]] = &[
    b"{\"inputSchema\":{\"properties\":{\"s\":{\"type\":\"string\"},\"i\":{\"type\":\"integer\"},\"n\":{\"type\":\"number\"},\"o\":{\"properties\":{\"x\":{\"type\":\"boolean\"}}},\"l\":{\"items\":{\"type\":\"string\"}}}}}\0{\"s\":\"\\u00e9\",\"i\":-0,\"n\":12.50e-1,\"o\":{\"x\":true,\"y\":null},\"l\":[\"a\",\"a\"],\"z\":[1e400,{}]}\0%73ystem&#95;config",
    b"{\"inputSchema\":{\"type\":\"object\"}}\0{\"a\":\"c3lzdGVtX2NvbmZpZw==\",\"b\":\"73797374656d5f636f6e666967\",\"c\":\"{\\\"system\\\":[\\\"config\\\"]}\",\"d\":\"\\\\u0073ystem\\\\x5fconfig\"}\0\xef\xbd\x93ystem\xe2\x80\x8b_config",
];

/// Results.
pub const PROJECT_SEEDS: &[&[u8]] = &[
    br#"{"content":[{"type":"text","text":"{\"name\":\"N\",\"ssn\":[1,{\"a\":1.0}]}","annotations":{"ssn":1}},{"type":"image","data":"AAAA","mimeType":"image/png"},{"type":"resource","resource":{"uri":"u","blob":"eyJzc24iOjF9"}}],"structuredContent":{"name":"N","deep":[{"SSN":1,"\u0073sn":2},{"name":"x"}],"s.s-n":3},"isError":false,"_meta":{"ssn":1}}"#,
    br#"{"contents":[{"uri":"u","text":"[{\"name\":1}]"}],"resultType":"input_required","task":{"taskId":"t","statusMessage":"ssn"}}"#,
    br#"{"taskId":"t","status":"completed","result":{"structuredContent":{"name":1,"ssn":2}},"progressToken":"p","progress":1.5,"message":"ssn","_meta":{"io.modelcontextprotocol/related-task":{"taskId":"t","ssn":1}}}"#,
];

/// Any definition gives a schema that Cedar reads, with exactly one action and no more types than were there before.
pub fn shape(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let Ok(shape) = Shape::read(text) else { return };
    let (schema, _) = Schema::from_cedarschema_str(&schema(&shape)).expect("a shape is a type");
    assert_eq!((schema.actions().count(), schema.entity_types().count()), (1, 1));
    for path in shape.paths() {
        assert!(shape.find(&path).is_some(), "{path:?}");
    }
}

fn schema(shape: &Shape) -> String {
    format!(
        "entity U; action a appliesTo {{ principal: U, resource: U, context: {{ input: {} }} }};",
        shape.cedar_type()
    )
}

/// Any arguments are typed as the definition says or refused; whatever stands beside a needle, it is found.
pub fn arguments(data: &[u8]) {
    let mut parts = data.split(|byte| *byte == 0).map(String::from_utf8_lossy);
    let mut next = || parts.next().unwrap_or_default();
    let (definition, raw, carried) = (next(), next(), next());
    let needles = Needles::new(["system_config", "ssn"]).expect("they are long enough");
    needles.touched(Some(&raw), &[&carried]);
    let Ok(arguments) = Arguments::read(Some(&raw)) else { return };
    let beside = format!(r#"{{"a":{raw},"system":{{"config":1}},"b":["SSN"]}}"#);
    assert_eq!(needles.touched(Some(&beside), &[]).len(), 2, "{beside}");
    assert_eq!(needles.touched(Some(&raw), &[&carried, "x-ssn", "systemConfig"]).len(), 2);
    let canonical = arguments.canonical();
    let again = Arguments::read(Some(&canonical)).expect("a canonical form is JSON");
    assert_eq!(again.canonical(), canonical);
    if let Ok(scan) = arguments.scan() {
        assert!(scan.keys.len() <= scan.paths.len());
        assert!(arguments.names().iter().all(|name| scan.keys.contains(&name.to_lowercase())));
    }
    let _ = arguments.to_record(None);
    let Ok(shape) = Shape::read(&definition) else { return };
    let Ok(record) = arguments.to_record(Some(&shape)) else { return };
    let (schema, _) = Schema::from_cedarschema_str(&schema(&shape)).expect("a shape is a type");
    let context = Context::from_pairs([("input".to_owned(), record)]).expect("a record is a value");
    let uid = |text: &str| text.parse().expect("an id");
    let user = uid("U::\"u\"");
    let fits = Request::new(uid("U::\"u\""), uid("Action::\"a\""), user, context, Some(&schema));
    assert!(fits.is_ok(), "{fits:?}");
}

/// Any result leaves as a message without what is hidden, and under `only` without what is not named.
pub fn projection(data: &[u8]) {
    let Ok(result) = std::str::from_utf8(data) else { return };
    let only = Fields::new(Some(["name", "deep.name"]), []).expect("paths");
    let hidden = Fields::new(None::<[&str; 0]>, ["ssn"]).expect("a path");
    beside(result, &only);
    beside(result, &hidden);
    let text = format!(r#"{{"jsonrpc":"2.0","id":1,"result":{result}}}"#);
    let Ok(message) = Message::decode(text.into(), &Limits::default()) else { return };
    for (fields, passes) in [(&only, passes_only as fn(&Tree<'_>) -> bool), (&hidden, passes_hidden)] {
        let projected = project(&message, fields).message;
        let again = Message::decode(projected.bytes().clone(), &Limits::default()).expect("a message");
        assert_eq!(again.id_raw(), Some("1"));
        let Some(document) = again.result_member_raw("structuredContent") else { continue };
        let tree = Tree::read(document).expect("what can be read in two ways does not pass");
        assert!(passes(&tree), "{document}");
        let twice = project(&projected, fields);
        assert_eq!(twice.message.bytes(), projected.bytes(), "nothing more is taken the second time");
    }
}

/// What a server says beside its results is a message of the same method and id, or nothing.
fn beside(params: &str, fields: &Fields) {
    for (method, id) in
        [("notifications/progress", ""), ("notifications/tasks", ""), ("roots/list", "\"id\":1,")]
    {
        let text = format!(r#"{{"jsonrpc":"2.0",{id}"method":"{method}","params":{params}}}"#);
        let Ok(message) = Message::decode(text.into(), &Limits::default()) else { continue };
        let Some(passed) = said(&message, fields) else { continue };
        let again = Message::decode(passed.message.bytes().clone(), &Limits::default()).expect("a message");
        assert_eq!((again.method(), again.id_raw()), (message.method(), message.id_raw()));
        let twice = said(&again, fields).expect("it passed once");
        assert!(!twice.reduced, "nothing more is taken the second time");
    }
}

fn passes_only(tree: &Tree<'_>) -> bool {
    let named = |name: &str| name == "name" || name == "deep.name" || name.starts_with("deep");
    tree.items().iter().all(passes_only) && tree.members().iter().all(|(name, _)| named(name))
}

fn passes_hidden(tree: &Tree<'_>) -> bool {
    let shown = |name: &str| {
        let last = name.rsplit('.').next().unwrap_or(name);
        !last.eq_ignore_ascii_case("ssn")
    };
    tree.items().iter().all(passes_hidden)
        && tree.members().iter().all(|(name, value)| shown(name) && passes_hidden(value))
}
