// The TypeScript SDK's version 2, made to list the tools and then to make the calls that it is given.
import { Client, StreamableHTTPClientTransport } from '@modelcontextprotocol/client';
import { StdioClientTransport } from '@modelcontextprotocol/client/stdio';

import { made } from './made.mjs';
import { report, target } from './session.mjs';

async function work() {
  const mode = ['legacy', 'auto'].includes(target.mode) ? target.mode : { pin: target.mode };
  const client = new Client({ name: 'calls-v2', version: '1' }, { versionNegotiation: { mode } });
  const transport = target.url
    ? new StreamableHTTPClientTransport(new URL(target.url))
    : new StdioClientTransport({ command: target.command, args: target.args, stderr: 'inherit' });
  await client.connect(transport);
  return made(client, (call) => client.callTool(call));
}

await report(work());
