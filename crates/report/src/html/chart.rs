//! The share of quantum-safe calls over time, drawn without a script, and readable without colour: what is not safe is
//! hatched.

use super::page::Page;
use crate::parts::Day;
use crate::text::number;
use crate::wire::Share;

const WIDTH: f64 = 760.0;
/// Room for the labels of the axis.
const LEFT: f64 = 40.0;
const SHARE_TOP: f64 = 8.0;
const SHARE_HEIGHT: f64 = 120.0;
const COUNT_TOP: f64 = 154.0;
const COUNT_HEIGHT: f64 = 44.0;
const HEIGHT: f64 = 226.0;
/// More bars than this cannot be told apart; then several days are one bar.
const BARS_MAX: usize = 124;

/// Several days as one bar.
struct Bar<'a> {
    first: &'a str,
    last: &'a str,
    calls: Share,
}

/// Draws it.
pub(super) fn draw(page: &mut Page, days: &[Day]) {
    let per_bar = days.len().div_ceil(BARS_MAX).max(1);
    let bars: Vec<Bar<'_>> = days.chunks(per_bar).filter_map(bar).collect();
    let view = format!("0 0 {WIDTH} {HEIGHT}");
    let label = "Share of remote calls that were quantum-safe, by day, and the number of calls below";
    let attributes = [
        ("viewBox", view.as_str()),
        ("role", "img"),
        ("aria-label", label),
        ("xmlns", "http://www.w3.org/2000/svg"),
    ];
    page.with("svg", &attributes, |page| {
        hatch(page);
        frame(page);
        let most = bars.iter().map(|bar| bar.calls.all()).max().unwrap_or(0);
        let step = (WIDTH - LEFT) / bars.len().max(1).to_f64();
        for (n, bar) in bars.iter().enumerate() {
            column(page, bar, (LEFT + n.to_f64() * step, step), most);
        }
        dates(page, &bars, step);
        words(page, (LEFT - 6.0, COUNT_TOP + 9.0), "end", &number(most));
    });
}

fn bar<'a>(days: &'a [Day]) -> Option<Bar<'a>> {
    let sum = |of: fn(&Share) -> u64| days.iter().map(|day| of(&day.calls)).sum();
    let calls = Share {
        quantum_safe: sum(|calls| calls.quantum_safe),
        classical: sum(|calls| calls.classical),
        local: sum(|calls| calls.local),
    };
    Some(Bar { first: &days.first()?.day, last: &days.last()?.day, calls })
}

fn hatch(page: &mut Page) {
    page.with("defs", &[], |page| {
        let attributes = [
            ("id", "hatch"),
            ("width", "4"),
            ("height", "4"),
            ("patternUnits", "userSpaceOnUse"),
            ("patternTransform", "rotate(45)"),
        ];
        page.with("pattern", &attributes, |page| {
            page.void("rect", &[("width", "4"), ("height", "4"), ("fill", "#fff")]);
            page.void("rect", &[("width", "1.8"), ("height", "4"), ("fill", "#9a2c12")]);
        });
    });
}

fn frame(page: &mut Page) {
    for (share, text) in [(1.0, "100 %"), (0.5, "50 %"), (0.0, "0 %")] {
        let y = SHARE_TOP + SHARE_HEIGHT * (1.0 - share);
        line(page, y, if share == 0.0 { "#16191d" } else { "#e6e9ed" });
        words(page, (LEFT - 6.0, y + 4.0), "end", text);
    }
    line(page, COUNT_TOP + COUNT_HEIGHT, "#16191d");
    words(page, (LEFT, COUNT_TOP - 8.0), "start", "calls");
}

fn line(page: &mut Page, y: f64, colour: &str) {
    let (x1, x2, y) = (place(LEFT), place(WIDTH), place(y));
    page.void(
        "line",
        &[("x1", &x1), ("x2", &x2), ("y1", &y), ("y2", &y), ("stroke", colour), ("stroke-width", "1")],
    );
}

fn column(page: &mut Page, bar: &Bar<'_>, (x, step): (f64, f64), most: u64) {
    let width = (step - 1.0).clamp(0.6, 26.0);
    let x = x + (step - width) / 2.0;
    let (safe, remote) = (bar.calls.quantum_safe, bar.calls.remote());
    let tip = match bar.first == bar.last {
        true => {
            format!("{}: {safe} of {remote} remote calls quantum-safe, {} local", bar.first, bar.calls.local)
        }
        false => format!(
            "{} to {}: {safe} of {remote} remote calls quantum-safe, {} local",
            bar.first, bar.last, bar.calls.local
        ),
    };
    page.with("g", &[], |page| {
        page.with("title", &[], |page| page.text(&tip));
        if remote > 0 {
            let height = SHARE_HEIGHT * safe.to_f64() / remote.to_f64();
            rect(page, (x, SHARE_TOP + SHARE_HEIGHT - height), (width, height), "#0d5c63");
            rect(page, (x, SHARE_TOP), (width, SHARE_HEIGHT - height), "url(#hatch)");
        }
        if bar.calls.all() > 0 {
            // Never lower than can be seen.
            let height = (COUNT_HEIGHT * bar.calls.all().to_f64() / most.max(1).to_f64()).max(0.8);
            rect(page, (x, COUNT_TOP + COUNT_HEIGHT - height), (width, height), "#8b949e");
        }
    });
}

fn rect(page: &mut Page, (x, y): (f64, f64), (width, height): (f64, f64), fill: &str) {
    if height <= 0.0 {
        return;
    }
    let (x, y, width, height) = (place(x), place(y), place(width), place(height));
    page.void("rect", &[("x", &x), ("y", &y), ("width", &width), ("height", &height), ("fill", fill)]);
}

/// The first day, the last, and some between them.
fn dates(page: &mut Page, bars: &[Bar<'_>], step: f64) {
    let last = bars.len().saturating_sub(1);
    let every = bars.len().div_ceil(7).max(1);
    for (n, bar) in bars.iter().enumerate() {
        let near_end = n != last && last - n < every;
        if (n % every != 0 && n != last) || near_end {
            continue;
        }
        let anchor = match n {
            0 if last > 0 => "start",
            n if n == last && last > 0 => "end",
            _ => "middle",
        };
        let x = match anchor {
            "start" => LEFT,
            "end" => WIDTH,
            _ => LEFT + (n.to_f64() + 0.5) * step,
        };
        words(page, (x, COUNT_TOP + COUNT_HEIGHT + 15.0), anchor, bar.first);
    }
}

fn words(page: &mut Page, (x, y): (f64, f64), anchor: &str, text: &str) {
    let (x, y) = (place(x), place(y));
    page.with("text", &[("x", &x), ("y", &y), ("text-anchor", anchor)], |page| page.text(text));
}

fn place(value: f64) -> String {
    format!("{value:.2}")
}

/// Counts as lengths; what a drawing loses of a large one cannot be seen.
trait Length {
    fn to_f64(self) -> f64;
}

impl Length for u64 {
    #[expect(clippy::cast_precision_loss, reason = "drawn, not counted with")]
    fn to_f64(self) -> f64 {
        self as f64
    }
}

impl Length for usize {
    #[expect(clippy::cast_precision_loss, reason = "drawn, not counted with")]
    fn to_f64(self) -> f64 {
        self as f64
    }
}
