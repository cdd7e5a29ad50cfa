//! Whatever callers put into their names, the page stays a page.

use proptest::prelude::*;

use super::page::{Page, escape};

/// Checks that elements nest, attributes are quoted, and no text is left that could be markup. A reader of its own, which
/// knows nothing of how the page was written.
pub(crate) fn well_formed(html: &str) -> Result<Vec<String>, String> {
    let mut open: Vec<String> = Vec::new();
    let mut seen = Vec::new();
    let mut rest = html.strip_prefix("<!DOCTYPE html>\n").ok_or("no doctype")?;
    while let Some(at) = rest.find('<') {
        let (text, markup) = rest.split_at(at);
        if text.contains('>') && open.last().is_none_or(|tag| tag != "style") {
            return Err(format!("a bracket in a text: {text:?}"));
        }
        let end = markup.find('>').ok_or("a tag without end")?;
        let tag = &markup[1..end];
        rest = &markup[end + 1..];
        if let Some(name) = tag.strip_prefix('/') {
            let closed = open.pop();
            if closed.as_deref() != Some(name) {
                return Err(format!("{name} closes {closed:?}"));
            }
            continue;
        }
        let name: String = tag.chars().take_while(char::is_ascii_alphanumeric).collect();
        if name.is_empty() {
            return Err(format!("no name in <{tag}>"));
        }
        if tag[name.len()..].matches('"').count() % 2 != 0 {
            return Err(format!("a quote is open in <{tag}>"));
        }
        seen.push(name.clone());
        if !tag.ends_with('/') {
            open.push(name);
        }
    }
    if open.is_empty() { Ok(seen) } else { Err(format!("left open: {open:?}")) }
}

fn hostile() -> impl Strategy<Value = String> {
    prop_oneof![
        any::<String>(),
        Just("<script>alert(1)</script>".to_owned()),
        Just("\"><img src=x onerror=alert(1)>".to_owned()),
        Just("' onclick='x' a=\"".to_owned()),
        Just("</td></tr></table><h1>Met</h1>".to_owned()),
        Just("--><!--<![CDATA[".to_owned()),
        Just("\u{202e}gnp.exe\u{0}\u{1b}]0;x\u{7}".to_owned()),
        Just("&lt;b&gt;&#60;script".to_owned()),
        "[<>&\"'/=a-z ]{0,60}",
        Just("x".repeat(100_000)),
    ]
}

proptest! {
    #[test]
    fn texts_and_attributes_from_outside_are_only_texts(text in hostile(), attribute in hostile()) {
        let mut page = Page::new();
        page.with("html", &[], |page| {
            page.with("td", &[("title", &attribute)], |page| page.text(&text));
        });
        let html = page.finish();
        let tags = well_formed(&html).map_err(TestCaseError::fail)?;
        let tags: Vec<String> = tags.into_iter().filter(|tag| tag != "wbr").collect();
        prop_assert_eq!(tags, ["html", "td"]);
        prop_assert!(html.len() < 24_000, "{}", html.len());
        prop_assert!(!html.chars().any(|c| c.is_control() && c != '\n'));
    }

    #[test]
    fn what_is_escaped_reads_back(text in any::<String>()) {
        let back = escape(&text).replace("&lt;", "<").replace("&gt;", ">").replace("&quot;", "\"").replace("&#39;", "'");
        prop_assert_eq!(back.replace("&amp;", "&"), text);
    }
}

#[test]
fn the_reader_of_these_tests_finds_mistakes() {
    for bad in [
        "<p>",
        "<!DOCTYPE html>\n<p><b></p></b>",
        "<!DOCTYPE html>\n<p>a > b</p>",
        "<!DOCTYPE html>\n<p a=\"></p>",
    ] {
        assert!(well_formed(bad).is_err(), "{bad}");
    }
}
