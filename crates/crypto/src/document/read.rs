//! From TOML to a [`Document`], with every problem at once.

use std::collections::BTreeMap;

use jiff::civil::Date;
use jiff::tz::TimeZone;
use toml::de::{DeTable, DeValue};

use super::fields::{At, Reader, Table};
use super::{DOCUMENT_BYTES_MAX, Document, DocumentErrors, ENTRIES_MAX, PROFILES_MAX, SCHEMA, shown};
use crate::catalog::{self, Algorithm, Kind};
use crate::digest::{hex, sha256};
use crate::{Ban, Conditions, Definition, Sunset, profile};

/// Longest list of algorithms: more than the catalog has.
const LIST_MAX: usize = 64;

pub(super) fn document(text: &str) -> Result<Document, DocumentErrors> {
    let mut reader = Reader { problems: Vec::new() };
    if text.len() > DOCUMENT_BYTES_MAX {
        reader.problem(0, format!("the document has more than {DOCUMENT_BYTES_MAX} bytes"));
        return Err(reader.finish(text));
    }
    let (root, errors) = DeTable::parse_recoverable(text);
    if !errors.is_empty() {
        // What could be read of broken TOML would only give problems that follow from it.
        for error in errors {
            reader.problem(error.span().map_or(0, |span| span.start), error.message().to_owned());
        }
        return Err(reader.finish(text));
    }
    let root = Table { members: root.get_ref(), at: 0, what: "the document" };
    match reader.document(root, text) {
        Some(document) if reader.problems.is_empty() => Ok(document),
        _ => Err(reader.finish(text)),
    }
}

/// A profile and where its parts stand, for the checks that need the whole document.
struct Placed {
    definition: Definition,
    at: usize,
    lists: [At<&'static str>; 3],
}

impl Reader {
    fn document(&mut self, root: Table<'_, '_>, text: &str) -> Option<Document> {
        self.known(root, &["schema", "epoch", "issued", "profile", "sunset", "ban"]);
        if let Some((schema, at)) = self.text(root, "schema")
            && schema != SCHEMA
        {
            self.problem(at, format!("this build reads schema {SCHEMA:?}, not \"{}\"", shown(&schema)));
        }
        let epoch = self.epoch(root);
        let issued = self.date(root, "issued");
        if issued.is_none() && root.get("issued").is_none() {
            self.problem(0, "issued is missing: the day on which the document is signed, like 2026-11-22");
        }
        let profiles: Vec<Placed> = self
            .tables(root, "profile", "[[profile]]", PROFILES_MAX)
            .into_iter()
            .filter_map(|table| self.profile(table))
            .collect();
        let sunsets = self.sunsets(root);
        let bans = self.bans(root, epoch, issued.map(|(date, _)| date));
        self.distinct_names(&profiles);
        let (epoch, (issued, _)) = (epoch?, issued?);
        let conditions = Conditions {
            bans: bans.clone().into(),
            sunsets: sunsets.clone().into(),
            ..Conditions::on(epoch, issued)
        };
        for profile in &profiles {
            self.usable(profile, &conditions);
        }
        Some(Document {
            epoch,
            issued,
            profiles: profiles.into_iter().map(|profile| profile.definition).collect(),
            sunsets,
            bans,
            sha256: hex(&sha256(text.as_bytes())),
        })
    }

    fn epoch(&mut self, root: Table<'_, '_>) -> Option<u64> {
        const WANTED: &str = "epoch is the number of the document: a whole number from 1, higher each time";
        let Some(value) = root.get("epoch") else {
            self.problem(root.at, WANTED);
            return None;
        };
        let number = match value.get_ref() {
            // TOML's integers have 63 bits.
            DeValue::Integer(digits) => i64::from_str_radix(digits.as_str(), digits.radix()).ok(),
            _ => None,
        };
        let epoch = number.and_then(|number| u64::try_from(number).ok()).filter(|epoch| *epoch > 0);
        if epoch.is_none() {
            self.problem(value.span().start, WANTED);
        }
        epoch
    }

    fn profile(&mut self, table: Table<'_, '_>) -> Option<Placed> {
        let keys = ["name", "purpose", "groups", "signatures", "ciphers", "providers", "not_after"];
        self.known(table, &keys);
        let name = self.text(table, "name");
        let purpose = self.optional_text(table, "purpose").unwrap_or_default();
        let groups = self.list(table, "groups", Kind::Group);
        let signatures = self.list(table, "signatures", Kind::Signature);
        let ciphers = self.list(table, "ciphers", Kind::Cipher);
        let providers = self.providers(table);
        let not_after = self.date(table, "not_after");
        let (name, at) = name?;
        let ((groups, groups_at), (signatures, signatures_at), (ciphers, ciphers_at)) =
            (groups?, signatures?, ciphers?);
        let definition = Definition {
            name,
            purpose,
            groups,
            signatures,
            ciphers,
            providers,
            not_after: not_after.map(|(date, _)| date.to_string()),
        };
        Some(Placed {
            definition,
            at,
            lists: [("groups", groups_at), ("signatures", signatures_at), ("ciphers", ciphers_at)],
        })
    }

