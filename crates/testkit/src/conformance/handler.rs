//! The protocol's methods.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, PoisonError},
};

use rmcp::{
    ErrorData, RoleServer, ServerHandler,
    model::{
        CallToolRequestParams, CallToolResponse, CallToolResult, CancelTaskParams, CompleteRequestParams,
        CompleteResult, CompletionInfo, ContentBlock, GetPromptRequestParams, GetPromptResponse,
        GetPromptResult, GetTaskParams, GetTaskResult, Implementation, ListPromptsResult,
        ListResourceTemplatesResult, ListResourcesResult, ListToolsResult, LoggingLevel,
        PaginatedRequestParams, ProtocolVersion, ReadResourceRequestParams, ReadResourceResponse,
        ReadResourceResult, ResourceContents, ServerCapabilities, ServerConfig, SetLevelRequestParams,
        SubscribeRequestParams, SubscriptionFilter, Tool, UnsubscribeRequestParams, UpdateTaskParams,
    },
    service::{RequestContext, SubscriptionContext},
    task_manager::TaskManager,
};
use serde_json::{Value, json};
use tokio::sync::broadcast;

use super::{
    behaviour,
    catalog::{CATALOG, fill},
    rounds::{Retry, Seal, Step},
    tasks::{self, Job},
};

/// Changes that may wait for a slow subscriber; a test makes one or two.
const CHANGES_QUEUED_MAX: usize = 16;

#[derive(Clone, Copy)]
enum Change {
    Tools,
    Prompts,
}

struct Shared {
    changes: broadcast::Sender<Change>,
    seal: Seal,
    tasks: TaskManager,
    watched: Mutex<BTreeSet<String>>,
    level: Mutex<LoggingLevel>,
}

/// The server that the conformance suite examines. Clones share their state, as the stateless
/// requests of one client do.
#[derive(Clone)]
pub struct Fixture(Arc<Shared>);

impl Default for Fixture {
    fn default() -> Self {
        Self::new()
    }
}

impl Fixture {
    /// A server with no client yet.
    pub fn new() -> Self {
        Self(Arc::new(Shared {
            changes: broadcast::Sender::new(CHANGES_QUEUED_MAX),
            seal: Seal::default(),
            tasks: TaskManager::new(),
            watched: Mutex::default(),
            level: Mutex::new(LoggingLevel::Info),
        }))
    }

    /// The least level that this request's client wants: in its `_meta` when requests stand alone,
    /// by `logging/setLevel` when there is a session.
    fn least_level(&self, context: &RequestContext<RoleServer>) -> Option<LoggingLevel> {
        if stands_alone(context) {
            return context.meta.log_level();
        }
        Some(*self.0.level.lock().unwrap_or_else(PoisonError::into_inner))
    }

    async fn announce(
        &self,
        change: Change,
        context: &RequestContext<RoleServer>,
    ) -> Result<CallToolResult, ErrorData> {
        // No subscriber is no error: the list changed all the same.
        let _ = self.0.changes.send(change);
        if !stands_alone(context) {
            let told = match change {
                Change::Tools => context.peer.notify_tool_list_changed().await,
                Change::Prompts => context.peer.notify_prompt_list_changed().await,
            };
            told.map_err(|error| ErrorData::internal_error(error.to_string(), None))?;
        }
        Ok(CallToolResult::success(vec![ContentBlock::text("Announced.")]))
    }
}

/// Whether this request belongs to the era without sessions (2026-07-28 and later).
fn stands_alone(context: &RequestContext<RoleServer>) -> bool {
    context
        .protocol_version()
        .is_some_and(|version| version.as_str() >= ProtocolVersion::V_2026_07_28.as_str())
}

/// Text arguments of a prompt; others have no place in a template.
fn texts(arguments: Option<rmcp::model::JsonObject>) -> BTreeMap<String, String> {
    let arguments = arguments.unwrap_or_default().into_iter();
    arguments
        .filter_map(|(name, value)| match value {
            Value::String(text) => Some((name, text)),
            _ => None,
        })
        .collect()
}

impl ServerHandler for Fixture {
    fn get_info(&self) -> ServerConfig {
        let capabilities = ServerCapabilities::builder()
            .enable_tools()
            .enable_tool_list_changed()
            .enable_prompts()
            .enable_prompts_list_changed()
            .enable_resources()
            .enable_resources_subscribe()
            .enable_completions()
            .enable_logging()
            .enable_tasks()
            .build();
        ServerConfig::new(capabilities)
            .with_server_info(Implementation::new("lockgate-conformance-fixture", env!("CARGO_PKG_VERSION")))
            .with_instructions("Every tool is one scenario of the MCP conformance suite.")
    }

