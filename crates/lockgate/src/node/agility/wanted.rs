//! Which profile holds where, and why: the configuration, what was chosen since, and exceptions, laid over each other.
//!
//! Pure. For a place the order is: a choice made while the node runs, then an exception of the configuration, then the
//! configuration itself.

use lockgate_crypto::{Profile, Profiles};

use super::problem::Problem;
use super::state::{CryptoState, Slot};
use crate::config::{ExceptionTarget, Settings};

/// What is wanted everywhere.
#[derive(Clone, Debug)]
pub(crate) struct Wanted {
    /// In the order of the settings.
    pub(crate) listeners: Vec<WantedPlace>,
    /// Servers that are reached by https, in the order of the settings.
    pub(crate) upstreams: Vec<WantedPlace>,
    pub(crate) peers: Vec<WantedPeer>,
}

/// What is wanted at a listener or an upstream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct WantedPlace {
    pub(crate) slot: Slot,
    pub(crate) name: String,
    pub(crate) profile: &'static Profile,
    /// What the configuration names.
    pub(crate) configured: &'static Profile,
    pub(crate) why: String,
    /// When it ends by itself.
    pub(crate) until_ms: Option<u64>,
}

/// What is wanted for a peer, or for those whose ids begin alike.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct WantedPeer {
    pub(crate) peer: String,
    pub(crate) profile: &'static Profile,
    pub(crate) why: String,
    pub(crate) until_ms: u64,
}

impl Wanted {
    /// Listeners, then upstreams.
    pub(crate) fn places(&self) -> impl Iterator<Item = &WantedPlace> {
        self.listeners.iter().chain(&self.upstreams)
    }
}

/// The line of the configuration for a place; `None` if there is no such place.
pub(crate) fn configured(settings: &Settings, slot: &Slot) -> Option<&'static Profile> {
    match slot {
        Slot::Listener(name) => settings.listeners().find(|plan| plan.name == *name).map(|plan| plan.profile),
        Slot::Upstream(name) => settings.https().find(|(place, _)| place == name).map(|(_, profile)| profile),
    }
}

/// Puts it together for a moment.
///
/// # Errors
/// [`Problem::Lost`] when a profile that was chosen is not known any more.
pub(crate) fn wanted(settings: &Settings, state: &CryptoState, now_ms: u64) -> Result<Wanted, Problem> {
    let profiles = &settings.crypto.profiles;
    let place = |slot: Slot, name: &str, configured| place(settings, state, now_ms, (slot, name), configured);
    let listeners = settings
        .listeners()
        .map(|plan| place(Slot::Listener(plan.name.clone()), &plan.name, plan.profile))
        .collect::<Result<_, _>>()?;
    let upstreams = settings
        .https()
        .map(|(name, profile)| place(Slot::Upstream(name.clone()), &name, profile))
        .collect::<Result<_, _>>()?;
    let mut peers = Vec::new();
    for spared in state.spared.iter().filter(|spared| spared.until_ms > now_ms) {
        peers.push(WantedPeer {
            peer: spared.peer.clone(),
            profile: chosen(profiles, &spared.profile, &spared.peer)?,
            why: format!("exception by {}: {}", spared.by, spared.reason),
            until_ms: spared.until_ms,
        });
    }
    for exception in settings.crypto.exceptions.iter().filter(|exception| exception.until_ms > now_ms) {
        if let ExceptionTarget::Peer(peer) = &exception.target
            && !peers.iter().any(|known| known.peer == *peer)
        {
            peers.push(WantedPeer {
                peer: peer.clone(),
                profile: exception.profile,
                why: format!("exception of the configuration: {}", exception.reason),
                until_ms: exception.until_ms,
            });
        }
    }
    // The longest name first: an exact id before the beginning of ids.
    peers.sort_by_key(|peer| (peer.peer.ends_with('*'), std::cmp::Reverse(peer.peer.len())));
    Ok(Wanted { listeners, upstreams, peers })
}

fn place(
    settings: &Settings,
    state: &CryptoState,
    now_ms: u64,
    (slot, name): (Slot, &str),
    configured: &'static Profile,
) -> Result<WantedPlace, Problem> {
    let wanted = |profile, why, until_ms| {
        let name = name.to_owned();
        WantedPlace { slot: slot.clone(), name, profile, configured, why, until_ms }
    };
    let choice = state.choices.get(&slot).filter(|choice| {
        choice.configured == configured.name && choice.until_ms.is_none_or(|until| until > now_ms)
    });
    if let Some(choice) = choice {
        let what = if choice.drill { "a drill" } else { "applied" };
        let reason = if choice.reason.is_empty() { String::new() } else { format!(": {}", choice.reason) };
        let profile = chosen(&settings.crypto.profiles, &choice.profile, name)?;
        return Ok(wanted(profile, format!("{what} by {}{reason}", choice.by), choice.until_ms));
    }
    let exception = settings.crypto.exceptions.iter().find(|exception| {
        let here = match (&exception.target, &slot) {
            (ExceptionTarget::Listener(target), Slot::Listener(name))
            | (ExceptionTarget::Upstream(target), Slot::Upstream(name)) => target == name,
            _ => false,
        };
        here && exception.until_ms > now_ms
    });
    Ok(match exception {
        Some(exception) => {
            let why = format!("exception of the configuration: {}", exception.reason);
            wanted(exception.profile, why, Some(exception.until_ms))
        }
        None => wanted(configured, "configuration".to_owned(), None),
    })
}

