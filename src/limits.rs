//! Every bound in one place, each with its reason. Units are in the names.
//!
//! Everything from outside is bounded in size, depth, count and time; a limit that is met is named in the error.

use std::num::NonZeroU32;
use std::time::Duration;

/// Longest identifier. OCI repository names may have 255 bytes; ours are parts of those and of URLs.
pub const ID_BYTES_MAX: usize = 200;

/// Longest message id or idempotency key of a caller. Those that another gantry makes hold the path of its step: every depth, each with
/// the longest identifier.
pub const MESSAGE_ID_BYTES_MAX: usize = 8 * 1024;

// Workflow text.
/// Largest workflow file. Real ones have a few KB; parsing must stay within milliseconds.
pub const WORKFLOW_BYTES_MAX: usize = 256 * 1024;
/// Deepest nesting of YAML or JSON that is read. Keeps recursion within a 2 MiB thread stack.
pub const VALUE_DEPTH_MAX: usize = 64;
/// Most values in one workflow file, those that aliases repeat included. Every value costs about 100 bytes while parsing.
pub const WORKFLOW_NODES_MAX: usize = 100_000;
/// Most text in the values of one workflow file, what aliases repeat included: a long text repeated often is a bomb too.
pub const WORKFLOW_TEXT_BYTES_MAX: usize = 1024 * 1024;
/// Most aliases in one workflow file. Written by hand there are a few; many are a bomb.
pub const WORKFLOW_ALIASES_MAX: usize = 1_000;
/// Most steps in one workflow, nested ones included.
pub const WORKFLOW_STEPS_MAX: usize = 10_000;
/// Deepest nesting of steps in steps.
pub const STEP_DEPTH_MAX: usize = 20;
/// Most diagnostics reported for one file. The rest is counted.
pub const DIAGNOSTICS_MAX: usize = 100;

// Expressions.
/// Longest text of one template, so that its parser stays fast.
pub const TEMPLATE_BYTES_MAX: usize = 8 * 1024;
/// Longest literal string in a workflow that holds templates. Prompts can be long; each `{{ … }}` in it is bounded separately.
pub const TEMPLATE_TEXT_BYTES_MAX: usize = 64 * 1024;
/// Instructions one expression may execute.
pub const EXPRESSION_FUEL: u64 = 20_000;
/// Recursion of the expression engine.
pub const EXPRESSION_RECURSION_MAX: usize = 64;
/// Longest string an expression may yield.
pub const EXPRESSION_OUTPUT_BYTES_MAX: usize = 1024 * 1024;
/// Most memory the value of an expression, or of a tree of them, may take. Several whole replies fit; a list of one reply a thousand times does not.
pub const EXPRESSION_VALUE_BYTES_MAX: usize = 16 * 1024 * 1024;
/// Most tokens in one expression. The engine's compiler recurses along chains such as `a + a + a …`; this keeps it within a 2 MiB stack.
pub const EXPRESSION_TOKENS_MAX: usize = 600;
/// Deepest nesting of brackets in one expression.
pub const EXPRESSION_BRACKETS_MAX: usize = 32;
/// Most expressions in one string: each may use up its fuel.
pub const TEMPLATE_EXPRESSIONS_MAX: usize = 256;