    /// A list of algorithms of one kind, each known, with code, and there once.
    fn list(&mut self, table: Table<'_, '_>, key: &str, kind: Kind) -> Option<At<Vec<String>>> {
        let Some(value) = table.get(key) else {
            self.problem(table.at, format!("{} has no {key}: list at least one", table.what));
            return None;
        };
        let at = value.span().start;
        let DeValue::Array(items) = value.get_ref() else {
            self.problem(at, format!("{key} is a list of algorithms, like [\"…\", \"…\"]"));
            return None;
        };
        if items.is_empty() {
            self.problem(at, format!("{key} is empty: list at least one"));
        }
        if items.len() > LIST_MAX {
            self.problem(at, format!("{key} lists more than {LIST_MAX}"));
            return None;
        }
        let mut ids: Vec<String> = Vec::new();
        for item in items {
            let at = item.span().start;
            let Some(id) = item.get_ref().as_str() else {
                self.problem(at, format!("{key} holds names of algorithms, each in quotes"));
                continue;
            };
            if let Err(why) = check(id, kind) {
                self.problem(at, why);
            } else if ids.iter().any(|known| known == id) {
                self.problem(at, format!("{id} is listed twice"));
            } else {
                ids.push(id.to_owned());
            }
        }
        Some((ids, at))
    }

    fn providers(&mut self, table: Table<'_, '_>) -> BTreeMap<String, String> {
        let mut providers = BTreeMap::new();
        let Some(value) = table.get("providers") else { return providers };
        let DeValue::Table(members) = value.get_ref() else {
            self.problem(value.span().start, "providers is a table, like { ALGORITHM = \"provider\" }");
            return providers;
        };
        for (key, value) in members {
            let Some(row) = catalog::find(key.get_ref()) else {
                self.problem(key.span().start, unknown(key.get_ref()));
                continue;
            };
            match value.get_ref().as_str() {
                Some(provider) if row.providers.contains(&provider) => {
                    providers.insert(row.id.to_owned(), provider.to_owned());
                }
                _ => {
                    let known = row.providers.join(", ");
                    self.problem(value.span().start, format!("{} is provided by {known}", row.id));
                }
            }
        }
        providers
    }

    fn sunsets(&mut self, root: Table<'_, '_>) -> Vec<Sunset> {
        let mut sunsets: Vec<Sunset> = Vec::new();
        for table in self.tables(root, "sunset", "[[sunset]]", ENTRIES_MAX) {
            self.known(table, &["algorithm", "warn_after", "not_after"]);
            let row = self.algorithm(table);
            let warn_after = self.date(table, "warn_after");
            let not_after = self.date(table, "not_after");
            let Some((row, at)) = row else { continue };
            if sunsets.iter().any(|sunset| sunset.algorithm == row.id) {
                self.problem(at, format!("{} has a sunset already", row.id));
            }
            self.sunset_dates(row, at, warn_after, not_after);
            sunsets.push(Sunset {
                algorithm: row.id.to_owned(),
                warn_after: warn_after.map(|(date, _)| date.to_string()),
                not_after: not_after.map(|(date, _)| date.to_string()),
            });
        }
        sunsets
    }

    /// A sunset only brings dates forward, and its own agree with each other.
    fn sunset_dates(
        &mut self,
        row: &Algorithm,
        at: usize,
        warn_after: Option<At<Date>>,
        not_after: Option<At<Date>>,
    ) {
        if warn_after.is_none() && not_after.is_none() {
            self.problem(at, "a sunset needs warn_after, not_after, or both");
        }
        for (key, ours, limit) in
            [("warn_after", warn_after, row.warn_after), ("not_after", not_after, row.not_after)]
        {
            if let (Some((date, at)), Some(limit)) = (ours, limit)
                && date > catalog::parse_date(limit)
            {
                let id = row.id;
                self.problem(
                    at,
                    format!("{key} of {id} is {limit} in the catalog, and a sunset may only come earlier"),
                );
            }
        }
        let end = not_after.map(|(date, _)| date).or(row.not_after.map(catalog::parse_date));
        if let (Some((warn, at)), Some(end)) = (warn_after, end)
            && warn > end
        {
            self.problem(
                at,
                format!("warn_after is later than {end}, after which there is nothing to warn of"),
            );
        }
        if let (Some((end, at)), Some(first)) = (not_after, row.not_before)
            && end < catalog::parse_date(first)
        {
            self.problem(at, format!("not_after is earlier than the first day of use, {first}; write a ban"));
        }
    }

