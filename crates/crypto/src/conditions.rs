//! What decides, besides the profile, whether an algorithm may be used: bans and dates.

use std::sync::Arc;

use jiff::civil::Date;
use serde::{Deserialize, Serialize};

use crate::catalog::{self, Algorithm, Kind, Phase};
use crate::{CryptoError, group};

/// The circumstances under which a profile is compiled.
#[derive(Clone, Debug)]
pub struct Conditions {
    /// Number of the configuration; each link made under it carries it.
    pub epoch: u64,
    /// The day by which dates are judged, UTC.
    pub date: Date,
    /// What must not be used, whatever a profile lists.
    pub bans: Arc<[Ban]>,
    /// Dates that come before those of the catalog.
    pub sunsets: Arc<[Sunset]>,
}

/// An algorithm, or one implementation of it, that is out of use at once.
///
/// A hybrid holds while either of its halves holds, but it still runs the code of both.
/// A ban therefore covers what is composed of the algorithm too, which is right when its
/// implementation is at fault; `keep_hybrids` spares them, which is enough when only the
/// mathematics of one half is broken.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ban {
    /// Catalog id.
    pub algorithm: String,
    /// Only this implementation of it; all of them when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provider: Option<String>,
    /// Whether hybrids that contain the algorithm stay in use.
    #[serde(default)]
    pub keep_hybrids: bool,
    /// Why, for whoever reads it later.
    #[serde(default)]
    pub reason: String,
    /// When it was decided, in milliseconds since the Unix epoch.
    #[serde(default)]
    pub since_ms: u64,
    /// Who decided it.
    #[serde(default)]
    pub by: String,
}

impl Ban {
    /// Reads `ID` or `PROVIDER/ID`, both of which must be in the catalog.
    ///
    /// # Errors
    /// [`CryptoError::UnusableAlgorithm`].
    pub fn parse_target(text: &str) -> Result<(String, Option<String>), CryptoError> {
        let (provider, id) = match text.split_once('/') {
            Some((provider, id)) => (Some(provider), id),
            None => (None, text),
        };
        let row = catalog::find(id);
        let row = row.ok_or_else(|| CryptoError::unusable(id, "the catalog has no such algorithm"))?;
        if let Some(provider) = provider
            && !row.providers.contains(&provider)
        {
            let known = row.providers.join(", ");
            return Err(CryptoError::unusable(
                text,
                &format!("{id} has no provider {provider}; it has {known}"),
            ));
        }
        Ok((row.id.to_owned(), provider.map(str::to_owned)))
    }

    /// `ID` or `PROVIDER/ID`.
    #[must_use]
    pub fn target(&self) -> String {
        match &self.provider {
            Some(provider) => format!("{provider}/{}", self.algorithm),
            None => self.algorithm.clone(),
        }
    }

    /// Whether no implementation of `row` may be used.
    #[must_use]
    pub fn covers(&self, row: &Algorithm) -> bool {
        self.provider.is_none() && self.hits(row)
    }

    /// Whether this implementation of `row` may not be used. A hybrid runs the code of its
    /// components: that of its own provider, or, where this crate composes it, the defaults.
    #[must_use]
    pub fn covers_provider(&self, row: &Algorithm, provider: &str) -> bool {
        let Some(banned) = &self.provider else { return self.covers(row) };
        if row.id == self.algorithm {
            return banned == provider;
        }
        let runs = if row.is_composed() { catalog::AWS_LC } else { provider };
        !self.keep_hybrids && self.contains(row) && banned == runs
    }

    fn hits(&self, row: &Algorithm) -> bool {
        row.id == self.algorithm || (!self.keep_hybrids && self.contains(row))
    }

    fn contains(&self, row: &Algorithm) -> bool {
        row.components.iter().any(|part| *part == self.algorithm)
    }
}

/// Dates of an algorithm that come before those of the catalog.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sunset {
    /// Catalog id.
    pub algorithm: String,
    /// From the day after this one, each use is worth a warning. RFC 3339 full-date.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub warn_after: Option<String>,
    /// Last day of use. RFC 3339 full-date.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_after: Option<String>,
}

