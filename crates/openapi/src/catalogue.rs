//! All operations of a document as tools.

use std::collections::HashSet;

use serde_json::{Map, Value};

use crate::body::Body;
use crate::error::{Problem, Rejected};
use crate::hints::Hints;
use crate::limits::Limits;
use crate::names;
use crate::operation::{self, Common, Piece, Standing};
use crate::pages::Pages;
use crate::parameter::Parameter;
use crate::pointer::{Root, join};
use crate::read;
use crate::swagger;
use crate::text::clean;

/// Methods that become tools. `TRACE` sends back what it was sent, credentials included, and is none.
const METHODS: [&str; 8] = ["get", "head", "post", "put", "patch", "delete", "options", "query"];

/// The tools that a document gives, and what it does not give.
#[derive(Debug, Clone)]
pub struct Catalogue {
    /// What the API is called.
    pub title: String,
    /// Version of the API, by its own count.
    pub version: String,
    /// What the document is written in, such as `OpenAPI 3.1.0`.
    pub dialect: String,
    /// The tools, by path and method.
    pub tools: Vec<Tool>,
    /// Operations that become none.
    pub left_out: Vec<LeftOut>,
    /// What a person should know before they offer this.
    pub notices: Vec<Notice>,
    /// Where the document says that the API is. It decides nothing: who deploys says where calls go.
    pub servers: Vec<String>,
    /// How the API wants to be authenticated to, in words.
    pub security: Vec<String>,
}

/// An operation as a tool.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tool {
    /// Its name, unique in its catalogue.
    pub name: String,
    /// The HTTP method, in capitals.
    pub method: String,
    /// The path template as it stands in the document.
    pub path: String,
    /// One line, or nothing.
    pub summary: String,
    /// What the model reads.
    pub description: String,
    /// What its method promises.
    pub hints: Hints,
    /// Whether the document advises against it.
    pub deprecated: bool,
    pub(crate) pieces: Vec<Piece>,
    pub(crate) parameters: Vec<Parameter>,
    pub(crate) body: Option<Body>,
    pub(crate) pages: Option<Pages>,
    pub(crate) input: String,
    pub(crate) output: Option<String>,
    pub(crate) accept: String,
    pub(crate) content: Option<String>,
    /// Characters that nobody sees, and that were taken away.
    pub(crate) hidden: usize,
}

/// An operation that is no tool.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct LeftOut {
    /// The HTTP method, in capitals.
    pub method: String,
    /// Its path, cleaned.
    pub path: String,
    /// JSON pointer to it.
    pub at: String,
    /// Why.
    pub why: String,
}

/// Something that a person should know.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Notice {
    /// What it is about: a tool, or nothing in particular.
    pub about: String,
    /// What there is to know.
    pub what: String,
}

impl Catalogue {
    /// Reads a document.
    ///
    /// # Errors
    /// [`Rejected`] with all that is wrong, if it gives no tool.
    pub fn read(bytes: &[u8], limits: &Limits) -> Result<Self, Rejected> {
        let document = read::document(bytes, limits)?;
        Self::of(document, limits)
    }

