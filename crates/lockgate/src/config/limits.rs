//! `[limits]`: every bound of the pipeline and of the sockets, under one roof.
//!
//! The numbers and the reasons stand where they are obeyed: in `lockgate_proxy::Limits` and
//! `lockgate_transport::Limits`. Both are taken apart exhaustively here, so that a new bound cannot be forgotten.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Bounds on everything that a peer can make grow.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Limits {
    /// Links held at the same time, all peers together. At the aimed 40 KiB an idle link, the default bounds this listener to 400 MiB. Further links are accepted and closed at once, so that their owners see it instead of hanging in the kernel's queue.
    #[schemars(range(min = 1))]
    pub(crate) links_max: usize,
    /// Links held at the same time by one address: an IPv4 address or an IPv6 /64, the smallest block that one host controls. Loopback is bounded by `links_max` alone, since all local processes share it.
    #[schemars(range(min = 1))]
    pub(crate) links_per_ip_max: usize,
    /// Milliseconds from the accepted socket to the finished handshake, all flights together. A peer that dribbles its ClientHello holds a slot for no longer.
    #[schemars(range(min = 1))]
    pub(crate) handshake_ms_max: u64,
    /// Milliseconds that a refused peer gets to read its alert. Closing a socket that still holds unread bytes resets it, and the reset overtakes the alert.
    #[schemars(range(min = 1))]
    pub(crate) refusal_linger_ms_max: u64,
    /// Connections that the kernel queues before they are accepted.
    #[schemars(range(min = 1))]
    pub(crate) backlog: u32,
    /// Largest request body, in bytes. The MCP SDKs' servers stop at 4 MiB as well.
    #[schemars(range(min = 1024))]
    pub(crate) request_bytes_max: usize,
    /// Largest single result or server-sent event, in bytes. File and image tools return megabytes.
    #[schemars(range(min = 1024))]
    pub(crate) result_bytes_max: usize,
    /// Deepest JSON nesting; real tool schemas stay under 20.
    #[schemars(range(min = 4))]
    pub(crate) depth_max: usize,
    /// Header lines of one request, so that mirroring (`Mcp-Param-*`) cannot be used to exhaust memory.
    #[schemars(range(min = 16))]
    pub(crate) header_count_max: usize,
    /// Bytes of all headers of one request.
    #[schemars(range(min = 2048))]
    pub(crate) header_bytes_max: usize,
    /// Time in which a client must have sent its whole request body.
    #[schemars(range(min = 1))]
    pub(crate) request_s_max: u64,
    /// Time in which an HTTP/1.1 client must have sent the headers of its next request: it bounds idle links and slow headers alike.
    #[schemars(range(min = 1))]
    pub(crate) idle_s_max: u64,
    /// Time in which an upstream must begin its answer.
    #[schemars(range(min = 1))]
    pub(crate) first_byte_s_max: u64,
    /// Time in which an upstream must finish a call, however much progress it reports.
    #[schemars(range(min = 1))]
    pub(crate) call_s_max: u64,
    /// Life of a listening stream; the client opens a new one afterwards.
    #[schemars(range(min = 1))]
    pub(crate) stream_s_max: u64,
    /// Calls in flight over all links; more are answered "overloaded" at once.
    #[schemars(range(min = 1))]
    pub(crate) calls_in_flight_max: usize,
    /// Concurrent HTTP/2 streams on one link.
    #[schemars(range(min = 1))]
    pub(crate) streams_per_link_max: u32,
    /// Legacy sessions held at once; the one unused for longest makes room.
    #[schemars(range(min = 1))]
    pub(crate) sessions_max: usize,
    /// Legacy sessions unused for this long are ended.
    #[schemars(range(min = 1))]
    pub(crate) session_idle_s_max: u64,
    /// Results of one session still owed to a client that left its stream and may resume.
    #[schemars(range(min = 1))]
    pub(crate) owed_results_max: usize,
    /// Messages of a stdio server kept until its client listens.
    #[schemars(range(min = 1))]
    pub(crate) backlog_messages_max: usize,
    /// Pages fetched from one upstream when all servers' lists are put together.
    #[schemars(range(min = 1))]
    pub(crate) list_pages_max: usize,
    /// Time for one upstream's part of an answer of all servers together.
    #[schemars(range(min = 1))]
    pub(crate) gather_s_max: u64,
    /// Failures in a row that open an upstream's circuit.
    #[schemars(range(min = 1))]
    pub(crate) circuit_failures_max: u32,
    /// Longest pause of an open circuit before the next try, in milliseconds.
    #[schemars(range(min = 1))]
    pub(crate) circuit_pause_ms_max: u64,
    /// Time that links get to finish when the node drains.
    #[schemars(range(min = 1))]
    pub(crate) drain_s_max: u64,
    /// Processes of one stdio server alive at the same time; a process costs tens of megabytes.
    #[schemars(range(min = 1))]
    pub(crate) children_max: usize,
    /// Seconds without a message after which a process of a stdio server is ended.
    #[schemars(range(min = 1))]
    pub(crate) child_idle_s_max: u64,
    /// Seconds of life after which a process of a stdio server is ended, which bounds what a slow leak can take.
    #[schemars(range(min = 1))]
    pub(crate) child_life_s_max: u64,
}

