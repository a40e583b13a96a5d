//! Every bound in one place, each with its reason. Units are in the names.
//!
//! Everything from outside is bounded in size, depth, count and time; a limit that is met is named in the error.

use std::time::Duration;

/// Longest identifier. OCI repository names may have 255 bytes; ours are parts of those and of URLs.
pub const ID_BYTES_MAX: usize = 200;

// Workflow text.
/// Largest workflow file. Real ones have a few KB; parsing must stay within milliseconds.
pub const WORKFLOW_BYTES_MAX: usize = 256 * 1024;
/// Deepest nesting of YAML or JSON that is read. Keeps recursion within a 2 MiB thread stack.
pub const VALUE_DEPTH_MAX: usize = 64;
/// Most values in one workflow file, those that aliases repeat included. Every value costs about 100 bytes while parsing.
pub const WORKFLOW_NODES_MAX: usize = 100_000;
/// Most aliases, and most anchors, in one workflow file. Written by hand there are a few; many are a bomb.
pub const WORKFLOW_ALIASES_MAX: usize = 1_000;
/// Most steps in one workflow, nested ones included.
pub const WORKFLOW_STEPS_MAX: usize = 10_000;
/// Deepest nesting of steps in steps.
pub const STEP_DEPTH_MAX: usize = 32;
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

// Runs.
/// How long a step may take when its author says nothing.
pub const STEP_TIMEOUT: Duration = Duration::from_secs(300);
/// Longest duration an author may write. Timers beyond it are surely mistakes.
pub const DURATION_MAX: Duration = Duration::from_secs(366 * 24 * 3600);
/// Most attempts of one step.
pub const ATTEMPTS_MAX: u32 = 100;
/// Calls of one group (parallel, map) in flight when its author says nothing.
pub const GROUP_CONCURRENCY: u32 = 64;
/// Runs inside runs: a workflow that calls a workflow that calls a workflow.
pub const RUN_DEPTH_MAX: u32 = 16;
/// Steps one run may execute, repetitions included, so that a loop in data cannot run for ever.
pub const RUN_STEPS_MAX: u64 = 2_000_000;
/// Largest input of a run.
pub const RUN_INPUT_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Finished runs the in-memory journal keeps.
pub const MEMORY_RUNS_KEPT: usize = 1_000;
/// Updates buffered for one subscriber before it gets a snapshot instead.
pub const SUBSCRIBER_UPDATES_MAX: usize = 256;

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
/// Most agents that one skill is looked up among.
pub const AGENTS_MAX: usize = 10_000;

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