    async fn list_tools(
        &self,
        _: Option<PaginatedRequestParams>,
        _: RequestContext<RoleServer>,
    ) -> Result<ListToolsResult, ErrorData> {
        Ok(ListToolsResult::with_all_items(CATALOG.tools.clone()))
    }

    fn get_tool(&self, name: &str) -> Option<Tool> {
        CATALOG.tools.iter().find(|tool| tool.name == name).cloned()
    }

    async fn call_tool(
        &self,
        request: CallToolRequestParams,
        context: RequestContext<RoleServer>,
    ) -> Result<CallToolResponse, ErrorData> {
        let name = request.name.as_ref();
        let arguments = request.arguments.unwrap_or_default();
        if let Some(answer) = CATALOG.answers.get(name) {
            return Ok(answer.clone().into());
        }
        let declared = context.client_capabilities().unwrap_or_default();
        let mut learnt = None;
        if CATALOG.rounds.contains_key(name) {
            if name == "test_streaming_elicitation" {
                behaviour::progress(&context).await?;
            }
            let (responses, state) = (request.input_responses.as_ref(), request.request_state.as_deref());
            match self.0.seal.step(name, &Retry { responses, state }, &declared)? {
                Step::Ask(result) => return Ok(result.into()),
                Step::Complete(text) => learnt = Some(text),
            }
        }
        if CATALOG.jobs.contains_key(name) {
            let job = Job { name: name.to_owned(), arguments, learnt };
            return tasks::start(&self.0.tasks, job, &declared).await;
        }
        if let Some(text) = learnt {
            return Ok(CallToolResult::success(vec![ContentBlock::text(text)]).into());
        }
        if let Some(form) = CATALOG.forms.get(name) {
            let message = arguments.get("message").and_then(Value::as_str);
            let message = message.unwrap_or("Please fill in this form");
            return behaviour::elicit(&context, message, form.clone()).await.map(Into::into);
        }
        let outcome = match name {
            "test_tool_with_logging" | "test_logging_tool" => {
                behaviour::log(&context, self.least_level(&context)).await
            }
            "test_tool_with_progress" => behaviour::progress(&context).await,
            "test_sampling" => behaviour::sample(&context, &arguments).await,
            "greet" => behaviour::greet(&arguments),
            "test_missing_capability" => behaviour::need_sampling(&context),
            "test_trigger_tool_change" => self.announce(Change::Tools, &context).await,
            "test_trigger_prompt_change" => self.announce(Change::Prompts, &context).await,
            _ => Err(ErrorData::invalid_params(format!("there is no tool `{name}`"), None)),
        };
        outcome.map(Into::into)
    }

    async fn list_resources(
        &self,
        _: Option<PaginatedRequestParams>,
        _: RequestContext<RoleServer>,
    ) -> Result<ListResourcesResult, ErrorData> {
        Ok(ListResourcesResult::with_all_items(CATALOG.resources.clone()))
    }

    async fn list_resource_templates(
        &self,
        _: Option<PaginatedRequestParams>,
        _: RequestContext<RoleServer>,
    ) -> Result<ListResourceTemplatesResult, ErrorData> {
        Ok(ListResourceTemplatesResult::with_all_items(CATALOG.templates.clone()))
    }

    async fn read_resource(
        &self,
        request: ReadResourceRequestParams,
        _: RequestContext<RoleServer>,
    ) -> Result<ReadResourceResponse, ErrorData> {
        let uri = request.uri.as_str();
        let id = uri.strip_prefix("test://template/").and_then(|rest| rest.strip_suffix("/data"));
        let contents = match (CATALOG.contents.get(uri), id) {
            (Some(contents), _) => contents.clone(),
            (None, Some(id)) => {
                let data = format!("Data for ID: {id}");
                let data = json!({ "id": id, "templateTest": true, "data": data });
                ResourceContents::TextResourceContents {
                    uri: uri.to_owned(),
                    mime_type: Some("application/json".to_owned()),
                    text: data.to_string(),
                    meta: None,
                }
            }
            (None, None) => {
                return Err(ErrorData::resource_not_found("Resource not found", Some(json!({ "uri": uri }))));
            }
        };
        Ok(ReadResourceResult::new(vec![contents]).into())
    }

