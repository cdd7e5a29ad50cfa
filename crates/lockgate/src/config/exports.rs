//! `[[export]]`: where audit records are brought.

use std::path::PathBuf;

use http::Uri;
use lockgate_crypto::Profile;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::check::nearest;
use super::settings::Resolver;
use super::{Config, foreign_profile};

/// Most exports: each reads the log for itself.
const EXPORTS_MAX: usize = 16;

/// The port of syslog over TLS (RFC 5425, section 4.1).
const SYSLOG_PORT: u16 = 6514;

/// Kinds of records, as they stand in the log.
const KINDS: [&str; 9] =
    ["call", "refusal", "link", "stream", "identity", "policy", "detect", "crypto", "lifecycle"];

/// A place that audit records are brought to, each at least once, in order.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Export {
    /// Its name in status and logs; the cursor is kept under it.
    pub(crate) name: String,
    /// What is spoken there.
    pub(crate) kind: ExportKind,
    /// https://HOST/PATH for otlp and splunk, tls://HOST:PORT for syslog, file:PATH for jsonl; without TLS (http://, tcp://) on loopback only.
    pub(crate) to: String,
    /// Name of a secret of the sealed store that is shown there (`lockgate secret put NAME`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) token: Option<String>,
    /// Kinds of records that are sent: call, refusal, link, stream, identity, policy, detect, crypto, lifecycle. All without it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) kinds: Vec<String>,
    /// PEM file with the roots that the other side's certificate must lead to, instead of the system's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) roots: Option<PathBuf>,
    /// Algorithms that the connection may use.
    #[serde(default = "foreign_profile")]
    pub(crate) profile: String,
}

/// What is spoken to a place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum ExportKind {
    /// OpenTelemetry logs, OTLP/HTTP with JSON.
    Otlp,
    /// Splunk's HTTP Event Collector.
    Splunk,
    /// RFC 5424 over TLS (RFC 5425).
    Syslog,
    /// A file of JSON lines.
    Jsonl,
}

/// An export that can be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ExportPlan {
    pub(crate) name: String,
    pub(crate) kind: ExportKind,
    pub(crate) to: ExportTo,
    pub(crate) token: Option<String>,
    pub(crate) kinds: Vec<String>,
    pub(crate) roots: Option<PathBuf>,
    /// None where there is no TLS.
    pub(crate) profile: Option<&'static Profile>,
}

/// Where it goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum ExportTo {
    Http(Uri),
    Stream { host: String, port: u16 },
    File(PathBuf),
}

impl ExportPlan {
    /// The name of its connections among the upstreams: no server can have it.
    pub(crate) fn place(&self) -> String {
        format!("export:{}", self.name)
    }

    /// Where it goes, for people.
    pub(crate) fn shown(&self) -> String {
        match &self.to {
            ExportTo::Http(url) => url.to_string(),
            ExportTo::Stream { host, port } if host.contains(':') => format!("[{host}]:{port}"),
            ExportTo::Stream { host, port } => format!("{host}:{port}"),
            ExportTo::File(path) => path.display().to_string(),
        }
    }
}