// Runs.
/// How long a step may take when its author says nothing.
pub const STEP_TIMEOUT: Duration = Duration::from_secs(300);
/// Longest duration an author may write. Timers beyond it are surely mistakes.
pub const DURATION_MAX: Duration = Duration::from_secs(366 * 24 * 3600);
/// Most attempts of one step.
pub const ATTEMPTS_MAX: u32 = 100;
/// Calls of one group (parallel, map) in flight when its author says nothing.
pub const GROUP_CONCURRENCY: u32 = 64;
/// Most items of one map.
pub const MAP_ITEMS_MAX: usize = 1_000_000;
/// Runs inside runs: a workflow that calls a workflow that calls a workflow.
pub const RUN_DEPTH_MAX: u32 = 16;
/// Workflows that are looked up to follow the fixed references of one, so that a start is checked in bounded time.
pub const REFERENCES_FOLLOWED_MAX: usize = 1_000;
/// How long a start waits for that check: a registry that is slow must not hold up what it is not needed for.
pub const REFERENCES_PATIENCE: Duration = Duration::from_secs(2);
/// How long a plan whose references were followed is not looked at again. Tags move, and are themselves trusted for longer.
pub const REFERENCES_TRUSTED: Duration = Duration::from_secs(1);
/// Plans of which that is remembered; some 100 bytes each.
pub const REFERENCES_REMEMBERED_MAX: usize = 4_096;
/// Most iterations an author may ask of one loop.
pub const LOOP_ITERATIONS_MAX: u64 = 2_000_000;
/// Steps that one run, and the runs below it, may execute together, repetitions included, so that loops in loops and workflows in
/// workflows cannot run for ever. A map over the most items with a few steps for each fits.
pub const RUN_STEPS_MAX: u64 = 10_000_000;
/// Pieces of work that a run does at a time, a few for each step, before others have their turn and what changed is told.
pub const TRANSITION_PART: usize = 64;
/// Those that are done for one event, in new runs. What is left has an event of its own, so that a cancel, a deadline or a reply need not wait
/// for a loop that calls nobody.
pub const EVENT_WORK: NonZeroU32 = NonZeroU32::new(256).unwrap();
/// How long the work of each of those events may take. It ends sooner when something else happens.
pub const EVENT_WORK_TIME: Duration = Duration::from_millis(50);
/// Largest input of a run, and largest answer, whoever gives it: both are held in memory as long as the run is, and the journal has them.
pub const RUN_INPUT_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Runs under way at once in one engine. Each waits on a connection of its own, and those are bounded by the file limit.
pub const RUNS_MAX: usize = 20_000;
/// Runs that rest: they wait for people or timers alone. Each is a line of some 200 bytes in memory, and the journal has the rest.
pub const RUNS_RESTING_MAX: usize = 1_000_000;
/// How long a run waits for nothing but people and timers before it leaves memory: longer than a quick answer takes. When half of the
/// places for runs are taken it leaves at once.
pub const RUN_REST_AFTER: Duration = Duration::from_secs(10);
/// Runs that a start loads before it serves; the others that were at work follow while it does.
pub const RECOVER_AT_ONCE: usize = 1_000;
/// How long after the last event of a run what it gave up then is taken back at its agents. A process that ended is started again soon;
/// after longer, an agent may have forgotten what it was asked, and would begin it anew only to be told to stop.
pub const TAKE_BACK_AGE_MAX: Duration = Duration::from_secs(3600);
/// Runs that are read from the journal at once.
pub const JOURNAL_READERS: usize = 4;
/// Messages to one run's task that wait to be read.
pub const RUN_CONTROL_QUEUE: usize = 16;
/// What is left after the grace period of a shutdown is cut off within this time.
pub const ABANDON_TIMEOUT: Duration = Duration::from_secs(6);
/// Writes that wait for the journal's thread. Runs wait when it is full, which slows the whole engine to what the disk can do.
pub const JOURNAL_QUEUE: usize = 4_096;
/// Runs of which the journal's thread knows by heart where they stand: of more than are written to at the same time it looks some up.
pub const JOURNAL_RUNS_KNOWN: usize = 4_096;
/// Writes that share one flush.
pub const JOURNAL_BATCH: usize = 512;
/// Largest value that stands in the record of its event. Larger ones are kept once each, by digest, however many events have them.
pub const PAYLOAD_INLINE_BYTES_MAX: usize = 256 * 1024;
/// Inputs of a call that are hashed at once. Before larger ones are, others have a turn: the connection that the call was given to, for one.
pub const INPUTS_HASHED_AT_ONCE_BYTES_MAX: usize = 16 * 1024;
/// Pages of the journal's write-ahead file after which its content is brought into the database: two megabytes.
pub const JOURNAL_WAL_PAGES: i32 = 512;
/// What the journal's write-ahead file is cut to once its content is in the database: a few large values, so that a burst does not
/// keep its space for ever.
pub const JOURNAL_WAL_BYTES_KEPT: i64 = 16 * 1024 * 1024;
/// Largest journal that is checked whole when it is opened, which takes a second or so. Of a larger one the list of runs is, and events
/// are when they are read.
pub const JOURNAL_CHECKED_BYTES_MAX: i64 = 256 * 1024 * 1024;
/// Less space than this counts as none when a write fails: what SQLite needs at once for the index of its write-ahead file.
pub const JOURNAL_SPACE_MIN: u64 = 64 * 1024;
/// First rest of a run that could not store an event because the journal is full.
pub const JOURNAL_FULL_REST: Duration = Duration::from_millis(200);
/// Longest such rest: how much later than the free space a run goes on.
pub const JOURNAL_FULL_REST_MAX: Duration = Duration::from_secs(5);
/// How long after a new run was refused for want of space `/readyz` says so, unless one is taken meanwhile: whoever is asked to come again
/// later does within that time.
pub const JOURNAL_FULL_TOLD: Duration = Duration::from_secs(60);
/// First rest of a step whose run cannot begin because too many are under way.
pub const RUN_START_REST: Duration = Duration::from_millis(50);
/// Longest such rest: how much later than a place is free the run begins.
pub const RUN_START_REST_MAX: Duration = Duration::from_secs(1);
/// First rest of a step whose run cannot be read from the journal: most of what fails so is over at once.
pub const RUN_READ_REST: Duration = Duration::from_millis(50);
/// Longest such rest: how much later than the journal can be read again the step goes on.
pub const RUN_READ_REST_MAX: Duration = Duration::from_secs(5);
/// How long ended runs are kept when nobody says otherwise.
pub const RUN_AGE_MAX: Duration = Duration::from_secs(30 * 24 * 3600);
/// Ended runs that are kept when nobody says otherwise.
pub const RUNS_KEPT_MAX: usize = 100_000;
/// Entries of a run's history that are told, the first half of them and the last: a loop has as many as it has repetitions, and nobody
/// reads millions.
pub const HISTORY_ENTRIES_MAX: u64 = 10_000;
/// Runs below a run that are told with its history: each is looked up.
pub const HISTORY_CHILDREN_MAX: usize = 1_000;
/// What two sides of a replay do after one event before what both did alike is let go: a loop that calls nobody does everything then.
pub const REPLAY_CHANGES_HELD: usize = 20_000;
/// Largest exported run that is read: a run of many steps with replies near their limit.
pub const EXPORT_BYTES_MAX: u64 = 1024 * 1024 * 1024;
/// Longest line of the control protocol: an answer, or an update with a reply in it, which are bounded themselves.
pub const CONTROL_LINE_BYTES_MAX: usize = 64 * 1024 * 1024;
/// Time the program at the other end of the control connection has to answer.
pub const CONTROL_TIMEOUT: Duration = Duration::from_secs(10);
/// Time the gantry at the other end has to answer a wish: longer than a run takes for what it does at once, or a disk for a write.
pub const CONTROL_REPLY_TIMEOUT: Duration = Duration::from_secs(60);
/// The same for a wish that takes as long as there are runs to forget.
pub const CONTROL_PRUNE_TIMEOUT: Duration = Duration::from_secs(3600);
/// Rest after the system refused a connection, out of file descriptors for one: who accepts connections must survive it.
pub const ACCEPT_REST: Duration = Duration::from_millis(50);
/// Control connections served at once; more wait in the system's queue.
pub const CONTROL_CONNECTIONS_MAX: usize = 64;
/// Updates of a run of which `gantry run --json` lists what steps in maps and loops came to.
pub const REPORT_UPDATES_MAX: u64 = 20_000;
/// Lines that `gantry run` shows of one step of the workflow while it runs, however often that is repeated; the others are counted.
pub const PROGRESS_LINES_PER_STEP: u64 = 1_000;
/// Those who follow a run, beside the others: they stay for as long as the run goes on, and each is a connection and a few updates.
pub const CONTROL_FOLLOWERS_MAX: usize = 256;
/// Finished runs the in-memory journal keeps.
pub const MEMORY_RUNS_KEPT: usize = 1_000;
/// Notes of answers that a run has at hand, the last ones: as many as a task has messages in its history.
pub const RUN_NOTES_MAX: usize = 200;
/// Updates buffered for one subscriber before it gets a snapshot instead.
pub const SUBSCRIBER_UPDATES_MAX: usize = 256;
/// How long a run that does much at once rests for its watchers, when their buffers are half full.
pub const WATCHER_REST: Duration = Duration::from_millis(1);

