//! The built-in sample MCP server: something honest to call while you try Lockgate out.
//!
//! It is an ordinary stdio server in an ordinary child process, reached through every stage like any other. It is
//! built on the official SDK (rmcp) and speaks both protocol eras.

use rmcp::handler::server::router::prompt::PromptRouter;
use rmcp::handler::server::router::tool::ToolRouter;
use rmcp::handler::server::wrapper::{Json, Parameters};
use rmcp::model::{
    Implementation, ListResourcesResult, PaginatedRequestParams, PromptMessage, ReadResourceRequestParams,
    ReadResourceResponse, ReadResourceResult, Resource, ResourceContents, Role, ServerCapabilities,
    ServerConfig,
};
use rmcp::service::RequestContext;
use rmcp::{
    ErrorData, RoleServer, ServerHandler, ServiceExt as _, prompt, prompt_handler, prompt_router, tool,
    tool_handler, tool_router,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::diagnostic::{Diagnostic, Failure};
use crate::exit::Exit;

const STAGES_URI: &str = "lockgate://stages";

#[derive(Clone)]
struct Sample {
    tool_router: ToolRouter<Self>,
    prompt_router: PromptRouter<Self>,
}

#[derive(Deserialize, JsonSchema)]
struct Text {
    /// Any text.
    text: String,
}

#[derive(Deserialize, JsonSchema)]
struct Zone {
    /// IANA time zone like Europe/Berlin; UTC if absent.
    zone: Option<String>,
}

#[derive(Serialize, JsonSchema)]
struct Now {
    /// Local time with offset and zone, RFC 9557.
    local: String,
    /// The same instant in UTC, RFC 3339.
    utc: String,
}

#[derive(Serialize, JsonSchema)]
struct Count {
    lines: usize,
    words: usize,
    characters: usize,
    bytes: usize,
}

#[tool_router]
impl Sample {
    fn new() -> Self {
        Self { tool_router: Self::tool_router(), prompt_router: Self::prompt_router() }
    }

    /// Gives the text back unchanged.
    #[tool(annotations(read_only_hint = true))]
    fn echo(&self, Parameters(Text { text }): Parameters<Text>) -> String {
        text
    }

    /// The current time in a time zone.
    #[tool(annotations(read_only_hint = true))]
    fn time_now(&self, Parameters(Zone { zone }): Parameters<Zone>) -> Result<Json<Now>, ErrorData> {
        let zone = zone.unwrap_or_else(|| "UTC".to_owned());
        let now = jiff::Timestamp::now();
        let local = now.in_tz(&zone).map_err(|_| {
            ErrorData::invalid_params(
                format!("no time zone is called {zone}; write it like Europe/Berlin"),
                None,
            )
        })?;
        let local = local.round(jiff::Unit::Second).unwrap_or(local);
        let utc = now.round(jiff::Unit::Second).unwrap_or(now);
        Ok(Json(Now { local: local.to_string(), utc: utc.to_string() }))
    }

    /// The SHA-256 digest of the text's UTF-8 bytes, in hexadecimal.
    #[tool(annotations(read_only_hint = true))]
    fn sha256(&self, Parameters(Text { text }): Parameters<Text>) -> String {
        lockgate_crypto::digest::hex(&lockgate_crypto::digest::sha256(text.as_bytes()))
    }

    /// Counts lines, words, characters and bytes.
    #[tool(annotations(read_only_hint = true))]
    fn word_count(&self, Parameters(Text { text }): Parameters<Text>) -> Json<Count> {
        Json(Count {
            lines: text.lines().count(),
            words: text.split_whitespace().count(),
            characters: text.chars().count(),
            bytes: text.len(),
        })
    }
}

#[prompt_router]
impl Sample {
    /// Asks a model for a summary of a text.
    #[prompt(name = "summarise")]
    fn summarise(&self, Parameters(Text { text }): Parameters<Text>) -> Vec<PromptMessage> {
        vec![PromptMessage::new_text(
            Role::User,
            format!("Summarise this text in three sentences:\n\n{text}"),
        )]
    }
}

#[tool_handler(router = self.tool_router)]
#[prompt_handler(router = self.prompt_router)]
impl ServerHandler for Sample {
    fn get_info(&self) -> ServerConfig {
        let capabilities =
            ServerCapabilities::builder().enable_tools().enable_prompts().enable_resources().build();
        let mut info = ServerConfig::new(capabilities);
        info.server_info = Implementation::new("lockgate-sample", env!("CARGO_PKG_VERSION"));
        info.instructions =
            Some("Small tools to try a gateway with: echo, time_now, sha256, word_count.".to_owned());
        info
    }

    async fn list_resources(
        &self,
        _request: Option<PaginatedRequestParams>,
        _context: RequestContext<RoleServer>,
    ) -> Result<ListResourcesResult, ErrorData> {
        let resource = Resource::new(STAGES_URI, "stages")
            .with_description("The nine stages that a call passes")
            .with_mime_type("text/plain");
        Ok(ListResourcesResult::with_all_items(vec![resource]))
    }

    async fn read_resource(
        &self,
        request: ReadResourceRequestParams,
        _context: RequestContext<RoleServer>,
    ) -> Result<ReadResourceResponse, ErrorData> {
        if request.uri != STAGES_URI {
            return Err(ErrorData::resource_not_found(
                format!("no resource has the URI {}", request.uri),
                None,
            ));
        }
        let names: Vec<&str> = lockgate_proxy::Stage::ALL.iter().map(|stage| stage.name()).collect();
        let contents = ResourceContents::text(names.join("\n"), STAGES_URI);
        Ok(ReadResourceResult::new(vec![contents]).into())
    }
}

/// Serves on stdin and stdout until stdin ends.
pub(crate) async fn run() -> Result<Exit, Failure> {
    let failed = |error: &dyn std::error::Error| {
        Failure::from(Diagnostic::new("LG-M001", "the sample server ended").because(error))
    };
    let service = Sample::new().serve(rmcp::transport::stdio()).await.map_err(|error| failed(&error))?;
    service.waiting().await.map_err(|error| failed(&error))?;
    Ok(Exit::Ok)
}
