//! What was decided while the node ran, and outlives it: the epoch, profiles that were applied, bans.
//!
//! Pure: every change is a function from one state to the next, so that what cannot be compiled or recorded is simply
//! not kept.

use std::collections::BTreeMap;
use std::fmt;

use lockgate_crypto::Ban;
use lockgate_crypto::document::Seen;
use serde::{Deserialize, Serialize};

/// Changes that can be taken back, one after another.
const BEFORE_MAX: usize = 16;

/// Most bans; the catalog has fewer algorithms.
pub(crate) const BANS_MAX: usize = 64;

/// Most exceptions for peers that were made while the node ran: more would be another profile.
pub(crate) const SPARED_MAX: usize = 256;

/// A place whose profile can be chosen.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Slot {
    Listener(String),
    Upstream(String),
}

impl fmt::Display for Slot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Listener(name) => write!(f, "listener/{name}"),
            Self::Upstream(name) => write!(f, "upstream/{name}"),
        }
    }
}

impl Serialize for Slot {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Slot {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        match text.split_once('/') {
            Some(("listener", name)) => Ok(Self::Listener(name.to_owned())),
            Some(("upstream", name)) => Ok(Self::Upstream(name.to_owned())),
            _ => Err(serde::de::Error::custom("a place is listener/NAME or upstream/NAME")),
        }
    }
}

/// A profile that was chosen for a place while the node ran.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Choice {
    /// Dated name.
    pub(crate) profile: String,
    /// What the configuration named there then. When it names another one, whoever wrote that wins.
    pub(crate) configured: String,
    pub(crate) by: String,
    pub(crate) at_ms: u64,
    pub(crate) reason: String,
    /// When it ends by itself.
    pub(crate) until_ms: Option<u64>,
    /// Whether it is a rehearsal.
    pub(crate) drill: bool,
    /// What was chosen for the place when one with an end was put over it, and holds again afterwards.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) then: Option<Box<Choice>>,
}

/// Most choices that lie under one another.
const UNDER_MAX: usize = 8;

impl Choice {
    /// Over what stands, if this one ends by itself and that holds longer.
    fn over(self, stands: Option<&Self>) -> Self {
        let Some(until_ms) = self.until_ms else { return Self { then: None, ..self } };
        let longer = |under: &&Self| under.until_ms.is_none_or(|end| end > until_ms);
        let under: Vec<&Self> = stands.into_iter().flat_map(Self::chain).filter(longer).collect();
        // The last of them is what holds longest: of too many, those above it go.
        let above = under.len().saturating_sub(1);
        let kept =
            under.iter().take(above.min(UNDER_MAX - 1)).chain(under.last().filter(|_| above < under.len()));
        let then = kept.rev().fold(None, |then, under| Some(Box::new(Self { then, ..(*under).clone() })));
        Self { then, ..self }
    }

    /// This one and those under it.
    fn chain(&self) -> impl Iterator<Item = &Self> {
        std::iter::successors(Some(self), |choice| choice.then.as_deref())
    }
}

/// A peer that is held to another profile for a while.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Spared {
    /// An id, or a beginning with a `*`.
    pub(crate) peer: String,
    /// Dated name.
    pub(crate) profile: String,
    pub(crate) by: String,
    pub(crate) at_ms: u64,
    pub(crate) reason: String,
    pub(crate) until_ms: u64,
}

/// What was chosen before a change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Before {
    /// The change, in one sentence.
    pub(crate) what: String,
    choices: BTreeMap<Slot, Choice>,
    spared: Vec<Spared>,
}

/// All that was decided.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct CryptoState {
    /// Number of what is in force. Rises with every change.
    pub(crate) epoch: u64,
    pub(crate) choices: BTreeMap<Slot, Choice>,
    pub(crate) spared: Vec<Spared>,
    pub(crate) bans: Vec<Ban>,
    /// The last signed document.
    pub(crate) document: Option<Seen>,
    /// What can be taken back, the last change last.
    before: Vec<Before>,
}

impl CryptoState {
    /// The state of the next epoch, otherwise the same.
    pub(crate) fn next(&self) -> Self {
        Self { epoch: self.epoch + 1, ..self.clone() }
    }

    /// The same decisions under another number: for an end that changes nothing of what is in force.
    pub(crate) fn at(self, epoch: u64) -> Self {
        Self { epoch, ..self }
    }

    /// With a profile chosen for places and exceptions for peers.
    pub(crate) fn applied(&self, what: &str, slots: Vec<(Slot, Choice)>, spared: Vec<Spared>) -> Self {
        let mut next = self.next();
        next.before.push(Before {
            what: what.to_owned(),
            choices: self.choices.clone(),
            spared: self.spared.clone(),
        });
        if next.before.len() > BEFORE_MAX {
            next.before.remove(0);
        }
        for (slot, choice) in slots {
            let over = choice.over(next.choices.get(&slot));
            next.choices.insert(slot, over);
        }
        for spared in spared {
            next.spared.retain(|old| old.peer != spared.peer);
            next.spared.push(spared);
        }
        next
    }

