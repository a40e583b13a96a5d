//! What an agent answers, as it comes: for people, or as JSON of A2A 1.0 whatever dialect the agent speaks; and how that ends
//! the command.
//!
//! Results go to standard output, how it goes on to standard error. Text of agents is shown, never obeyed.

use serde::Serialize;
use serde_json::{Map, Value, json};

use super::callee::Callee;
use super::exit::{Exit, Failure};
use super::run::{rule, whole};
use super::terminal::{self, Terminal, one_line, printable, say};
use crate::a2a::extension::RUN;
use crate::a2a::{
    Artifact, Message, Part, PartContent, SendMessageResponse, StreamResponse, Task, TaskArtifactUpdate, TaskState, TaskStatus,
    normalize_numbers,
};
use crate::agent::Updates;

/// Characters of a status message that are shown while a task is under way.
const STATUS_CHARACTERS_MAX: usize = 400;

/// How the answer is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Style {
    /// For people.
    Human,
    /// One object at the end.
    Json,
    /// One object a line, as events come.
    JsonLines,
}

/// The answer so far.
pub(super) struct Answer {
    url: String,
    terminal: Terminal,
    style: Style,
    task: Option<String>,
    state: TaskState,
    said: String,
    /// The artifact whose text was written last and may go on.
    open: Option<String>,
    /// How the task is answered that waits, as arguments of `gantry send`.
    answered: Option<String>,
}

impl Answer {
    /// `url` is the agent as the user named it, with the flags that reach it, for the commands that are suggested.
    pub(super) fn new(url: &str, style: Style, terminal: Terminal) -> Self {
        let (task, state) = (None, TaskState::Unspecified);
        Self { url: url.to_owned(), terminal, style, task, state, said: String::new(), open: None, answered: None }
    }

    /// Takes all that a stream says. It must not end before the task does.
    pub(super) async fn stream(&mut self, callee: &Callee, mut updates: Updates) -> Result<(), Failure> {
        let mut begun = false;
        loop {
            match callee.within(updates.next()).await {
                Ok(Some(event)) => self.event(event)?,
                Ok(None) if !begun => return Err(Failure::unavailable("the agent's stream ended before it said anything")),
                Ok(None) if self.task.is_some() && !self.is_settled() => {
                    return Err(Failure::unavailable("the agent's stream ended before its task did"));
                }
                Ok(None) => return Ok(()),
                // The stream broke, and not the task.
                Err(_) if self.task.is_some() && self.is_settled() => return Ok(()),
                Err(failure) if self.task.is_some() => return Err(Failure { exit: Exit::Unavailable, ..failure }),
                Err(failure) => return Err(failure),
            }
            begun = true;
        }
    }

    /// Nothing more comes, or not before the caller says something.
    pub(super) fn is_settled(&self) -> bool {
        self.state.is_terminal() || self.state.is_interrupted()
    }

    /// One event of a stream.
    pub(super) fn event(&mut self, event: StreamResponse) -> Result<(), Failure> {
        if self.style == Style::JsonLines {
            terminal::json_line(&normalized(&event))?;
        }
        match event {
            StreamResponse::Message(message) => self.message(&message),
            StreamResponse::Task(task) => self.snapshot(&task),
            StreamResponse::StatusUpdate(update) => {
                self.meet(&update.task_id, &update.context_id);
                self.status(&update.status)
            }
            StreamResponse::ArtifactUpdate(update) => {
                self.meet(&update.task_id, &update.context_id);
                self.artifact_update(&update)
            }
        }
    }

    /// A task was made and is under way: people are told which, so that they can come back to it.
    pub(super) fn begun(&mut self, task: &Task) {
        self.meet(&task.id, &task.context_id);
        self.progress(&task.status);
    }

    /// The whole answer.
    pub(super) fn reply(&mut self, reply: SendMessageResponse) -> Result<(), Failure> {
        if self.style == Style::JsonLines {
            return self.event(reply.into());
        }
        if self.style == Style::Json {
            terminal::json(&normalized(&reply))?;
        }
        match reply {
            SendMessageResponse::Message(message) => self.message(&message),
            SendMessageResponse::Task(task) => self.snapshot(&task),
        }
    }

