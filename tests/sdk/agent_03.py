"""An agent written with the official Python SDK 0.3, for gantry to call: python agent_03.py NAME [--unary]

Listens on a port of the system's choice on loopback and prints `{"url": …}`. With --unary its card promises no streams. Every
skill is named after NAME, so that two of them can be told apart: `NAME_sum`, `NAME_chunks`, ….
"""

import asyncio
import json
import socket
import sys

import uvicorn
from a2a.server.agent_execution import AgentExecutor
from a2a.server.apps import A2AStarletteApplication
from a2a.server.request_handlers import DefaultRequestHandler
from a2a.server.tasks import InMemoryTaskStore, TaskUpdater
from a2a.types import AgentCapabilities, AgentCard, AgentSkill, DataPart, Part, TextPart
from a2a.utils import new_task

SKILLS = ("sum", "chunks", "ask", "login", "fail", "crash", "say", "hang", "hung")


def text(value):
    return Part(root=TextPart(text=value))


def data(value):
    return Part(root=DataPart(data=value))


class Executor(AgentExecutor):
    """Does what the skill in the message's metadata says."""

    def __init__(self, name):
        self.name = name
        self.hanging = 0
        self.canceled = 0
        self.skills = {skill: getattr(self, skill) for skill in SKILLS if skill not in ("say", "crash")}

    async def execute(self, context, event_queue):
        skill = context.message.metadata["skill"].removeprefix(f"{self.name}_")
        parts = (part.root for part in context.message.parts)
        inputs = next((part.data for part in parts if isinstance(part, DataPart)), {})
        updater = TaskUpdater(event_queue, context.task_id, context.context_id)
        if skill == "say":
            await event_queue.enqueue_event(updater.new_agent_message([text(f"you said {inputs['text']}")]))
            return
        if skill == "crash":
            # Before there is a task: this SDK leaves the task of an executor that raises as it is, for ever.
            raise RuntimeError("a bug in the agent")
        if context.current_task is None:
            await event_queue.enqueue_event(new_task(context.message))
        asked = context.current_task is not None
        await self.skills[skill](updater, inputs, asked)

    async def sum(self, updater, inputs, asked):
        await updater.start_work(updater.new_agent_message([text("adding")]))
        total = {"sum": inputs["a"] + inputs["b"], "big": inputs["big"], "text": inputs["text"]}
        await updater.add_artifact([data(total)], name="total")
        await updater.complete()

    async def chunks(self, updater, inputs, asked):
        await updater.start_work()
        words = inputs["text"].split(" ")
        for at, word in enumerate(words):
            last = at + 1 == len(words)
            part = text(word if last else f"{word} ")
            await updater.add_artifact([part], artifact_id="words", name="words", append=at > 0, last_chunk=last)
        await updater.complete()

    async def ask(self, updater, inputs, asked):
        if not asked:
            await updater.start_work()
            await updater.requires_input(updater.new_agent_message([text("which color?")]), final=True)
            return
        await updater.add_artifact([data({"answer": inputs, "count": 42})], name="painted")
        await updater.complete()

    async def login(self, updater, inputs, asked):
        if not asked:
            await updater.requires_auth(updater.new_agent_message([text("who are you?")]), final=True)
            return
        await updater.add_artifact([data({"code": inputs["code"]})], name="let in")
        await updater.complete()

    async def fail(self, updater, inputs, asked):
        await updater.failed(updater.new_agent_message([text("the paint ran out")]))

    async def hang(self, updater, inputs, asked):
        await updater.start_work()
        self.hanging += 1
        await asyncio.sleep(600)

    async def hung(self, updater, inputs, asked):
        await updater.add_artifact([data({"hanging": self.hanging, "canceled": self.canceled})])
        await updater.complete()

    async def cancel(self, context, event_queue):
        self.canceled += 1
        await TaskUpdater(event_queue, context.task_id, context.context_id).cancel()


def card(name, url, streaming):
    return AgentCard(
        name=name,
        description="an agent of the tests",
        version="1.0.0",
        url=url,
        preferred_transport="JSONRPC",
        protocol_version="0.3.0",
        capabilities=AgentCapabilities(streaming=streaming),
        default_input_modes=["application/json", "text/plain"],
        default_output_modes=["application/json", "text/plain"],
        skills=[AgentSkill(id=f"{name}_{skill}", name=skill, description=skill, tags=["test"]) for skill in SKILLS],
    )


async def main(name, streaming):
    listener = socket.create_server(("127.0.0.1", 0))
    url = f"http://127.0.0.1:{listener.getsockname()[1]}/"
    handler = DefaultRequestHandler(agent_executor=Executor(name), task_store=InMemoryTaskStore())
    app = A2AStarletteApplication(agent_card=card(name, url, streaming), http_handler=handler).build()
    server = uvicorn.Server(uvicorn.Config(app, log_level="warning"))
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    while not server.started:
        await asyncio.sleep(0.01)
    print(json.dumps({"url": url}), flush=True)
    await serving


asyncio.run(main(sys.argv[1], "--unary" not in sys.argv))