// Agents.
/// Largest reply of an agent, after decompression.
pub const REPLY_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Largest agent card.
pub const CARD_BYTES_MAX: usize = 1024 * 1024;
/// Longest text of a remote error that is kept.
pub const REMOTE_ERROR_BYTES_MAX: usize = 2 * 1024;
/// Connecting to an agent or registry.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// Longest Retry-After that is honoured.
pub const RETRY_AFTER_MAX: Duration = Duration::from_secs(60);
/// Calls in flight to one agent when nobody says otherwise: half of all, so that one that hangs does not hold up the others.
pub const CALLS_PER_AGENT_MAX: usize = 10_000;
/// Calls in flight to all agents when nobody says otherwise. Each is a connection, so that the file limit may lower it.
pub const CALLS_MAX: usize = 20_000;
/// Addresses whose circuit and places are remembered.
pub const GATES_MAX: usize = 10_000;
/// Agents for one skill that are compared with each other; of more, the first by name.
pub const CHOICE_AGENTS_MAX: usize = 256;
/// Agents that one attempt goes to, one after the other, while each surely begins nothing.
pub const FAILOVER_AGENTS_MAX: usize = 8;
/// Text of a failure that is kept as the reason why a circuit is open, or another agent was asked.
pub const CIRCUIT_REASON_BYTES_MAX: usize = 200;
/// Most agents that one skill is looked up among.
pub const AGENTS_MAX: usize = 10_000;

