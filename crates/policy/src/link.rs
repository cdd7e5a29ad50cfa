//! What a policy can know about the link that a call came over.

use std::borrow::Cow;

use cedar_policy::RestrictedExpression;
use lockgate_crypto::{Kind, Posture, catalog};

/// Written where a link has no such thing: no certificate, no encryption.
/// A word instead of a missing attribute, so that no policy can fail on it.
const NONE: &str = "none";

/// The facts of `context.link` in the schema, and nothing else: the Cedar
/// context is made from here and what is remembered is found by it, so a
/// decision cannot depend on something that its memory does not tell apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Link<'a> {
    encrypted: bool,
    quantum_safe: bool,
    quantum_safe_group: bool,
    group: Cow<'a, str>,
    peer_signature: Cow<'a, str>,
    own_signature: Cow<'a, str>,
    profile: Cow<'a, str>,
    resumed: bool,
    loopback: bool,
}

impl<'a> Link<'a> {
    /// The facts of a link; no posture means that it is not encrypted.
    pub(crate) fn new(posture: Option<&'a Posture>, loopback: bool) -> Self {
        let or_none = |text: Option<&'a str>| Cow::Borrowed(text.unwrap_or(NONE));
        let group = posture.map(|p| p.group.as_str());
        Link {
            encrypted: posture.is_some(),
            quantum_safe: posture.is_some_and(Posture::quantum_safe),
            quantum_safe_group: group.is_some_and(is_quantum_safe_group),
            group: or_none(group),
            peer_signature: or_none(posture.and_then(|p| p.peer_signature.as_deref())),
            own_signature: or_none(posture.and_then(|p| p.own_signature.as_deref())),
            profile: or_none(posture.map(|p| p.profile.as_str())),
            resumed: posture.is_some_and(|p| p.resumed),
            loopback,
        }
    }

    /// The same, for keeping.
    pub(crate) fn into_owned(self) -> Link<'static> {
        let own = |text: Cow<'_, str>| Cow::Owned(text.into_owned());
        Link {
            encrypted: self.encrypted,
            quantum_safe: self.quantum_safe,
            quantum_safe_group: self.quantum_safe_group,
            group: own(self.group),
            peer_signature: own(self.peer_signature),
            own_signature: own(self.own_signature),
            profile: own(self.profile),
            resumed: self.resumed,
            loopback: self.loopback,
        }
    }

    /// `context.link`.
    pub(crate) fn to_record(&self) -> RestrictedExpression {
        let Link {
            encrypted,
            quantum_safe,
            quantum_safe_group,
            group,
            peer_signature,
            own_signature,
            profile,
            resumed,
            loopback,
        } = self;
        let flag = |name: &str, value: &bool| (name.to_owned(), RestrictedExpression::new_bool(*value));
        let text = |name: &str, value: &Cow<'_, str>| {
            (name.to_owned(), RestrictedExpression::new_string(value.clone().into_owned()))
        };
        RestrictedExpression::new_record([
            flag("encrypted", encrypted),
            flag("quantum_safe", quantum_safe),
            flag("quantum_safe_group", quantum_safe_group),
            text("group", group),
            text("peer_signature", peer_signature),
            text("own_signature", own_signature),
            text("profile", profile),
            flag("resumed", resumed),
            flag("loopback", loopback),
        ])
        .expect("the nine names above differ")
    }

    /// The link in words, for a denial: "a loopback link, group X25519, not
    /// quantum-safe".
    pub(crate) fn describe(&self) -> String {
        let place = if self.loopback { "a loopback" } else { "a network" };
        if !self.encrypted {
            return format!("{place} link without encryption");
        }
        let safe = if self.quantum_safe { "quantum-safe" } else { "not quantum-safe" };
        format!("{place} link, group {}, peer signature {}, {safe}", self.group, self.peer_signature)
    }
}

fn is_quantum_safe_group(group: &str) -> bool {
    catalog::find(group).is_some_and(|row| row.kind == Kind::Group && row.is_quantum_safe())
}
