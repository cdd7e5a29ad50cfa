//! Swagger 2.0 to OpenAPI 3.0, as far as tools need it.

use serde_json::{Map, Value, json};

use crate::pointer::escape;

const METHODS: &[&str] = &["get", "put", "post", "delete", "options", "head", "patch"];

/// The same API as OpenAPI 3.0.
pub(crate) fn converted(document: Value) -> Value {
    let Value::Object(mut old) = document else { return document };
    let mut take = |key: &str| old.remove(key);
    let list = |value: Option<&Value>, usual: &str| -> Vec<Value> {
        value
            .and_then(Value::as_array)
            .filter(|all| !all.is_empty())
            .cloned()
            .unwrap_or_else(|| vec![usual.into()])
    };
    let consumes = list(take("consumes").as_ref(), "application/json");
    let produces = list(take("produces").as_ref(), "application/json");
    let server = server(take("host"), take("basePath"), take("schemes"));
    let shared = take("parameters").unwrap_or_default();
    let media = Media { consumes, produces, shared: &shared };
    let responses = take("responses").unwrap_or_default();
    let responses = mapped(responses, |response| media.response(response, &media.produces));
    let paths = mapped(take("paths").unwrap_or_default(), |item| media.item(item));
    let mut schemas = take("definitions").unwrap_or_default();
    let mut parameters = mapped(shared.clone(), |parameter| plain_parameter(parameter).unwrap_or_default());
    for value in [&mut schemas, &mut parameters] {
        renamed(value);
    }
    let schemes = mapped(take("securityDefinitions").unwrap_or_default(), scheme);
    let mut new = json!({
        "openapi": "3.0.3",
        "info": take("info").unwrap_or_default(),
        "servers": server,
        "paths": paths,
        "components": { "schemas": schemas, "parameters": parameters, "responses": responses, "securitySchemes": schemes },
    });
    renamed(&mut new["paths"]);
    renamed(&mut new["components"]["responses"]);
    if let Some(security) = take("security") {
        new["security"] = security;
    }
    new
}

/// Applies `change` to each member.
fn mapped(value: Value, change: impl Fn(Value) -> Value) -> Value {
    match value {
        Value::Object(members) => members.into_iter().map(|(name, value)| (name, change(value))).collect(),
        _ => json!({}),
    }
}

fn server(host: Option<Value>, base: Option<Value>, schemes: Option<Value>) -> Value {
    let text = |value: Option<Value>| value.and_then(|value| value.as_str().map(str::to_owned));
    let base = text(base).unwrap_or_default();
    let secure = schemes
        .as_ref()
        .and_then(Value::as_array)
        .is_none_or(|all| all.iter().any(|scheme| scheme == "https"));
    match text(host) {
        Some(host) => json!([{ "url": format!("{}://{host}{base}", if secure { "https" } else { "http" }) }]),
        None => json!([{ "url": base }]),
    }
}

/// The places of definitions, as they are called now.
fn renamed(value: &mut Value) {
    const MOVED: [(&str, &str); 3] = [
        ("#/definitions/", "#/components/schemas/"),
        ("#/parameters/", "#/components/parameters/"),
        ("#/responses/", "#/components/responses/"),
    ];
    // A list of what is left to do rather than recursion: the depth is bounded, the stack need not be.
    let mut waiting = vec![value];
    while let Some(value) = waiting.pop() {
        match value {
            Value::Array(items) => waiting.extend(items),
            Value::Object(members) => {
                if let Some(Value::String(reference)) = members.get_mut("$ref")
                    && let Some((old, new)) = MOVED.iter().find(|(old, _)| reference.starts_with(old))
                {
                    *reference = format!("{new}{}", &reference[old.len()..]);
                }
                waiting.extend(members.values_mut());
            }
            _ => {}
        }
    }
}

struct Media<'a> {
    consumes: Vec<Value>,
    produces: Vec<Value>,
    shared: &'a Value,
}