    /// How the command ends, and what can be done next.
    pub(super) fn exit(&self) -> Exit {
        let task = word(self.task.as_deref().unwrap_or_default());
        let url = &self.url;
        let answer = self.answered.as_deref().unwrap_or("\"…\"");
        match self.state {
            TaskState::Failed | TaskState::Canceled | TaskState::Rejected => Exit::Failed,
            TaskState::InputRequired => {
                self.hint(&format!("answer with: gantry send {url} --task {task} {answer}"));
                Exit::Waiting
            }
            TaskState::AuthRequired => {
                self.hint(&format!("give the agent what it asks for, then go on with: gantry send {url} --task {task} {answer}"));
                Exit::Waiting
            }
            TaskState::Submitted | TaskState::Working => {
                self.hint(&format!("it goes on; follow it with: gantry task subscribe {url} {task}"));
                Exit::Ok
            }
            TaskState::Completed | TaskState::Unspecified => Exit::Ok,
        }
    }

    /// A failure, with what can still be done for the task that it leaves behind.
    pub(super) fn left(&self, failure: Failure) -> Failure {
        match &self.task {
            Some(task) if !self.state.is_terminal() => {
                let (url, task) = (&self.url, word(task));
                let hint =
                    format!("the task may go on: gantry task subscribe {url} {task} follows it, gantry task cancel {url} {task} ends it");
                failure.hint(hint)
            }
            _ => failure,
        }
    }

    fn hint(&self, text: &str) {
        if self.style == Style::Human {
            say(&format!("  hint: {text}"));
        }
    }

    fn meet(&mut self, task: &str, context: &str) {
        if self.task.is_none() && !task.is_empty() {
            self.task = Some(task.to_owned());
            if self.style == Style::Human {
                say(&format!("task {} · context {}", one_line(task, 200), one_line(context, 200)));
            }
        }
    }

    fn snapshot(&mut self, task: &Task) -> Result<(), Failure> {
        self.meet(&task.id, &task.context_id);
        for artifact in &task.artifacts {
            self.artifact(artifact, false)?;
        }
        self.close()?;
        self.status(&task.status)
    }

    fn status(&mut self, status: &TaskStatus) -> Result<(), Failure> {
        if !(status.state.is_terminal() || status.state.is_interrupted()) {
            self.progress(status);
            return Ok(());
        }
        self.state = status.state;
        if self.style != Style::Human {
            return Ok(());
        }
        self.close()?;
        match &status.message {
            Some(message) => {
                self.answered = answered(message);
                let text = said(message);
                let is_result = status.state == TaskState::Completed || status.state.is_interrupted();
                if is_result {
                    terminal::data(&text)?;
                    say(&format!("{} {}", self.mark(), name(status.state)));
                } else {
                    // Agents, gantry among them, often begin with the word for the state.
                    let state = name(status.state);
                    let says_it = text.strip_prefix(state).is_some_and(|rest| rest.starts_with([':', ' ']));
                    let state = if says_it { String::new() } else { format!("{state}: ") };
                    say(&format!("{} {state}{text}", self.mark()));
                }
            }
            None => say(&format!("{} {}", self.mark(), name(status.state))),
        }
        Ok(())
    }

    /// A status on the way; said once.
    fn progress(&mut self, status: &TaskStatus) {
        let text = status.message.as_ref().map(|message| one_line(&message.text(), STATUS_CHARACTERS_MAX)).unwrap_or_default();
        let is_news = self.state != status.state || (self.said != text && !text.is_empty());
        self.state = status.state;
        if self.style == Style::Human && is_news {
            match text.as_str() {
                "" => say(&format!("· {}", name(status.state))),
                text => say(&format!("· {}: {text}", name(status.state))),
            }
            self.said = text;
        }
    }

    fn message(&mut self, message: &Message) -> Result<(), Failure> {
        self.state = TaskState::Unspecified;
        if self.style == Style::Human {
            terminal::data(&message.parts.iter().map(part).collect::<Vec<_>>().join("\n"))?;
        }
        Ok(())
    }

    fn artifact_update(&mut self, update: &TaskArtifactUpdate) -> Result<(), Failure> {
        self.artifact(&update.artifact, update.append)?;
        if update.last_chunk { self.close() } else { Ok(()) }
    }

