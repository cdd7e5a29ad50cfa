//! Each mistake, with its place and advice.

use super::*;

/// The mistakes of a text, one a line: `line:column code what | hint`.
fn mistakes(text: &str) -> Vec<String> {
    let errors = compiled(text).map(|compiled| format!("{:#?}", compiled.statements)).expect_err(text);
    errors
        .into_iter()
        .map(|e| format!("{}:{} {} {} | {}", e.line, e.column, e.fault.code(), e.what, e.hint))
        .collect()
}

/// The only mistake in some rules; lines count from the first rule.
fn one(rules: &str, at: &str, what: &str, hint: &str) {
    let found = mistakes(&file(rules));
    assert_eq!(found.len(), 1, "{rules}\n{found:#?}");
    let (place, rest) = found[0].split_once(' ').expect("a place");
    let (line, column) = place.split_once(':').expect("line and column");
    let line: u32 = line.parse().expect("a line");
    assert_eq!(format!("{}:{column}", line - 5), at, "{rules}\n{rest}");
    assert!(rest.contains(what), "{rules}\n{rest}\nwithout {what}");
    assert!(rest.contains(hint), "{rules}\n{rest}\nwithout {hint}");
}

/// An allow rule on a known tool with one more line, the third.
fn with(line: &str, column: u32, what: &str, hint: &str) {
    let rules = format!("[[allow]]\ntools = [\"crm/get_customer\"]\n{line}");
    one(&rules, &format!("3:{column}"), what, hint);
}

#[test]
fn keys_and_words() {
    with("huors = \"08:00-18:00\"", 1, "an [[allow]] rule has no `huors`", "did you mean `hours`?");
    with("colour = 1", 1, "has no `colour`", "known here: tools,");
    with("touching = [\"x\"]", 1, "`touching` is no part of an [[allow]] rule", "[[never]]");
    with("reason = 5", 10, "`reason` must be a text in quotes, not an integer", "");
    with("reason = \"\"", 10, "`reason` is empty", "");
    with("reason = \"a\\u202Eb\"", 10, "invisible character U+202E", "");
    with("on_violation = \"kil\"", 16, "`on_violation` cannot be \"kil\"", "did you mean `kill`?");
    with("mode = \"off\"", 8, "`mode` cannot be \"off\"", "known here: shadow, enforce");
    with("approval = \"yes\"", 12, "`approval` must be true or false, not a string", "");
    with("rate = \"30 per minute\"", 8, "is no rate", "30/minute");
    with("rate = \"0/minute\"", 8, "is no rate", "");
    with("id = \"a.b\"", 6, "`a.b` is no id", "");
    with("id = \"open\"", 6, "`open` is taken", "");
    with("result = { onyl = [\"a\"] }", 12, "`result` has no `onyl`", "did you mean `only`?");
    with("result = { hide = [\"a,b\"] }", 20, "`a,b` is no field", "");
    with("result = { only = [\"a\"], hide = [\"a\"] }", 34, "`a` is named twice", "");
    one(
        "[[never]]\nrate = \"1/day\"\ntouching = \"abc\"",
        "2:1",
        "`rate` is no part of an [[never]] rule",
        "[[allow]]",
    );
}

#[test]
fn words_that_are_in_everything() {
    one("[[never]]\ntouching = [\"abc\", \"a-b\"]", "2:20", "fewer than 3 letters", "longer");
}

#[test]
fn targets() {
    one("[[allow]]\nreason = \"x\"", "1:1", "allows nothing", "tools =");
    one("[[allow]]\nmethods = [\"tools/list\"]", "1:1", "allows nothing", "");
    one("[[allow]]\ntools = []", "2:9", "empty list", "");
    one("[[never]]\nreason = \"x\"", "1:1", "does not say what is never allowed", "");
    one("[[allow]]\ntools = [\"get_customer\"]", "2:10", "names no server", "crm/get_customer");
    one("[[allow]]\ntools = [\"crm/\"]", "2:10", "names no server", "");
    one("[[allow]]\ntools = [\"crm-*/x\"]", "2:10", "`crm-*` is no name of a server", "group");
    one("[[allow]]\ntools = [\"a%b/x\"]", "2:10", "no name of a server", "%2F");
    one("[[allow]]\nservers = [\"a\", \"a\"]", "2:17", "`a` is named twice", "");
    one(
        "[[allow]]\nservers = [\"a\"]\nmethods = [\"tools/lisst\"]",
        "3:12",
        "no method",
        "did you mean `tools/list`?",
    );
    one("[[allow]]\ntools = [\"a/b\"]\nmethods = [\"tools/list\"]", "3:1", "servers and groups only", "");
    one("allow = 3\n", "1:1", "[role] has no `allow`", "");
    one("[[alow]]\ntools = [\"a/b\"]", "1:3", "a role file has no `alow`", "did you mean `allow`?");
    one(
        "[[allow]]\nid = \"a\"\nservers = [\"x\"]\n[[never]]\nid = \"a\"\nservers = [\"y\"]",
        "5:1",
        "two rules have the id `a`",
        "",
    );
}

