// Tests in the Test Anything Protocol: one line each, with the reason below a failure.

let count = 0;
let failed = 0;

/** Runs one test. A test fails when its body throws; what it returns is shown beside its name. */
export async function test(name, body) {
  count += 1;
  const number = count;
  const began = performance.now();
  try {
    const note = await body();
    const ms = Math.round(performance.now() - began);
    console.log(`ok ${number} - ${name}${note ? `: ${note}` : ''} (${ms} ms)`);
    return true;
  } catch (error) {
    failed += 1;
    console.log(`not ok ${number} - ${name}`);
    const reason = error?.stack ?? String(error);
    for (const line of reason.split('\n').slice(0, 40)) console.log(`#   ${line}`);
    return false;
  }
}

/** Runs tests that belong together. What breaks between two of them is a failure of its own. */
export async function section(name, body) {
  try {
    await body();
  } catch (error) {
    await test(name, () => Promise.reject(error));
  }
}

/** A test that cannot run here, and why. */
export function skip(name, why) {
  count += 1;
  console.log(`ok ${count} - ${name} # SKIP ${why}`);
}

/** A remark for the reader. */
export function note(text) {
  for (const line of String(text).split('\n')) console.log(`# ${line}`);
}

/** Fails unless `condition` holds. */
export function expect(condition, reason) {
  if (!condition) throw new Error(reason);
}

/** Fails unless both are the same JSON. */
export function same(actual, wanted, what) {
  const [a, w] = [JSON.stringify(actual), JSON.stringify(wanted)];
  if (a !== w) throw new Error(`${what}: got ${a}, wanted ${w}`);
}

/** Ends the script with the result of its tests. */
export function end() {
  process.exit(failed === 0 && count > 0 ? 0 : 1);
}
