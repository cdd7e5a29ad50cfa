//! Writing HTML that is well formed whatever the texts are: every text is escaped, cut and made visible here, and every
//! element that was opened is closed.

use crate::text::visible;

/// Longest text of a cell or paragraph, in characters. Our own are shorter; others' are cut.
const TEXT_CHARS_MAX: usize = 600;

/// A document on the way.
pub(crate) struct Page {
    out: String,
    open: Vec<&'static str>,
}

impl Page {
    pub(crate) fn new() -> Self {
        Self { out: "<!DOCTYPE html>\n".to_owned(), open: Vec::new() }
    }

    /// Writes an element with what `inside` writes into it.
    pub(crate) fn with(
        &mut self,
        tag: &'static str,
        attributes: &[(&'static str, &str)],
        inside: impl FnOnce(&mut Self),
    ) {
        self.begin(tag, attributes);
        self.out.push('>');
        self.open.push(tag);
        inside(self);
        let closed = self.open.pop();
        debug_assert_eq!(closed, Some(tag));
        self.out.push_str("</");
        self.out.push_str(tag);
        self.out.push('>');
        if !matches!(tag, "a" | "code" | "span" | "b" | "em" | "td" | "th" | "text" | "strong") {
            self.out.push('\n');
        }
    }

    /// An element with a text.
    pub(crate) fn text_in(&mut self, tag: &'static str, class: &str, text: &str) {
        let class = [("class", class)];
        self.with(tag, if class[0].1.is_empty() { &[] } else { &class }, |page| page.text(text));
    }

    /// An element without an inside.
    pub(crate) fn void(&mut self, tag: &'static str, attributes: &[(&'static str, &str)]) {
        self.begin(tag, attributes);
        self.out.push_str("/>\n");
    }

    /// A text.
    pub(crate) fn text(&mut self, text: &str) {
        let escaped = escape(&visible(text, TEXT_CHARS_MAX));
        // Ids and paths may be broken after a slash, better than within a word.
        match self.open.last() {
            Some(&("td" | "dd" | "p" | "li" | "span")) => {
                let broken = escaped.replace('/', "/<wbr/>");
                self.out.push_str(&broken.replace("/<wbr/>/<wbr/>", "//"));
            }
            _ => self.out.push_str(&escaped),
        }
    }

    /// A style sheet of ours.
    pub(crate) fn style(&mut self, css: &'static str) {
        self.out.push_str("<style>");
        self.out.push_str(css);
        self.out.push_str("</style>\n");
    }

    /// A table whose headings repeat on every page. Columns whose name begins with `#` hold numbers.
    pub(crate) fn table(&mut self, class: &str, headings: &[&str], rows: impl FnOnce(&mut Self)) {
        self.with("table", &[("class", class)], |page| {
            page.with("thead", &[], |page| {
                page.with("tr", &[], |page| {
                    for heading in headings {
                        match heading.strip_prefix('#') {
                            Some(heading) => page.text_in("th", "n", heading),
                            None => page.text_in("th", "", heading),
                        }
                    }
                });
            });
            page.with("tbody", &[], rows);
        });
    }

    pub(crate) fn row(&mut self, cells: impl FnOnce(&mut Self)) {
        self.with("tr", &[], cells);
    }

    pub(crate) fn finish(self) -> String {
        debug_assert!(self.open.is_empty());
        self.out
    }

    fn begin(&mut self, tag: &'static str, attributes: &[(&'static str, &str)]) {
        self.out.push('<');
        self.out.push_str(tag);
        for (name, value) in attributes {
            self.out.push_str(&format!(" {name}=\"{}\"", escape(&visible(value, TEXT_CHARS_MAX))));
        }
    }
}

/// As text, and inside of quotes.
pub(crate) fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            c => escaped.push(c),
        }
    }
    escaped
}