    /// An artifact under its name, or more of the one that was written last.
    fn artifact(&mut self, artifact: &Artifact, append: bool) -> Result<(), Failure> {
        if self.style != Style::Human {
            return Ok(());
        }
        let goes_on = append && self.open.as_deref() == Some(artifact.artifact_id.as_str());
        if !goes_on {
            self.close()?;
            let name = artifact.name.as_deref().filter(|name| !name.is_empty()).unwrap_or(&artifact.artifact_id);
            terminal::data(&rule(&one_line(name, 80), self.terminal))?;
        }
        self.open = Some(artifact.artifact_id.clone());
        for (at, piece) in artifact.parts.iter().enumerate() {
            // Text that goes on where text ended is one text; anything else begins a line.
            if at > 0 || (goes_on && !matches!(piece.content, PartContent::Text(_))) {
                terminal::piece("\n")?;
            }
            terminal::piece(&part(piece))?;
        }
        Ok(())
    }

    /// Ends the text that was written last, if any.
    fn close(&mut self) -> Result<(), Failure> {
        match self.open.take() {
            Some(_) => terminal::piece("\n\n"),
            None => Ok(()),
        }
    }

    fn mark(&self) -> &'static str {
        match self.state {
            TaskState::Completed => "✓",
            TaskState::Failed | TaskState::Canceled | TaskState::Rejected => "✗",
            TaskState::InputRequired | TaskState::AuthRequired => "?",
            TaskState::Submitted | TaskState::Working | TaskState::Unspecified => "·",
        }
    }
}

/// A state as people and 0.3 write it.
pub(super) fn name(state: TaskState) -> &'static str {
    match state {
        TaskState::Submitted => "submitted",
        TaskState::Working => "working",
        TaskState::Completed => "completed",
        TaskState::Failed => "failed",
        TaskState::Canceled => "canceled",
        TaskState::Rejected => "rejected",
        TaskState::InputRequired => "input-required",
        TaskState::AuthRequired => "auth-required",
        TaskState::Unspecified => "in a state that gantry does not know",
    }
}

/// JSON in which 42 is 42, also when the agent wrote 42.0.
pub(super) fn normalized(value: &impl Serialize) -> Value {
    let mut value = serde_json::to_value(value).unwrap_or_else(|error| json!({ "error": error.to_string() }));
    normalize_numbers(&mut value);
    value
}

/// A part for people: text as it is, code as code, data as JSON, files by name, kind and place.
fn part(part: &Part) -> String {
    let file = |place: &str| {
        let name = part.filename.as_deref().unwrap_or("without a name");
        let kind = part.media_type.as_deref().map(|kind| format!(" ({})", one_line(kind, 100))).unwrap_or_default();
        format!("file {}{kind}: {}", one_line(name, 200), one_line(place, 2_000))
    };
    match &part.content {
        PartContent::Text(text) => printable(text).into_owned(),
        PartContent::Data(data) => whole(&normalized(data)),
        PartContent::Written(data) => whole(&normalized(data)),
        PartContent::Url(url) => file(url),
        PartContent::Raw(raw) => file(&format!("{} bytes, with --json in base64", decoded_bytes(raw))),
    }
}

/// What an agent says beside its results: the text, and other parts only where there is none.
fn said(message: &Message) -> String {
    let text = message.text();
    if text.trim().is_empty() { message.parts.iter().map(part).collect::<Vec<_>>().join("\n") } else { printable(&text).into_owned() }
}

/// A text of an agent as one word of a command line: what is suggested may be pasted into a shell.
pub(super) fn word(text: &str) -> String {
    let text = printable(text);
    let is_plain = |letter: char| letter.is_ascii_alphanumeric() || "._:/@-".contains(letter);
    if !text.is_empty() && !text.starts_with('-') && text.chars().all(is_plain) {
        return text.into_owned();
    }
    format!("'{}'", text.replace('\'', "'\\''").replace('\n', " "))
}

/// How a question is answered, where a text would not do: the schema of the answer, or which of several questions is meant, is in what a
/// gantry says about it.
fn answered(question: &Message) -> Option<String> {
    let waiting = question.metadata.get(RUN)?.get("waiting")?.as_array()?;
    let first = waiting.first()?;
    let schema = first.get("schema");
    let kind = schema.and_then(|schema| schema.get("type")).and_then(Value::as_str);
    let answer = match kind {
        Some("object") => members(schema?),
        Some("array") => "[…]".to_owned(),
        Some("string") | None if waiting.len() == 1 => return None,
        _ => "…".to_owned(),
    };
    if waiting.len() == 1 {
        return Some(format!("--data {}", word(&answer)));
    }
    let name = |about: &Value, member: &str| about.get(member).and_then(Value::as_str).map(str::to_owned);
    let is_only = waiting.iter().filter(|other| other.get("step") == first.get("step")).count() == 1;
    let step = if is_only { name(first, "step") } else { name(first, "path") }?;
    let step = one_line(&json!(step).to_string(), 4_000);
    Some(format!("--data {}", word(&format!("{{\"step\": {step}, \"answer\": {answer}}}"))))
}

