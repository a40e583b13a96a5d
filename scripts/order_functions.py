#!/usr/bin/env python3
"""Writes scripts/functions.ld: which functions `gantry serve` runs when it starts, and which when it works.

A release build places these beside each other, so that a process holds few pages of the program and not a little of each. It is
worth doing again when much of what runs at a start has changed; what is not in the list, or no longer in the program, does no harm.

    scripts/order_functions.py

Needs valgrind. Builds the release binary, runs it under callgrind beside a registry and an agent of its own, and takes some minutes.
"""

import bisect
import collections
import http.server
import json
import os
import re
import signal
import socketserver
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
# A target directory of its own: the program is built without the list, since valgrind knows no functions but those of one section.
TARGET = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")) / "functions"
BINARY = TARGET / "release" / "gantry"
LIST = HERE / "functions.ld"

CHAIN = """metadata: {id: chain, name: Chain, version: 1.0.0}
steps:
  - {id: a, skill: echo, inputs: {value: "{{ workflow.input.value }}"}}
  - {id: b, skill: echo, inputs: {value: "{{ steps.a.outputs.value }}"}}
  - {id: c, skill: echo, inputs: {value: "{{ steps.b.outputs.value }}"}}
output: {value: "{{ steps.c.outputs.value }}"}
"""
GROUPS = """metadata: {id: groups, name: Groups, version: 1.0.0}
steps:
  - {id: each, step_type: map, items: "{{ workflow.input.items }}", skill: echo, inputs: {value: "{{ item }}"}}
  - {id: both, step_type: parallel, branches: {steps: [{id: x, skill: echo, inputs: {value: 1}}, {id: y, skill: echo, inputs: {value: 2}}]}}
  - {id: which, step_type: conditional, condition: "{{ steps.x.outputs.value == 1 }}", branches: {if_true: [{id: z, step_type: set, value: 3}]}}
output: "{{ steps.each.outputs | length }}"
"""


class Echo(http.server.BaseHTTPRequestHandler):
    """An agent in the plain dialect that gives back its value."""

    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def do_POST(self):
        call = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        body = json.dumps({"jsonrpc": "2.0", "id": call["id"], "result": {"value": call["params"].get("value")}}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


class Server(socketserver.ThreadingMixIn, http.server.HTTPServer):
    daemon_threads = True


def serve(home, name, command):
    """Starts a program and returns it with what its ready file says."""
    ready = home / f"{name}.json"
    log = open(home / f"{name}.log", "wb")
    process = subprocess.Popen([*command, "--port", "0", "--ready-file", ready], cwd=home, stdout=log, stderr=log)
    for _ in range(600):
        if ready.exists():
            return process, json.loads(ready.read_text())
        if process.poll() is not None:
            break
        time.sleep(0.1)
    sys.exit(f"{name} did not start: {(home / f'{name}.log').read_text()}")


def end(process):
    process.send_signal(signal.SIGTERM)
    process.wait(60)


def ask(url, method, params, headers=()):
    body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}).encode()
    request = urllib.request.Request(url, body, {"Content-Type": "application/json", **dict(headers)})
    with urllib.request.urlopen(request, timeout=60) as answer:
        text = answer.read()
    if b'"error"' in text:
        sys.exit(f"{method}: {text[:500]}")
    return text


def work(url):
    """What a server mostly does, several times."""
    version = {"A2A-Version": "1.0"}

    def message(n, workflow, value):
        call = {"skill": "execute_workflow", "input": {"workflow_id": workflow, "input": value}}
        return {"message": {"messageId": f"m-{n}", "role": "ROLE_USER", "parts": [{"data": call}]}}

    def lane(n):
        for turn in range(6):
            ask(url, "execute_workflow", {"workflow_id": "chain", "input": {"value": "hello"}})
            task = json.loads(ask(url, "SendMessage", message(f"{n}-{turn}", "chain", {"value": "hello"}), version))
            ask(url, "GetTask", {"id": task["result"]["task"]["id"]}, version)
        ask(url, "SendStreamingMessage", message(f"{n}-s", "chain", {"value": "hello"}), version)
        ask(url, "execute_workflow", {"workflow_id": "groups", "input": {"items": list(range(20))}})

    lanes = [threading.Thread(target=lane, args=(n,)) for n in range(8)]
    for thread in lanes:
        thread.start()
    for thread in lanes:
        thread.join()
    ask(url, "ListTasks", {}, version)


