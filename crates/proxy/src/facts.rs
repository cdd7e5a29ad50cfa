//! The facts of the world, as the pipeline asks for them. Who finds them out is none of its business.

use std::pin::Pin;
use std::sync::Arc;

use lockgate_policy::{FactShape, FactValues};

/// Whom and what a decision is about.
#[derive(Clone, Copy, Debug)]
pub struct Subject<'a> {
    /// The caller's id, as policies name it.
    pub agent: &'a str,
    /// The id of the server that is called.
    pub server: &'a str,
    /// The arguments of the call, as they came.
    pub arguments_raw: Option<&'a str>,
}

/// Facts on their way.
pub type Gathering<'a> = Pin<Box<dyn Future<Output = FactValues> + Send + 'a>>;

/// Finds facts out.
pub trait Facts: Send + Sync {
    /// What is known for certain of the facts that a decision needs, within the provider's own deadlines. What is not
    /// known is left out, and a permit that needs it cannot match.
    fn gather<'a>(&'a self, needed: &'a [Arc<FactShape>], subject: Subject<'a>, now_ms: u64)
    -> Gathering<'a>;
}

/// Nothing is known.
pub struct NoFacts;

impl Facts for NoFacts {
    fn gather<'a>(&'a self, _: &'a [Arc<FactShape>], _: Subject<'a>, _: u64) -> Gathering<'a> {
        Box::pin(std::future::ready(FactValues::new()))
    }
}
