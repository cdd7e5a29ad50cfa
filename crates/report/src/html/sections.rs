//! What stands before the controls, and the appendix after them.

use super::page::Page;
use super::{chart, controls, references};
use crate::background::Ending;
use crate::parts::{Availability, Incident, Part, Processing, Quantum, WeakLink};
use crate::report::{Named, Report};
use crate::text::{number, percent};
use crate::wire::Share;

pub(super) fn all(page: &mut Page, report: &Report) {
    if let Some(quantum) = &report.quantum {
        wire(page, quantum);
    }
    if let Some(processing) = &report.processing {
        records_of_processing(page, processing);
    }
    interventions(page, report);
    if let Some(timeline) = &report.timeline {
        happenings(page, timeline, report.timeline_left_out);
    }
    availability(page, &report.availability);
}

fn wire(page: &mut Page, quantum: &Quantum) {
    page.with("h2", &[], |page| page.text("Cryptography on the wire"));
    let calls = quantum.calls;
    page.with("div", &[("class", "figures")], |page| {
        for (figure, what) in [
            (percent(calls.quantum_safe, calls.remote()), "of remote calls were quantum-safe".to_owned()),
            (
                percent(quantum.links.quantum_safe, quantum.links.remote()),
                format!(
                    "of {}{} links",
                    if quantum.links_left_out { "more than " } else { "" },
                    number(quantum.links.remote())
                ),
            ),
            (number(calls.classical), "calls over links that are not quantum-safe".to_owned()),
            (number(calls.local), "calls without a tunnel, on the node’s own machine".to_owned()),
        ] {
            page.with("div", &[], |page| {
                page.text_in("b", "", &figure);
                page.text_in("span", "", &what);
            });
        }
    });
    page.with("figure", &[], |page| {
        chart::draw(page, &quantum.days);
        page.text_in("figcaption", "", "Share of remote calls that were quantum-safe, by day in UTC: filled is quantum-safe, hatched is not, and days without remote calls are empty. Below, the number of all calls.");
    });
    weakest(page, &quantum.weakest, quantum.weakest_left_out);
    shares(page, "By agent", "Agent", &quantum.by_agent);
    shares(page, "By server", "Server", &quantum.by_server);
    shares(page, "By profile", "Profile that the link was made under", &quantum.by_profile);
    seen(page, quantum);
    ways(page, quantum);
    page.text_in("p", "note", "Records of calls tell of the caller’s link. A link is told apart by its agent, address and port; the listener is not in the record, its profile is.");
}

fn weakest(page: &mut Page, weakest: &[WeakLink], left_out: u64) {
    page.with("h3", &[], |page| page.text("Weakest links"));
    if weakest.is_empty() {
        return page.text_in("p", "none", "No call of the period came over a link that is not quantum-safe.");
    }
    page.table("", &["Agent", "What is weak", "#Calls", "What to do", "Records"], |page| {
        for link in weakest {
            page.row(|page| {
                page.with("td", &[], |page| {
                    page.text(&link.agent);
                    page.text_in("span", "note", &format!("profile {}", link.profile));
                });
                page.text_in("td", "", &link.part);
                page.text_in("td", "n", &number(link.calls));
                page.with("td", &[], |page| {
                    page.text_in("code", "", &link.command);
                    page.text_in("span", "note", &link.advice);
                });
                references(page, &link.records);
            });
        }
    });
    if left_out > 0 {
        page.text_in(
            "p",
            "note",
            &format!("{} more calls came over weak links that are not listed.", number(left_out)),
        );
    }
}

fn shares(page: &mut Page, title: &'static str, heading: &str, parts: &[Part]) {
    if parts.is_empty() {
        return;
    }
    page.with("h3", &[], |page| page.text(title));
    page.table("", &[heading, "#Quantum-safe", "#Not", "#Local", "#Share"], |page| {
        for Part { name, calls } in parts {
            let Share { quantum_safe, classical, local } = *calls;
            page.row(|page| {
                page.text_in("td", "", name);
                [quantum_safe, classical, local]
                    .iter()
                    .for_each(|count| page.text_in("td", "n", &number(*count)));
                page.text_in("td", "n", &percent(quantum_safe, calls.remote()));
            });
        }
    });
}

fn seen(page: &mut Page, quantum: &Quantum) {
    let lists = [
        ("key exchange", &quantum.groups),
        ("peer’s signature", &quantum.peer_signatures),
        ("our signature", &quantum.own_signatures),
    ];
    if lists.iter().all(|(_, list)| list.is_empty()) {
        return;
    }
    page.with("h3", &[], |page| page.text("Algorithms that were negotiated"));
    page.table("", &["Part", "Algorithm", "#Calls"], |page| {
        for (part, list) in lists {
            for Named { name, count } in list {
                page.row(|page| {
                    page.text_in("td", "quiet", part);
                    page.text_in("td", "", name);
                    page.text_in("td", "n", &number(*count));
                });
            }
        }
    });
}

