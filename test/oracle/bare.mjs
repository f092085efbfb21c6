// Runs a module in V8 as it is, with the few imports that it needs for
// evaluating messages, its memory staying where it is.

const decoder = new TextDecoder()
const encoder = new TextEncoder()

class Exit extends Error {}

export function bare(binary) {
  const module = new WebAssembly.Module(binary)
  let exports, wide, now = 0n
  const ptr = (v) => (wide ? BigInt(v) : Number(v))
  const view = () => new DataView(exports.memory.buffer)
  const setSize = (at, v) => (wide ? view().setBigUint64(Number(at), BigInt(v), true) : view().setUint32(Number(at), v, true))
  const getSize = (at) => (wide ? Number(view().getBigUint64(at, true)) : view().getUint32(at, true))
  const known = {
    fd_write(fd, iovs, n, written) {
      const size = wide ? 8 : 4
      let total = 0
      for (let i = 0; i < Number(n); i++) total += getSize(Number(iovs) + i * 2 * size + size)
      setSize(written, total)
      return 0
    },
    environ_sizes_get: (count, size) => (setSize(count, 0), setSize(size, 0), 0),
    environ_get: () => 0,
    clock_time_get: (id, precision, at) => (view().setBigUint64(Number(at), now, true), 0),
    proc_exit: (code) => { throw new Exit('exit ' + code) },
  }
  const imports = {}
  for (const { module: m, name } of WebAssembly.Module.imports(module)) {
    imports[m] ??= {}
    imports[m][name] = known[name] ?? (() => { throw new Exit('no function ' + name) })
  }
  const fresh = () => {
    exports = new WebAssembly.Instance(module, imports).exports
    // Whether pointers are BigInts shows in what malloc takes.
    try { wide = typeof exports.malloc(8n) === 'bigint' } catch { wide = false }
    exports = new WebAssembly.Instance(module, imports).exports
    exports.__wasm_call_ctors?.()
  }
  const place = (text) => {
    const bytes = encoder.encode(text)
    const p = exports.malloc(ptr(bytes.length + 1))
    const mem = new Uint8Array(exports.memory.buffer)
    mem.set(bytes, Number(p))
    mem[Number(p) + bytes.length] = 0
    return p
  }
  const read = (p) => {
    const mem = new Uint8Array(exports.memory.buffer)
    let end = Number(p)
    while (mem[end] !== 0) end++
    return decoder.decode(mem.subarray(Number(p), end))
  }
  fresh()
  return (message, env) => {
    const before = exports.memory.buffer.slice(0)
    const back = () => {
      fresh()
      const pages = (before.byteLength - exports.memory.buffer.byteLength) / 65536
      if (pages > 0) exports.memory.grow(pages)
      new Uint8Array(exports.memory.buffer).set(new Uint8Array(before))
    }
    try {
      now = BigInt(JSON.parse(message).Timestamp ?? 0) * 1000000n
      const args = [place(message), place(env)]
      const { ok, response } = JSON.parse(read(exports.handle(...args)))
      if (!ok) throw response
      if (response.Error) back()
      else args.forEach((p) => exports.free?.(p))
      const { Output, Messages, Spawns, Assignments, Error: error } = response
      return { Output, Messages, Spawns, Assignments, Error: error }
    } catch (e) {
      back()
      return { Error: e instanceof Error ? 'exception: ' + e.message : e, exception: e instanceof Error }
    }
  }
}