/// An algorithm in force whose end is dated.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ending {
    /// Catalog id.
    pub algorithm: String,
    /// Where today falls.
    pub phase: Phase,
    /// From the day after this one, each use is worth a warning.
    #[serde(default)]
    pub warn_after: Option<String>,
    /// Last day of use.
    #[serde(default)]
    pub not_after: Option<String>,
}

impl Conditions {
    /// Today (UTC), without bans and with the catalog's own dates.
    #[must_use]
    pub fn today(epoch: u64) -> Self {
        let today = jiff::Timestamp::now().to_zoned(jiff::tz::TimeZone::UTC);
        Self::on(epoch, today.date())
    }

    /// A day, without bans and with the catalog's own dates.
    #[must_use]
    pub fn on(epoch: u64, date: Date) -> Self {
        Self { epoch, date, bans: Arc::default(), sunsets: Arc::default() }
    }

    /// Where the day falls in the dates of `row`, which sunsets may have brought forward.
    #[must_use]
    pub fn phase_of(&self, row: &Algorithm) -> Phase {
        let (warn_after, not_after) = self.dates_of(row);
        catalog::phase(self.date, row.not_before, warn_after, not_after)
    }

    /// Why `row` may not be used: a ban, a date, or no code. `None` if it may.
    #[must_use]
    pub fn refusal_of(&self, row: &Algorithm) -> Option<String> {
        if !row.is_usable() {
            return Some(format!("{} has no code in this build", row.id));
        }
        if let Some(ban) = self.bans.iter().find(|ban| ban.covers(row)) {
            return Some(banned(ban));
        }
        // Where a ban leaves only what this machine cannot run, nothing is left.
        let mut runnable = row.providers.iter().filter(|provider| runs_here(row, provider));
        let bans: Option<Vec<_>> =
            runnable.by_ref().map(|provider| self.provider_ban(row, provider)).collect();
        if let Some(ban) = bans.and_then(|bans| bans.into_iter().next()) {
            return Some(banned(ban));
        }
        match self.phase_of(row) {
            Phase::Early => {
                Some(format!("it is not in use before {}", row.not_before.unwrap_or("a later day")))
            }
            Phase::Ended => {
                Some(format!("its last day was {}", self.dates_of(row).1.unwrap_or("an earlier day")))
            }
            Phase::Current | Phase::Warned => None,
        }
    }

    /// The ban of one implementation of `row`, if there is one.
    #[must_use]
    pub fn provider_ban(&self, row: &Algorithm, provider: &str) -> Option<&Ban> {
        self.bans.iter().find(|ban| ban.covers_provider(row, provider))
    }

    /// The end of `row`; `None` if it has no date.
    #[must_use]
    pub fn ending_of(&self, row: &Algorithm) -> Option<Ending> {
        let (warn_after, not_after) = self.dates_of(row);
        (warn_after.is_some() || not_after.is_some()).then(|| Ending {
            algorithm: row.id.to_owned(),
            phase: self.phase_of(row),
            warn_after: warn_after.map(str::to_owned),
            not_after: not_after.map(str::to_owned),
        })
    }

    /// `warn_after` and `not_after`, the earliest that anybody gives. RFC 3339 dates sort as
    /// text.
    fn dates_of<'a>(&'a self, row: &Algorithm) -> (Option<&'a str>, Option<&'a str>) {
        let sunsets = || self.sunsets.iter().filter(|sunset| sunset.algorithm == row.id);
        let warn = sunsets().filter_map(|sunset| sunset.warn_after.as_deref()).chain(row.warn_after).min();
        let end = sunsets().filter_map(|sunset| sunset.not_after.as_deref()).chain(row.not_after).min();
        (warn, end)
    }
}

/// Whether this build and this machine can run `row` by `provider`.
fn runs_here(row: &Algorithm, provider: &str) -> bool {
    match catalog::find(row.id) {
        Some(row) if row.kind == Kind::Group => group::implementation(row, provider).is_some(),
        _ => true,
    }
}

fn banned(ban: &Ban) -> String {
    let reason = if ban.reason.is_empty() { "no reason given" } else { &ban.reason };
    format!("{} is banned: {reason}", ban.target())
}
