"""A client of gantry written with the official Python SDK 1.x: python client_1.py URL

Prints what it saw, one JSON object a line, each with the name of what it did. It judges nothing: tests/integration/sdk.rs does.
"""

import asyncio
import json
import sys

from a2a.client import A2ACardResolver, ClientConfig, ClientFactory
from a2a.client.errors import A2AClientError
from a2a.helpers import new_data_part, new_text_part
from a2a.types.a2a_pb2 import (
    CancelTaskRequest,
    GetTaskRequest,
    ListTasksRequest,
    Message,
    Role,
    SendMessageConfiguration,
    SendMessageRequest,
    SubscribeToTaskRequest,
    TaskState,
)
from a2a.utils.errors import A2AError
from google.protobuf.json_format import MessageToDict
import httpx

BIG = 9007199254740993


def show(name, **seen):
    print(json.dumps({"name": name, **seen}), flush=True)


def message(message_id, *parts, metadata=None, task_id=None, context_id=None):
    built = Message(message_id=message_id, role=Role.ROLE_USER, parts=list(parts), task_id=task_id, context_id=context_id)
    built.metadata.update(metadata or {})
    return built


def execute(message_id, workflow, value, **more):
    part = new_data_part({"workflow_id": workflow, "input": value})
    return message(message_id, part, metadata={"skill": "execute_workflow"}, **more)


def state(task):
    return TaskState.Name(task.status.state)


def short(event):
    kind = event.WhichOneof("payload")
    if kind == "task":
        return f"task:{state(event.task)}"
    if kind == "status_update":
        return f"status:{TaskState.Name(event.status_update.status.state)}"
    if kind == "artifact_update":
        return f"artifact:{event.artifact_update.artifact.artifact_id}"
    return kind


def task_of(task):
    return MessageToDict(task)


async def one(client, sent, **configuration):
    """The only event of a call without a stream."""
    events = [event async for event in client.send_message(request(sent, **configuration))]
    assert len(events) == 1, events
    return events[0]


def request(sent, **configuration):
    return SendMessageRequest(message=sent, configuration=SendMessageConfiguration(**configuration))


async def blocking(client):
    done = await one(client, execute("v1-one-1", "sdk-echo", {"n": 42, "big": BIG, "said": "hello"}))
    show("send", task=task_of(done.task))
    by_skill = message("v1-one-2", new_data_part({"n": 42, "said": "hi"}), metadata={"skill": "workflow:sdk-echo"})
    show("skill", task=task_of((await one(client, by_skill)).task))
    part = new_data_part({"skill": "execute_workflow", "input": {"workflow_id": "sdk-echo", "input": {"n": 42}}})
    show("part", task=task_of((await one(client, message("v1-one-3", part))).task))
    routed = await one(client, message("v1-one-4", new_text_part("a haiku about autumn leaves")))
    show("route", task=task_of(routed.task))
    failed = await one(client, execute("v1-one-5", "sdk-fails", {"amount": 2000}))
    show("failed", task=task_of(failed.task))


async def errors(client):
    for name, call in (
        ("no_workflow", lambda: one(client, execute("v1-err-1", "sdk-nowhere", {}))),
        ("no_task", lambda: client.get_task(GetTaskRequest(id="nobody"))),
        ("no_cancel", lambda: client.cancel_task(CancelTaskRequest(id="nobody"))),
        ("bad_input", lambda: one(client, execute("v1-err-2", "sdk-echo", {"n": "many"}))),
    ):
        try:
            await call()
            show(name, error=None)
        except (A2AError, A2AClientError) as error:
            show(name, error=type(error).__name__, message=str(error))


async def streaming(client):
    events = [event async for event in client.send_message(request(execute("v1-two-1", "sdk-echo", {"n": 42})))]
    outputs = [event.artifact_update for event in events if event.WhichOneof("payload") == "artifact_update"]
    show("stream", events=[short(event) for event in events], output=MessageToDict(outputs[-1]))
    events = [short(event) async for event in client.send_message(request(message("v1-two-2", new_text_part("a haiku about autumn leaves"))))]
    show("stream_route", events=events)


async def asking(client, plain):
    asked = await one(plain, execute("v1-three-1", "sdk-approval", {"text": "ship it"}))
    show("asked", task=task_of(asked.task))
    task = asked.task
    answered = await one(plain, message("v1-three-2", new_data_part({"publish": True, "copies": 42}), task_id=task.id, context_id=task.context_id))
    show("answered", task=task_of(answered.task), same=answered.task.id == task.id)
    events = [event async for event in client.send_message(request(execute("v1-three-3", "sdk-approval", {"text": "again"})))]
    first = [short(event) for event in events]
    task_id = events[0].task.id
    answer = message("v1-three-4", new_data_part({"publish": False}), task_id=task_id)
    second = [short(event) async for event in client.send_message(request(answer))]
    show("stream_asked", first=first, second=second)
    show("stream_answered", task=task_of(await client.get_task(GetTaskRequest(id=task_id))))


async def canceling(client, plain):
    started = (await one(plain, execute("v1-four-1", "sdk-slow", {}), return_immediately=True)).task
    show("started", state=state(started))
    stream = client.subscribe(SubscribeToTaskRequest(id=started.id))
    first = short(await anext(stream))
    canceled = await plain.cancel_task(CancelTaskRequest(id=started.id))
    rest = [short(event) async for event in stream]
    show("canceled", state=state(canceled), first=first, rest=rest)
    try:
        await plain.cancel_task(CancelTaskRequest(id=started.id))
        show("canceled_twice", error=None)
    except A2AError as error:
        show("canceled_twice", error=type(error).__name__)


async def listing(client):
    seen, token, pages = [], "", 0
    while pages < 50:
        page = await client.list_tasks(ListTasksRequest(page_size=3, page_token=token))
        pages, token = pages + 1, page.next_page_token
        seen += [task.id for task in page.tasks]
        if not token:
            break
    canceled = await client.list_tasks(ListTasksRequest(status=TaskState.TASK_STATE_CANCELED, include_artifacts=True))
    show(
        "list",
        pages=pages,
        total=page.total_size,
        seen=len(seen),
        distinct=len(set(seen)),
        canceled=[state(task) for task in canceled.tasks],
    )


async def logging_in(client, plain):
    asked = (await one(plain, message("v1-five-1", new_text_part("log me in")))).task
    show("login", task=task_of(asked))
    let_in = await one(plain, message("v1-five-2", new_text_part("it is me"), task_id=asked.id, context_id=asked.context_id))
    show("let_in", task=task_of(let_in.task), same=let_in.task.id == asked.id)
    events = [event async for event in client.send_message(request(message("v1-five-3", new_text_part("log me in"))))]
    answer = message("v1-five-4", new_text_part("it is me"), task_id=events[0].task.id)
    second = [short(event) async for event in client.send_message(request(answer))]
    show("stream_login", first=[short(event) for event in events], second=second)


async def main(url):
    async with httpx.AsyncClient(timeout=60, trust_env=False) as http:
        card = await A2ACardResolver(http, url).get_agent_card()
        show("card", card=MessageToDict(card))
        client = ClientFactory(ClientConfig(httpx_client=http)).create(card)
        plain = ClientFactory(ClientConfig(httpx_client=http, streaming=False)).create(card)
        await blocking(plain)
        await errors(plain)
        await streaming(client)
        await asking(client, plain)
        await canceling(client, plain)
        await listing(plain)
        await logging_in(client, plain)


asyncio.run(main(sys.argv[1]))