    /// The tools of a document that was read.
    ///
    /// # Errors
    /// As [`Catalogue::read`].
    pub fn of(document: Value, limits: &Limits) -> Result<Self, Rejected> {
        let dialect = dialect(&document)?;
        let document = if dialect.starts_with("Swagger") { swagger::converted(document) } else { document };
        let Some(paths) = document.get("paths").and_then(Value::as_object).filter(|paths| !paths.is_empty())
        else {
            return Err(Rejected::one("/paths", "there are no paths, so there is nothing to offer"));
        };
        let count = count(paths);
        if count > limits.operations_max {
            let max = limits.operations_max;
            return Err(Rejected::one(
                "/paths",
                format!("there are {count} operations, and at most {max} are read"),
            ));
        }
        let root = Root::new(&document, limits);
        let schemes = document.pointer("/components/securitySchemes").and_then(Value::as_object);
        let credentials =
            schemes.into_iter().flat_map(Map::values).filter_map(|scheme| root.resolve(scheme).ok());
        let credentials = credentials
            .filter_map(|scheme| Some((scheme.get("in")?.as_str()?, scheme.get("name")?.as_str()?)));
        let common = Common { root, limits, credentials: credentials.collect() };
        let (mut tools, mut left_out, mut taken) = (Vec::new(), Vec::new(), HashSet::new());
        // In an order that does not depend on how the document was written: names that stand twice are numbered by it.
        let mut paths: Vec<(&String, &Value)> = paths.iter().collect();
        paths.sort_unstable_by_key(|(path, _)| path.as_str());
        for (path, item) in paths {
            operations(path, item, &common, (&mut tools, &mut left_out, &mut taken));
        }
        if tools.is_empty() {
            return Err(rejected(left_out, limits));
        }
        let info = |key: &str, max| {
            document
                .pointer(&format!("/info/{key}"))
                .and_then(Value::as_str)
                .map_or(String::new(), |text| clean(text, max))
        };
        let notices = notices(&tools);
        Ok(Self {
            title: info("title", 100),
            version: info("version", 40),
            dialect,
            tools,
            left_out,
            notices,
            servers: servers(&document),
            security: schemes.into_iter().flatten().map(|(name, scheme)| security(name, scheme)).collect(),
        })
    }

    /// The tool of this name.
    #[must_use]
    pub fn tool(&self, name: &str) -> Option<&Tool> {
        self.tools.iter().find(|tool| tool.name == name)
    }

    /// Keeps the tools that `keep` wants.
    pub fn retain(&mut self, keep: impl FnMut(&Tool) -> bool) {
        self.tools.retain(keep);
    }
}

impl Tool {
    /// Whether its method only reads, so that it may be offered without being named.
    #[must_use]
    pub fn is_safe(&self) -> bool {
        self.hints.read_only
    }

    /// The tool as it stands in `tools/list`.
    #[must_use]
    pub fn definition(&self) -> String {
        let title = if self.summary.is_empty() { &self.name } else { &self.summary };
        let text = |text: &str| Value::from(text).to_string();
        let output =
            self.output.as_deref().map(|schema| format!(",\"outputSchema\":{schema}")).unwrap_or_default();
        format!(
            "{{\"name\":{},\"title\":{},\"description\":{},\"inputSchema\":{}{output},\"annotations\":{}}}",
            text(&self.name),
            text(title),
            text(&self.description),
            self.input,
            self.hints.annotations(title),
        )
    }

    /// The schema of its arguments, as JSON.
    #[must_use]
    pub fn input_schema(&self) -> &str {
        &self.input
    }

    /// The media type of its request body, if it has one.
    #[must_use]
    pub fn body_media(&self) -> Option<&str> {
        operation::body_media(self.body.as_ref())
    }
}

fn dialect(document: &Value) -> Result<String, Rejected> {
    let text = |key: &str| {
        document.get(key).map(|value| value.as_str().map_or_else(|| value.to_string(), str::to_owned))
    };
    match (text("openapi"), text("swagger")) {
        (Some(version), None)
            if ["3.0", "3.1", "3.2"]
                .iter()
                .any(|known| version == *known || version.starts_with(&format!("{known}."))) =>
        {
            Ok(format!("OpenAPI {}", clean(&version, 20)))
        }
        (None, Some(version)) if version == "2.0" || version == "2" => Ok("Swagger 2.0".to_owned()),
        (Some(version), _) => Err(Rejected::one(
            "/openapi",
            format!("version {:?} is not known; 3.0 and 3.1 are", clean(&version, 20)),
        )),
        (_, Some(version)) => {
            Err(Rejected::one("/swagger", format!("version {:?} is not known; 2.0 is", clean(&version, 20))))
        }
        (None, None) => {
            Err(Rejected::one("", "this is no OpenAPI document: it has neither `openapi` nor `swagger`"))
        }
    }
}