// Sample agents.
/// Largest request body a sample agent reads; a step's inputs are bounded by the same size elsewhere.
pub const SAMPLE_BODY_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Time to send a request's head and body to a sample agent, so that a slow sender does not hold a connection for ever.
pub const SAMPLE_READ_TIMEOUT: Duration = Duration::from_secs(30);
/// Time one skill of a sample agent may take, a model's answer included; just below a step's default, so that the agent's own error is seen.
pub const SAMPLE_SKILL_TIMEOUT: Duration = Duration::from_secs(290);
/// Connections one sample agent serves at once.
pub const SAMPLE_CONNECTIONS_MAX: usize = 1_024;
/// Finished and running tasks one sample agent remembers; the oldest are forgotten first.
pub const SAMPLE_TASKS_KEPT: usize = 1_000;
/// Bytes of the requests behind those tasks; results are about as large, so this bounds what an agent keeps in memory.
pub const SAMPLE_TASKS_BYTES_KEPT: usize = 64 * 1024 * 1024;
/// Longest message or context id a sample agent keeps; those of deep runs hold the path of the step.
pub const SAMPLE_ID_BYTES_MAX: usize = 4 * 1024;
/// Problems of one input that are listed; the rest is counted.
pub const SAMPLE_PROBLEMS_MAX: usize = 20;
/// Input size up to which a stand-in answers on the connection's own thread; more goes to the blocking pool.
pub const SAMPLE_INLINE_BYTES_MAX: usize = 16 * 1024;
/// Sentences, entities, rows and issues a stand-in lists; the totals count them all.
pub const SAMPLE_LIST_MAX: usize = 200;
/// Columns of a table the data agent reads, so that the pairs for correlations stay few.
pub const SAMPLE_COLUMNS_MAX: usize = 200;
/// Questions to the model at once, over all sample agents; models are slow and cost money.
pub const MODEL_CALLS_MAX: usize = 8;
/// Answer of a model that is read.
pub const MODEL_ANSWER_BYTES_MAX: usize = 1024 * 1024;
/// Longest input a model is asked about, so that a prompt stays within what models take.
pub const MODEL_INPUT_BYTES_MAX: usize = 256 * 1024;
// Discovery.
/// Manifests, plans and cards kept by digest, in bytes of their text, for each of the three. Thousands of workflows fit.
pub const CONTENT_CACHE_BYTES_MAX: u64 = 32 * 1024 * 1024;
/// Tags, and lists of tags, remembered of one registry.
pub const NAMES_REMEMBERED_MAX: usize = 20_000;
/// Requests a listing has in flight: enough to hide a round trip, too few to trouble a registry.
pub const LISTING_CONCURRENCY: usize = 8;
/// Shortest time between two looks at the same name, however often it is called wrong: a dead agent must not cause a storm.
pub const LOOK_AGAIN_PAUSE: Duration = Duration::from_millis(200);
/// How long a registry that failed or was slow is left alone when a cached answer exists.
pub const REGISTRY_REST: Duration = Duration::from_secs(1);
/// How long a lookup with a cached answer waits for a newer one.
pub const REGISTRY_PATIENCE: Duration = Duration::from_millis(500);
/// Tags of one repository, newest versions first, whose content is searched for an id or a version.
pub const TAGS_SEARCHED_MAX: usize = 64;
/// Other registries that references may name by host in one process.
pub const REGISTRIES_MAX: usize = 16;
/// Names a hint lists.
pub const HINT_NAMES_MAX: usize = 8;

