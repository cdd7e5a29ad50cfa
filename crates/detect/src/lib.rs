//! Screened or held: deterministic detection, replayable from the log.
//!
//! This crate is stage 7 of a call, *screen*: out of a
//! [`Permit`](lockgate_policy::Permit) it makes a [`Screened`] call, which
//! alone may be forwarded, or a [`Held`] one. It also reads what servers answer
//! ([`Detector::screen_result`]) and the tools that they offer
//! ([`Detector::observe_tools`]).
//!
//! What handshakes say about a peer is watched by [`links`] (LG-D010 to LG-D014).
//!
//! All rules are exact: what they say follows from what they were shown, in
//! that order, and from the times that they were given. No clock, disk, network
//! or learned weight takes part, so a log can be replayed and a false alarm can
//! be explained.
//!
//! # LG-D001: characters that do not show
//! A model reads characters that a person does not see: joiners and spaces of
//! no width, marks that reorder text, tags (a second, invisible ASCII in plane
//! 14), variation selectors, blank letters, controls. Instructions have been
//! hidden in each of them.
//!
//! Text is read as it is understood, not as it is written: JSON escapes are
//! undone, member names and every nested value are read, and so are escapes
//! inside a string, at any depth, since many tools answer with JSON in a text.
//!
//! | where | what | then |
//! |---|---|---|
//! | tool definition | any such character out of place | the tool is held until a person approves it |
//! | answer | **hidden text**: eight or more in a row of at least two kinds, or more than six tags | withheld, high |
//! | answer | a tag, or a mark that reorders text | passes, medium |
//! | answer | any other out of place | passes, low |
//! | arguments | any | passes, reported |
//!
//! *Out of place* leaves out what languages and emoji need: one selector behind
//! an emoji, a digit's keycap or an ideograph, joiners between pictographs and
//! after letters of joining scripts, the three flags written with tags, U+200B
//! in scripts without spaces, a byte order mark at the start of a string.
//!
//! Definitions are held on a single character because nothing honest is lost:
//! among 20,390 definitions of 2,859 public servers there was not one, and the
//! 113 with variation selectors all have them in place. Answers are another
//! matter. Web pages carry soft hyphens, e-mail newsletters pad with joiners,
//! terminals colour with ESC, word processors leave marks: each alone says
//! nothing, and withholding an answer breaks somebody's work. Writing, however,
//! takes many characters of several kinds, and neither a newsletter (one group,
//! then a space) nor a cut flag (six tags at most) looks like that.
//!
//! # LG-D002: a definition that changed
//! The whole definition of a tool is pinned when it is first seen ([`Pin`]): the
//! canonical JSON of the item with all its members, by SHA-256, bound to the
//! server's id. A server that shows another definition under the same name has
//! the tool hidden and its calls held until a person compares both ([`Pending`],
//! with each changed member and what it is for) and approves that very
//! definition by its id ([`Detector::approve`]). Going back to the pinned
//! definition releases the tool.
//!
//! # LG-D004 to LG-D009: servers among each other, and where calls lead
//!
//! | rule | what | without a rule of the operator |
//! |---|---|---|
//! | LG-D004 | a definition that names a tool of another server, in either order of arrival | held if its own words do not explain the name |
//! | LG-D005 | a name drawn like a pinned one and spelt otherwise; the name of a tool in use elsewhere | held; observed |
//! | LG-D006 | a server that is reached elsewhere than when its tools were trusted | observed |
//! | LG-D007 | a URL outside of the hosts that are named for its tool ([`HostSet`]) | the call is held |
//! | LG-D008 | a credential that this node injects, in arguments or answers | refused, withheld |
//! | LG-D009 | header claims in a definition that the protocol forbids | observed |
//!
//! # What follows
//! [`Responses`] turns a finding into a [`Response`]: the first [`Rule`] of the operator that fits, or the default. A
//! [`Suppression`] silences one for a while.
//!
//! # What is said to whom
//! [`Finding::reason`] holds nothing of the server's choosing but escaped
//! names, so it may travel back to an agent. [`Finding::evidence`] makes hidden
//! text visible and is for people and the log.
//!
//! # What this does not see
//! Plain words that manipulate and name no tool, a hostile definition on first
//! use that shows all it says, hidden text spread thinly over visible text, and
//! anything in images.
#![forbid(unsafe_code)]

mod definition;
mod detector;
mod diff;
mod finding;
mod hosts;
pub mod links;
mod pin;
mod report;
mod response;
mod rules;
pub mod scan;
mod screen;
mod secrets;
mod server;
mod text;
mod unicode;

pub use definition::ChangeClass;
pub use detector::{ApproveError, Approved, Detector, Observed};
pub use diff::{Aspect, Change, Kind};
pub use finding::{
    CHANGED, ENDPOINT, FOREIGN_NAME, Finding, HEADER, HOST, INVISIBLE, LOOK_ALIKE, SECRET, Severity,
};
pub use hosts::{HOSTS_MAX, HostSet};
pub use pin::Pin;
pub use response::{
    REASON_BYTES_MAX, RULES_MAX, Response, Responses, Rule, SUPPRESSION_MS_MAX, SUPPRESSIONS_MAX,
    Suppression, UnknownWord,
};
pub use screen::{Held, ResultScreen, Scene, Screened, Verdict};
pub use secrets::SECRET_BYTES_MIN;
pub use server::Pending;