def profile(home):
    """Runs the server under callgrind. Returns the files for its start and for its work."""
    registry, said = serve(home, "registry", [BINARY, "registry", "serve", "--ephemeral"])
    agent = Server(("127.0.0.1", 0), Echo)
    threading.Thread(target=agent.serve_forever, daemon=True).start()
    card = {"name": "echo", "url": f"http://127.0.0.1:{agent.server_port}", "skills": [{"id": "echo", "description": "gives back its value"}]}
    (home / "card.json").write_text(json.dumps(card))
    (home / "chain.yaml").write_text(CHAIN)
    (home / "groups.yaml").write_text(GROUPS)
    to = ["--registry", said["registry"]]
    for what in (["agent", "push", "card.json"], ["workflow", "push", "chain.yaml"], ["workflow", "push", "groups.yaml"]):
        subprocess.run([BINARY, *what, *to], cwd=home, check=True, stdout=subprocess.DEVNULL)
    out = home / "callgrind"
    valgrind = ["valgrind", "--tool=callgrind", "--dump-instr=yes", f"--callgrind-out-file={out}"]
    server, said = serve(home, "serve", [*valgrind, BINARY, "serve", "--data-dir", home / "data", *to])
    # Its card is pushed, and looked at again a moment later.
    time.sleep(5)
    subprocess.run(["callgrind_control", "-d", str(server.pid)], check=True, stdout=subprocess.DEVNULL)
    work(said["url"])
    time.sleep(3)
    end(server)
    end(registry)
    return Path(f"{out}.1"), out


def executed(profile, binary):
    """The addresses that ran, as the binary's file has them, and how often each did."""
    addresses, at, unit, names, counts_callee = collections.Counter(), 0, None, {}, False
    for line in profile.read_text().splitlines():
        if found := re.match(r"(c?)ob=\((\d+)\)(?: (.*))?", line):
            callee, number, name = found.groups()
            if name:
                names[number] = name
            if not callee:
                unit = names.get(number)
        elif line.startswith("calls="):
            counts_callee = True
        elif found := re.match(r"(\*|[+-]?(?:0x[0-9a-f]+|\d+)) \S+ (\d+)", line):
            position = found.group(1)
            if position[0] in "+-":
                at += int(position, 0)
            elif position != "*":
                at = int(position, 16)
            if not counts_callee and unit == binary:
                addresses[at] += int(found.group(2))
            counts_callee = False
    return addresses


def sections(link_map):
    """Address, size and name of every function's section."""
    found = []
    for line in link_map.read_text().splitlines():
        if place := re.match(r"\s*([0-9a-f]+)\s+[0-9a-f]+\s+([0-9a-f]+)\s+\d+\s+.*:\((\.text\.[^)]*)\)$", line):
            address, size, name = place.groups()
            found.append((int(address, 16), int(size, 16), name))
    return sorted(found)


def any_compiler(name):
    """A pattern for a function's section, whatever the compiler's version and the build.

    Each gives crates other numbers, which need not be of the same length, so that places in a name that it refers back to move, too; and
    what has one name in several crates is numbered.
    """
    name = re.sub(r"Cs[0-9A-Za-z]+_", "Cs*_", name)
    name = re.sub(r"B[0-9A-Za-z]{0,3}_", "B*_", name)
    return re.sub(r"\.[0-9]+$", ".*", name)


def patterns(all_sections, start, work):
    starts = [address for address, _, _ in all_sections]

    def touched(addresses):
        """How often each function's most used place ran."""
        most = collections.Counter()
        for address, count in addresses.items():
            if (index := bisect.bisect_right(starts, address) - 1) >= 0:
                most[index] = max(most[index], count)
        return most

    start, work = touched(start), touched(work)

    def heat(index):
        return work[index].bit_length()

    # What only a start needs comes first, then what both need, then what only work needs. What each step of a run goes through is in the
    # middle: the fewer pages that is on, the seldomer the processor has to look up where a page is.
    both = sorted((index for index in work if index in start), key=lambda index: (heat(index), index))
    only_work = sorted((index for index in work if index not in start), key=lambda index: (-heat(index), index))
    order = [*sorted(index for index in start if index not in work), *both, *only_work]
    return list(dict.fromkeys(any_compiler(all_sections[index][2]) for index in order))


def main():
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        link_map = TARGET / "link.map"
        # The build script gives no list to a linker that is told something else. The names are those of .cargo/config.toml.
        flags = {"RUSTFLAGS": f"-Csymbol-mangling-version=v0 -Clink-arg=-Wl,-Map={link_map}", "CARGO_TARGET_DIR": str(TARGET)}
        TARGET.mkdir(parents=True, exist_ok=True)
        subprocess.run(["cargo", "build", "--release", "--bin", "gantry"], cwd=ROOT, check=True, env={**os.environ, **flags})
        start, work_profile = profile(home)
        binary = str(BINARY)
        found = patterns(sections(link_map), executed(start, binary), executed(work_profile, binary))
    lines = [
        "/* Functions that `gantry serve` runs when it starts, then when it works. Written by scripts/order_functions.py. */",
        "SECTIONS",
        "{",
        "  .text.first :",
        "  {",
        *(f"    *({name})" for name in found),
        "  }",
        "}",
        "INSERT BEFORE .text;",
    ]
    LIST.write_text("\n".join(lines) + "\n")
    print(f"{LIST.relative_to(ROOT)}: {len(found)} patterns")


if __name__ == "__main__":
    main()
