//! MCP servers of a cluster, where a kubeconfig is given: pods by image and arguments, services by name, and the kinds that MCP
//! operators define. Read only, and nothing that the kubeconfig says is run.

use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use lockgate_identity::Leaf;
use lockgate_identity::verifier::ForeignRoots;
use serde_json::Value;
use zeroize::Zeroizing;

use crate::assemble::Placed;
use crate::config::text;
use crate::launch::meaning;
use crate::process::{looks_like_server, names_mcp};
use crate::registry::encoded;
use crate::remote::{Access, Remote, RemoteError};
use crate::tree::{self, Format, Limits, Node};

/// Bytes of a kubeconfig, and of a token or certificate that it names.
const CONFIG_BYTES_MAX: usize = 1 << 20;
/// Objects of a page, and pages of a list.
const PAGE_OBJECTS: usize = 500;
const PAGES_MAX: usize = 100;
/// API groups and kinds of operators that are looked at.
const KINDS_MAX: usize = 20;
/// Servers of a cluster.
const SERVERS_MAX: usize = 5_000;

/// What was found, and what could not be seen.
#[derive(Debug, Default)]
pub struct Cluster {
    /// Servers.
    pub placed: Vec<Placed>,
    /// Lists that were refused, with the reason.
    pub missing: Vec<String>,
}

/// Reads a kubeconfig: where its current cluster is, whom to believe, and who we are.
///
/// # Errors
/// [`RemoteError::Address`] with what is missing, for people.
pub fn access(path: &Path) -> Result<Access, RemoteError> {
    let wrong = |why: String| RemoteError::Address(why);
    let config = text(path, CONFIG_BYTES_MAX).map_err(wrong)?;
    let root =
        tree::read(&config, Format::Yaml, &Limits::default()).map_err(|error| wrong(error.to_string()))?;
    let current = root
        .get("current-context")
        .and_then(Node::text)
        .ok_or_else(|| wrong("it has no current-context".to_owned()))?;
    let named = |list: &str, name: &str, part: &str| {
        let items = root.get(list).map(Node::items).unwrap_or_default();
        let item = items.iter().find(|item| item.get("name").and_then(Node::text) == Some(name));
        item.and_then(|item| item.get(part))
            .cloned()
            .ok_or_else(|| wrong(format!("it has no {part} called {name}")))
    };
    let context = named("contexts", current, "context")?;
    let part = |name: &str| context.get(name).and_then(Node::text).unwrap_or_default().to_owned();
    let cluster = named("clusters", &part("cluster"), "cluster")?;
    let user = named("users", &part("user"), "user")?;
    let folder = path.parent().unwrap_or(Path::new("."));
    let server = cluster
        .get("server")
        .and_then(Node::text)
        .ok_or_else(|| wrong("its cluster has no server".to_owned()))?;
    if cluster.get("insecure-skip-tls-verify").is_some_and(|flag| flag.is(true)) {
        return Err(wrong(
            "it asks not to check the server's certificate; name a certificate-authority instead".to_owned(),
        ));
    }
    let roots = match pem(&cluster, "certificate-authority", folder)? {
        Some(pem) => Some(ForeignRoots::from_pem(&pem).map_err(|error| wrong(error.to_string()))?),
        None => None,
    };
    let token = match user.get("token").and_then(Node::text) {
        Some(token) => Some(Zeroizing::new(token.to_owned())),
        None => match user.get("tokenFile").and_then(Node::text) {
            Some(file) => Some(Zeroizing::new(text(&folder.join(file), CONFIG_BYTES_MAX).map_err(wrong)?)),
            None => None,
        },
    };
    let leaf = match (pem(&user, "client-key", folder)?, pem(&user, "client-certificate", folder)?) {
        (Some(key), Some(certificate)) if token.is_none() => {
            let both = Zeroizing::new([key.as_slice(), b"\n", &certificate].concat());
            Some(Leaf::from_pem(&both).map_err(|error| {
                wrong(format!("its client certificate cannot be used ({error}); use a token"))
            })?)
        }
        _ => None,
    };
    if leaf.is_none() && token.is_none() {
        let runs = user.get("exec").is_some() || user.get("auth-provider").is_some();
        let why = if runs {
            "it has a program make its token, and nothing is run here"
        } else {
            "it has neither token nor client certificate"
        };
        return Err(wrong(format!("{why}; put a token into it: kubectl create token NAME")));
    }
    Ok(Access { base: server.trim_end_matches('/').to_owned(), roots, leaf, token })
}