fn chosen(profiles: &Profiles, name: &str, place: &str) -> Result<&'static Profile, Problem> {
    profiles.find(name).map_err(|_| Problem::Lost { profile: name.to_owned(), place: place.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::super::state::{Choice, Spared};
    use super::*;
    use crate::config::{Flags, load};

    const CONFIG: &str = r#"
[node]
profile = "pq-hybrid"

[[listener]]
address = "127.0.0.1:0"
profile = "pq-kex"

[[listener]]
address = "127.0.0.1:0"
profile = "pq-kex"

[[listener]]
name = "old"
address = "127.0.0.1:0"
profile = "pq-kex"

[[server]]
name = "web"
to = "https://mcp.example/mcp"

[[server]]
name = "local"
to = "http://127.0.0.1:1/mcp"

[[exception]]
listener = "old"
profile = "pq-transition"
until = "2026-12-31"
reason = "browsers"

[[exception]]
peer = "spiffe://lockgate.internal/agent/*"
profile = "pq-transition"
until = "2026-12-31"
reason = "later"

[[exception]]
peer = "spiffe://lockgate.internal/agent/old"
profile = "classical-broken"
until = "2026-12-31"
reason = "test"
"#;

    /// 2026-12-01.
    const BEFORE: u64 = 1_796_083_200_000;
    /// 2027-01-01.
    const AFTER: u64 = 1_798_761_600_000;

    fn settings() -> Settings {
        let folder = tempfile::tempdir().unwrap();
        let config = folder.path().join("lockgate.toml");
        std::fs::write(&config, CONFIG).unwrap();
        let flags = Flags { config: Some(config), ..Flags::default() };
        load(&flags, Vec::new()).unwrap().0
    }

    fn aliases(wanted: &Wanted) -> Vec<(&str, &str)> {
        wanted.places().map(|place| (place.name.as_str(), place.profile.alias)).collect()
    }

    #[test]
    fn exceptions_of_the_configuration_end_checklist_14() {
        let settings = settings();
        let wanted_at = |now_ms| wanted(&settings, &CryptoState::default(), now_ms).unwrap();
        let during = wanted_at(BEFORE);
        let expected = [
            ("tunnel", "pq-hybrid"),
            ("foreign", "pq-kex"),
            ("listener", "pq-kex"),
            ("listener-2", "pq-kex"),
            ("old", "pq-transition"),
            ("web", "pq-kex"),
        ];
        assert_eq!(aliases(&during), expected);
        assert_eq!(during.peers.len(), 2);
        // The exact id counts before the beginning of ids.
        assert_eq!(during.peers[0].peer, "spiffe://lockgate.internal/agent/old");
        assert!(during.listeners[4].why.contains("browsers"), "{}", during.listeners[4].why);
        let after = wanted_at(AFTER);
        assert_eq!(aliases(&after)[4], ("old", "pq-kex"));
        assert!(after.peers.is_empty());
    }

    #[test]
    fn a_choice_holds_until_it_ends_or_the_line_changes() {
        let settings = settings();
        let line = configured(&settings, &Slot::Listener("old".to_owned())).unwrap();
        let choice = |configured: &str, until_ms| Choice {
            profile: settings.crypto.profiles.find("bsi-hybrid").unwrap().name.to_owned(),
            configured: configured.to_owned(),
            by: "ann".to_owned(),
            at_ms: 0,
            reason: String::new(),
            until_ms,
            drill: false,
            then: None,
        };
        for (choice, alias) in [
            (choice(line.name, None), "bsi-hybrid"),
            (choice(line.name, Some(BEFORE + 1)), "bsi-hybrid"),
            (choice(line.name, Some(BEFORE)), "pq-transition"),
            (choice("other@20261122", None), "pq-transition"),
        ] {
            let slots = vec![(Slot::Listener("old".to_owned()), choice)];
            let state = CryptoState::default().applied("x", slots, Vec::new());
            assert_eq!(aliases(&wanted(&settings, &state, BEFORE).unwrap())[4].1, alias);
        }
    }

    #[test]
    fn a_profile_that_is_gone_is_an_error_and_replaced_by_nothing() {
        let settings = settings();
        let spared = Spared {
            peer: "spiffe://lockgate.internal/agent/x".to_owned(),
            profile: "ours@20270101".to_owned(),
            by: "ann".to_owned(),
            at_ms: 0,
            reason: "x".to_owned(),
            until_ms: AFTER,
        };
        let state = CryptoState::default().applied("x", Vec::new(), vec![spared]);
        let problem = wanted(&settings, &state, BEFORE).unwrap_err();
        assert!(matches!(problem, Problem::Lost { .. }), "{problem}");
    }
}
