//! A cluster, played by an API server over TLS that holds to the protocol: bearer tokens, pages, 403 for what may not be seen.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on says where")]

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use lockgate_discover::kubernetes::{access, read};

const API: &str = r#"
import http.server, json, ssl, sys
class Api(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def log_message(self, *args): pass
    def answer(self, status, body):
        data = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)
    def do_GET(self):
        if self.headers.get("Authorization") != "Bearer t0ken":
            return self.answer(401, {"kind": "Status", "code": 401})
        path, _, query = self.path.partition("?")
        def pod(name, image):
            return {"metadata": {"name": name, "namespace": "tools"}, "spec": {"containers": [{"image": image}]}}
        if path == "/api/v1/pods":
            first = "continue" not in query
            items = [pod("one", "mcp/time:1"), pod("web", "nginx")] if first else [pod("two", "ghcr.io/o/mcp-git@sha256:00")]
            return self.answer(200, {"kind": "PodList", "metadata": {"continue": "a/b=" if first else ""}, "items": items})
        if path == "/api/v1/services":
            return self.answer(403, {"kind": "Status", "code": 403})
        if path == "/apis":
            groups = ["toolhive.stacklok.dev/v1alpha1", "apps/v1"]
            return self.answer(200, {"groups": [{"preferredVersion": {"groupVersion": group}} for group in groups]})
        if path == "/apis/toolhive.stacklok.dev/v1alpha1":
            return self.answer(200, {"resources": [{"name": "mcpservers", "kind": "MCPServer"}, {"name": "mcpservers/status", "kind": "MCPServer"}, {"name": "tools", "kind": "Tool"}]})
        if path == "/apis/toolhive.stacklok.dev/v1alpha1/mcpservers":
            return self.answer(200, {"items": [{"kind": "MCPServer", "metadata": {"name": "fetch", "namespace": "tools"}, "spec": {"image": "ghcr.io/o/fetch:2"}}]})
        self.answer(404, {"kind": "Status", "code": 404})
    def refuse(self):
        print("WRITE", flush=True)
        self.answer(405, {})
    do_POST = do_PUT = do_PATCH = do_DELETE = refuse
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(sys.argv[1] + "/cert.pem", sys.argv[1] + "/key.pem")
server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Api)
server.socket = context.wrap_socket(server.socket, server_side=True)
print(server.server_address[1], flush=True)
server.serve_forever()
"#;

struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A root and a certificate for 127.0.0.1; none without the program.
fn certificates(folder: &Path) -> Option<()> {
    let run = |line: &str| {
        let made = Command::new("openssl").current_dir(folder).args(line.split(' ')).output();
        made.ok().filter(|made| made.status.success()).map(drop)
    };
    let key = "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes";
    run(&format!("req -x509 {key} -subj /CN=root -days 30 -keyout root.key -out root.pem"))?;
    run(&format!("req {key} -subj /CN=api -keyout key.pem -out api.csr"))?;
    std::fs::write(folder.join("ext"), "subjectAltName=IP:127.0.0.1\nbasicConstraints=CA:FALSE\n").ok()?;
    run(
        "x509 -req -in api.csr -CA root.pem -CAkey root.key -CAcreateserial -days 30 -extfile ext -out cert.pem",
    )
}

#[tokio::test]
async fn a_cluster_is_read_with_its_pages_and_what_may_not_be_seen_is_said() {
    let folder = tempfile::tempdir().unwrap();
    if certificates(folder.path()).is_none() {
        eprintln!("passed over: openssl is not installed");
        return;
    }
    let started = Command::new("python3").args(["-c", API]).arg(folder.path()).stdout(Stdio::piped()).spawn();
    let Ok(mut child) = started else {
        eprintln!("passed over: python3 is not installed");
        return;
    };
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let _server = Server(child);
    let port = lines.next().unwrap().unwrap();
    let config = |token: &str| {
        let path = folder.path().join("config");
        let text = format!(
            "current-context: c\ncontexts: [{{name: c, context: {{cluster: k, user: u}}}}]\nclusters: [{{name: k, cluster: {{server: 'https://127.0.0.1:{port}', certificate-authority: root.pem}}}}]\nusers: [{{name: u, user: {{token: {token}}}}}]\n"
        );
        std::fs::write(&path, text).unwrap();
        access(&path).unwrap()
    };
    let cluster = read(config("t0ken")).await.unwrap();
    let places: Vec<_> = cluster.placed.iter().map(|placed| placed.place.as_str()).collect();
    assert_eq!(places, ["pod tools/one", "pod tools/two", "MCPServer tools/fetch"]);
    assert_eq!(cluster.missing, ["it answered 403 to /api/v1/services"]);
    let refused = read(config("wrong")).await.unwrap();
    assert_eq!((refused.placed.len(), refused.missing.len()), (0, 3));
}