    /// The change that can be taken back, in one sentence.
    pub(crate) fn last_change(&self) -> Option<&str> {
        self.before.last().map(|before| before.what.as_str())
    }

    /// As it was before the last change of a profile. Bans stay: only `lift` lifts them.
    pub(crate) fn rolled_back(&self) -> Option<Self> {
        let mut next = self.next();
        let before = next.before.pop()?;
        next.choices = before.choices;
        next.spared = before.spared;
        Some(next)
    }

    /// With a ban; one of the same target is replaced.
    pub(crate) fn banned(&self, ban: Ban) -> Self {
        let mut next = self.next();
        next.bans.retain(|old| old.target() != ban.target());
        next.bans.push(ban);
        next
    }

    /// Without the ban of this target; `None` if there is none.
    pub(crate) fn lifted(&self, target: &str) -> Option<(Self, Ban)> {
        let mut next = self.next();
        let at = next.bans.iter().position(|ban| ban.target() == target)?;
        let ban = next.bans.remove(at);
        Some((next, ban))
    }

    /// Without what has ended by itself, and without choices for places that the configuration has changed or removed
    /// since; `None` if nothing has.
    pub(crate) fn swept(&self, now_ms: u64, configured: &dyn Fn(&Slot) -> Option<String>) -> Option<Self> {
        let mut next = self.clone();
        let live = |slot: &Slot, choice: &Choice| {
            choice.until_ms.is_none_or(|until| until > now_ms)
                && configured(slot).as_ref() == Some(&choice.configured)
        };
        let left = |choices: &BTreeMap<Slot, Choice>| -> BTreeMap<Slot, Choice> {
            let still = |(slot, choice): (&Slot, &Choice)| {
                choice.chain().find(|choice| live(slot, choice)).map(|choice| (slot.clone(), choice.clone()))
            };
            choices.iter().filter_map(still).collect()
        };
        next.choices = left(&next.choices);
        next.spared.retain(|spared| spared.until_ms > now_ms);
        if (&next.choices, &next.spared) == (&self.choices, &self.spared) {
            return None;
        }
        // What has ended cannot be brought back by taking a later change back.
        for before in &mut next.before {
            before.choices = left(&before.choices);
            before.spared.retain(|spared| spared.until_ms > now_ms);
        }
        // Nor does taking back what has ended change anything.
        while next
            .before
            .pop_if(|last| (&last.choices, &last.spared) == (&next.choices, &next.spared))
            .is_some()
        {}
        next.epoch += 1;
        Some(next)
    }