fn count(paths: &Map<String, Value>) -> usize {
    let of = |item: &Value| METHODS.iter().filter(|method| item.get(**method).is_some()).count();
    paths.values().map(of).sum()
}

/// Reads the operations of one path.
fn operations(
    path: &str,
    item: &Value,
    common: &Common<'_>,
    (tools, left_out, taken): (&mut Vec<Tool>, &mut Vec<LeftOut>, &mut HashSet<String>),
) {
    let at = join("/paths", path);
    let mut leave = |method: &str, at: String, why: String| {
        left_out.push(LeftOut { method: method.to_uppercase(), path: clean(path, 200), at, why });
    };
    let item = match common.root.resolve(item) {
        Ok(item) => item,
        Err(why) => return leave("", at, why),
    };
    if path.starts_with("x-") {
        return;
    }
    for method in METHODS {
        let Some(operation) = item.get(method) else { continue };
        let at = join(&at, method);
        if !operation.is_object() {
            leave(method, at, "it is no object".to_owned());
            continue;
        }
        let upper = method.to_uppercase();
        match operation::read(&Standing { method: &upper, path, item, operation }, common) {
            Ok(tool) => {
                tools.push(Tool { name: name(&upper, path, operation, (taken, common.limits)), ..tool })
            }
            Err(why) => leave(method, at, why),
        }
    }
}

fn name(
    method: &str,
    path: &str,
    operation: &Value,
    (taken, limits): (&mut HashSet<String>, &Limits),
) -> String {
    let id = operation.get("operationId").and_then(Value::as_str).unwrap_or_default();
    // Room for what tells two of one name apart.
    let bytes_max = limits.name_bytes_max - 6;
    let by_id = names::tool(id, bytes_max);
    let wished = match by_id.is_empty() {
        false => by_id,
        true => names::tool(&format!("{} {path}", method.to_lowercase()), bytes_max),
    };
    let name = names::unique(&wished, |name| taken.contains(name));
    taken.insert(name.clone());
    name
}

fn rejected(left_out: Vec<LeftOut>, limits: &Limits) -> Rejected {
    let mut problems: Vec<Problem> =
        left_out.into_iter().map(|one| Problem { at: one.at, what: one.why }).collect();
    let more = problems.len().saturating_sub(limits.problems_max);
    problems.truncate(limits.problems_max);
    if more > 0 {
        problems.push(Problem::new("/paths", format!("and {more} more")));
    }
    if problems.is_empty() {
        problems.push(Problem::new("/paths", "there is no operation, so there is nothing to offer"));
    }
    Rejected { problems }
}

fn notices(tools: &[Tool]) -> Vec<Notice> {
    let hidden = tools.iter().filter(|tool| tool.hidden > 0);
    let hidden = hidden.map(|tool| Notice {
        about: tool.name.clone(),
        what: format!("{} characters that nobody sees were taken out of its texts", tool.hidden),
    });
    hidden.collect()
}

fn servers(document: &Value) -> Vec<String> {
    let servers = document.get("servers").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    servers
        .iter()
        .filter_map(|server| server.get("url")?.as_str())
        .take(8)
        .map(|url| clean(url, 200))
        .collect()
}

fn security(name: &str, scheme: &Value) -> String {
    let text =
        |key: &str| scheme.get(key).and_then(Value::as_str).map_or(String::new(), |text| clean(text, 60));
    let what = match text("type").as_str() {
        "apiKey" => format!("a key in the {} {}", text("in"), text("name")),
        "http" => format!("HTTP {}", text("scheme")),
        "oauth2" => {
            let flows = scheme.get("flows").and_then(Value::as_object);
            let flows: Vec<String> =
                flows.into_iter().flat_map(Map::keys).map(|flow| clean(flow, 30)).collect();
            format!("OAuth 2 ({})", flows.join(", "))
        }
        "openIdConnect" => "OpenID Connect".to_owned(),
        "mutualTLS" => "a client certificate".to_owned(),
        other => other.to_owned(),
    };
    format!("{}: {what}", clean(name, 60))
}