#[test]
fn arguments() {
    with("arguments.custmer_id = \"x\"", 11, "has no argument `custmer_id`", "did you mean `customer_id`?");
    with("arguments.limit = { mx = 3 }", 21, "`mx` is no operator", "did you mean `max`?");
    with("arguments.limit.max.deep = 3", 17, "`max` must be a number, not a table", "");
    with("arguments.limit = { min = 5, max = 3 }", 21, "`min` of `limit` is above its `max`", "");
    with("arguments.limit = { max = \"3\" }", 27, "`max` must be a number, not a string", "");
    with("arguments.limit = { max = 1.5 }", 21, "a whole number", "");
    with("arguments.limit = { like = \"1*\" }", 21, "a whole number", "");
    with("arguments.limit = {}", 19, "nothing is asked of `limit`", "one_of");
    with("arguments.limit = { max = 1e3 }", 27, "cannot be compared exactly", "four decimal places");
    with("arguments.limit = { max = 99999999999999999999 }", 27, "does not fit 64 bits", "");
    with("arguments.limit = { absent = true, max = 3 }", 19, "contradicts itself", "");
    with("arguments.limit = { required = false }", 21, "says nothing", "");
    with("arguments.limit = { is = 3, max = 5 }", 21, "`is` stands beside", "one_of");
    with("arguments.limit = [1, \"a\"]", 19, "mixes types", "");
    with("arguments.fields = { is = \"a\" }", 22, "a list of texts", "`only`");
    with("arguments.fields = { only = \"a\" }", 29, "`only` must be a list", "");
    with("arguments.blob = \"a\"", 18, "of a type that cannot be compared", "touching");
    with("arguments.customer_id = { inside = \"../x\" }", 36, "not a plain path", "");
    with("arguments = 3", 13, "`arguments` must be a table", "");
    with("others = \"allow\"", 1, "`others` without arguments", "");
    one(
        "[[allow]]\ntools = [\"crm/*\"]\narguments.x = 1",
        "3:1",
        "`arguments` of `crm/*`, which is not one tool",
        "touching",
    );
    one(
        "[[allow]]\ntools = [\"crm/pay\"]\narguments.customer.id = \"c\"",
        "3:20",
        "`id` is no operator",
        "written \"customer.id\", with quotes",
    );
    one("[[never]]\ntools = [\"crm/pay\"]\narguments.amount = { any = true }", "3:11", "forbids nothing", "");
}

#[test]
fn hours() {
    with("hours = \"08:00-25:00\"", 9, "`08:00-25:00` are no hours", "22:00-06:00");
    with("hours = \"08:00-08:00\"", 9, "no time at all", "");
    with("days = [\"mon-fri\", \"Sunday\"]", 20, "`Sunday` is no day of the week", "did you mean `sun`?");
}

#[test]
fn zones() {
    let rules =
        |zone: &str| format!("[[allow]]\nservers = [\"a\"]\nhours = \"08:00-18:00\"\nzone = \"{zone}\"");
    one(&rules("Europe/Berln"), "4:8", "`Europe/Berln` is no time zone", "did you mean `Europe/Berlin`?");
    one(&rules("europe/berlin"), "4:8", "is no time zone", "did you mean `Europe/Berlin`?");
    one(&rules("CET-1CEST"), "4:8", "is no time zone", "");
    let text = "[role]\nname = \"r\"\n[[allow]]\nservers = [\"a\"]\nhours = \"08:00-18:00\"\n[end]\n";
    assert_eq!(mistakes(text).len(), 1);
    assert!(
        mistakes(text)[0].starts_with("5:1 LG-P006 hours and days need a time zone"),
        "{:?}",
        mistakes(text)
    );
}

