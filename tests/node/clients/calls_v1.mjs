// The TypeScript SDK's version 1, made to list the tools and then to make the calls that it is given.
import { Client } from '@modelcontextprotocol/sdk/client/index.js';
import { StreamableHTTPClientTransport } from '@modelcontextprotocol/sdk/client/streamableHttp.js';
import { StdioClientTransport } from '@modelcontextprotocol/sdk/client/stdio.js';

import { made } from './made.mjs';
import { report, target } from './session.mjs';

async function work() {
  const client = new Client({ name: 'calls-v1', version: '1' });
  const transport = target.url
    ? new StreamableHTTPClientTransport(new URL(target.url))
    : new StdioClientTransport({ command: target.command, args: target.args, stderr: 'inherit' });
  await client.connect(transport);
  return made(client, (call) => client.callTool(call));
}

await report(work());
