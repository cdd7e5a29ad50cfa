//! The exports of a node: made from its settings, each with its cursor in the store.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use http::Uri;
use lockgate_admin::{ExportView, Exports as ExportsShown};
use lockgate_audit::{Cursor, Log};
use lockgate_export::{Exporter, HttpSink, Keep, Line, Sink, Source, Standing, SyslogSink, Token};
use lockgate_identity::SealedStore;
use lockgate_identity::verifier::ForeignRoots;
use lockgate_store::Store;
use lockgate_transport::http::{Limits, Pool, Target};
use lockgate_transport::{Dialer, Trust, dialer};
use parking_lot::Mutex;
use tokio_util::sync::CancellationToken;
use zeroize::Zeroizing;

use super::agility::{Compiled, Dialled};
use super::control::Control;
use super::credentials;
use crate::config::{ExportKind, ExportPlan, ExportTo, Settings};
use crate::diagnostic::Diagnostic;
use crate::trouble;

/// Where the connections of exports stand among the upstreams.
const PLACE: &str = "export:";

/// Where cursors are kept.
const SPACE: &str = "exports";

/// Batches go one after another over one connection.
const LINKS_MAX: usize = 1;

/// The exports at work.
#[derive(Default)]
pub(super) struct Exports(Mutex<BTreeMap<String, AtWork>>);

struct AtWork {
    plan: ExportPlan,
    standing: Arc<Standing>,
    end: CancellationToken,
}

/// A place that is reached by HTTP.
pub(super) struct Place<'a> {
    /// Its name among the upstreams.
    pub(super) name: &'a str,
    /// What is sent, for people.
    pub(super) what: &'a str,
    pub(super) url: &'a Uri,
    pub(super) roots: Option<&'a Path>,
}

/// The cursor of one export.
struct Shelf {
    store: Store,
    name: String,
}

impl Keep for Shelf {
    fn load(&self) -> Result<Option<u64>, String> {
        self.store.get_json(SPACE, &self.name).map_err(|error| error.to_string())
    }

    fn save(&self, next: u64) -> Result<(), String> {
        self.store.put_json(SPACE, &self.name, &next).map_err(|error| error.to_string())
    }
}

/// A token in the sealed store, opened for each batch.
struct Sealed {
    store: SealedStore,
    name: String,
}

impl Token for Sealed {
    fn read(&self) -> Result<Zeroizing<String>, String> {
        let secret = self.store.get(&self.name).map_err(|error| error.to_string())?;
        let text =
            std::str::from_utf8(credentials::line(&secret)).map_err(|_| "it is not text".to_owned())?;
        Ok(Zeroizing::new(text.to_owned()))
    }
}

/// The log of this node, as far as it is on the disk.
struct Records {
    log: Arc<Log>,
    dir: PathBuf,
    cursor: Option<Cursor>,
}

impl Source for Records {
    fn read(&mut self, next: u64, records: usize, bytes: usize) -> Result<(Vec<Line>, u64), String> {
        let last = self.log.on_disk();
        let mut lines = Vec::new();
        if next > last {
            return Ok((lines, last));
        }
        let read = self.from(next)?.read(last, (records, bytes), &mut lines);
        if read.is_err() {
            self.cursor = None;
        }
        read.map_err(|error| error.to_string())?;
        Ok((lines, last))
    }
}

impl Records {
    /// The cursor before a record, or before the oldest that is left.
    fn from(&mut self, next: u64) -> Result<Reading<'_>, String> {
        let oldest = Cursor::oldest(&self.dir).map_err(|error| error.to_string())?;
        let next = oldest.map_or(next, |oldest| oldest.max(next));
        if self.cursor.as_ref().is_none_or(|cursor| cursor.next() != next) {
            self.cursor = Some(Cursor::before(&self.dir, next));
        }
        Ok(Reading(self.cursor.as_mut().expect("it was just set")))
    }
}

struct Reading<'a>(&'a mut Cursor);

impl Reading<'_> {
    fn read(
        self,
        last: u64,
        (records, bytes): (usize, usize),
        lines: &mut Vec<Line>,
    ) -> Result<(), lockgate_audit::AuditError> {
        let mut size = 0;
        while lines.len() < records && size < bytes {
            let seq = self.0.next();
            let Some(line) = self.0.line(last)? else { break };
            size += line.len();
            lines.push(Line { seq, text: String::from_utf8_lossy(line).into_owned() });
        }
        Ok(())
    }
}

impl Control {
    /// Begins the exports of the settings that are not at work yet, and ends those that are not wanted any more.
    ///
    /// # Errors
    /// Roots or algorithms that cannot be used; what was at work goes on.
    pub(super) fn put_exports(&self, new: &Settings) -> Result<Option<String>, Diagnostic> {
        let stays = |plan: &ExportPlan| {
            self.exports().0.lock().get(&plan.name).is_some_and(|at_work| at_work.plan == *plan)
        };
        let mut changing = self.changing().lock();
        let in_force = Arc::clone(&changing.in_force);
        let mut dialled = Vec::new();
        let mut made = Vec::new();
        for plan in new.exports.iter().filter(|plan| !stays(plan)) {
            let sink = self.sink(plan, new, &in_force, &mut dialled)?;
            made.push((plan.clone(), sink));
        }
        let mut at_work = self.exports().0.lock();
        let before = at_work.len();
        at_work.retain(|_, old| {
            let wanted = new.exports.contains(&old.plan);
            if !wanted {
                old.end.cancel();
            }
            wanted
        });
        if made.is_empty() && before == at_work.len() {
            return Ok(None);
        }
        changing
            .dialled
            .retain(|dialled| dialled.name.strip_prefix(PLACE).is_none_or(|name| at_work.contains_key(name)));
        changing.dialled.extend(dialled);
        drop(changing);
        for (plan, sink) in made {
            at_work.insert(plan.name.clone(), self.begin(plan, sink));
        }
        Ok(Some(format!("{} exports", at_work.len())))
    }

