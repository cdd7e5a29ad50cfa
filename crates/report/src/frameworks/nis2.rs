//! NIS2: Directive (EU) 2022/2555, Article 21(2) and Article 23.

use super::{AROUND, BEHIND, PEOPLE, UPSTREAM};
use crate::framework::{Ask, Beyond, Control, Framework, Part};
use crate::signal::Signal::*;

pub(crate) const FRAMEWORK: Framework = Framework {
    id: "nis2",
    title: "NIS2",
    about: "Evidence for risk-management measures of Article 21(2) that traffic between AI agents and their tools can show at work.",
    controls: &[
        Control {
            id: "21(2)(b)",
            about: "Handling of incidents",
            enforces: "Kills lock an agent out with an alert; revocations and bans act at once and are recorded.",
            shows: &[CallsKilled, Alerts, IdentitiesRevoked, AlgorithmsBanned, Findings],
            breaks: &[RefusalBursts],
            asks: &[],
            cannot: &["Which events were significant incidents."],
        },
        Control {
            id: "21(2)(c)",
            about: "Continuity and crisis management",
            enforces: "Starts, stops and rehearsed changes are recorded; times without a node show.",
            shows: &[NodeStarted, NodeStopped, DrillsRun, LinksMoved],
            breaks: &[UncleanStarts],
            asks: &[Ask::Some(DrillsRun)],
            cannot: &["Backups and crisis plans of the organisation."],
        },
        Control {
            id: "21(2)(d)",
            about: "Security of the supply chain",
            enforces: "Servers are named, pinned and decided on call by call; changed definitions wait for a person.",
            shows: &[CallsPermitted, Findings, DefinitionsApproved],
            breaks: &[],
            asks: &[Ask::Upstream, Ask::Country],
            cannot: &[BEHIND, "The quality and the plans of suppliers."],
        },
        Control {
            id: "21(2)(e)",
            about: "Security in maintenance of systems",
            enforces: "Changes of policy, configuration and cryptography take effect whole or not at all, and are recorded.",
            shows: &[PoliciesChanged, CryptoChanged],
            breaks: &[PoliciesTurnedDown, CryptoTurnedDown],
            asks: &[],
            cannot: &["Handling and disclosure of vulnerabilities."],
        },
        Control {
            id: "21(2)(f)",
            about: "Assessment of how well measures work",
            enforces: "Policies on trial show what they would change, and rehearsals of a change are recorded.",
            shows: &[CallsShadowed, DrillsRun, CallsDenied],
            breaks: &[],
            asks: &[],
            cannot: &["Assessments outside of Lockgate."],
        },
        Control {
            id: "21(2)(h)",
            about: "Use of cryptography",
            enforces: "Dated profiles say which algorithms may be used; every link tells what it negotiated.",
            shows: &[CallsQuantumSafe, CryptoChanged, AlgorithmsBanned, RootsReplaced],
            breaks: &[CallsClassical],
            asks: &[Ask::ClassicalListener, Ask::Upstream],
            cannot: &[UPSTREAM],
        },
        Control {
            id: "21(2)(i)",
            about: "Access control",
            enforces: "Deny by default: each call is decided by policy; identities are issued for hours and revoked at once.",
            shows: &[CallsPermitted, CallsDenied, CallsKilled, IdentitiesIssued, IdentitiesRevoked],
            breaks: &[CallsAnonymous],
            asks: &[Ask::Identity],
            cannot: &[PEOPLE, AROUND],
        },
        Control {
            id: "21(2)(j)",
            about: "Strong authentication and secured communication",
            enforces: "Callers prove themselves by certificate, bound token or the kernel's word; links are TLS 1.3.",
            shows: &[CallsProven, PeersRefused, CallersRefused, CallsApproved],
            breaks: &[CallsAnonymous],
            asks: &[Ask::Identity],
            cannot: &["Further factors by which people prove themselves."],
        },
        Control {
            id: "23",
            about: "Reports of significant incidents",
            enforces: "What may have to be reported is listed with its time: early warning within 24 hours, notification within 72, final report within a month.",
            shows: &[CallsKilled, Alerts, IdentitiesRevoked, Findings],
            breaks: &[],
            asks: &[],
            cannot: &[
                "Whether an event was significant, when you became aware of it, and whether it was reported.",
            ],
        },
    ],
    beyond: &[
        Beyond { ids: "20", why: "duties and training of management" },
        Beyond { ids: "21(2)(a)", why: "risk analysis and policies of the organisation" },
        Beyond { ids: "21(2)(g)", why: "hygiene and training" },
    ],
    parts: &[Part::Timeline, Part::Quantum],
};
