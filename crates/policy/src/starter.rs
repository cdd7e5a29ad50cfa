//! The policy file that a first start writes.

/// The explicit, readable file that lets the local user's own agent use every
/// server of this node, and nobody else.
///
/// `trust_domain` is the name of the local authority, without `spiffe://`.
pub fn starter(trust_domain: &str) -> String {
    let agent = cedar_policy::EntityId::new(format!("spiffe://{trust_domain}/agent/local"));
    include_str!("starter.cedar").replace("AGENT_LOCAL", agent.escaped().as_ref())
}
