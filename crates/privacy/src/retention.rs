//! How long what is kept: by class, in months, and what goes when.
//!
//! A month is over for a class when that many whole months have followed it. Then the keys of its content are destroyed, or
//! those of its pseudonyms and tags; its records go when every class is over, since a month is one tree. Nothing goes that a
//! hold keeps.

use lockgate_audit::{Kind, Outcome, Record, drop_month, months};
use serde::{Deserialize, Serialize};

use crate::PrivacyError;
use crate::keeper::{Keeper, Recorder};
use crate::month::Month;
use crate::slot::Held;

/// For how many months each class is kept; none: for ever.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Retention {
    /// Content that policy opted in to.
    pub content: Option<u32>,
    /// Calls, refusals and streams; and with them pseudonyms and tags.
    pub calls: Option<u32>,
    /// Every other class of records: links, identities, changes, findings, the node's life.
    pub others: Vec<Option<u32>>,
}

impl Retention {
    /// For how many months records are kept, all classes considered.
    #[must_use]
    pub fn records(&self) -> Option<u32> {
        self.others.iter().chain([&self.calls]).copied().collect::<Option<Vec<_>>>()?.into_iter().max()
    }
}

/// What goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Part {
    /// Keys of content.
    Content,
    /// Keys of pseudonyms and tags.
    Tags,
    /// The records.
    Records,
}

/// A part of a month.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Due {
    /// The month, like `2026-11`.
    pub month: String,
    /// What of it.
    pub part: Part,
    /// How many keys or records.
    pub count: u64,
    /// The first month in which it goes; none: it stays.
    pub goes: Option<String>,
    /// Whether it goes now.
    pub is_due: bool,
    /// How many of them a hold keeps; of records, all or none.
    pub held: u64,
}

impl Keeper {
    /// What goes when.
    ///
    /// # Errors
    /// [`PrivacyError`].
    pub fn plan(&self, retention: &Retention, now: Month) -> Result<Vec<Due>, PrivacyError> {
        let holds = self.holds()?;
        let mut plan: Vec<Due> = Vec::new();
        let mut add = |month: Month, part: Part, count: u64, held: u64| {
            let months = match part {
                Part::Content => retention.content,
                Part::Tags => retention.calls,
                Part::Records => retention.records(),
            };
            let goes = months.map(|months| month.plus(months).plus(1));
            let name = month.to_string();
            if let Some(due) = plan.iter_mut().find(|due| due.month == name && due.part == part) {
                (due.count, due.held) = (due.count + count, due.held + held);
                return;
            }
            let is_due = goes.is_some_and(|goes| goes <= now);
            plan.push(Due {
                month: name,
                part,
                count,
                goes: goes.map(|goes| goes.to_string()),
                is_due,
                held,
            });
        };
        for held in self.vault.all()? {
            let is_held = holds.iter().any(|hold| hold.covers(&held.subject()));
            add(held.month, part_of(&held), 1, u64::from(is_held));
        }
        let all = months(&self.log)?;
        for (number, one) in all.iter().enumerate() {
            let Ok(month) = one.month.parse() else { continue };
            let count = (one.last + 1).saturating_sub(one.first);
            // The month that is being written stays.
            if number + 1 < all.len() {
                add(month, Part::Records, count, if holds.is_empty() { 0 } else { count });
            }
        }
        plan.sort_by(|one, two| (&one.month, one.part).cmp(&(&two.month, two.part)));
        Ok(plan)
    }

    /// Does what is due. Each part is recorded before it goes, and going on after a kill records it again. Gives what went.
    ///
    /// # Errors
    /// [`PrivacyError`].
    pub fn retain(
        &self,
        retention: &Retention,
        now: Month,
        recorder: &dyn Recorder,
    ) -> Result<Vec<Due>, PrivacyError> {
        let plan = self.plan(retention, now)?;
        let _turn = self.turn.lock();
        let mut gone = Vec::new();
        // Months go from the oldest on: what follows one that is held stays as well.
        let mut is_open = true;
        for due in plan {
            if due.part == Part::Records {
                is_open &= due.is_due && due.held == 0;
            }
            let goes = match due.part {
                Part::Records => is_open,
                Part::Content | Part::Tags => due.is_due && due.held < due.count,
            };
            if goes {
                recorder.record(&due.record())?;
                self.take_away(&due)?;
                gone.push(due);
            }
        }
        Ok(gone)
    }

    fn take_away(&self, due: &Due) -> Result<(), PrivacyError> {
        if due.part == Part::Records {
            drop_month(&self.log, &due.month)?;
            return Ok(());
        }
        let holds = self.holds()?;
        let is_of = |held: &Held| held.month.to_string() == due.month && part_of(held) == due.part;
        let goes = |held: &Held| is_of(held) && !holds.iter().any(|hold| hold.covers(&held.subject()));
        self.vault.destroy(&goes, &|_| {}).map(drop)
    }
}

fn part_of(held: &Held) -> Part {
    if held.purpose.is_empty() { Part::Tags } else { Part::Content }
}

impl Due {
    fn record(&self) -> Record<'_> {
        let what = match self.part {
            Part::Content => "keys of content are destroyed: their time is over",
            Part::Tags => "keys of pseudonyms and tags are destroyed: their time is over",
            Part::Records => {
                "records are taken away: their time is over; the last checkpoint of the month stays"
            }
        };
        Record {
            method: Some("audit/retain".into()),
            name: Some(self.month.as_str().into()),
            reason: Some(what.into()),
            count: Some(self.count - self.held),
            ..Record::new(Kind::Lifecycle, Outcome::Ok)
        }
    }
}
