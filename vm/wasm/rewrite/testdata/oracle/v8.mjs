// Runs modules in Node's own engine, which knows legacy exception handling.
//
// One request a line, {wasm: base64, calls: [[name, [arguments…]]…]}, and one
// reply a line: for every call what came of it, and the values of all
// exported globals then. Values are integers, as decimal strings of their bits.
// Without calls, the module is validated and no more.
import { createInterface } from "node:readline";

const bits = (v) => (typeof v === "bigint" ? BigInt.asUintN(64, v).toString() : String(v >>> 0));

function outcome(f, args) {
  try {
    const out = f(...args);
    return { kind: "return", values: out === undefined ? [] : (Array.isArray(out) ? out : [out]).map(bits) };
  } catch (e) {
    if (e instanceof WebAssembly.Exception) return { kind: "exception", values: [] };
    if (e instanceof WebAssembly.RuntimeError) return { kind: "trap", values: [] };
    return { kind: String(e), values: [] };
  }
}

for await (const line of createInterface({ input: process.stdin })) {
  let reply;
  try {
    const { wasm, calls } = JSON.parse(line);
    const module = new WebAssembly.Module(Buffer.from(wasm, "base64"));
    const { exports } = calls.length ? new WebAssembly.Instance(module) : { exports: {} };
    const globals = Object.keys(exports).filter((n) => exports[n] instanceof WebAssembly.Global).sort();
    reply = calls.map(([name, args]) => ({
      ...outcome(exports[name], args),
      globals: globals.map((n) => bits(exports[n].value)),
    }));
  } catch (e) {
    reply = String(e);
  }
  process.stdout.write(JSON.stringify(typeof reply === "string" ? { error: reply } : { outcomes: reply }) + "\n");
}
