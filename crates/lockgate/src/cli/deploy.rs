//! `lockgate deploy`.

use std::path::PathBuf;

use clap::Args;

use super::OutputArgs;

/// `lockgate deploy`.
#[derive(Debug, Args)]
pub(crate) struct DeployArgs {
    /// OpenAPI 3.0 or 3.1, or Swagger 2.0, in JSON or YAML: a file, or a URL that is fetched once
    #[arg(value_name = "FILE|URL")]
    pub(crate) document: String,
    /// What the server is called, in URLs, tool prefixes and policies
    #[arg(long, value_name = "NAME")]
    pub(crate) name: String,
    /// Where the API begins, like https://api.example/v1
    #[arg(long, value_name = "URL")]
    pub(crate) base_url: String,
    /// Turn on these reading operations only; a * at the end is any ending
    #[arg(long, value_name = "OPERATION", num_args = 1.., value_delimiter = ',')]
    pub(crate) allow: Vec<String>,
    /// Turn on these operations that do more than read, each by its whole name
    #[arg(long, value_name = "OPERATION", num_args = 1.., value_delimiter = ',')]
    pub(crate) allow_unsafe: Vec<String>,
    /// Agents for the proposed role, like agent/billing-*; without any it is nobody's yet
    #[arg(long, value_name = "AGENT")]
    pub(crate) agent: Vec<String>,
    /// Secret that the API is shown (see `lockgate secret`), as Authorization: Bearer unless told otherwise
    #[arg(long, value_name = "NAME")]
    pub(crate) secret: Option<String>,
    /// Header that carries the secret as it is, like X-Api-Key
    #[arg(long, value_name = "HEADER", requires = "secret", conflicts_with_all = ["secret_query", "secret_basic"])]
    pub(crate) secret_header: Option<String>,
    /// Name in the query that carries the secret
    #[arg(long, value_name = "NAME", requires = "secret", conflicts_with = "secret_basic")]
    pub(crate) secret_query: Option<String>,
    /// The secret is USER:PASSWORD, for HTTP Basic
    #[arg(long, requires = "secret")]
    pub(crate) secret_basic: bool,
    /// Network that is not public and in which the API, or the URL of its description, may be, like 10.0.0.0/8
    #[arg(long, value_name = "NETWORK")]
    pub(crate) network: Vec<String>,
    /// PEM file with the roots of the API's certificate, instead of the system's
    #[arg(long, value_name = "FILE")]
    pub(crate) roots: Option<PathBuf>,
    /// Algorithms that connections to the API may use
    #[arg(long, value_name = "PROFILE", default_value = "pq-kex")]
    pub(crate) profile: String,
    /// Show all and write nothing
    #[arg(long, conflicts_with = "yes")]
    pub(crate) dry_run: bool,
    /// Do not ask
    #[arg(long)]
    pub(crate) yes: bool,
    #[command(flatten)]
    pub(crate) output: OutputArgs,
}
