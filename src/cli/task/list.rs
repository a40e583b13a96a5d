//! `gantry task list`.

use clap::ValueEnum;

use super::super::answer::{name, normalized};
use super::super::callee::{Callee, CalleeArguments};
use super::super::exit::{Exit, Failure};
use super::super::terminal::{self, one_line, say, table};
use super::command::TimeoutChoice;
use crate::a2a::{ListTasksParams, ListTasksResult, Task, TaskState};
use crate::config::Config;

/// The largest page that A2A allows.
const PAGE_MAX: u32 = 100;

/// Arguments of `gantry task list`.
#[derive(Debug, clap::Args)]
pub struct ListArguments {
    #[command(flatten)]
    callee: CalleeArguments,
    /// Only the tasks of this conversation
    #[arg(long, value_name = "ID")]
    context: Option<String>,
    /// Only the tasks in this state
    #[arg(long, value_name = "STATE")]
    status: Option<StateChoice>,
    /// At most so many tasks
    #[arg(long, value_name = "COUNT", default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    limit: u32,
    /// Go on where an earlier list ended: its `nextPageToken`
    #[arg(long, value_name = "TOKEN")]
    page_token: Option<String>,
    /// With the tasks' results; only useful with --json
    #[arg(long)]
    artifacts: bool,
    /// Print JSON of A2A 1.0
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    timeout: TimeoutChoice,
}

/// The states by their short names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum StateChoice {
    Submitted,
    Working,
    Completed,
    Failed,
    Canceled,
    Rejected,
    InputRequired,
    AuthRequired,
}

impl From<StateChoice> for TaskState {
    fn from(choice: StateChoice) -> Self {
        match choice {
            StateChoice::Submitted => Self::Submitted,
            StateChoice::Working => Self::Working,
            StateChoice::Completed => Self::Completed,
            StateChoice::Failed => Self::Failed,
            StateChoice::Canceled => Self::Canceled,
            StateChoice::Rejected => Self::Rejected,
            StateChoice::InputRequired => Self::InputRequired,
            StateChoice::AuthRequired => Self::AuthRequired,
        }
    }
}

pub(super) async fn execute(arguments: ListArguments, config: &Config) -> Result<Exit, Failure> {
    let callee = Callee::find(&arguments.callee, config, Some(arguments.timeout.duration())).await?;
    let listed = pages(&callee, &arguments).await?;
    if arguments.json {
        terminal::json(&normalized(&listed))?;
        return Ok(Exit::Ok);
    }
    let rows: Vec<Vec<String>> = listed.tasks.iter().map(row).collect();
    terminal::data(&table(&["TASK", "STATE", "SINCE", "CONTEXT", "SAYS"], &rows))?;
    if !listed.next_page_token.is_empty() {
        say(&format!("{} of {} tasks; --limit shows more", listed.tasks.len(), listed.total_size.max(listed.tasks.len() as u64)));
    }
    Ok(Exit::Ok)
}

/// Asks page by page, up to the limit. An agent whose pages are empty is not asked for ever.
async fn pages(callee: &Callee, arguments: &ListArguments) -> Result<ListTasksResult, Failure> {
    let mut listed = ListTasksResult { next_page_token: arguments.page_token.clone().unwrap_or_default(), ..ListTasksResult::default() };
    loop {
        let left = arguments.limit.saturating_sub(u32::try_from(listed.tasks.len()).unwrap_or(u32::MAX));
        let params = ListTasksParams {
            context_id: arguments.context.clone(),
            status: arguments.status.map(TaskState::from),
            page_size: Some(i64::from(left.min(PAGE_MAX))),
            page_token: Some(listed.next_page_token).filter(|token| !token.is_empty()),
            history_length: Some(0),
            include_artifacts: arguments.artifacts,
            ..ListTasksParams::default()
        };
        let page = callee.within(callee.agent.list_tasks(params)).await?;
        let is_empty = page.tasks.is_empty();
        let mut tasks = std::mem::take(&mut listed.tasks);
        tasks.extend(page.tasks);
        listed = ListTasksResult { tasks, ..page };
        if is_empty || listed.next_page_token.is_empty() || listed.tasks.len() >= arguments.limit as usize {
            listed.page_size = u32::try_from(listed.tasks.len()).unwrap_or(u32::MAX);
            return Ok(listed);
        }
    }
}

fn row(task: &Task) -> Vec<String> {
    let said = task.status.message.as_ref().map(|message| message.text()).unwrap_or_default();
    vec![
        one_line(&task.id, 100),
        name(task.status.state).to_owned(),
        one_line(task.status.timestamp.as_deref().unwrap_or_default(), 40),
        one_line(&task.context_id, 100),
        one_line(&said, 60),
    ]
}
