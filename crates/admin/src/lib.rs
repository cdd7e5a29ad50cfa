//! The admin API and metrics, on their own port.
//!
//! What `lockgate status`, `lockgate identity invite`, `lockgate threats approve` and a Prometheus server talk to. It
//! knows nothing of tunnels or of MCP: what a node can tell and do is the trait [`Node`], and this crate puts it on
//! HTTP/1.1, for whoever may.
//!
//! # Who may
//! The interface has no tunnel, so it listens on loopback and nowhere else. Everything under `/v1` asks for the bearer
//! token of this launch, which the node writes where only its own user can read it. `/healthz`, `/readyz` and `/metrics`
//! ask for none: they tell numbers, and supervisors and scrapers have no token. A web page that a local browser shows
//! gets nothing either way: the `Host` header must name this interface (which stops DNS rebinding), an `Origin` of
//! another site is refused, and no CORS header is ever sent.
//!
//! # The dashboard
//! `GET /` is a page of its own that is served without a token, because it holds none: `lockgate dashboard` asks for a ticket
//! (`POST /v1/dashboard`), the page exchanges it (`POST /session`) for the token of a session, and a session may look at
//! everything and change nothing, but for what waits for a person where [`Node::dashboard_writes`].
//!
//! | method and path | document |
//! |---|---|
//! | `GET /healthz`, `GET /readyz` | `ok`, or an error with 503 |
//! | `GET /metrics` | Prometheus text |
//! | `GET /v1/status` | [`Status`], `lockgate.status/1` |
//! | `GET /v1/links` | [`Links`], `lockgate.links/1` |
//! | `GET /v1/upstreams` | [`Upstreams`], `lockgate.upstreams/1` |
//! | `POST /v1/invites` ([`NewInvite`]) | [`MintedInvite`], `lockgate.invite/1` |
//! | `GET /v1/invites` | [`Invites`], `lockgate.invites/1` |
//! | `DELETE /v1/invites/{id}` | none (204) |
//! | `POST /v1/enrol-local` ([`Csr`]) | [`Certificate`], `lockgate.certificate/1` |
//! | `GET /v1/threats` | [`Threats`], `lockgate.threats/1` |
//! | `POST /v1/threats/{id}/approve` | [`Approval`], `lockgate.approval/1` |
//! | `POST /v1/suppressions`, `POST /v1/suppressions/{id}/lift` | [`SuppressRequest`], [`SuppressionView`], `lockgate.suppression/1` |
//! | `GET /v1/pins` | [`Pins`], `lockgate.pins/1` |
//! | `GET /v1/audit/tail?n=20` | [`AuditTail`], `lockgate.audit-tail/1` |
//! | `GET /v1/audit/records/{seq}/proof` | a proof of C2SP tlog-proof, as text |
//! | `GET /v1/audit/query?agent=&tool=&verdict=&since=&before=&limit=100` ([`AuditQuestion`]) | [`AuditFound`], `lockgate.audit-query/1` |
//! | `POST /v1/reload` | [`Reloaded`], `lockgate.reload/1` |
//! | `POST /v1/drain` | [`Draining`], `lockgate.drain/1` (202) |
//! | `GET /v1/crypto` | [`CryptoShow`], `lockgate.crypto-show/1` |
//! | `GET /v1/crypto/migration` | [`Migration`], `lockgate.crypto-migration/1` |
//! | `GET /v1/crypto/inventory?format=json` | `lockgate.crypto-inventory/1`, or CycloneDX 1.7 (`format=cyclonedx`) |
//! | `POST /v1/crypto/plan` ([`PlanRequest`]) | [`Plan`], `lockgate.crypto-plan/1` |
//! | `POST /v1/crypto/apply` ([`ApplyRequest`]) | [`Change`], `lockgate.crypto-change/1` |
//! | `POST /v1/crypto/rollback` ([`RollbackRequest`]) | [`Change`] |
//! | `POST /v1/crypto/ban` ([`BanRequest`]), `…/lift` ([`LiftRequest`]) | [`Change`] |
//! | `POST /v1/crypto/drill` ([`DrillRequest`]) | [`Drill`], `lockgate.crypto-drill/1` |
//! | `GET /v1/identities` | [`Identities`], `lockgate.identities/1` |
//! | `POST /v1/identity/revoke` ([`RevokeRequest`]) | [`MadeRevocation`], `lockgate.revocation/1` |
//! | `POST /v1/identity/restore` ([`RestoreRequest`]) | [`Restored`], `lockgate.restored/1` |
//! | `GET /v1/approvals` | [`HeldCalls`], `lockgate.held-calls/1` |
//! | `GET /v1/approvals/{id}` | [`HeldCall`], `lockgate.held-call/1` |
//! | `POST /v1/approvals/{id}/approve` ([`ApproveRequest`]) | [`HeldCall`] |
//! | `POST /v1/approvals/{id}/reject` ([`RejectRequest`]) | [`HeldCall`] |
//! | `POST /v1/dashboard` ([`TicketRequest`]) | [`Ticket`], `lockgate.dashboard-ticket/1` (201) |
//! | `POST /session` | `lockgate.dashboard-session/1` (201) |
//! | `GET /v1/live?after=0&limit=500&agent=&server=&tool=&verdict=&kind=` ([`LiveQuery`]) | [`Live`], `lockgate.live/1` |
//! | `GET /v1/live/summary?parts=seconds,edges&since_s=0` | [`LiveSummary`], `lockgate.live-summary/1` |
//! | `GET /v1/live/stream` ([`LiveQuery`], `Last-Event-ID`) | server-sent events, see [`Tap`] |
//! | `GET /v1/exports` | [`Exports`], `lockgate.exports/1` |
//! | `GET /v1/discovery` | the last map, `lockgate.discovery/1`; `null` until there is one |
//! | `GET /v1/facts` | [`Facts`], `lockgate.facts/1` |
//! | `POST /v1/facts/ask` ([`FactQuestion`]) | [`FactAnswer`], `lockgate.fact-answer/1` |
//! | `POST /v1/facts/push` (a signed statement, `lockgate.fact-push/1`) | [`FactReceipt`], `lockgate.fact-receipt/1` |
//! | `POST /v1/identity/rotate-root` ([`RotateRootRequest`]) | [`RotatedRoot`], `lockgate.root-rotated/1` |
//!
//! Every document carries its `schema`; fields may be added under the same number, and readers ignore what they do not
//! know. Every error is `{"error":{"code","message","hint"}}`, a [`Fault`].

