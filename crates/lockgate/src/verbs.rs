//! What each verb does.

use crate::cli::{
    ApprovalsArgs, ApprovalsVerb, AuditVerb, ConfigVerb, FactsVerb, IdentityVerb, Output, ScanOutput,
    SuppressArgs, ThreatsVerb, Verb,
};

pub(crate) mod adopt;
pub(crate) mod approvals;
pub(crate) mod audit;
pub(crate) mod config;
pub(crate) mod crypto;
pub(crate) mod dashboard;
pub(crate) mod discover;
pub(crate) mod doctor;
pub(crate) mod exports;
pub(crate) mod facts;
pub(crate) mod identity;
pub(crate) mod ping;
pub(crate) mod policy;
pub(crate) mod report;
pub(crate) mod scan;
pub(crate) mod secret;
pub(crate) mod start;
pub(crate) mod status;
pub(crate) mod tap;
pub(crate) mod threats;
pub(crate) mod top;
pub(crate) mod whoami;

/// Whether the verb was asked to answer programs; its errors are then JSON, too.
pub(crate) fn wants_json(verb: &Verb) -> bool {
    output_of(verb) != Output::Human
}

fn output_of(verb: &Verb) -> Output {
    let args = match verb {
        Verb::Up(args) => &args.node.output,
        Verb::Gateway(args) => &args.node.output,
        Verb::Wrap(args) => &args.node.output,
        Verb::Connect(args) => &args.output,
        Verb::Tap(args) => &args.output,
        Verb::Dashboard(args) => &args.output,
        Verb::Top(args) => &args.output,
        Verb::Status(output) | Verb::Exports(output) => output,
        Verb::Ping(args) => &args.output,
        Verb::Doctor(args) => &args.output,
        Verb::Explain(args) => &args.output,
        Verb::Identity(
            IdentityVerb::Invite { output, .. }
            | IdentityVerb::Revoke { output, .. }
            | IdentityVerb::Restore { output, .. }
            | IdentityVerb::RotateRoot { output, .. }
            | IdentityVerb::Whoami { output, .. }
            | IdentityVerb::Trust(output)
            | IdentityVerb::List(output)
            | IdentityVerb::Show(output),
        )
        | Verb::Approvals(
            ApprovalsArgs { verb: None, output, .. }
            | ApprovalsArgs {
                verb:
                    Some(
                        ApprovalsVerb::List(output)
                        | ApprovalsVerb::Show { output, .. }
                        | ApprovalsVerb::Approve { output, .. }
                        | ApprovalsVerb::Reject { output, .. },
                    ),
                ..
            },
        )
        | Verb::Threats(
            ThreatsVerb::List(output)
            | ThreatsVerb::Show { output, .. }
            | ThreatsVerb::Approve { output, .. }
            | ThreatsVerb::Suppress(SuppressArgs { output, .. })
            | ThreatsVerb::Unsuppress { output, .. }
            | ThreatsVerb::Tune { output, .. }
            | ThreatsVerb::Replay { output, .. },
        )
        | Verb::Audit(
            AuditVerb::Tail { output, .. }
            | AuditVerb::Verify { output, .. }
            | AuditVerb::Prove { output, .. }
            | AuditVerb::Key { output, .. }
            | AuditVerb::Witness(output),
        ) => output,
        Verb::Audit(AuditVerb::Query(args)) => &args.output,
        Verb::Scan(args) if args.output == ScanOutput::Human => return Output::Human,
        Verb::Scan(_) => return Output::Json,
        Verb::Report(args) => &args.output,
        Verb::Discover(args) => args.output(),
        Verb::Adopt(args) => &args.output,
        Verb::Policy(verb) => verb.output(),
        Verb::Secret(verb) => verb.output(),
        Verb::Facts(
            FactsVerb::List(output) | FactsVerb::Get { output, .. } | FactsVerb::Push { output, .. },
        ) => output,
        Verb::Crypto(verb) => return verb.output().output,
        Verb::Config(ConfigVerb::Validate(args) | ConfigVerb::Show(args)) => &args.output,
        Verb::Config(ConfigVerb::Schema) | Verb::Sample => return Output::Human,
    };
    args.output
}
