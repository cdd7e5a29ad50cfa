//! The tools that do something while they run.

use std::time::Duration;

use rmcp::{
    ErrorData, RoleServer,
    model::{
        CallToolResult, ClientCapabilities, ClientResult, ContentBlock, CreateMessageRequestParams,
        ElicitRequest, ElicitRequestParams, ElicitationSchema, JsonObject, LoggingLevel,
        LoggingMessageNotificationParam, ProgressNotificationParam, SamplingMessage, ServerRequest,
    },
    service::RequestContext,
};
use serde_json::json;

/// Between two notifications, so that a client sees them arrive one by one.
const PACE: Duration = Duration::from_millis(50);

type Context = RequestContext<RoleServer>;
type Outcome = Result<CallToolResult, ErrorData>;

fn text(text: impl Into<String>) -> CallToolResult {
    CallToolResult::success(vec![ContentBlock::text(text.into())])
}

fn argument<'a>(arguments: &'a JsonObject, name: &str) -> Result<&'a str, ErrorData> {
    arguments
        .get(name)
        .and_then(|value| value.as_str())
        .ok_or_else(|| ErrorData::invalid_params(format!("argument `{name}` is missing"), None))
}

/// Logs three times at `info`. `least` is the least level that the client wants to see, and `None`
/// when it asked for no log at all: stateless requests ask in their `_meta`.
pub(super) async fn log(context: &Context, least: Option<LoggingLevel>) -> Outcome {
    let wanted = matches!(least, Some(LoggingLevel::Debug | LoggingLevel::Info));
    for step in ["started", "processing data", "completed"] {
        if wanted {
            let line = json!(format!("Tool execution {step}"));
            let line = LoggingMessageNotificationParam::new(LoggingLevel::Info, line)
                .with_logger("conformance-server");
            context.peer.notify_logging_message(line).await.map_err(gone)?;
        }
        tokio::time::sleep(PACE).await;
    }
    Ok(text("Logged three times."))
}

/// Reports progress 0, 50 and 100 of 100, if the request carries a token.
pub(super) async fn progress(context: &Context) -> Outcome {
    let token = context.meta.get_progress_token();
    for done in [0.0, 50.0, 100.0] {
        if let Some(token) = &token {
            let report = ProgressNotificationParam::new(token.clone(), done)
                .with_total(100.0)
                .with_message(format!("{done} of 100"));
            context.peer.notify_progress(report).await.map_err(gone)?;
        }
        tokio::time::sleep(PACE).await;
    }
    Ok(text("Reported three times."))
}

/// Asks the client's model (`sampling/createMessage`), for clients that keep a session.
pub(super) async fn sample(context: &Context, arguments: &JsonObject) -> Outcome {
    let prompt = SamplingMessage::user_text(argument(arguments, "prompt")?);
    let asked = CreateMessageRequestParams::new(vec![prompt], 100);
    let answer = context.peer.create_message(asked).await.map_err(gone)?;
    let said = answer.message.content.first().and_then(|content| content.as_text());
    Ok(text(format!("LLM response: {}", said.map_or("nothing", |said| said.text.as_str()))))
}

/// Asks the client's user (`elicitation/create`), for clients that keep a session.
pub(super) async fn elicit(context: &Context, message: &str, form: ElicitationSchema) -> Outcome {
    let asked = ElicitRequestParams::FormElicitationParams {
        meta: None,
        message: message.to_owned(),
        requested_schema: form,
    };
    let asked = ServerRequest::ElicitRequest(ElicitRequest::new(asked));
    let ClientResult::ElicitResult(answer) = context.peer.send_request(asked).await.map_err(gone)? else {
        return Err(ErrorData::internal_error("the client's answer is not an elicitation", None));
    };
    let (action, content) = (json!(answer.action), json!(answer.content));
    Ok(text(format!("User response: action={action}, content={content}")))
}

/// Says hello.
pub(super) fn greet(arguments: &JsonObject) -> Outcome {
    Ok(text(format!("Hello, {}!", argument(arguments, "name")?)))
}

/// Refuses a client that did not declare `sampling`.
pub(super) fn need_sampling(context: &Context) -> Outcome {
    if context.client_capabilities().is_some_and(|declared| declared.sampling.is_some()) {
        return Ok(text("The client declared sampling."));
    }
    let mut required = ClientCapabilities::default();
    required.sampling = Some(Default::default());
    Err(ErrorData::missing_required_client_capability(required))
}

/// The client went away, or cannot do what was asked of it.
fn gone(error: impl std::fmt::Display) -> ErrorData {
    ErrorData::internal_error(error.to_string(), None)
}