#[test]
fn facts() {
    with("facts.staf.on_duty = 1", 7, "no fact `staf` is declared", "did you mean `staff`?");
    with("facts.staff.on_dty = 1", 13, "the fact `staff` has no field `on_dty`", "did you mean `on_duty`?");
    with("facts.staff.on_duty = \"1\"", 23, "a whole number", "");
    with("facts.staff = 1", 15, "`staff` must be a table", "");
    with("facts.staff.on_duty = { before = \"now\" }", 25, "a whole number", "");
    with(
        "facts.appointment.end = { after = \"yesterday\" }",
        35,
        "`after` cannot be \"yesterday\"",
        "\"now\"",
    );
    with("facts.appointment.patient = { is_argument = \"limit\" }", 31, "of another type", "");
    with("facts.appointment.patient = { is_argument = \"pat\" }", 31, "no argument `pat`", "");
    with("facts.appointment.patient = { required = true }", 31, "`required` is no operator", "");
}

#[test]
fn links() {
    with(
        "link = { quantum_save = true }",
        10,
        "a link has no `quantum_save`",
        "did you mean `quantum_safe`?",
    );
    with("link = { quantum_safe = \"yes\" }", 25, "must be true or false", "");
    with("link = { group = \"none-such-group\" }", 18, "no `group` is called", "");
    with("link = {}", 8, "`link` is empty", "");
}

#[test]
fn headers_and_ends() {
    for (text, expected) in [
        ("[end]\n", "1:1 LG-P006 the file does not say whose rules"),
        ("[role]\nname = \"r\"\n", "3:1 LG-P007 the file does not end with [end]"),
        ("[role]\n[end]\n", "1:1 LG-P006 the name is missing"),
        ("[role]\nname = \"a b\"\n[end]\n", "2:8 LG-P006 `a b` is no name"),
        ("[role]\nname = \"r\"\n[end]\nx = 1\n", "3:2 LG-P006 `end` is not the last line"),
        (
            "[role]\nname = \"r\"\n[end]\n[[never]]\nservers = [\"a\"]\n",
            "3:2 LG-P006 `end` is not the last line",
        ),
        ("end = {}\n[role]\nname = \"r\"\n", "1:1 LG-P006 `end` is not the last line"),
        ("[role]\nname = \"r\"\n[[end]]\n", "3:3 LG-P006 `end` is not the last line"),
        ("[role]\nname = \"r\"\nagents = [\"a\", \"/b\"]\n[end]\n", "3:16 LG-P006 `/b` has an empty segment"),
        (
            "[role]\nname = \"r\"\n[everyone]\nname = \"e\"\n[end]\n",
            "3:2 LG-P006 a file is for one role or for everyone",
        ),
        ("[everyone]\nname = \"e\"\nagents = [\"a\"]\n[end]\n", "3:1 LG-P006 [everyone] has no `agents`"),
        (
            "[everyone]\nname = \"e\"\n[[allow]]\nservers = [\"a\"]\n[end]\n",
            "3:1 LG-P006 an [everyone] file allows nothing",
        ),
        ("[role]\nname = \"r\nagents = []\n[end]\n", "2:"),
    ] {
        let found = mistakes(text);
        assert!(found[0].starts_with(expected), "{text}\n{found:#?}");
    }
}

#[test]
fn all_at_once_in_reading_order() {
    let text = "[role]\nname = \"r\"\nzone = \"Mars\"\nagents = [\"/x\"]\n[[allow]]\ntool = [\"a/b\"]\ndays = [\"someday\"]\n[[never]]\nservers = [3]\n";
    let lines: Vec<String> =
        mistakes(text).iter().map(|m| m.split(' ').next().expect("a place").to_owned()).collect();
    assert_eq!(lines, ["3:8", "4:11", "5:1", "6:1", "7:9", "9:12", "10:1"], "{:#?}", mistakes(text));
}

#[test]
fn limits() {
    let many = |n: usize| {
        format!(
            "[[never]]\nservers = [\"{}\"]\n",
            (0..n).map(|i| i.to_string()).collect::<Vec<_>>().join("\", \"")
        )
    };
    assert!(compiled(&file(&many(256))).is_ok());
    one(&many(257), "2:11", "257 entries, the limit is 256", "");
    assert!(mistakes(&"#".repeat(FILE_BYTES_MAX + 1))[0].contains("the limit is 1048576"));
    let rules = "[[never]]\nservers = [\"a\"]\n".repeat(RULES_MAX + 1);
    assert!(mistakes(&file(&rules))[0].contains("1001 rules, the limit is 1000"));
    one(
        &format!("[[never]]\ntouching = \"{}\"", "a".repeat(1025)),
        "2:12",
        "1025 bytes, the limit is 1024",
        "",
    );
}