impl Media<'_> {
    fn item(&self, item: Value) -> Value {
        let Value::Object(mut item) = item else { return item };
        let common = item.remove("parameters").and_then(|all| all.as_array().cloned()).unwrap_or_default();
        for method in METHODS {
            if let Some(operation) = item.remove(*method) {
                item.insert((*method).to_owned(), self.operation(operation, &common));
            }
        }
        Value::Object(item)
    }

    fn operation(&self, operation: Value, common: &[Value]) -> Value {
        let Value::Object(mut operation) = operation else { return operation };
        let own = operation.remove("parameters").and_then(|all| all.as_array().cloned()).unwrap_or_default();
        let media = |key: &str, usual: &[Value], operation: &mut Map<String, Value>| -> Vec<Value> {
            let own =
                operation.remove(key).and_then(|all| all.as_array().cloned()).filter(|all| !all.is_empty());
            own.unwrap_or_else(|| usual.to_vec())
        };
        let consumes = media("consumes", &self.consumes, &mut operation);
        let produces = media("produces", &self.produces, &mut operation);
        let named = |parameter: &Value| {
            let parameter = self.resolved(parameter);
            (parameter.get("name").cloned(), parameter.get("in").cloned())
        };
        let inherited = common.iter().filter(|one| !own.iter().any(|own| named(own) == named(one)));
        let all: Vec<Value> = inherited.chain(&own).map(|one| self.resolved(one).clone()).collect();
        let place =
            |parameter: &Value| parameter.get("in").and_then(Value::as_str).unwrap_or_default().to_owned();
        let parameters: Vec<Value> = all.iter().cloned().filter_map(plain_parameter).collect();
        operation.insert("parameters".to_owned(), parameters.into());
        if let Some(body) = all.iter().find(|parameter| place(parameter) == "body") {
            let schema = body.get("schema").cloned().unwrap_or_else(|| json!({}));
            let content: Map<String, Value> = consumes
                .iter()
                .filter_map(Value::as_str)
                .map(|media| (media.to_owned(), json!({ "schema": schema })))
                .collect();
            let description = body.get("description").cloned().unwrap_or_default();
            let required = body.get("required").cloned().unwrap_or(Value::Bool(false));
            let body = json!({ "content": content, "required": required, "description": description });
            operation.insert("requestBody".to_owned(), body);
        } else if all.iter().any(|parameter| place(parameter) == "formData") {
            let fields: Vec<&Value> = all.iter().filter(|parameter| place(parameter) == "formData").collect();
            operation.insert("requestBody".to_owned(), form(&fields, &consumes));
        }
        let responses = operation.remove("responses").unwrap_or_default();
        operation
            .insert("responses".to_owned(), mapped(responses, |response| self.response(response, &produces)));
        Value::Object(operation)
    }

    /// A shared parameter by its name: where it goes decides what becomes of it.
    fn resolved<'b>(&'b self, parameter: &'b Value) -> &'b Value {
        let name =
            parameter.get("$ref").and_then(Value::as_str).and_then(|all| all.strip_prefix("#/parameters/"));
        name.and_then(|name| self.shared.pointer(&format!("/{}", escape(name)))).unwrap_or(parameter)
    }

    fn response(&self, response: Value, produces: &[Value]) -> Value {
        let Value::Object(mut response) = response else { return response };
        let Some(schema) = response.remove("schema") else { return Value::Object(response) };
        let content: Map<String, Value> = produces
            .iter()
            .filter_map(Value::as_str)
            .map(|media| (media.to_owned(), json!({ "schema": schema })))
            .collect();
        response.insert("content".to_owned(), Value::Object(content));
        Value::Object(response)
    }
}

/// A parameter that stays one, with a schema of its own; none for what goes into a body.
fn plain_parameter(parameter: Value) -> Option<Value> {
    let Value::Object(mut parameter) = parameter else { return None };
    if parameter.contains_key("$ref") {
        return Some(Value::Object(parameter));
    }
    if matches!(parameter.get("in").and_then(Value::as_str), Some("body" | "formData")) {
        return None;
    }
    let style = match parameter.remove("collectionFormat").as_ref().and_then(Value::as_str) {
        Some("multi") => Some(("form", true)),
        Some("ssv") => Some(("spaceDelimited", false)),
        Some("pipes") => Some(("pipeDelimited", false)),
        _ if parameter.get("in") == Some(&json!("query")) => Some(("form", false)),
        _ => None,
    };
    let mut kept = Map::new();
    for key in ["name", "in", "description", "required"] {
        if let Some(value) = parameter.remove(key) {
            kept.insert(key.to_owned(), value);
        }
    }
    let in_query = kept.get("in") == Some(&json!("query"));
    if let Some((style, explode)) = style.filter(|_| in_query) {
        kept.insert("style".to_owned(), style.into());
        kept.insert("explode".to_owned(), explode.into());
    }
    kept.insert("schema".to_owned(), Value::Object(parameter));
    Some(Value::Object(kept))
}

fn form(fields: &[&Value], consumes: &[Value]) -> Value {
    let is_file = |field: &&&Value| field.get("type") == Some(&json!("file"));
    let multipart = fields.iter().any(|field| is_file(&field))
        || consumes.iter().any(|media| media == "multipart/form-data");
    let (mut properties, mut required) = (Map::new(), Vec::new());
    for field in fields {
        let Some(name) = field.get("name").and_then(Value::as_str) else { continue };
        if field.get("required") == Some(&Value::Bool(true)) {
            required.push(Value::from(name));
        }
        let mut schema = (*field).clone();
        if let Value::Object(members) = &mut schema {
            for key in ["name", "in", "required", "collectionFormat"] {
                members.remove(key);
            }
            if members.get("type") == Some(&json!("file")) {
                members.insert("type".to_owned(), "string".into());
                members.insert("format".to_owned(), "binary".into());
            }
        }
        properties.insert(name.to_owned(), schema);
    }
    let media = if multipart { "multipart/form-data" } else { "application/x-www-form-urlencoded" };
    let is_required = !required.is_empty();
    json!({
        "required": is_required,
        "content": { media: { "schema": { "type": "object", "properties": properties, "required": required } } },
    })
}

fn scheme(scheme: Value) -> Value {
    match scheme.get("type").and_then(Value::as_str) {
        Some("basic") => json!({ "type": "http", "scheme": "basic" }),
        Some("oauth2") => {
            let flow = match scheme.get("flow").and_then(Value::as_str) {
                Some("application") => "clientCredentials",
                Some("accessCode") => "authorizationCode",
                Some("password") => "password",
                _ => "implicit",
            };
            json!({ "type": "oauth2", "flows": { flow: { "tokenUrl": scheme["tokenUrl"], "scopes": scheme["scopes"] } } })
        }
        _ => scheme,
    }
}