mod api;
mod assets;
mod client;
mod fault;
mod guard;
mod node;
mod routes;
mod server;
mod session;

pub use api::{
    AgentView, ApplyRequest, Approval, ApproveRequest, AuditFound, AuditQuestion, AuditTail, AuditView,
    BanRequest, BanView, CapabilitiesView, Certificate, Change, CheckpointView, CostView, CryptoShow, Csr,
    Document, DocumentView, Draining, Drill, DrillRequest, DrillStep, DueView, EndingView, EraseRequest,
    ErasedView, ExportRequest, ExportView, Exports, FactAnswer, FactQuestion, FactReceipt, FactUsed,
    FactView, Facts, FindingView, ForeseenView, HeldCall, HeldCalls, HoldRequest, HoldView, Holds,
    Identities, InventoryFormat, Invite, Invites, KnownView, LeftOut, LiftHoldRequest, LiftRequest, Link,
    Links, Listener, Live, LiveQuery, LiveSummary, MadeRevocation, Migration, MintedInvite, NewInvite,
    PeerUse, PinView, Pins, Place, PlaceKind, Plan, PlanRequest, PlannedCertificate, PlannedCost,
    PlannedLink, PlannedPeer, PlannedPlace, ProviderView, RejectRequest, Reloaded, RestoreRequest, Restored,
    RetentionView, RevocationView, RevokeRequest, RollbackRequest, RotateRootRequest, RotatedRoot, Scope,
    Status, SuppressRequest, SuppressionView, TelemetryView, Threat, Threats, Ticket, TicketRequest,
    Upstream, UpstreamLink, Upstreams, Verdict, Versioned, Waiting,
};
pub use client::{Client, ClientError, Seen, Tap};
pub use fault::Fault;
pub use guard::Token;
pub use node::{Node, Subjects};
pub use routes::{
    AUDIT_QUERIES_MAX, AUDIT_QUERY_DEFAULT, AUDIT_QUERY_MAX, AUDIT_TAIL_DEFAULT, AUDIT_TAIL_MAX,
    BODY_BYTES_MAX, LIVE_DEFAULT, STREAMS_MAX,
};
pub use server::{CONNECTIONS_MAX, Server, ServerError};
