//! The map in forms that other programs read: CycloneDX, Graphviz and Mermaid.
//!
//! Names are foreign text, so each form escapes them by its own rules, and none lets a control character through.

mod cyclonedx;
mod drawing;

pub use cyclonedx::cyclonedx;
pub use drawing::{dot, mermaid};

/// Foreign text with control and invisible characters as escapes.
#[must_use]
pub fn visible(text: &str) -> String {
    let hidden = |c: char| {
        c.is_control()
            || matches!(c, '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
    };
    text.chars().map(|c| if hidden(c) { c.escape_unicode().to_string() } else { c.to_string() }).collect()
}

#[cfg(test)]
mod tests;