impl Resolver<'_> {
    pub(super) fn exports(&mut self, config: &Config) -> Option<Vec<ExportPlan>> {
        if config.export.len() > EXPORTS_MAX {
            let what = format!("there are {} exports", config.export.len());
            self.problem("LG-C005", "export", what, &format!("at most {EXPORTS_MAX} are possible"));
        }
        let mut plans = Vec::new();
        for (n, export) in config.export.iter().enumerate() {
            let path = format!("export.{n}");
            if let Some(first) = config.export[..n].iter().position(|other| other.name == export.name) {
                let place = self.place(&format!("export.{first}.name")).unwrap_or_default();
                let what = format!("two exports are called \"{}\"; the other is at {place}", export.name);
                self.problem("LG-C008", &format!("{path}.name"), what, "give one of them another name");
            }
            plans.push(self.export(&path, export));
        }
        plans.into_iter().collect()
    }

    fn export(&mut self, path: &str, export: &Export) -> Option<ExportPlan> {
        self.export_names(path, export);
        let (to, has_tls) = self.export_to(path, export)?;
        let web = matches!(to, ExportTo::Http(_));
        if export.kind == ExportKind::Splunk && export.token.is_none() {
            let what =
                format!("the export \"{}\" has no token, and Splunk takes nothing without one", export.name);
            let hint = "seal it: lockgate secret put splunk; then token = \"splunk\"";
            self.problem("LG-C006", path, what, hint);
        }
        for (key, given, fits, whose) in [
            ("token", export.token.is_some(), web, "otlp and splunk"),
            ("roots", export.roots.is_some(), has_tls, "a place that is reached by TLS"),
        ] {
            if given && !fits {
                let what = format!("`{key}` is for {whose}, and \"{}\" is none", export.name);
                self.problem("LG-C007", &format!("{path}.{key}"), what, "remove the key, or change `to`");
            }
        }
        let profile = match has_tls {
            true => Some(self.profile(&format!("{path}.profile"), &export.profile)?),
            false => None,
        };
        Some(ExportPlan {
            name: export.name.clone(),
            kind: export.kind,
            to,
            token: export.token.clone(),
            kinds: export.kinds.clone(),
            roots: export.roots.as_ref().map(|roots| self.base.join(roots)),
            profile,
        })
    }

    fn export_names(&mut self, path: &str, export: &Export) {
        let name = &export.name;
        let good = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        if name.is_empty() || name.len() > 64 || !name.chars().all(good) {
            let what = format!("\"{name}\" is no name of an export");
            let hint = "write lower-case letters, digits and hyphens: siem-eu";
            self.problem("LG-C007", &format!("{path}.name"), what, hint);
        }
        for kind in export.kinds.iter().filter(|kind| !KINDS.contains(&kind.as_str())) {
            let all = KINDS.join(", ");
            let hint = nearest(kind, KINDS.into_iter())
                .map_or_else(|| format!("the kinds are {all}"), |near| format!("did you mean `{near}`?"));
            let what = format!("there are no records of kind \"{kind}\"");
            self.problem("LG-C007", &format!("{path}.kinds"), what, &hint);
        }
    }

    /// Where it goes, and whether TLS is spoken there.
    fn export_to(&mut self, path: &str, export: &Export) -> Option<(ExportTo, bool)> {
        let (scheme, rest) = export.to.split_once(':').unwrap_or(("", &export.to));
        let found = match (export.kind, scheme) {
            (ExportKind::Jsonl, "file") if !rest.is_empty() => {
                Ok((ExportTo::File(self.base.join(rest)), false))
            }
            (ExportKind::Otlp | ExportKind::Splunk, "https" | "http") => web(&export.to),
            (ExportKind::Syslog, "tls" | "tcp") => stream(&export.to),
            (kind, _) => Err(match kind {
                ExportKind::Jsonl => "write file:PATH, like file:/var/log/lockgate/audit.jsonl",
                ExportKind::Otlp => "write https://HOST/PATH, like https://collector.example:4318/v1/logs",
                ExportKind::Splunk => {
                    "write https://HOST/PATH, like https://splunk.example:8088/services/collector/event"
                }
                ExportKind::Syslog => "write tls://HOST:PORT, like tls://logs.example:6514",
            }),
        };
        match found {
            Ok(found) => Some(found),
            Err(hint) => {
                let what = format!("the export \"{}\" cannot go to {}", export.name, export.to);
                self.problem("LG-C007", &format!("{path}.to"), what, hint);
                None
            }
        }
    }
}

const NO_TLS: &str = "without TLS records go to loopback addresses only";

pub(super) fn web(text: &str) -> Result<(ExportTo, bool), &'static str> {
    let url: Uri = text.parse().map_err(|_| "write it as a URL: https://HOST/PATH")?;
    let authority = url.authority().ok_or("it names no host")?;
    if authority.as_str().contains('@') {
        return Err("a URL with a user name or password would end up in logs; use `token`");
    }
    let has_tls = url.scheme_str() == Some("https");
    let host = authority.host().trim_matches(['[', ']']).to_owned();
    if !has_tls && !is_loopback(&host) {
        return Err(NO_TLS);
    }
    Ok((ExportTo::Http(url), has_tls))
}

fn stream(text: &str) -> Result<(ExportTo, bool), &'static str> {
    let url: Uri = text.parse().map_err(|_| "write tls://HOST:PORT")?;
    let has_tls = url.scheme_str() == Some("tls");
    let host = url.host().unwrap_or_default().trim_matches(['[', ']']).to_owned();
    if host.is_empty() || !matches!(url.path(), "" | "/") || text.contains('@') {
        return Err("write tls://HOST:PORT");
    }
    if !has_tls && !is_loopback(&host) {
        return Err(NO_TLS);
    }
    Ok((ExportTo::Stream { host, port: url.port_u16().unwrap_or(SYSLOG_PORT) }, has_tls))
}

fn is_loopback(host: &str) -> bool {
    host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}
