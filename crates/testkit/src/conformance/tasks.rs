//! Tools that run as tasks (extension `io.modelcontextprotocol/tasks`, SEP-2663).
//!
//! The server decides: a client that declared the extension gets a task, which it polls, answers and
//! cancels by `tasks/get`, `tasks/update` and `tasks/cancel`.

use std::time::Duration;

use rmcp::{
    ErrorData,
    model::{
        CallToolResponse, CallToolResult, ClientCapabilities, ContentBlock, CreateTaskResult, InputRequests,
        JsonObject,
    },
    task_manager::{TaskContext, TaskExit, TaskManager, TaskOptions},
};
use serde_json::Value;
use tokio::task::JoinSet;

use super::catalog::CATALOG;

/// How often a client should look, so that a test does not wait long.
const POLL_MS: u64 = 100;
/// How long `failing_job` runs before it fails.
const FAILS_AFTER: Duration = Duration::from_secs(1);
/// Longest that `slow_compute` runs.
const SECONDS_MAX: f64 = 600.0;

/// What a job was given: its name, its arguments, and what the client said before it started.
pub(super) struct Job {
    pub(super) name: String,
    pub(super) arguments: JsonObject,
    pub(super) learnt: Option<String>,
}

/// Starts `job` for a client with these capabilities.
///
/// # Errors
/// `-32021` when the job can only run as a task and the client did not declare the extension.
pub(super) async fn start(
    tasks: &TaskManager,
    job: Job,
    declared: &ClientCapabilities,
) -> Result<CallToolResponse, ErrorData> {
    if declared.supports_tasks() {
        let options = TaskOptions::new().with_poll_interval_ms(POLL_MS);
        let task = tasks.spawn(options, |context| Box::pin(async move { work(&job, &context).await }));
        return Ok(CreateTaskResult::new(task).into());
    }
    if job.name == "slow_compute" {
        tokio::time::sleep(duration(&job)).await;
        return Ok(text("Computed at once.").into());
    }
    let required = ClientCapabilities::builder().enable_tasks().build();
    Err(ErrorData::missing_required_client_capability(required))
}

async fn work(job: &Job, context: &TaskContext) -> Result<CallToolResult, TaskExit> {
    let answers = ask(context, &CATALOG.jobs[&job.name]).await?;
    match job.name.as_str() {
        "slow_compute" => tokio::select! {
            () = tokio::time::sleep(duration(job)) => Ok(text("Computed.")),
            () = context.cancelled() => Err(TaskExit::Cancelled),
        },
        "failing_job" => {
            tokio::time::sleep(FAILS_AFTER).await;
            Ok(CallToolResult::error(vec![ContentBlock::text("This job always fails.")]))
        }
        "protocol_error_job" => Err(ErrorData::internal_error("this job always breaks down", None).into()),
        _ => Ok(text(job.learnt.clone().unwrap_or_else(|| answers.join("; ")))),
    }
}

/// Asks everything at once, and returns the answers when the last has come.
async fn ask(context: &TaskContext, requests: &InputRequests) -> Result<Vec<String>, TaskExit> {
    let mut asked = JoinSet::new();
    for (key, request) in requests {
        let (context, key, request) = (context.clone(), key.clone(), request.clone());
        asked.spawn(async move { context.request_input(key, request).await });
    }
    let mut answers = Vec::new();
    while let Some(answer) = asked.join_next().await {
        let answer = answer.map_err(|error| ErrorData::internal_error(error.to_string(), None))?;
        answers.push(answer?["content"].to_string());
    }
    Ok(answers)
}

fn duration(job: &Job) -> Duration {
    let seconds = job.arguments.get("seconds").and_then(Value::as_f64).unwrap_or(0.0);
    Duration::from_secs_f64(seconds.clamp(0.0, SECONDS_MAX))
}

fn text(text: impl Into<String>) -> CallToolResult {
    CallToolResult::success(vec![ContentBlock::text(text.into())])
}