/// Life of a process of a stdio server, in seconds: a day.
const CHILD_LIFE_S_MAX: u64 = 24 * 3600;

impl Default for Limits {
    fn default() -> Self {
        let lockgate_transport::Limits {
            links_max,
            links_per_ip_max,
            handshake_ms_max,
            refusal_linger_ms_max,
            backlog,
        } = lockgate_transport::Limits::default();
        let lockgate_proxy::Limits {
            request_bytes_max,
            result_bytes_max,
            depth_max,
            header_count_max,
            header_bytes_max,
            request_s_max,
            idle_s_max,
            first_byte_s_max,
            call_s_max,
            stream_s_max,
            calls_in_flight_max,
            streams_per_link_max,
            sessions_max,
            session_idle_s_max,
            owed_results_max,
            backlog_messages_max,
            list_pages_max,
            gather_s_max,
            circuit_failures_max,
            circuit_pause_ms_max,
            drain_s_max,
        } = lockgate_proxy::Limits::default();
        let children = lockgate_transport::child::Limits::default();
        Self {
            children_max: children.children_max,
            child_idle_s_max: children.idle_s_max.unwrap_or(CHILD_LIFE_S_MAX),
            child_life_s_max: children.life_s_max.unwrap_or(CHILD_LIFE_S_MAX),
            links_max,
            links_per_ip_max,
            handshake_ms_max,
            refusal_linger_ms_max,
            backlog,
            request_bytes_max,
            result_bytes_max,
            depth_max,
            header_count_max,
            header_bytes_max,
            request_s_max,
            idle_s_max,
            first_byte_s_max,
            call_s_max,
            stream_s_max,
            calls_in_flight_max,
            streams_per_link_max,
            sessions_max,
            session_idle_s_max,
            owed_results_max,
            backlog_messages_max,
            list_pages_max,
            gather_s_max,
            circuit_failures_max,
            circuit_pause_ms_max,
            drain_s_max,
        }
    }
}

impl Limits {
    /// For the sockets.
    pub(crate) fn transport(&self) -> lockgate_transport::Limits {
        lockgate_transport::Limits {
            links_max: self.links_max,
            links_per_ip_max: self.links_per_ip_max,
            handshake_ms_max: self.handshake_ms_max,
            refusal_linger_ms_max: self.refusal_linger_ms_max,
            backlog: self.backlog,
        }
    }

    /// For the pipeline.
    pub(crate) fn proxy(&self) -> lockgate_proxy::Limits {
        lockgate_proxy::Limits {
            request_bytes_max: self.request_bytes_max,
            result_bytes_max: self.result_bytes_max,
            depth_max: self.depth_max,
            header_count_max: self.header_count_max,
            header_bytes_max: self.header_bytes_max,
            request_s_max: self.request_s_max,
            idle_s_max: self.idle_s_max,
            first_byte_s_max: self.first_byte_s_max,
            call_s_max: self.call_s_max,
            stream_s_max: self.stream_s_max,
            calls_in_flight_max: self.calls_in_flight_max,
            streams_per_link_max: self.streams_per_link_max,
            sessions_max: self.sessions_max,
            session_idle_s_max: self.session_idle_s_max,
            owed_results_max: self.owed_results_max,
            backlog_messages_max: self.backlog_messages_max,
            list_pages_max: self.list_pages_max,
            gather_s_max: self.gather_s_max,
            circuit_failures_max: self.circuit_failures_max,
            circuit_pause_ms_max: self.circuit_pause_ms_max,
            drain_s_max: self.drain_s_max,
        }
    }
}
