"""OpenTelemetry as others wrote it, around Lockgate: the MCP SDK of Python, which traces by itself, and the protocol's own
definition, which reads what a collector would be sent.

Usage: traced.py serve            an MCP server on stdio; its tool `where` tells the span in which it runs
       traced.py call TARGET [untraced]
                                  a client that calls `where` twice, within a span of its own; TARGET as for client.py
       traced.py collect          a collector: prints its port, and for each line of input what it was sent so far
"""

import asyncio
import base64
import json
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from google.protobuf import json_format
from opentelemetry import trace
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter


def ids(span):
    """The ids of a span, as OTLP writes them."""
    context = span.get_span_context()
    parent = getattr(span, "parent", None)
    return {
        "trace": f"{context.trace_id:032x}",
        "span": f"{context.span_id:016x}",
        "parent": f"{parent.span_id:016x}" if parent else None,
    }


def serve():
    from mcp.server import MCPServer

    trace.set_tracer_provider(TracerProvider())
    server = MCPServer("traced")

    @server.tool()
    def where() -> str:
        """Tells the span in which it runs."""
        return json.dumps(ids(trace.get_current_span()))

    server.run()


async def call(target, is_traced):
    from mcp import Client, StdioServerParameters

    spans = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(spans))
    if is_traced:
        trace.set_tracer_provider(provider)
    server = StdioServerParameters(command=target["command"], args=target["args"])
    told = []
    with trace.get_tracer("test").start_as_current_span("work"):
        async with Client(server, mode=target["mode"]) as client:
            for _ in range(2):
                result = await client.call_tool("where", {})
                told.append(json.loads(result.content[0].text))
    calls = [span for span in spans.get_finished_spans() if span.name == "MCP send tools/call where"]
    print(json.dumps({"told": told, "calls": [ids(span) for span in calls]}))


def strictly(message, document):
    """Reads OTLP/JSON: unknown members are errors. Ids are hexadecimal there, where protobuf's own mapping has base64."""

    def mended(value):
        if isinstance(value, dict):
            return {key: hexadecimal(key, inner) for key, inner in value.items()}
        return [mended(inner) for inner in value] if isinstance(value, list) else value

    def hexadecimal(key, value):
        if key in ("traceId", "spanId", "parentSpanId"):
            return base64.b64encode(bytes.fromhex(value)).decode()
        return mended(value)

    return json_format.ParseDict(mended(document), message)


def attributes(of):
    """Attributes that are texts, numbers or booleans."""
    kinds = ("string_value", "int_value", "bool_value")
    named = ((attribute.key, attribute.value, attribute.value.WhichOneof("value")) for attribute in of)
    return {key: getattr(value, kind) for key, value, kind in named if kind in kinds}


class Collector(BaseHTTPRequestHandler):
    spans, figures, wrong = [], {}, []

    def do_POST(self):
        body = self.rfile.read(int(self.headers["content-length"]))
        try:
            assert self.headers["content-type"] == "application/json", self.headers["content-type"]
            assert self.headers["authorization"] == "Bearer let-me-in", "the token"
            take = {"/v1/traces": self.traces, "/v1/metrics": self.metrics}[self.path]
            take(json.loads(body))
            answer = b'{"partialSuccess":{}}'
        except Exception as error:  # Whatever it is, it is what the test looks for.
            self.wrong.append(f"{self.path}: {error!r}")
            answer = b"{}"
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def traces(self, document):
        for resource in strictly(ExportTraceServiceRequest(), document).resource_spans:
            assert attributes(resource.resource.attributes)["service.name"] == "lockgate"
            for span in (span for scope in resource.scope_spans for span in scope.spans):
                assert 0 < span.start_time_unix_nano <= span.end_time_unix_nano, "times"
                self.spans.append({
                    "trace": span.trace_id.hex(),
                    "span": span.span_id.hex(),
                    "parent": span.parent_span_id.hex() or None,
                    "name": span.name,
                    "kind": span.kind,
                    "status": span.status.code,
                    "attributes": attributes(span.attributes),
                })

    def figure(self, metric):
        data = getattr(metric, metric.WhichOneof("data"))
        for point in data.data_points:
            if metric.WhichOneof("data") == "histogram":
                assert len(point.bucket_counts) == len(point.explicit_bounds) + 1, metric.name
                assert sum(point.bucket_counts) == point.count, metric.name
            assert point.start_time_unix_nano <= point.time_unix_nano, metric.name
        return {"unit": metric.unit, "kind": metric.WhichOneof("data"), "points": len(data.data_points)}

    def metrics(self, document):
        for resource in strictly(ExportMetricsServiceRequest(), document).resource_metrics:
            for metric in (metric for scope in resource.scope_metrics for metric in scope.metrics):
                self.figures[metric.name] = self.figure(metric)

    def log_message(self, *_):
        pass


def collect():
    server = ThreadingHTTPServer(("127.0.0.1", 0), Collector)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    print(json.dumps({"port": server.server_port}), flush=True)
    for _ in sys.stdin:
        # Each line asks how it stands.
        print(json.dumps({"spans": Collector.spans, "metrics": Collector.figures, "wrong": Collector.wrong}), flush=True)


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["serve"]:
            serve()
        case ["call", target]:
            asyncio.run(call(json.loads(target), True))
        case ["call", target, "untraced"]:
            asyncio.run(call(json.loads(target), False))
        case ["collect"]:
            collect()
        case _:
            sys.exit(__doc__)
