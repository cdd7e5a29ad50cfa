// The TypeScript SDK's version 1, which most clients of today are built on: sessions only.
import { Client } from '@modelcontextprotocol/sdk/client/index.js';
import { StdioClientTransport } from '@modelcontextprotocol/sdk/client/stdio.js';
import { StreamableHTTPClientTransport } from '@modelcontextprotocol/sdk/client/streamableHttp.js';
import { ElicitRequestSchema } from '@modelcontextprotocol/sdk/types.js';

import { answer, exercise, report, target } from './session.mjs';

async function work() {
  const client = new Client({ name: 'sdk-v1', version: '1' }, { capabilities: { elicitation: {} } });
  client.setRequestHandler(ElicitRequestSchema, () => answer);
  const transport = target.url
    ? new StreamableHTTPClientTransport(new URL(target.url))
    : new StdioClientTransport({ command: target.command, args: target.args, stderr: 'inherit' });
  let version;
  const setVersion = transport.setProtocolVersion?.bind(transport);
  transport.setProtocolVersion = (agreed) => {
    version = agreed;
    setVersion?.(agreed);
  };
  await client.connect(transport);
  const call = (name, args, onprogress) =>
    client.callTool({ name, arguments: args }, undefined, { onprogress });
  const result = await exercise({ client, call, ask: 'test_elicitation', version: () => version });
  await client.close();
  return result;
}

await report(work());