    async fn subscribe(
        &self,
        request: SubscribeRequestParams,
        _: RequestContext<RoleServer>,
    ) -> Result<(), ErrorData> {
        let mut watched = self.0.watched.lock().unwrap_or_else(PoisonError::into_inner);
        watched.insert(request.uri);
        Ok(())
    }

    async fn unsubscribe(
        &self,
        request: UnsubscribeRequestParams,
        _: RequestContext<RoleServer>,
    ) -> Result<(), ErrorData> {
        let mut watched = self.0.watched.lock().unwrap_or_else(PoisonError::into_inner);
        watched.remove(&request.uri);
        Ok(())
    }

    async fn list_prompts(
        &self,
        _: Option<PaginatedRequestParams>,
        _: RequestContext<RoleServer>,
    ) -> Result<ListPromptsResult, ErrorData> {
        Ok(ListPromptsResult::with_all_items(CATALOG.prompts.clone()))
    }

    async fn get_prompt(
        &self,
        request: GetPromptRequestParams,
        context: RequestContext<RoleServer>,
    ) -> Result<GetPromptResponse, ErrorData> {
        let name = request.name.as_str();
        let messages = if CATALOG.rounds.contains_key(name) {
            let declared = context.client_capabilities().unwrap_or_default();
            let retry = Retry {
                responses: request.input_responses.as_ref(),
                state: request.request_state.as_deref(),
            };
            match self.0.seal.step(name, &retry, &declared)? {
                Step::Ask(result) => return Ok(result.into()),
                Step::Complete(text) => {
                    vec![json!({ "role": "user", "content": { "type": "text", "text": text } })]
                }
            }
        } else {
            CATALOG
                .messages
                .get(name)
                .cloned()
                .ok_or_else(|| ErrorData::invalid_params(format!("there is no prompt `{name}`"), None))?
        };
        let filled = fill(&Value::Array(messages), &texts(request.arguments));
        let messages = serde_json::from_value(filled)
            .map_err(|error| ErrorData::internal_error(error.to_string(), None))?;
        Ok(GetPromptResult::new(messages).into())
    }

    async fn complete(
        &self,
        request: CompleteRequestParams,
        _: RequestContext<RoleServer>,
    ) -> Result<CompleteResult, ErrorData> {
        let begun = request.argument.value.as_str();
        let values = ["paris", "park", "party"].iter().filter(|value| value.starts_with(begun));
        let values = CompletionInfo::new(values.map(ToString::to_string).collect())
            .map_err(|error| ErrorData::internal_error(error, None))?;
        Ok(CompleteResult::new(values))
    }

    async fn set_level(
        &self,
        request: SetLevelRequestParams,
        context: RequestContext<RoleServer>,
    ) -> Result<(), ErrorData> {
        if stands_alone(&context) {
            return Err(ErrorData::method_not_found::<rmcp::model::SetLevelRequestMethod>());
        }
        *self.0.level.lock().unwrap_or_else(PoisonError::into_inner) = request.level;
        Ok(())
    }

    async fn get_task(
        &self,
        request: GetTaskParams,
        _: RequestContext<RoleServer>,
    ) -> Result<GetTaskResult, ErrorData> {
        self.0.tasks.get_task(&request.task_id).map(GetTaskResult::new)
    }

    async fn update_task(
        &self,
        request: UpdateTaskParams,
        _: RequestContext<RoleServer>,
    ) -> Result<(), ErrorData> {
        self.0.tasks.update_task(&request.task_id, request.input_responses)
    }

    async fn cancel_task(
        &self,
        request: CancelTaskParams,
        _: RequestContext<RoleServer>,
    ) -> Result<(), ErrorData> {
        self.0.tasks.cancel_task(&request.task_id)
    }

    fn accepted_subscription_filter(&self, requested: &SubscriptionFilter) -> Option<SubscriptionFilter> {
        Some(requested.clone())
    }

    async fn listen(&self, subscription: SubscriptionContext) -> Result<(), ErrorData> {
        let mut changes = self.0.changes.subscribe();
        loop {
            let change = tokio::select! {
                change = changes.recv() => change,
                () = subscription.cancelled() => return Ok(()),
            };
            // The sink refuses what the client did not subscribe to; that is its business.
            let _ = match change {
                Ok(Change::Tools) => subscription.sink().notify_tool_list_changed().await,
                Ok(Change::Prompts) => subscription.sink().notify_prompt_list_changed().await,
                Err(broadcast::error::RecvError::Lagged(_)) => continue,
                Err(broadcast::error::RecvError::Closed) => return Ok(()),
            };
        }
    }
}
