// Runs messages through npm's ao-loader as the legacy compute unit does, and
// prints what comes of each as a line of JSON.
//
//   node --experimental-wasm-memory64 oracle.mjs JOB.json
//
// A job has the module's path, the loader's format, env, and messages. The
// memory goes in and out with each message; an error keeps the memory from
// before. Each message gets an instance of its own, as after a restart: the
// loader's clock counts from an instance's birth, and only so doesn't depend
// on which messages came before.
import { readFileSync, writeSync } from 'node:fs'
import AoLoader from '@permaweb/ao-loader'
import { bare } from './bare.mjs'

const job = JSON.parse(readFileSync(process.argv[2]))
const binary = readFileSync(job.module)
// Leaving the process drops what a pipe hasn't taken yet, so write all of it.
const out = (o) => {
  let rest = Buffer.from(JSON.stringify(o) + '\n')
  while (rest.length > 0) {
    try {
      rest = rest.subarray(writeSync(1, rest))
    } catch (e) {
      if (e.code !== 'EAGAIN') throw e
    }
  }
}

// memory is the last good instance's. initial are the pages that a new
// instance's memory has something in.
let memory = null
let initial = []
const page = 4096
const zeros = Buffer.alloc(page)

if (job.format === '') {
  const run = bare(binary)
  for (const text of job.messages) out(run(text, JSON.stringify(job.env)))
} else {
  // Compiling is dear, and the same each time.
  const module = new WebAssembly.Module(binary)
  let instance
  const instantiate = (imports, done) => {
    instance = new WebAssembly.Instance(module, imports)
    queueMicrotask(() => done(instance, module)) // the loader isn't ready yet
    return {}
  }
  for (const text of job.messages) {
    try {
      const handle = await AoLoader(instantiate, { format: job.format, UNSAFE_MEMORY: true })
      const r = await handle(carry(memory, instance.exports.memory), JSON.parse(text), job.env)
      if (!r.Error) memory = instance.exports.memory
      out({ Output: r.Output, Messages: r.Messages, Spawns: r.Spawns, Assignments: r.Assignments, Error: r.Error })
    } catch (e) {
      // The loader throws what a module says is wrong, even if it is nothing.
      const exception = e instanceof Error || e?.name === 'ExitStatus' || (e ?? null) === null
      out({ Error: exception ? 'exception: ' + e?.message : e, exception })
    }
  }
}
// The loader leaves timers behind.
process.exit(0)

// carry returns what to hand the loader as the memory before a message. The
// loader asks its byteLength, grows the new instance's memory to it if it must,
// and copies it as an array; that is when what isn't zero is copied here.
// Nearly all of it is, and copying that would be most of the work.
function carry(from, to) {
  if (from === null) {
    initial = pages(to).filter((at) => !blank(to, at))
    return null
  }
  return {
    byteLength: from.buffer.byteLength,
    get length() {
      const old = new Uint8Array(from.buffer)
      const fresh = new Uint8Array(to.buffer)
      const copy = (at) => fresh.set(old.subarray(at, at + page), at)
      initial.forEach(copy)
      pages(from).filter((at) => !blank(from, at)).forEach(copy)
      return 0
    },
  }
}

function pages(memory) {
  return Array.from({ length: memory.buffer.byteLength / page }, (_, i) => i * page)
}

function blank(memory, at) {
  return zeros.compare(Buffer.from(memory.buffer, at, page)) === 0
}