fn ways(page: &mut Page, quantum: &Quantum) {
    if !quantum.servers.is_empty() {
        page.with("h3", &[], |page| page.text("Behind the gateway, as configured today"));
        page.table("", &["Server", "Reached", "Quantum-safe"], |page| {
            for server in &quantum.servers {
                page.row(|page| {
                    page.text_in("td", "", &server.name);
                    page.text_in("td", "", &server.way);
                    page.text_in(
                        "td",
                        "k",
                        match server.quantum_safe {
                            Some(true) => "yes, by its profile",
                            Some(false) => "no",
                            None => "stays on this machine",
                        },
                    );
                });
            }
        });
    }
    page.with("h3", &[], |page| page.text("What ends when"));
    if quantum.dates.is_empty() {
        return page.text_in(
            "p",
            "none",
            "No algorithm, profile or exception in the configuration has a date.",
        );
    }
    // What ends alike is one row.
    let mut rows: Vec<(&Ending, Vec<&str>)> = Vec::new();
    for date in &quantum.dates {
        let alike = |row: &&mut (&Ending, Vec<&str>)| {
            (&row.0.day, &row.0.then, &row.0.source) == (&date.day, &date.then, &date.source)
        };
        match rows.iter_mut().find(alike) {
            Some((_, names)) => names.push(&date.what),
            None => rows.push((date, vec![&date.what])),
        }
    }
    page.table("", &["Day", "What", "Then", "By"], |page| {
        for (date, names) in rows {
            page.row(|page| {
                page.text_in("td", "t", &date.day);
                page.text_in("td", "", &names.join(", "));
                page.text_in("td", "", &date.then);
                page.text_in("td", "quiet k", &date.source);
            });
        }
    });
}

fn records_of_processing(page: &mut Page, processing: &Processing) {
    page.with("h2", &[], |page| page.text("Records of processing"));
    page.text_in("p", "", "One activity for each server that received calls. Categories are names of tools and arguments: what they mean, and whose data they are, has to be added by people.");
    if processing.activities.is_empty() {
        page.text_in("p", "none", "No call of the period reached a server.");
    }
    for activity in &processing.activities {
        page.with("section", &[("class", "control activity")], |page| {
            page.with("h3", &[], |page| {
                page.text_in("span", "id", &activity.recipient);
                page.text(&activity.place);
            });
            let or_none =
                |list: &[String], none: &str| if list.is_empty() { none.to_owned() } else { list.join(", ") };
            let transfer = match activity.leaves {
                None => "unknown: the configuration at hand does not name this server",
                Some(true) => "leaves this machine",
                Some(false) => "stays on this machine",
            };
            page.with("dl", &[("class", "facts")], |page| {
                let mut fact = |name: &str, value: &str| {
                    page.text_in("dt", "", name);
                    page.text_in("dd", "", value);
                };
                fact(
                    "Purposes",
                    &or_none(&activity.purposes, "none is written in the policies that permitted the calls"),
                );
                fact("Agents", &or_none(&activity.agents, "none"));
                fact("Tools", &or_none(&activity.tools, "none"));
                fact("Arguments", &or_none(&activity.categories, "no names of arguments were recorded"));
                fact("Transfer", &format!("{transfer}; country: {}", activity.country));
                fact(
                    "Volume",
                    &format!(
                        "{} calls, {} refused; {} bytes sent, {} received",
                        number(activity.calls),
                        number(activity.refused),
                        number(activity.bytes_sent),
                        number(activity.bytes_received)
                    ),
                );
                if activity.and_more {
                    fact("Note", "some list is longer than it is shown");
                }
            });
        });
    }
    if processing.left_out > 0 {
        page.text_in("p", "note", &format!("{} more servers are in report.json.", processing.left_out));
    }
    page.text_in(
        "p",
        "note",
        "Erasures, exports, holds and what went when its time was over are under Art. 5(1)(e), 15, 17 and 20. A receipt of an erasure names its ground, its months and purposes, and not whom it was about.",
    );
}

fn interventions(page: &mut Page, report: &Report) {
    page.with("h2", &[], |page| page.text("Where Lockgate stepped in"));
    if report.interventions.is_empty() {
        return page.text_in(
            "p",
            "none",
            "Nothing was refused, held, withheld, revoked or cut in the period.",
        );
    }
    controls::evidence(page, &report.interventions);
    if report.denials.is_empty() {
        return;
    }
    page.with("h3", &[], |page| page.text("Rules that refused calls"));
    page.table("", &["Rule", "#Calls"], |page| {
        for Named { name, count } in &report.denials {
            page.row(|page| {
                page.text_in("td", "", name);
                page.text_in("td", "n", &number(*count));
            });
        }
    });
}