/// `NAME-data` in Base64, or the file that `NAME` says.
fn pem(node: &Node, name: &str, folder: &Path) -> Result<Option<Zeroizing<Vec<u8>>>, RemoteError> {
    if let Some(data) = node.get(&format!("{name}-data")).and_then(Node::text) {
        let bytes = STANDARD
            .decode(data.trim())
            .map_err(|_| RemoteError::Address(format!("{name}-data is no Base64")))?;
        return Ok(Some(Zeroizing::new(bytes)));
    }
    let Some(file) = node.get(name).and_then(Node::text) else { return Ok(None) };
    let text = text(&folder.join(file), CONFIG_BYTES_MAX).map_err(RemoteError::Address)?;
    Ok(Some(Zeroizing::new(text.into_bytes())))
}

/// Looks through a cluster. What the credentials may not see is named and left out.
///
/// # Errors
/// [`RemoteError`] if the API does not answer at all.
pub async fn read(access: Access) -> Result<Cluster, RemoteError> {
    let remote = Remote::new(access)?;
    let mut cluster = Cluster::default();
    let mut answered = false;
    for (path, pick) in [("/api/v1/pods", pod as fn(&Value) -> Option<Placed>), ("/api/v1/services", service)]
    {
        match list(&remote, path).await {
            Ok(items) => {
                answered = true;
                cluster.placed.extend(items.iter().filter_map(pick));
            }
            Err(error @ RemoteError::Refused { .. }) => {
                answered = true;
                cluster.missing.push(error.to_string());
            }
            Err(error) if !answered => return Err(error),
            Err(error) => cluster.missing.push(format!("{path}: {error}")),
        }
    }
    match operators(&remote).await {
        Ok(paths) => {
            for path in paths {
                match list(&remote, &path).await {
                    Ok(items) => cluster.placed.extend(items.iter().filter_map(custom)),
                    Err(error) => cluster.missing.push(error.to_string()),
                }
            }
        }
        Err(error) => cluster.missing.push(error.to_string()),
    }
    cluster.placed.truncate(SERVERS_MAX);
    Ok(cluster)
}

async fn list(remote: &Remote, path: &str) -> Result<Vec<Value>, RemoteError> {
    let (mut all, mut next) = (Vec::new(), String::new());
    for _ in 0..PAGES_MAX {
        let from = if next.is_empty() { String::new() } else { format!("&continue={}", encoded(&next)) };
        let mut page = remote.get(&format!("{path}?limit={PAGE_OBJECTS}{from}")).await?;
        if let Value::Array(items) = page["items"].take() {
            all.extend(items);
        }
        let after = page["metadata"]["continue"].as_str().unwrap_or_default();
        if after.is_empty() || after == next {
            break;
        }
        next = after.to_owned();
    }
    Ok(all)
}

/// Lists of the kinds that operators of MCP servers define.
async fn operators(remote: &Remote) -> Result<Vec<String>, RemoteError> {
    let groups = remote.get("/apis").await?;
    let groups = groups["groups"].as_array().cloned().unwrap_or_default();
    let preferred = groups.iter().filter_map(|group| group["preferredVersion"]["groupVersion"].as_str());
    // Only letters of names: this becomes a path.
    let plain = |text: &&str| {
        text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-./".contains(&byte))
            && !text.contains("..")
    };
    let ours = preferred
        .filter(plain)
        .filter(|group| ["mcp", "toolhive", "kagent", "agent"].iter().any(|word| group.contains(word)));
    let mut paths = Vec::new();
    for group in ours.take(KINDS_MAX) {
        let resources = remote.get(&format!("/apis/{group}")).await?;
        let resources = resources["resources"].as_array().cloned().unwrap_or_default();
        let kinds = resources.iter().filter(|resource| {
            resource["kind"].as_str().is_some_and(|kind| kind.to_ascii_lowercase().contains("mcp"))
        });
        let names = kinds
            .filter_map(|resource| resource["name"].as_str())
            .filter(plain)
            .filter(|name| !name.contains('/'));
        paths.extend(names.take(KINDS_MAX).map(|name| format!("/apis/{group}/{name}")));
    }
    Ok(paths)
}

fn place(object: &Value) -> Option<(String, String)> {
    let name = object["metadata"]["name"].as_str()?;
    let namespace = object["metadata"]["namespace"].as_str().unwrap_or("default");
    Some((name.to_owned(), format!("{namespace}/{name}")))
}