/// The object that a schema wants: the members that must be there, or else that may.
fn members(schema: &Value) -> String {
    const SHOWN: usize = 8;
    let required = schema.get("required").and_then(Value::as_array).filter(|names| !names.is_empty());
    let names: Vec<&str> = match required {
        Some(names) => names.iter().filter_map(Value::as_str).take(SHOWN).collect(),
        None => {
            schema.get("properties").and_then(Value::as_object).into_iter().flat_map(Map::keys).map(String::as_str).take(SHOWN).collect()
        }
    };
    if names.is_empty() {
        return "{…}".to_owned();
    }
    let members: Vec<String> = names.iter().map(|name| format!("{}: …", one_line(&json!(name).to_string(), 100))).collect();
    format!("{{{}}}", members.join(", "))
}

fn decoded_bytes(base64: &str) -> usize {
    base64.trim_end_matches('=').len() * 3 / 4
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_suggested_can_be_pasted() {
        for (text, expected) in [
            ("0190-a.b:c", "0190-a.b:c"),
            ("x; rm -rf ~", "'x; rm -rf ~'"),
            ("$(id)", "'$(id)'"),
            ("it's", "'it'\\''s'"),
            ("--help", "'--help'"),
            ("a\nb", "'a b'"),
            ("", "''"),
        ] {
            assert_eq!(word(text), expected, "{text:?}");
        }
    }

    #[test]
    fn how_a_question_is_answered_follows_its_schema() {
        let asks =
            |waiting: Value| Message { metadata: Map::from_iter([(RUN.to_owned(), json!({ "waiting": waiting }))]), ..Message::default() };
        let object = json!({"type": "object", "properties": {"a": {}, "b": {}}, "required": ["a"]});
        for (waiting, expected) in [
            (json!([{ "step": "s" }]), None),
            (json!([{ "step": "s", "schema": { "type": "string" } }]), None),
            (json!([{ "step": "s", "schema": { "type": "boolean" } }]), Some("--data '…'")),
            (json!([{ "step": "s", "schema": { "type": "array" } }]), Some("--data '[…]'")),
            (json!([{ "step": "s", "schema": object }]), Some("--data '{\"a\": …}'")),
            (
                json!([{ "step": "s", "schema": { "type": "object", "properties": { "a": {}, "it's": {} } } }]),
                Some("--data '{\"a\": …, \"it'\\''s\": …}'"),
            ),
            (json!([{ "step": "s", "schema": { "type": "object" } }]), Some("--data '{…}'")),
            (json!([{ "step": "s" }, { "step": "t" }]), Some("--data '{\"step\": \"s\", \"answer\": …}'")),
            (json!([{ "step": "s", "schema": object }, { "step": "t" }]), Some("--data '{\"step\": \"s\", \"answer\": {\"a\": …}}'")),
            (
                json!([{ "step": "s", "path": "/0:m[0]/0:s" }, { "step": "s", "path": "/0:m[1]/0:s" }]),
                Some("--data '{\"step\": \"/0:m[0]/0:s\", \"answer\": …}'"),
            ),
            (json!([]), None),
            (json!("s"), None),
        ] {
            assert_eq!(answered(&asks(waiting.clone())).as_deref(), expected, "{waiting}");
        }
        assert_eq!(answered(&Message::default()), None);
    }

    #[test]
    fn parts_for_people() {
        let file =
            |content| Part { filename: Some("a\u{1b}.png".to_owned()), media_type: Some("image/png".to_owned()), ..Part::of(content) };
        for (given, expected) in [
            (Part::text("esc \u{1b}[2J\nline"), "esc \u{fffd}[2J\nline"),
            (Part::data(json!({"count": 42.0})), "{\n  \"count\": 42\n}"),
            (Part::data(json!({"code": "x = 1\n", "language": "python"})), "```python\nx = 1\n```"),
            (file(PartContent::Url("http://h/a".to_owned())), "file a\u{fffd}.png (image/png): http://h/a"),
            (file(PartContent::Raw("aGVsbG8=".to_owned())), "file a\u{fffd}.png (image/png): 5 bytes, with --json in base64"),
        ] {
            assert_eq!(part(&given), expected);
        }
    }
}
