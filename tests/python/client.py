"""The Python SDK as a client: the same steps as the TypeScript clients, one line of JSON.

Usage: client.py TARGET, where TARGET is JSON: {"url": …} or {"command": …, "args": […]}, with "mode"
`legacy`, `auto` or a revision.
"""

import asyncio
import json
import sys

from mcp import Client, StdioServerParameters
from mcp.shared.exceptions import MCPError
from mcp_types import ElicitResult


async def answer(_context, _params):
    """The answer of the client's user to every form."""
    content = {"name": "Ada", "username": "ada", "email": "a@b.c"}
    return ElicitResult(action="accept", content=content)


def text(result):
    """The texts of a tool result, or the kinds of its other blocks."""
    return ",".join(getattr(block, "text", None) or block.type for block in result.content)


async def exercise(client):
    """The steps of `tests/node/clients/session.mjs`."""
    progress = []

    async def on_progress(done, _total, _message):
        progress.append(done)

    version = client.protocol_version
    modern = version >= "2026-07-28"
    ask = "test_input_required_result_elicitation" if modern else "test_elicitation"
    tools = await client.list_tools()
    simple = text(await client.call_tool("test_simple_text", {}))
    mixed = text(await client.call_tool("test_multiple_content_types", {}))
    await client.call_tool("test_tool_with_progress", {}, progress_callback=on_progress)
    asked = text(await client.call_tool(ask, {"message": "Who are you?"}))
    resource = await client.read_resource("test://template/a b/data")
    arguments = {"arg1": "é", "arg2": '="'}
    prompt = await client.get_prompt("test_prompt_with_arguments", arguments)
    try:
        unknown = text(await client.call_tool("no_such_tool", {}))
    except MCPError as error:
        unknown = error.error.code
    return {
        "version": version,
        "tools": sorted(tool.name for tool in tools.tools),
        "simple": simple,
        "mixed": mixed,
        "progress": progress,
        "asked": asked,
        "resource": resource.contents[0].text,
        "prompt": prompt.messages[0].content.text,
        "unknown": unknown,
    }


async def main():
    """Connects to the target, runs the steps, prints what came of them."""
    target = json.loads(sys.argv[1])
    where = target.get("url") or StdioServerParameters(
        command=target["command"], args=target["args"]
    )
    async with Client(where, mode=target["mode"], elicitation_callback=answer) as client:
        print(json.dumps(await exercise(client), ensure_ascii=False))


asyncio.run(main())