fn happenings(page: &mut Page, timeline: &[Incident], left_out: u64) {
    page.with("h2", &[], |page| page.text("Timeline"));
    page.text_in("p", "", "What may have to be reported, with the end of 72 hours from the record. Duties count from becoming aware, and only for what was a breach or a significant incident: both are for people to say.");
    if timeline.is_empty() {
        return page.text_in(
            "p",
            "none",
            "No kill, alert, revocation, finding, burst of refusals or trouble of the log in the period.",
        );
    }
    page.table("", &["Recorded (UTC)", "72 hours end", "What", "Who", "Record"], |page| {
        for incident in timeline {
            page.row(|page| {
                page.text_in("td", "t", incident.time.get(..16).unwrap_or(&incident.time));
                page.text_in("td", "t", incident.due_72h.get(..16).unwrap_or(&incident.due_72h));
                page.with("td", &[], |page| {
                    page.text(incident.signal.says());
                    page.text_in("span", "note", &incident.what);
                });
                page.text_in("td", "", &incident.who);
                references(page, &[incident.record]);
            });
        }
    });
    if left_out > 0 {
        page.text_in("p", "note", &format!("{} more happenings are not listed.", number(left_out)));
    }
}

fn availability(page: &mut Page, availability: &Availability) {
    page.with("h2", &[], |page| page.text("When the node was up"));
    page.text_in(
        "p",
        "",
        &format!(
            "{} starts and {} orderly stops in the period, as far as the node recorded them.",
            number(availability.starts),
            number(availability.stops)
        ),
    );
    if !availability.down.is_empty() {
        page.table(
            "",
            &["Down since (UTC)", "Until", "#Minutes, at most", "How it ended before", "Record"],
            |page| {
                for gone in &availability.down {
                    page.row(|page| {
                        page.text_in("td", "t", &gone.from);
                        page.text_in("td", "t", gone.to.as_deref().unwrap_or("not back"));
                        page.text_in("td", "n", &number(gone.seconds.unsigned_abs().div_ceil(60)));
                        page.text_in(
                            "td",
                            "",
                            if gone.orderly {
                                "in order"
                            } else {
                                "without a stop: killed, crashed, or power lost"
                            },
                        );
                        references(page, &[gone.record]);
                    });
                }
            },
        );
    }
    if availability.clock_back_ms_max > 0 {
        let seconds = availability.clock_back_ms_max.unsigned_abs().div_ceil(1000);
        page.text_in(
            "p",
            "",
            &format!(
                "The clock went back by up to {} seconds; times are no order there, numbers of records are.",
                number(seconds)
            ),
        );
    }
}

/// Changes, the records that are cited, and how to check them.
pub(super) fn appendix(page: &mut Page, report: &Report) {
    page.with("h2", &[("class", "page")], |page| page.text("Cited records"));
    page.with("p", &[], |page| {
        page.text("Each stands whole in ");
        page.text_in("code", "", "evidence.jsonl");
        page.text(", byte for byte as in the log. Its hash is the one that the next record carries as ");
        page.text_in("code", "", "prev");
        page.text(", and that ");
        page.text_in("code", "", "grep '\"seq\":7,' evidence.jsonl | sha256sum");
        page.text(" prints. Of each count the first and the last record are cited, and the three with the smallest hashes: nobody chose them, and everybody finds the same ones.");
    });
    if !report.changes.is_empty() {
        page.with("p", &[("class", "note")], |page| {
            page.text("Changes of policy, cryptography and authority: records ");
            page.with("span", &[], |page| {
                for (n, seq) in report.changes.iter().enumerate() {
                    if n > 0 {
                        page.text(", ");
                    }
                    page.with("a", &[("href", &format!("#r{seq}"))], |page| page.text(&seq.to_string()));
                }
            });
            if report.changes_left_out > 0 {
                page.text(&format!(" and {} more", number(report.changes_left_out)));
            }
            page.text(".");
        });
    }
    page.table("cited", &["#Record", "Time (UTC)", "What it says, and the SHA-256 of its line"], |page| {
        for cited in report.cited.values() {
            page.with("tr", &[("id", &format!("r{}", cited.seq))], |page| {
                page.text_in("td", "n", &cited.seq.to_string());
                page.text_in("td", "t", &cited.time.get(..19).unwrap_or(&cited.time).replace('T', " "));
                page.with("td", &[], |page| {
                    page.text(&cited.says);
                    page.with("span", &[("class", "note")], |page| {
                        page.text_in("span", "mono", &cited.sha256)
                    });
                });
            });
        }
    });
    page.with("footer", &[], |page| {
        page.text_in("p", "note", &format!("Document {} of Lockgate {}. The same facts stand in report.json, and as OSCAL 1.2.1 in oscal-assessment-results.json and oscal-component-definition.json.", report.schema, report.background.version));
    });
}
