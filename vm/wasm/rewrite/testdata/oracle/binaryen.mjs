// Rewrites legacy exception handling with Binaryen: a second opinion.
//
// One module a line, in base64, and one rewritten module a line.
import { createInterface } from "node:readline";
import binaryen from "binaryen";

const f = binaryen.Features;
const features = f.Memory64 | f.ExceptionHandling | f.ReferenceTypes | f.BulkMemory | f.SignExt | f.NontrappingFPToInt | f.Multivalue | f.MutableGlobals | f.SIMD128 | f.TailCall;

for await (const line of createInterface({ input: process.stdin })) {
  let reply;
  try {
    const m = binaryen.readBinary(Buffer.from(line, "base64"));
    m.setFeatures(features);
    m.runPasses(["translate-to-exnref"]);
    reply = { wasm: Buffer.from(m.emitBinary()).toString("base64") };
    m.dispose();
  } catch (e) {
    reply = { error: String(e) };
  }
  process.stdout.write(JSON.stringify(reply) + "\n");
}
