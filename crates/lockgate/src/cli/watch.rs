//! `lockgate tap` and `lockgate top`: looking on.

use clap::Args;

use super::OutputArgs;

/// `lockgate tap`.
#[derive(Debug, Args)]
pub(crate) struct TapArgs {
    /// Only of agents whose id contains this
    #[arg(long, value_name = "TEXT")]
    pub(crate) agent: Option<String>,
    /// Only to servers whose id contains this
    #[arg(long, value_name = "TEXT")]
    pub(crate) server: Option<String>,
    /// Only for tools, prompts and resources whose name contains this
    #[arg(long, value_name = "TEXT")]
    pub(crate) tool: Option<String>,
    /// Only calls that ended like this; several between commas
    #[arg(long, value_name = "VERDICT")]
    pub(crate) verdict: Option<String>,
    /// Only these: call, link, note; several between commas
    #[arg(long, value_name = "KIND")]
    pub(crate) kind: Option<String>,
    /// Begin with so many events of late that match
    #[arg(long, value_name = "N", default_value_t = 0, value_parser = clap::value_parser!(u16).range(..=4096))]
    pub(crate) last: u16,
    #[command(flatten)]
    pub(crate) output: OutputArgs,
}

/// `lockgate top`.
#[derive(Debug, Args)]
pub(crate) struct TopArgs {
    /// End after so many looks, one a second
    #[arg(long, short = 'n', value_name = "N")]
    pub(crate) count: Option<u32>,
    /// One line a second, also at a terminal
    #[arg(long)]
    pub(crate) plain: bool,
    #[command(flatten)]
    pub(crate) output: OutputArgs,
}

/// `lockgate dashboard`.
#[derive(Debug, Args)]
pub(crate) struct DashboardArgs {
    /// Open it in this desktop's browser as well
    #[arg(long)]
    pub(crate) open: bool,
    #[command(flatten)]
    pub(crate) output: OutputArgs,
}
