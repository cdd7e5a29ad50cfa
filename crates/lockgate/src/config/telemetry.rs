//! `[telemetry]`: where traces and figures go.

use std::path::PathBuf;

use http::Uri;
use lockgate_crypto::Profile;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::exports::web;
use super::settings::Resolver;
use super::{Config, foreign_profile};

/// Traces and figures for a collector of OpenTelemetry, by OTLP/HTTP.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Telemetry {
    /// The collector, like https://collector.example:4318; traces go to /v1/traces below it, figures to /v1/metrics. Without TLS on loopback only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) otlp: Option<String>,
    /// Name of a secret of the sealed store that is shown there as a bearer token (`lockgate secret put NAME`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) token: Option<String>,
    /// PEM file with the roots that the collector's certificate must lead to, instead of the system's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) roots: Option<PathBuf>,
    /// Algorithms that the connection may use.
    pub(crate) profile: String,
    /// Share of calls that are traced where the caller's trace context does not say, from 0 to 1. What callers trace is traced in any case.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub(crate) traces: f64,
    /// Seconds from one report of the figures to the next; 0 for none.
    #[schemars(range(max = 3_600))]
    pub(crate) metrics_s: u64,
}

impl Default for Telemetry {
    fn default() -> Self {
        Self { otlp: None, token: None, roots: None, profile: foreign_profile(), traces: 0.05, metrics_s: 60 }
    }
}

/// A collector that can be.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct TelemetryPlan {
    /// Where it is, without a slash at the end.
    pub(crate) otlp: String,
    pub(crate) token: Option<String>,
    pub(crate) roots: Option<PathBuf>,
    /// None where there is no TLS.
    pub(crate) profile: Option<&'static Profile>,
    pub(crate) traces: f64,
    pub(crate) metrics_s: u64,
}

impl TelemetryPlan {
    /// The name of its connections among the upstreams: no server can have it.
    pub(crate) const PLACE: &str = "telemetry:otlp";

    /// Where requests of a kind go.
    pub(crate) fn path(&self, kind: &str) -> Uri {
        format!("{}/v1/{kind}", self.otlp).parse().expect("what goes before it is a URL")
    }
}

impl Resolver<'_> {
    /// The collector, if there is one.
    pub(super) fn telemetry(&mut self, config: &Config) -> Option<Option<TelemetryPlan>> {
        let telemetry = &config.telemetry;
        let Some(otlp) = &telemetry.otlp else { return Some(None) };
        if !(0.0..=1.0).contains(&telemetry.traces) {
            let what = format!("{} is no share of all calls", telemetry.traces);
            self.problem(
                "LG-C005",
                "telemetry.traces",
                what,
                "write a number from 0 to 1: 0.05 is one call in twenty",
            );
        }
        let base = otlp.trim_end_matches('/');
        let found = match base.split_once("://") {
            Some(("https" | "http", _)) if !base.ends_with("/v1/traces") && !base.contains(['?', '#']) => {
                web(base)
            }
            _ => Err("write it without the path of a signal: https://collector.example:4318"),
        };
        if let Err(hint) = found {
            let what = format!("traces and figures cannot go to {otlp}");
            self.problem("LG-C007", "telemetry.otlp", what, hint);
        }
        let has_tls = base.starts_with("https:");
        if telemetry.roots.is_some() && !has_tls {
            let what = "`roots` is for a collector that is reached by TLS".to_owned();
            self.problem("LG-C007", "telemetry.roots", what, "remove the key, or write https://");
        }
        let profile = match has_tls {
            true => Some(self.profile("telemetry.profile", &telemetry.profile)?),
            false => None,
        };
        Some(Some(TelemetryPlan {
            otlp: base.to_owned(),
            token: telemetry.token.clone(),
            roots: telemetry.roots.as_ref().map(|roots| self.base.join(roots)),
            profile,
            traces: telemetry.traces,
            metrics_s: telemetry.metrics_s,
        }))
    }
}
