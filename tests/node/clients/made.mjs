// What a client sees of the tools and of the calls that it is told to make.
import { target } from './session.mjs';

/** Lists, then calls one after the other; what fails is reported and does not end the run. */
export async function made(client, call) {
  const tools = (await client.listTools()).tools.map((tool) => tool.name).sort();
  const calls = [];
  for (const each of target.calls ?? []) {
    try {
      const result = await call(each);
      calls.push({
        text: result.content.map((block) => block.text ?? block.type).join(),
        isError: result.isError ?? false,
        structured: result.structuredContent,
      });
    } catch (error) {
      calls.push({ code: error?.code, message: String(error?.message ?? error), data: error?.data });
    }
  }
  return { tools, calls };
}
