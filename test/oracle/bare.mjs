// Runs a module that the loader can't: as live.mjs does, with an error taking
// the memory back to what it was, in an instance of its own.
import { grow, live } from './live.mjs'

// bare returns what runs a message: texts of it and env in, an answer out.
export function bare(binary) {
  let handle = live(binary)
  return (message, env) => {
    const before = new Uint8Array(handle.memory().buffer.slice(0))
    const back = () => {
      handle = live(binary)
      const memory = handle.memory()
      if (!grow(memory, before.length)) throw new Error(`no memory of ${before.length} bytes`)
      new Uint8Array(memory.buffer).set(before)
    }
    try {
      handle.clock(BigInt(JSON.parse(message).Timestamp ?? 0) * 1_000_000n)
      const { ok, response } = JSON.parse(handle(message, env))
      if (!ok) throw response
      const { Output, Messages, Spawns, Assignments, Error: error } = response
      if (error) back()
      return { Output, Messages, Spawns, Assignments, Error: error }
    } catch (e) {
      back()
      return { Error: e instanceof Error ? 'exception: ' + e.message : e, exception: e instanceof Error }
    }
  }
}
