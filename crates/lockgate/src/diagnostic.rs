//! What a person sees when something is wrong.
//!
//! ```text
//! error[LG-C012]: unknown key `adress` in [[listener]]
//!   --> lockgate.toml:7:1
//! cause: a listener has address, profile, tls
//! hint: did you mean `address`?
//! ```
//!
//! Every diagnostic carries a code of the [registry](crate::registry); the registry holds the exit code and the
//! explanation, so that the code at the place of the failure says only what is special about this failure.

use std::fmt;

use serde::Serialize;

use crate::exit::Exit;
use crate::registry;

/// One thing that went wrong, where, why, and what to do next.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Diagnostic {
    /// A code of the registry, like `LG-C012`.
    pub(crate) code: &'static str,
    /// What happened, in one sentence without a full stop.
    pub(crate) what: String,
    /// File and position, environment variable or flag.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) place: Option<String>,
    /// Why it happened, outermost first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) causes: Vec<String>,
    /// What to do next.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) hints: Vec<String>,
}

impl Diagnostic {
    /// A diagnostic with nothing but its code and its sentence.
    pub(crate) fn new(code: &'static str, what: impl Into<String>) -> Self {
        Self { code, what: what.into(), place: None, causes: Vec::new(), hints: Vec::new() }
    }

    /// Says where.
    pub(crate) fn at(mut self, place: impl Into<String>) -> Self {
        self.place = Some(place.into());
        self
    }

    /// Says why.
    pub(crate) fn cause(mut self, cause: impl Into<String>) -> Self {
        self.causes.push(cause.into());
        self
    }

    /// Says why, with the whole chain of an error's sources.
    pub(crate) fn because(mut self, error: &dyn std::error::Error) -> Self {
        let mut next = Some(error);
        while let Some(error) = next {
            let text = error.to_string();
            // Many errors repeat their source in their own text; saying it twice helps nobody.
            if !self.causes.iter().any(|said| said.contains(&text)) {
                self.causes.push(text);
            }
            next = error.source();
        }
        self
    }

    /// Says what to do next.
    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hints.push(hint.into());
        self
    }

    /// The exit code that the registry gives to this diagnostic's code.
    pub(crate) fn exit(&self) -> Exit {
        registry::find(self.code).map_or(Exit::Bug, |entry| entry.exit)
    }
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "error[{}]: {}", self.code, self.what)?;
        if let Some(place) = &self.place {
            write!(f, "\n  --> {place}")?;
        }
        for cause in &self.causes {
            write!(f, "\ncause: {cause}")?;
        }
        for hint in &self.hints {
            write!(f, "\nhint: {hint}")?;
        }
        Ok(())
    }
}

/// Why a verb failed: one diagnostic, or all that were found at once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Failure(pub(crate) Vec<Diagnostic>);

impl Failure {
    /// The exit code of the first diagnostic.
    pub(crate) fn exit(&self) -> Exit {
        self.0.first().map_or(Exit::Bug, Diagnostic::exit)
    }

    /// As people read it, with a pointer to the longer explanation at the end.
    pub(crate) fn human(&self) -> String {
        let mut text = String::new();
        for diagnostic in &self.0 {
            text.push_str(&diagnostic.to_string());
            text.push_str("\n\n");
        }
        if let Some(first) = self.0.first() {
            text.push_str(&format!("More: lockgate explain {}\n", first.code));
        }
        text
    }

    /// As programs read it: one line, schema `lockgate.error/1`.
    pub(crate) fn json(&self) -> String {
        #[derive(Serialize)]
        struct Line<'a> {
            schema: &'static str,
            errors: &'a [Diagnostic],
        }
        let line = Line { schema: "lockgate.error/1", errors: &self.0 };
        serde_json::to_string(&line).expect("strings and lists always serialise")
    }
}

impl From<Diagnostic> for Failure {
    fn from(diagnostic: Diagnostic) -> Self {
        Self(vec![diagnostic])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_like_the_style_guide_says() {
        let text = Diagnostic::new("LG-C003", "unknown key `adress`")
            .at("lockgate.toml:7:1")
            .cause("a listener has no such key")
            .hint("did you mean `address`?")
            .to_string();
        assert_eq!(
            text,
            "error[LG-C003]: unknown key `adress`\n  --> lockgate.toml:7:1\n\
             cause: a listener has no such key\nhint: did you mean `address`?"
        );
    }

    #[test]
    fn sources_are_not_repeated() {
        #[derive(Debug)]
        struct Outer(std::io::Error);
        impl fmt::Display for Outer {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "outer: {}", self.0)
            }
        }
        impl std::error::Error for Outer {
            fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
                Some(&self.0)
            }
        }
        let outer = Outer(std::io::Error::other("inner"));
        let diagnostic = Diagnostic::new("LG-X001", "x").because(&outer);
        assert_eq!(diagnostic.causes, ["outer: inner"]);
    }

    #[test]
    fn exit_follows_the_code() {
        assert_eq!(Diagnostic::new("LG-C001", "").exit(), Exit::Configuration);
        assert_eq!(Diagnostic::new("LG-nope", "").exit(), Exit::Bug);
    }
}