    fn bans(&mut self, root: Table<'_, '_>, epoch: Option<u64>, issued: Option<Date>) -> Vec<Ban> {
        let midnight = issued.and_then(|date| date.to_zoned(TimeZone::UTC).ok());
        let since_ms = midnight.and_then(|time| u64::try_from(time.timestamp().as_millisecond()).ok());
        let mut bans: Vec<Ban> = Vec::new();
        for table in self.tables(root, "ban", "[[ban]]", ENTRIES_MAX) {
            self.known(table, &["algorithm", "provider", "keep_hybrids", "reason"]);
            let row = self.algorithm(table);
            let provider = table.get("provider").is_some().then(|| self.text(table, "provider"));
            let keep_hybrids = self.flag(table, "keep_hybrids");
            let reason = self.text(table, "reason");
            let Some((row, at)) = row else { continue };
            let provider = provider.flatten();
            if let Some((provider, at)) = &provider
                && !row.providers.contains(&provider.as_str())
            {
                self.problem(*at, format!("{} is provided by {}", row.id, row.providers.join(", ")));
            }
            let ban = Ban {
                algorithm: row.id.to_owned(),
                provider: provider.map(|(provider, _)| provider),
                keep_hybrids,
                reason: reason.map(|(reason, _)| reason).unwrap_or_default(),
                since_ms: since_ms.unwrap_or_default(),
                by: format!("crypto document {}", epoch.unwrap_or_default()),
            };
            if bans.iter().any(|known| known.target() == ban.target()) {
                self.problem(at, format!("{} is banned already", ban.target()));
            }
            bans.push(ban);
        }
        bans
    }

    /// No name twice, and none that is shipped: a shipped name must never change its meaning.
    fn distinct_names(&mut self, profiles: &[Placed]) {
        for (nth, placed) in profiles.iter().enumerate() {
            let name = placed.definition.name.as_str();
            if profiles[..nth].iter().any(|other| other.definition.name == name) {
                self.problem(placed.at, format!("there are two profiles named {}", shown(name)));
            }
            let alias = name.split('@').next().unwrap_or(name);
            if let Some(shipped) = profile::all().iter().find(|shipped| shipped.alias == alias) {
                let message = format!("{} is a profile that is shipped; choose another name", shipped.alias);
                self.problem(placed.at, message);
            }
        }
    }

    /// The profile can be defined, and something of each list may be used on the day of issue.
    fn usable(&mut self, placed: &Placed, conditions: &Conditions) {
        let definition = &placed.definition;
        if let Some(last) = &definition.not_after
            && *last < conditions.date.to_string()
        {
            let issued = conditions.date;
            self.problem(placed.at, format!("not_after {last} is before the document was issued, {issued}"));
        }
        let lists = [&definition.groups, &definition.signatures, &definition.ciphers];
        for (ids, (key, at)) in lists.into_iter().zip(placed.lists) {
            let rows = ids.iter().filter_map(|id| catalog::find(id));
            let refusals: Vec<_> = rows.map(|row| conditions.refusal_of(row)).collect();
            if let Some(Some(why)) = refusals.first()
                && refusals.iter().all(Option::is_some)
            {
                let message = format!("nothing of {key} may be used by this document itself: {why}");
                self.problem(at, message);
            }
        }
        // Empty lists were told of where they stand.
        if !lists.iter().any(|ids| ids.is_empty())
            && let Err(error) = definition.check()
        {
            self.problem(placed.at, error.to_string());
        }
    }

    fn algorithm(&mut self, table: Table<'_, '_>) -> Option<At<&'static Algorithm>> {
        let (id, at) = self.text(table, "algorithm")?;
        let row = catalog::find(&id);
        if row.is_none() {
            self.problem(at, unknown(&id));
        }
        row.map(|row| (row, at))
    }
}

/// Whether a profile may list this algorithm.
fn check(id: &str, kind: Kind) -> Result<(), String> {
    let row = catalog::find(id).ok_or_else(|| unknown(id))?;
    if row.kind != kind {
        let is = match row.kind {
            Kind::Group => "group",
            Kind::Signature => "signature",
            Kind::Cipher => "cipher",
        };
        return Err(format!("{id} is a {is}, which does not belong here"));
    }
    if !row.is_usable() || row.code_point.is_none() {
        return Err(format!("{id} cannot be used in TLS by this build"));
    }
    Ok(())
}

fn unknown(id: &str) -> String {
    format!("there is no algorithm \"{}\"; `lockgate crypto catalog` lists those that there are", shown(id))
}