/// A pod with a container that is a server.
fn pod(object: &Value) -> Option<Placed> {
    let containers = object["spec"]["containers"].as_array()?;
    let words = |container: &Value, part: &str| -> Vec<String> {
        let words = container[part].as_array().map(Vec::as_slice).unwrap_or_default();
        words.iter().filter_map(|word| word.as_str().map(str::to_owned)).collect()
    };
    let image = containers.iter().find_map(|container| {
        let image = container["image"].as_str()?;
        let command = [words(container, "command"), words(container, "args")].concat();
        (names_mcp(image) || looks_like_server(&command)).then_some(image)
    })?;
    let (name, place) = place(object)?;
    Some(Placed { place: format!("pod {place}"), name, image: image_of(image), url: None })
}

fn image_of(image: &str) -> Option<crate::launch::Package> {
    meaning(&["docker", "run", image].map(str::to_owned)).package
}

/// A service that is called like one, or whose port is.
fn service(object: &Value) -> Option<Placed> {
    let (name, full) = place(object)?;
    let ports = object["spec"]["ports"].as_array()?;
    let says = |port: &&Value| {
        ["name", "appProtocol"].iter().any(|part| port[*part].as_str().is_some_and(names_mcp))
    };
    let port = ports.iter().find(says).or_else(|| ports.first().filter(|_| names_mcp(&name)))?;
    let number = port["port"].as_u64()?;
    let namespace = full.split('/').next()?;
    let url = format!("http://{name}.{namespace}.svc:{number}/");
    Some(Placed { place: format!("service {full}"), name, image: None, url: Some(url) })
}

/// An object of an operator.
fn custom(object: &Value) -> Option<Placed> {
    let (name, full) = place(object)?;
    let kind = object["kind"].as_str().unwrap_or("MCPServer");
    let spec = &object["spec"];
    let url = [&object["status"]["url"], &spec["remoteURL"], &spec["remoteUrl"], &spec["url"]];
    let url =
        url.iter().find_map(|url| url.as_str()).filter(|url| url.starts_with("http")).map(str::to_owned);
    let image = spec["image"].as_str().or_else(|| spec["deployment"]["image"].as_str()).and_then(image_of);
    Some(Placed { place: format!("{kind} {full}"), name, image, url })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use serde_json::json;

    use super::*;

    fn config(user: &str, cluster: &str) -> Result<Access, RemoteError> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("config");
        let text = format!(
            "current-context: c\ncontexts: [{{name: c, context: {{cluster: k, user: u}}}}]\nclusters: [{{name: k, cluster: {{server: 'https://127.0.0.1:6443', {cluster}}}}}]\nusers: [{{name: u, user: {{{user}}}}}]\n"
        );
        std::fs::write(&path, text).unwrap();
        access(&path)
    }

    #[test]
    fn a_kubeconfig_is_read_and_nothing_of_it_run() {
        let good = config("token: abc", "").unwrap();
        assert_eq!((good.base.as_str(), good.token.unwrap().as_str()), ("https://127.0.0.1:6443", "abc"));
        for (user, cluster, why) in [
            ("exec: {command: /bin/touch, args: [/tmp/x]}", "", "nothing is run"),
            ("", "", "neither token"),
            ("token: a", "insecure-skip-tls-verify: true", "certificate-authority"),
            ("token: a", "certificate-authority-data: '!!!'", "no Base64"),
            ("token: a", "certificate-authority: nowhere.pem", "No such file"),
        ] {
            let Err(error) = config(user, cluster) else { panic!("{user}") };
            assert!(error.to_string().contains(why), "{error}");
        }
    }

    #[test]
    fn objects_that_are_servers() {
        let meta = json!({"name": "n", "namespace": "s"});
        let with = |image: &str, args: &[&str]| {
            pod(
                &json!({"metadata": meta, "spec": {"containers": [{"image": "istio/proxy"}, {"image": image, "args": args}]}}),
            )
        };
        assert_eq!(with("mcp/time:1", &[]).unwrap().place, "pod s/n");
        assert!(with("node:22", &["npx", "-y", "@modelcontextprotocol/server-time"]).is_some());
        assert_eq!(with("nginx", &["-g"]), None);
        let service = |name: &str, port: Value| {
            super::service(&json!({"metadata": {"name": name, "namespace": "s"}, "spec": {"ports": [port]}}))
        };
        assert_eq!(
            service("mcp-time", json!({"port": 80})).unwrap().url.unwrap(),
            "http://mcp-time.s.svc:80/"
        );
        assert!(service("web", json!({"port": 80, "appProtocol": "mcp"})).is_some());
        assert_eq!(service("web", json!({"port": 80})), None);
        assert_eq!(service("mcp", json!("x")), None);
        assert_eq!(pod(&json!({})), None);
        assert!(
            custom(&json!({"kind": "MCPServer", "metadata": meta, "spec": {"image": "i:1"}}))
                .unwrap()
                .image
                .is_some()
        );
    }
}
