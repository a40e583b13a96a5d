"""A client of gantry written with the official Python SDK 0.3: python client_03.py URL

Prints what it saw, one JSON object a line, each with the name of what it did. It judges nothing: tests/integration/sdk.rs does.
"""

import asyncio
import json
import sys

import httpx
from a2a.client import A2ACardResolver, ClientConfig, ClientFactory
from a2a.client.errors import A2AClientJSONRPCError
from a2a.types import (
    DataPart,
    Message,
    MessageSendConfiguration,
    Part,
    Role,
    TaskIdParams,
    TaskQueryParams,
    TextPart,
)

BIG = 9007199254740993


def show(name, **seen):
    print(json.dumps({"name": name, **seen}), flush=True)


def data(value):
    return Part(root=DataPart(data=value))


def text(value):
    return Part(root=TextPart(text=value))


def message(message_id, part, metadata=None, task_id=None, context_id=None):
    return Message(role=Role.user, message_id=message_id, parts=[part], metadata=metadata, task_id=task_id, context_id=context_id)


def execute(message_id, workflow, value):
    return message(message_id, data({"workflow_id": workflow, "input": value}), metadata={"skill": "execute_workflow"})


def dump(model):
    return model.model_dump(mode="json", by_alias=True, exclude_none=True)


def short(update):
    if update is None:
        return "task"
    if update.kind == "artifact-update":
        return f"artifact:{update.artifact.artifact_id}"
    return f"status:{update.status.state.value}{' final' if update.final else ''}"


async def one(client, sent, **more):
    """The only event of a call without a stream."""
    events = [event async for event in client.send_message(sent, **more)]
    assert len(events) == 1, events
    return events[0][0]


async def stream(client, sent):
    """Every event of a call, and the task that the SDK made of them."""
    events, task = [], None
    async for task, update in client.send_message(sent):
        events.append(f"task:{task.status.state.value}" if update is None else short(update))
    return events, task


async def blocking(client):
    show("send", task=dump(await one(client, execute("v03-one-1", "sdk-echo", {"n": 42, "big": BIG, "said": "hello"}))))
    by_skill = message("v03-one-2", data({"n": 42.0}), metadata={"skill": "workflow:sdk-echo"})
    show("skill", task=dump(await one(client, by_skill)))
    part = data({"skill": "execute_workflow", "input": {"workflow_id": "sdk-echo", "input": {"n": 42}}})
    show("part", task=dump(await one(client, message("v03-one-3", part))))
    show("route", task=dump(await one(client, message("v03-one-4", text("a haiku about autumn leaves")))))
    show("failed", task=dump(await one(client, execute("v03-one-5", "sdk-fails", {"amount": 2000}))))


async def errors(client):
    for name, call in (
        ("no_workflow", lambda: one(client, execute("v03-err-1", "sdk-nowhere", {}))),
        ("no_task", lambda: client.get_task(TaskQueryParams(id="nobody"))),
        ("no_cancel", lambda: client.cancel_task(TaskIdParams(id="nobody"))),
        ("bad_input", lambda: one(client, execute("v03-err-2", "sdk-echo", {"n": "many"}))),
    ):
        try:
            await call()
            show(name, code=None)
        except A2AClientJSONRPCError as error:
            show(name, code=error.error.code, message=error.error.message)


async def streaming(client):
    events, task = await stream(client, execute("v03-two-1", "sdk-echo", {"n": 42}))
    show("stream", events=events, task=dump(task))
    events, task = await stream(client, message("v03-two-2", text("a haiku about autumn leaves")))
    show("stream_route", events=events)


async def asking(client, plain):
    task = await one(plain, execute("v03-three-1", "sdk-approval", {"text": "ship it"}))
    show("asked", task=dump(task))
    answer = message("v03-three-2", data({"publish": True, "copies": 42}), task_id=task.id, context_id=task.context_id)
    answered = await one(plain, answer)
    show("answered", task=dump(answered), same=answered.id == task.id)
    first, task = await stream(client, execute("v03-three-3", "sdk-approval", {"text": "again"}))
    second, _ = await stream(client, message("v03-three-4", data({"publish": False}), task_id=task.id))
    show("stream_asked", first=first, second=second)
    show("stream_answered", task=dump(await client.get_task(TaskQueryParams(id=task.id))))


async def canceling(client, plain):
    started = await one(plain, execute("v03-four-1", "sdk-slow", {}), configuration=MessageSendConfiguration(blocking=False))
    show("started", state=started.status.state.value)
    subscribed = client.resubscribe(TaskIdParams(id=started.id))
    task, update = await anext(subscribed)
    first = f"task:{task.status.state.value}" if update is None else short(update)
    canceled = await plain.cancel_task(TaskIdParams(id=started.id))
    rest = [short(update) async for _, update in subscribed]
    show("canceled", state=canceled.status.state.value, first=first, rest=rest)
    try:
        await plain.cancel_task(TaskIdParams(id=started.id))
        show("canceled_twice", code=None)
    except A2AClientJSONRPCError as error:
        show("canceled_twice", code=error.error.code)


async def logging_in(client, plain):
    asked = await one(plain, message("v03-five-1", text("log me in")))
    show("login", task=dump(asked))
    let_in = await one(plain, message("v03-five-2", text("it is me"), task_id=asked.id, context_id=asked.context_id))
    show("let_in", task=dump(let_in), same=let_in.id == asked.id)
    first, task = await stream(client, message("v03-five-3", text("log me in")))
    second, _ = await stream(client, message("v03-five-4", text("it is me"), task_id=task.id))
    show("stream_login", first=first, second=second)


async def main(url):
    async with httpx.AsyncClient(timeout=60, trust_env=False) as http:
        card = await A2ACardResolver(http, url).get_agent_card()
        show("card", card=dump(card))
        client = ClientFactory(ClientConfig(httpx_client=http)).create(card)
        plain = ClientFactory(ClientConfig(httpx_client=http, streaming=False)).create(card)
        await blocking(plain)
        await errors(plain)
        await streaming(client)
        await asking(client, plain)
        await canceling(client, plain)
        await logging_in(client, plain)


asyncio.run(main(sys.argv[1]))