    /// When the next thing ends by itself.
    pub(crate) fn next_end_ms(&self) -> Option<u64> {
        let choices = self.choices.values().filter_map(|choice| choice.until_ms);
        choices.chain(self.spared.iter().map(|spared| spared.until_ms)).min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn choice(profile: &str, until_ms: Option<u64>) -> Choice {
        Choice {
            profile: profile.to_owned(),
            configured: "pq-hybrid@1".to_owned(),
            by: "test".to_owned(),
            at_ms: 1,
            reason: String::new(),
            until_ms,
            drill: false,
            then: None,
        }
    }

    fn spared(peer: &str, until_ms: u64) -> Spared {
        Spared {
            peer: peer.to_owned(),
            profile: "pq-transition@1".to_owned(),
            by: "test".to_owned(),
            at_ms: 1,
            reason: "old".to_owned(),
            until_ms,
        }
    }

    fn tunnel() -> Slot {
        Slot::Listener("tunnel".to_owned())
    }

    fn as_it_was(_: &Slot) -> Option<String> {
        Some("pq-hybrid@1".to_owned())
    }

    #[test]
    fn every_change_makes_a_new_epoch_and_can_be_taken_back() {
        let start = CryptoState::default();
        assert!(start.rolled_back().is_none());
        let one = start.applied("one", vec![(tunnel(), choice("a", None))], Vec::new());
        let two = one.applied("two", vec![(tunnel(), choice("b", None))], vec![spared("x", 9)]);
        assert_eq!((one.epoch, two.epoch, two.last_change()), (1, 2, Some("two")));
        let back = two.rolled_back().unwrap();
        assert_eq!((back.epoch, &back.choices, back.spared.len()), (3, &one.choices, 0));
        let start_again = back.rolled_back().unwrap();
        assert_eq!((start_again.epoch, start_again.choices.len()), (4, 0));
        assert!(start_again.rolled_back().is_none());
    }

    #[test]
    fn history_is_bounded() {
        let mut state = CryptoState::default();
        for n in 0..100 {
            state = state.applied(&n.to_string(), vec![(tunnel(), choice("a", None))], Vec::new());
        }
        let mut steps = 0;
        while let Some(back) = state.rolled_back() {
            state = back;
            steps += 1;
        }
        assert_eq!((steps, state.epoch), (BEFORE_MAX, 100 + BEFORE_MAX as u64));
    }

    #[test]
    fn rollback_lifts_no_ban() {
        let ban = Ban { algorithm: "X25519".to_owned(), ..Ban::default() };
        let state = CryptoState::default().applied("a", vec![(tunnel(), choice("a", None))], Vec::new());
        let banned = state.banned(ban.clone());
        let again = banned.banned(Ban { reason: "more".to_owned(), ..ban });
        assert_eq!((again.bans.len(), again.epoch), (1, 3));
        assert_eq!(again.rolled_back().unwrap().bans.len(), 1);
        assert!(again.lifted("X448").is_none());
        let (lifted, ban) = again.lifted("X25519").unwrap();
        assert_eq!((lifted.bans.len(), ban.reason.as_str()), (0, "more"));
    }

    #[test]
    fn what_has_an_end_ends_checklist_14() {
        let state = CryptoState::default().applied(
            "for a while",
            vec![(tunnel(), choice("a", Some(100)))],
            vec![spared("x", 50), spared("y", 200)],
        );
        assert_eq!(state.next_end_ms(), Some(50));
        assert!(state.swept(49, &as_it_was).is_none());
        let later = state.swept(50, &as_it_was).unwrap();
        assert_eq!((later.spared.len(), later.choices.len(), later.epoch), (1, 1, 2));
        let last = later.applied("b", Vec::new(), Vec::new()).swept(300, &as_it_was).unwrap();
        assert!(last.spared.is_empty() && last.choices.is_empty());
        assert!(last.rolled_back().is_none(), "what has ended can be brought back: {last:?}");
        let kept = vec![(Slot::Listener("foreign".to_owned()), choice("c", None))];
        let mixed = later.applied("c", kept, Vec::new()).swept(300, &as_it_was).unwrap();
        let back = mixed.rolled_back().unwrap();
        assert!(back.choices.is_empty() && back.spared.is_empty(), "ended, and brought back: {back:?}");
    }

    #[test]
    fn a_choice_with_an_end_gives_back_what_it_was_put_over() {
        let put = |state: &CryptoState, name: &str, until_ms| {
            state.applied(name, vec![(tunnel(), choice(name, until_ms))], Vec::new())
        };
        let of = |state: &CryptoState| state.choices.get(&tunnel()).map(|choice| choice.profile.clone());
        let state =
            put(&put(&put(&CryptoState::default(), "for good", None), "a day", Some(100)), "drill", Some(50));
        assert_eq!(of(&state).as_deref(), Some("drill"));
        let day = state.swept(50, &as_it_was).unwrap();
        assert_eq!(of(&day).as_deref(), Some("a day"));
        assert_eq!(of(&day.swept(100, &as_it_was).unwrap()).as_deref(), Some("for good"));
        assert_eq!(of(&state.swept(100, &as_it_was).unwrap()).as_deref(), Some("for good"));
        assert!(state.swept(50, &|_| None).unwrap().choices.is_empty(), "the file has the last word");
        assert_eq!(of(&state.rolled_back().unwrap()).as_deref(), Some("a day"));
        let for_good = put(&state, "again", None);
        assert!(for_good.choices[&tunnel()].then.is_none());
        let many = (0..100)
            .rev()
            .fold(put(&CryptoState::default(), "for good", None), |state, n| put(&state, "x", Some(100 + n)));
        let depth = many.choices[&tunnel()].chain().count();
        assert_eq!(
            (depth, of(&many.swept(500, &as_it_was).unwrap()).as_deref()),
            (UNDER_MAX + 1, Some("for good"))
        );
    }

    #[test]
    fn the_file_wins_when_its_line_changes() {
        let state = CryptoState::default().applied("a", vec![(tunnel(), choice("a", None))], Vec::new());
        assert!(state.swept(0, &as_it_was).is_none());
        let changed = state.swept(0, &|_| Some("bsi-hybrid@1".to_owned())).unwrap();
        assert!(changed.choices.is_empty());
        assert!(state.swept(0, &|_| None).unwrap().choices.is_empty());
    }

    #[test]
    fn survives_json() {
        let ban = Ban { algorithm: "X25519".to_owned(), ..Ban::default() };
        let slots =
            vec![(tunnel(), choice("a", Some(1))), (Slot::Upstream("w".to_owned()), choice("b", None))];
        let state = CryptoState::default().applied("a", slots, vec![spared("x", 9)]).banned(ban);
        let text = serde_json::to_string(&state).unwrap();
        assert!(text.contains(r#""listener/tunnel":"#), "{text}");
        assert_eq!(serde_json::from_str::<CryptoState>(&text).unwrap(), state);
    }
}
