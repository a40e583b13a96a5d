"""An agent written with the official Python SDK 1.x, for gantry to call: python agent_1.py NAME [--unary]

Listens on a port of the system's choice on loopback and prints `{"url": …}`. With --unary its card promises no streams. Every
skill is named after NAME, so that two of them can be told apart: `NAME_sum`, `NAME_chunks`, ….
"""

import asyncio
import json
import socket
import sys

import uvicorn
from a2a.helpers import new_data_part, new_task, new_text_part
from a2a.server.agent_execution import AgentExecutor
from a2a.server.request_handlers import DefaultRequestHandler
from a2a.server.routes import create_agent_card_routes, create_jsonrpc_routes
from a2a.server.tasks import InMemoryTaskStore, TaskUpdater
from a2a.types.a2a_pb2 import AgentCapabilities, AgentCard, AgentInterface, AgentSkill, TaskState
from google.protobuf.json_format import MessageToDict
from starlette.applications import Starlette

SKILLS = ("sum", "chunks", "ask", "login", "fail", "crash", "say", "hang", "hung")


class Executor(AgentExecutor):
    """Does what the skill in the message's metadata says."""

    def __init__(self, name):
        self.name = name
        self.hanging = 0
        self.canceled = 0
        self.skills = {skill: getattr(self, skill) for skill in SKILLS if skill != "say"}

    async def execute(self, context, event_queue):
        called = MessageToDict(context.message)
        skill = called["metadata"]["skill"].removeprefix(f"{self.name}_")
        inputs = next((part["data"] for part in called["parts"] if "data" in part), {})
        updater = TaskUpdater(event_queue, context.task_id, context.context_id)
        if skill == "say":
            await event_queue.enqueue_event(updater.new_agent_message([new_text_part(f"you said {inputs['text']}")]))
            return
        if context.current_task is None:
            task = new_task(context.task_id, context.context_id, TaskState.TASK_STATE_SUBMITTED, history=[context.message])
            await event_queue.enqueue_event(task)
        asked = context.current_task is not None
        await self.skills[skill](updater, inputs, asked)

    async def sum(self, updater, inputs, asked):
        await updater.start_work(updater.new_agent_message([new_text_part("adding")]))
        total = {"sum": inputs["a"] + inputs["b"], "big": inputs["big"], "text": inputs["text"]}
        await updater.add_artifact([new_data_part(total)], name="total")
        await updater.complete()

    async def chunks(self, updater, inputs, asked):
        await updater.start_work()
        words = inputs["text"].split(" ")
        for at, word in enumerate(words):
            last = at + 1 == len(words)
            part = new_text_part(word if last else f"{word} ")
            await updater.add_artifact([part], artifact_id="words", name="words", append=at > 0, last_chunk=last)
        await updater.complete()

    async def ask(self, updater, inputs, asked):
        if not asked:
            await updater.start_work()
            await updater.requires_input(updater.new_agent_message([new_text_part("which color?")]))
            return
        await updater.add_artifact([new_data_part({"answer": inputs, "count": 42})], name="painted")
        await updater.complete()

    async def login(self, updater, inputs, asked):
        if not asked:
            await updater.requires_auth(updater.new_agent_message([new_text_part("who are you?")]))
            return
        await updater.add_artifact([new_data_part({"code": inputs["code"]})], name="let in")
        await updater.complete()

    async def fail(self, updater, inputs, asked):
        await updater.failed(updater.new_agent_message([new_text_part("the paint ran out")]))

    async def crash(self, updater, inputs, asked):
        raise RuntimeError("a bug in the agent")

    async def hang(self, updater, inputs, asked):
        await updater.start_work()
        self.hanging += 1
        await asyncio.sleep(600)

    async def hung(self, updater, inputs, asked):
        await updater.add_artifact([new_data_part({"hanging": self.hanging, "canceled": self.canceled})])
        await updater.complete()

    async def cancel(self, context, event_queue):
        self.canceled += 1
        await TaskUpdater(event_queue, context.task_id, context.context_id).cancel()


def card(name, url, streaming):
    return AgentCard(
        name=name,
        description="an agent of the tests",
        version="1.0.0",
        supported_interfaces=[AgentInterface(url=url, protocol_binding="JSONRPC", protocol_version="1.0")],
        capabilities=AgentCapabilities(streaming=streaming),
        default_input_modes=["application/json", "text/plain"],
        default_output_modes=["application/json", "text/plain"],
        skills=[AgentSkill(id=f"{name}_{skill}", name=skill, description=skill, tags=["test"]) for skill in SKILLS],
    )


async def main(name, streaming):
    listener = socket.create_server(("127.0.0.1", 0))
    url = f"http://127.0.0.1:{listener.getsockname()[1]}/"
    own = card(name, url, streaming)
    executor = Executor(name)
    handler = DefaultRequestHandler(agent_executor=executor, task_store=InMemoryTaskStore(), agent_card=own)
    app = Starlette(routes=[*create_agent_card_routes(own), *create_jsonrpc_routes(handler, "/")])
    server = uvicorn.Server(uvicorn.Config(app, log_level="warning"))
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    while not server.started:
        await asyncio.sleep(0.01)
    print(json.dumps({"url": url}), flush=True)
    await serving


asyncio.run(main(sys.argv[1], "--unary" not in sys.argv))
