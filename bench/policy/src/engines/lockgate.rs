//! Lockgate: Cedar behind an index by scope, on a schema made of the tools' definitions.

use std::time::Duration;

use anyhow::Result;
use lockgate_policy::Policies;

use super::Engine;
use crate::clock::timed;
use crate::workload::{Call, World, files};

pub(super) struct Lockgate<'w> {
    policies: Policies,
    world: &'w World,
}

impl<'w> Lockgate<'w> {
    pub(super) fn new(rules: usize, world: &'w World) -> Result<Self> {
        Ok(Self { policies: world.parse(&files(rules))?, world })
    }
}

impl Engine for Lockgate<'_> {
    fn name(&self) -> &'static str {
        "Lockgate"
    }

    fn decide(&mut self, call: &Call) -> Result<(Duration, bool)> {
        let message = call.message.clone();
        let (time, outcome) =
            timed(|| self.policies.decide(call.query(), &self.world.circumstances(), message));
        Ok((time, outcome.is_ok()))
    }
}