// Registries.
/// Largest manifest (distribution-spec asks for at least 4 MiB).
pub const MANIFEST_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Largest blob that gantry itself reads as a workflow or card.
pub const BLOB_BYTES_MAX: usize = 1024 * 1024;
/// Largest blob the embedded registry stores for others.
pub const REGISTRY_BLOB_BYTES_MAX: u64 = 64 * 1024 * 1024;
/// Largest `index.json` of one repository: some 60 000 tags. It is written whole with every push.
pub const REGISTRY_INDEX_BYTES_MAX: u64 = 16 * 1024 * 1024;
/// Repositories whose index is kept in memory.
pub const REGISTRY_REPOSITORIES_KEPT: usize = 10_000;
/// Uploads under way at the embedded registry: 30 clients that push 8 blobs at once fit. With the blob limit it bounds the disk.
pub const REGISTRY_UPLOADS_MAX: usize = 256;
/// An upload that nobody touched for so long is dropped.
pub const REGISTRY_UPLOAD_IDLE_MAX: Duration = Duration::from_secs(3600);
/// Connections the embedded registry serves at once; more wait in the system's queue.
pub const REGISTRY_CONNECTIONS_MAX: usize = 1024;
/// Time a client may take to send its request's headers.
pub const HEADER_TIMEOUT: Duration = Duration::from_secs(10);
/// Time a client may take to send a body, beside one second for each 64 KiB that came.
pub const BODY_TIMEOUT: Duration = Duration::from_secs(30);
/// Retries of one registry request.
pub const REGISTRY_RETRIES_MAX: u32 = 4;
/// Redirects followed for one registry request.
pub const REGISTRY_REDIRECTS_MAX: usize = 5;
/// Most entries of a paged list that are followed.
pub const LIST_ENTRIES_MAX: usize = 10_000;
/// Time one registry request may take, retries included.
pub const REGISTRY_TIMEOUT: Duration = Duration::from_secs(30);
