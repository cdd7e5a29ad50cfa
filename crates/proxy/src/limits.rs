//! Every bound of the pipeline, with its name, unit and reason.

use std::time::Duration;

/// Bounds that hold for one node. All of them have a default; the configuration can change each.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Largest request body, in bytes. The MCP SDKs' servers stop at 4 MiB as well.
    pub request_bytes_max: usize,
    /// Largest single result or server-sent event, in bytes. File and image tools return megabytes.
    pub result_bytes_max: usize,
    /// Deepest JSON nesting; real tool schemas stay under 20.
    pub depth_max: usize,
    /// Header lines of one request, so that mirroring (`Mcp-Param-*`) cannot be used to exhaust memory.
    pub header_count_max: usize,
    /// Bytes of all headers of one request.
    pub header_bytes_max: usize,
    /// Time in which a client must have sent its whole request body.
    pub request_s_max: u64,
    /// Time in which an HTTP/1.1 client must have sent the headers of its next request: it bounds idle links and slow
    /// headers alike. HTTP/2 links are kept alive by pings instead.
    pub idle_s_max: u64,
    /// Time in which an upstream must begin its answer.
    pub first_byte_s_max: u64,
    /// Time in which an upstream must finish a call, however much progress it reports.
    pub call_s_max: u64,
    /// Life of a listening stream; the client opens a new one afterwards.
    pub stream_s_max: u64,
    /// Calls in flight over all links; more are answered "overloaded" at once.
    pub calls_in_flight_max: usize,
    /// Concurrent HTTP/2 streams on one link.
    pub streams_per_link_max: u32,
    /// Legacy sessions held at once; the one unused for longest makes room.
    pub sessions_max: usize,
    /// Legacy sessions unused for this long are ended.
    pub session_idle_s_max: u64,
    /// Results of one session still owed to a client that left its stream and may resume.
    pub owed_results_max: usize,
    /// Messages of a stdio server kept until its client listens.
    pub backlog_messages_max: usize,
    /// Pages fetched from one upstream when all servers' lists are put together.
    pub list_pages_max: usize,
    /// Time for one upstream's part of an answer of all servers together.
    pub gather_s_max: u64,
    /// Failures in a row that open an upstream's circuit.
    pub circuit_failures_max: u32,
    /// Longest pause of an open circuit before the next try, in milliseconds.
    pub circuit_pause_ms_max: u64,
    /// Time that links get to finish when the node drains.
    pub drain_s_max: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            request_bytes_max: 4 << 20,
            result_bytes_max: 32 << 20,
            depth_max: 64,
            header_count_max: 100,
            header_bytes_max: 32 << 10,
            request_s_max: 30,
            idle_s_max: 300,
            first_byte_s_max: 120,
            call_s_max: 600,
            stream_s_max: 24 * 3600,
            calls_in_flight_max: 8192,
            streams_per_link_max: 128,
            sessions_max: 10_000,
            session_idle_s_max: 3600,
            owed_results_max: 64,
            backlog_messages_max: 256,
            list_pages_max: 32,
            gather_s_max: 10,
            circuit_failures_max: 5,
            circuit_pause_ms_max: 30_000,
            drain_s_max: 20,
        }
    }
}

impl Limits {
    /// The decoder's bounds for what clients send.
    pub fn requests(&self) -> lockgate_mcp::Limits {
        lockgate_mcp::Limits {
            message_bytes_max: self.request_bytes_max,
            depth_max: self.depth_max,
            ..lockgate_mcp::Limits::default()
        }
    }

    /// The decoder's bounds for what upstreams send.
    pub fn results(&self) -> lockgate_mcp::Limits {
        lockgate_mcp::Limits {
            message_bytes_max: self.result_bytes_max,
            depth_max: self.depth_max,
            ..lockgate_mcp::Limits::default()
        }
    }

    pub(crate) fn request(&self) -> Duration {
        Duration::from_secs(self.request_s_max)
    }

    pub(crate) fn first_byte(&self) -> Duration {
        Duration::from_secs(self.first_byte_s_max)
    }

    pub(crate) fn call(&self) -> Duration {
        Duration::from_secs(self.call_s_max)
    }

    /// How long a stream may last: one that only listens, or one that answers a call.
    pub(crate) fn life(&self, listens: bool) -> Duration {
        if listens { Duration::from_secs(self.stream_s_max) } else { self.call() }
    }
}
