//! Readiness for quantum adversaries: controls of our own.

use super::{AROUND, UPSTREAM};
use crate::framework::{Ask, Beyond, Control, Framework, Part};
use crate::signal::Signal::*;

pub(crate) const FRAMEWORK: Framework = Framework {
    id: "quantum",
    title: "Quantum readiness",
    about: "How much of the traffic holds against an adversary with a quantum computer, today or with a recording, what the \
            weakest links are, and what ends when.",
    controls: &[
        Control {
            id: "QR-1",
            about: "Traffic is quantum-safe",
            enforces: "A link counts as quantum-safe only if its key exchange and every signature on it hold; the posture is written into each record.",
            shows: &[CallsQuantumSafe],
            breaks: &[CallsClassical],
            asks: &[Ask::Some(CallsQuantumSafe), Ask::ClassicalListener],
            cannot: &[AROUND, "Whether a recording of traffic from before was made, and by whom."],
        },
        Control {
            id: "QR-2",
            about: "Nothing is downgraded silently",
            enforces: "Links below the profile in force are refused; peers that come back weaker than before are found.",
            shows: &[LinksRefused, LinksCut, CallsQuantumSafe],
            breaks: &[LinkFindings],
            asks: &[],
            cannot: &["Attempts that never reached the gateway."],
        },
        Control {
            id: "QR-3",
            about: "Algorithms can be changed on the running system",
            enforces: "A change is compiled, tested with handshakes, recorded, and published at once; links move, old ones end by a deadline.",
            shows: &[CryptoChanged, AlgorithmsBanned, LinksMoved, DrillsRun],
            breaks: &[CryptoTurnedDown, LinksCut],
            asks: &[Ask::Some(DrillsRun)],
            cannot: &["Whether clients that never connected could follow a change."],
        },
        Control {
            id: "QR-4",
            about: "Exceptions and old algorithms end by themselves",
            enforces: "Every exception has an end, and sunset dates act on their day.",
            shows: &[ExceptionsEnded, CryptoChanged],
            breaks: &[],
            asks: &[],
            cannot: &["Dates that guidance will set in future."],
        },
        Control {
            id: "QR-5",
            about: "Identities are quantum-safe",
            enforces: "The authority issues by the algorithms in force; each has a root of its own, which can be replaced with both trusted for a while.",
            shows: &[CallsProven, IdentitiesIssued, RootsReplaced],
            breaks: &[],
            asks: &[],
            cannot: &["Keys and certificates that others issued, beyond what links show."],
        },
        Control {
            id: "QR-6",
            about: "The way behind the gateway",
            enforces: "Servers over https are held to a profile; stdio servers are processes of the same machine.",
            shows: &[CallsPermitted],
            breaks: &[],
            asks: &[Ask::Upstream],
            cannot: &[UPSTREAM, "What a server forwards, and how."],
        },
    ],
    beyond: &[
        Beyond {
            ids: "data at rest",
            why: "disks, backups and databases: the gateway does not store what it carries",
        },
        Beyond {
            ids: "other protocols",
            why: "mail, file transfer, remote shells: see the inventory of each system",
        },
        Beyond { ids: "suppliers", why: "their plans and dates have to be asked for" },
    ],
    parts: &[Part::Quantum],
};