    fn begin(&self, plan: ExportPlan, sink: Sink) -> AtWork {
        let (standing, end) = (Arc::new(Standing::default()), self.node().draining.child_token());
        let exporter = Exporter {
            name: plan.name.clone(),
            sink,
            kinds: plan.kinds.clone(),
            standing: Arc::clone(&standing),
        };
        let log = Arc::clone(&self.node().audit);
        let source = Records { log, dir: self.state().audit(), cursor: None };
        let keep = Shelf { store: self.store().clone(), name: plan.name.clone() };
        tokio::spawn(exporter.run(source, Arc::new(keep), end.clone()));
        AtWork { plan, standing, end }
    }

    fn sink(
        &self,
        plan: &ExportPlan,
        settings: &Settings,
        in_force: &Compiled,
        dialled: &mut Vec<Dialled>,
    ) -> Result<Sink, Diagnostic> {
        let (name, what) = (plan.place(), format!("the export \"{}\"", plan.name));
        let (name, what, roots) = (name.as_str(), what.as_str(), plan.roots.as_deref());
        match &plan.to {
            ExportTo::File(path) => Ok(Sink::File(path.clone())),
            ExportTo::Stream { host, port } => {
                let dialer = dialer(name, what, (roots, in_force), dialled)?;
                let node = settings.name.clone();
                Ok(Sink::Syslog(SyslogSink { dialer, host: host.clone(), port: *port, node }))
            }
            ExportTo::Http(url) => {
                let place = Place { name, what, url, roots };
                let sink = self.web_sink(&place, plan.token.as_deref(), (settings, in_force), dialled)?;
                Ok(match plan.kind {
                    ExportKind::Splunk => Sink::Splunk(sink),
                    _ => Sink::Otlp(sink),
                })
            }
        }
    }

    /// A place that is reached by HTTP, with the secret that it wants to be shown.
    pub(super) fn web_sink(
        &self,
        place: &Place<'_>,
        token: Option<&str>,
        (settings, in_force): (&Settings, &Compiled),
        dialled: &mut Vec<Dialled>,
    ) -> Result<HttpSink, Diagnostic> {
        let dialer = dialer(place.name, place.what, (place.roots, in_force), dialled)?;
        let target = Target::new(place.url, dialer).map_err(|error| {
            Diagnostic::new("LG-C007", format!("{} cannot go to {}", place.what, place.url)).because(&error)
        })?;
        let limits = Limits { links_max: LINKS_MAX, idle_max: LINKS_MAX, ..Limits::default() };
        let token = token.map(|name| {
            let store = credentials::store(settings, self.state());
            Arc::new(Sealed { store, name: name.to_owned() }) as Arc<dyn Token>
        });
        let (pool, node) = (Pool::new(target, limits), settings.name.clone());
        Ok(HttpSink { pool, path: place.url.clone(), token, node })
    }

    /// Every export and how it stands.
    pub(super) fn exports_shown(&self) -> ExportsShown {
        let at_work = self.exports().0.lock();
        let views = at_work.values().map(|one| {
            let standing = one.standing.view();
            ExportView {
                name: one.plan.name.clone(),
                to: one.plan.shown(),
                next_seq: standing.next_seq,
                behind: standing.behind,
                sent: standing.sent,
                lost: standing.lost,
                sent_ms: standing.sent_ms,
                problem: standing.problem,
                failing_since_ms: standing.failing_since_ms,
            }
        });
        ExportsShown { exports: views.collect(), telemetry: self.telemetry().shown() }
    }
}

fn dialer(
    name: &str,
    what: &str,
    (roots, in_force): (Option<&Path>, &Compiled),
    dialled: &mut Vec<Dialled>,
) -> Result<Arc<Dialer>, Diagnostic> {
    let Some(suite) = in_force.upstream(name) else {
        return Ok(Arc::new(Dialer::plain(dialer::Limits::default())));
    };
    let roots = match roots {
        Some(path) => ForeignRoots::from_pem_file(path),
        None => ForeignRoots::system(),
    };
    let roots = roots.map_err(|error| {
        Diagnostic::new("LG-C009", format!("no roots for {what}"))
            .because(&error)
            .hint("name a PEM file with the other side's authority: roots = \"FILE\"")
    })?;
    let dialer = Dialer::new(suite.clone(), None, Trust::foreign(&roots), dialer::Limits::default());
    let dialer = Arc::new(dialer.map_err(|error| trouble::tls(&error))?);
    dialled.push(Dialled { name: name.to_owned(), dialer: Arc::clone(&dialer), roots, own: None });
    Ok(dialer)
}
