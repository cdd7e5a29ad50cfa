//! GDPR: articles that records of traffic speak to.

use super::{AROUND, BEHIND, UPSTREAM};
use crate::framework::{Ask, Beyond, Control, Framework, Part};
use crate::signal::Signal::*;

pub(crate) const FRAMEWORK: Framework = Framework {
    id: "gdpr",
    title: "GDPR",
    about: "What the record of traffic contributes to accountability: records of processing, recipients, security of processing, \
            and the timeline from which a notice of a breach is made.",
    controls: &[
        Control {
            id: "Art. 5(1)(c)",
            about: "Data minimisation",
            enforces: "Policies decide on single arguments and cut results to the fields that may pass; records hold names, sizes and keyed tags, and content only for a purpose, encrypted.",
            shows: &[CallsPermitted, CallsDenied],
            breaks: &[],
            asks: &[Ask::Arguments, Ask::Purpose],
            cannot: &["Which calls carried personal data, and whose.", BEHIND],
        },
        Control {
            id: "Art. 5(1)(e)",
            about: "Storage limitation",
            enforces: "Content, tags and records go when the time of their class is over; what is held for a duty to preserve stays, and both are recorded.",
            shows: &[Retained, HoldsChanged, ContentKept],
            breaks: &[],
            asks: &[],
            cannot: &[
                "Whether the times that are configured are the right ones.",
                "Backups and what was exported.",
            ],
        },
        Control {
            id: "Art. 5(2)",
            about: "Accountability",
            enforces: "Each call and refusal leaves a record that names agent, server, policy and outcome, in a log that shows tampering.",
            shows: &[Recorded],
            breaks: &[LogRepaired, ClockBack],
            asks: &[Ask::Durable, Ask::Anchor],
            cannot: &[AROUND],
        },
        Control {
            id: "Art. 15, 20",
            about: "Access and portability, of what the gateway recorded",
            enforces: "All records of a subject are exported with their content and with proofs; that it was asked is recorded.",
            shows: &[SubjectsExported],
            breaks: &[],
            asks: &[],
            cannot: &[
                "Data in the systems behind the gateway.",
                "Whether the person was given what was exported.",
            ],
        },
        Control {
            id: "Art. 17",
            about: "Erasure, of what the gateway recorded",
            enforces: "The keys of a subject are destroyed and a receipt with ground and scope is recorded; the log stays whole. A hold refuses it.",
            shows: &[SubjectsErased, ErasuresRefused],
            breaks: &[],
            asks: &[],
            cannot: &[
                "Requests that reached nobody here.",
                "Data in the systems behind the gateway, backups, and what was exported.",
            ],
        },
        Control {
            id: "Art. 25",
            about: "Data protection by design and by default",
            enforces: "Nothing is permitted that no policy permits; new tools and agents begin with nothing.",
            shows: &[CallsPermitted, CallsDenied, CallsHeld],
            breaks: &[],
            asks: &[Ask::Purpose],
            cannot: &["Whether purposes that are written down are lawful."],
        },
        Control {
            id: "Art. 28",
            about: "Processors",
            enforces: "Each recipient is a named server whose calls are decided and counted; its tool definitions are pinned.",
            shows: &[CallsPermitted, DefinitionsApproved],
            breaks: &[],
            asks: &[Ask::Country],
            cannot: &["Contracts with processors, and their sub-processors.", BEHIND],
        },
        Control {
            id: "Art. 30",
            about: "Records of processing activities",
            enforces: "Systems, agents, recipients, names of arguments and purposes are drawn from the log and the configuration.",
            shows: &[CallsPermitted],
            breaks: &[],
            asks: &[Ask::Country, Ask::Purpose],
            cannot: &[
                "Categories of persons and data beyond the names of tools and arguments.",
                "Controllers, representatives and officers.",
                AROUND,
            ],
        },
        Control {
            id: "Art. 32(1)(a)",
            about: "Encryption of what is in transmission",
            enforces: "Tunnels are TLS 1.3 with hybrid post-quantum key exchange; what was negotiated is in each record.",
            shows: &[CallsQuantumSafe],
            breaks: &[CallsClassical],
            asks: &[Ask::ClassicalListener, Ask::Upstream],
            cannot: &[UPSTREAM],
        },
        Control {
            id: "Art. 32(1)(b)",
            about: "Confidentiality, integrity and resilience",
            enforces: "Unproven callers, weak links and screened content are refused; without a record nothing leaves.",
            shows: &[CallsDenied, LinksRefused, PeersRefused, CallersRefused, CallsScreened],
            breaks: &[CallsAnonymous, UncleanStarts],
            asks: &[Ask::Identity],
            cannot: &["Systems behind and beside the gateway."],
        },
        Control {
            id: "Art. 32(1)(d)",
            about: "Regular tests of the measures",
            enforces: "Rehearsals of a change of algorithms and policies on trial are recorded.",
            shows: &[DrillsRun, CallsShadowed],
            breaks: &[],
            asks: &[Ask::Some(DrillsRun)],
            cannot: &["Audits and tests outside of Lockgate."],
        },
        Control {
            id: "Art. 33",
            about: "Notice of a breach to the authority",
            enforces: "What may have been a breach is listed with its time, and with the moment at which 72 hours are over.",
            shows: &[CallsKilled, Alerts, IdentitiesRevoked, CallsScreened, Findings],
            breaks: &[RefusalBursts],
            asks: &[],
            cannot: &[
                "Whether it was a breach of personal data, when you became aware of it, and whether notice was given.",
            ],
        },
    ],
    beyond: &[
        Beyond { ids: "Art. 6, 7, 9", why: "legal bases and consent are decided before a call is made" },
        Beyond {
            ids: "Art. 16, 18, 21–22",
            why: "these rights of persons are met in the systems that hold their data",
        },
        Beyond {
            ids: "Art. 35",
            why: "an impact assessment needs judgement; the records of processing below are a part of its material",
        },
        Beyond {
            ids: "Art. 44–49",
            why: "the ground of a transfer is in contracts; recipients and the countries that the configuration names are below",
        },
    ],
    parts: &[Part::Processing, Part::Timeline],
};
