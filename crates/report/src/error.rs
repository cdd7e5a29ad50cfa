//! What can go wrong with a report.

/// Why a report cannot be made.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReportError {
    /// The text is no period.
    #[error("\"{text}\" is no period: {why}")]
    Period {
        /// As it was given.
        text: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// What was rendered breaks a rule that its readers rely on: a mistake of ours, found before anyone else reads it.
    #[error("the {document} that was made breaks its format: {why}")]
    SelfCheck {
        /// Which document.
        document: &'static str,
        /// What is wrong with it, and where.
        why: String,
    },
}
