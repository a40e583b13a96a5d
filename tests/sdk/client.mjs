// A client of gantry written with the official JavaScript SDK: node client.mjs NODE_MODULES URL
//
// Prints what it saw, one JSON object a line, each with the name of what it did. It judges nothing: tests/integration/sdk.rs does.

import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";
import path from "node:path";

const [modules, url] = process.argv.slice(2);
const require = createRequire(pathToFileURL(path.resolve(modules, "..", "client.mjs")));
const { SendMessageRequest, StreamResponse, Task, AgentCard, TaskState } = require("@a2a-js/sdk");
const { ClientFactory, DefaultAgentCardResolver } = require("@a2a-js/sdk/client");

const BIG = 9007199254740993n;

const show = (name, seen) => console.log(JSON.stringify({ name, ...seen }));

function request(messageId, parts, more = {}) {
  const { configuration, ...message } = more;
  return SendMessageRequest.fromJSON({ message: { messageId, role: "ROLE_USER", parts, ...message }, configuration });
}

const execute = (messageId, workflow_id, input, more = {}) =>
  request(messageId, [{ data: { workflow_id, input } }], { metadata: { skill: "execute_workflow" }, ...more });

function short(event) {
  const { $case, value } = event.payload;
  if ($case === "artifactUpdate") return `artifact:${value.artifact.artifactId}`;
  if ($case === "task") return `task:${TaskState[value.status.state]}`;
  return $case === "statusUpdate" ? `status:${TaskState[value.status.state]}` : $case;
}

async function stream(client, params) {
  const events = [];
  for await (const event of client.sendMessageStream(params)) events.push(event);
  return events;
}

async function failing(name, call) {
  try {
    await call();
    show(name, { error: null });
  } catch (error) {
    show(name, { error: error.constructor.name, message: error.message });
  }
}

const card = await new DefaultAgentCardResolver().resolve(url);
show("card", { card: AgentCard.toJSON(card) });
const client = await new ClientFactory().createFromUrl(url);
show("client", { version: client.protocolVersion });

show("send", { task: Task.toJSON(await client.sendMessage(execute("js-one-1", "sdk-echo", { n: 42, big: Number(BIG), said: "hello" }))) });
show("route", { task: Task.toJSON(await client.sendMessage(request("js-one-2", [{ text: "a haiku about autumn leaves" }]))) });
show("failed", { task: Task.toJSON(await client.sendMessage(execute("js-one-3", "sdk-fails", { amount: 2000 }))) });
await failing("no_workflow", () => client.sendMessage(execute("js-err-1", "sdk-nowhere", {})));
await failing("no_task", () => client.getTask({ tenant: "", id: "nobody" }));

const events = await stream(client, execute("js-two-1", "sdk-echo", { n: 42 }));
show("stream", { events: events.map(short), output: StreamResponse.toJSON(events.findLast((event) => event.payload.$case === "artifactUpdate")) });

const asked = await client.sendMessage(execute("js-three-1", "sdk-approval", { text: "ship it" }));
show("asked", { task: Task.toJSON(asked) });
const answer = request("js-three-2", [{ data: { publish: true, copies: 42 } }], { taskId: asked.id, contextId: asked.contextId });
const answered = await stream(client, answer);
show("answered", { events: answered.map(short), task: Task.toJSON(await client.getTask({ tenant: "", id: asked.id })) });

const started = await client.sendMessage(execute("js-four-1", "sdk-slow", {}, { configuration: { returnImmediately: true } }));
const canceled = await client.cancelTask({ tenant: "", id: started.id });
show("canceled", { started: TaskState[started.status.state], state: TaskState[canceled.status.state] });
const listed = await client.listTasks({ tenant: "", contextId: asked.contextId, status: 0, pageToken: "" });
show("list", { ids: listed.tasks.map((task) => task.id === asked.id) });
