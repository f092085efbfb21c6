// Runs a module in V8 as it is, with the imports that evaluating messages
// needs, hand-written. Its memory stays where it is from message to message.
const decoder = new TextDecoder()
const encoder = new TextEncoder()

// What WASI says of a descriptor that isn't there, and Linux of a call that
// isn't implemented.
const EBADF = 8
const ENOSYS = -52

// Emscripten's longjmp is this thrown through the frames in between.
const longjmp = Symbol('longjmp')

export class Exit extends Error {}

// live instantiates a module and returns its handle: texts of message and
// env in, a text out. handle.memory() is its memory, and handle.clock(ns) sets
// what it reads as time.
export function live(binary) {
  const module = new WebAssembly.Module(binary)
  let exports, memory, bytes, view, now = 0n
  // Growing makes a new buffer.
  const refresh = () => {
    if (bytes?.buffer !== memory.buffer) {
      bytes = new Uint8Array(memory.buffer)
      view = new DataView(memory.buffer)
    }
  }
  const imports = { wasi_snapshot_preview1: {}, env: {} }
  const wide = memory64(binary)
  const pointer = wide ? BigInt : Number
  const word = wide ? 8 : 4
  const putWord = (at, v) => (wide ? view.setBigUint64(Number(at), BigInt(v), true) : view.setUint32(Number(at), v, true))
  const getWord = (at) => (wide ? Number(view.getBigUint64(at, true)) : view.getUint32(at, true))
  const known = {
    fd_write(fd, iovs, n, written) {
      refresh()
      let total = 0
      for (let i = 0; i < Number(n); i++) total += getWord(Number(iovs) + i * 2 * word + word)
      putWord(written, total)
      return 0
    },
    fd_read: () => EBADF,
    fd_close: () => EBADF,
    fd_seek: () => EBADF,
    environ_sizes_get: (count, size) => (refresh(), putWord(count, 0), putWord(size, 0), 0),
    environ_get: () => 0,
    clock_time_get: (id, precision, at) => (refresh(), view.setBigUint64(Number(at), now, true), 0),
    proc_exit: (code) => { throw new Exit('exit ' + code) },
    exit: (code) => { throw new Exit('exit ' + code) },
    _abort_js: () => { throw new Exit('abort') },
    _emscripten_throw_longjmp: () => { throw longjmp },
    _emscripten_memcpy_js(to, from, n) {
      refresh()
      bytes.copyWithin(Number(to), Number(from), Number(from) + Number(n))
    },
    emscripten_date_now: () => Number(now / 1_000_000n),
    emscripten_get_now: () => Number(now / 1_000_000n),
    _emscripten_get_now_is_monotonic: () => 1,
    _tzset_js: () => {},
    // There is no shell, and no command runs.
    _emscripten_system: (command) => (Number(command) === 0 ? 0 : ENOSYS),
    // Without a drive, nothing is found.
    __asyncjs__weavedrive_open: () => 0,
    emscripten_resize_heap: (size) => grow(memory, Number(size)) | 0,
  }
  for (const { module: m, name, kind } of WebAssembly.Module.imports(module)) {
    if (kind !== 'function') throw new Error(`the module imports a ${kind}, ${m}.${name}`)
    imports[m] ??= {}
    imports[m][name] = known[name] ?? (name.startsWith('__syscall_') ? () => ENOSYS : absent(name))
  }
  const functions = []
  const call = (index) => {
    const i = Number(index)
    return (functions[i] ??= exports.__indirect_function_table.get(i))
  }
  for (const { name } of WebAssembly.Module.imports(module)) {
    if (name.startsWith('invoke_')) imports.env[name] = invoke(name.slice('invoke_'.length), call, () => exports, pointer)
  }
  exports = new WebAssembly.Instance(module, imports).exports
  memory = exports.memory
  refresh()
  exports.emscripten_stack_init?.()
  exports.__wasm_call_ctors?.()

  const place = (text) => {
    const n = Buffer.byteLength(text)
    const p = exports.malloc(pointer(n + 1))
    const at = Number(p)
    if (at === 0) throw new Error('malloc failed')
    refresh()
    encoder.encodeInto(text, bytes.subarray(at, at + n))
    bytes[at + n] = 0
    return p
  }
  const handle = (message, env) => {
    const m = place(message)
    const e = place(env)
    const p = Number(exports.handle(m, e))
    refresh()
    const text = decoder.decode(bytes.subarray(p, bytes.indexOf(0, p)))
    exports.free?.(m)
    exports.free?.(e)
    return text
  }
  handle.memory = () => memory
  handle.clock = (ns) => { now = ns }
  return handle
}

const absent = (name) => () => { throw new Exit('no function ' + name) }

// invoke makes Emscripten's invoke_SIGNATURE: it calls a function of the
// table, and reports a longjmp out of it by setThrew. The functions are written
// out for each number of arguments, since spreading them costs V8 more than
// the call.
function invoke(signature, call, exports, pointer) {
  const args = Array.from(signature.slice(1), (_, i) => 'a' + i).join(', ')
  const failed = signature[0] === 'j' ? '0n' : '0'
  return new Function('call', 'exports', 'longjmp', 'threw', `
    return (index${args && ', ' + args}) => {
      const x = exports()
      const sp = x.emscripten_stack_get_current()
      try {
        return call(index)(${args})
      } catch (e) {
        x._emscripten_stack_restore(sp)
        if (e !== longjmp) throw e
        x.setThrew(threw, 0)
        return ${failed}
      }
    }`)(call, exports, longjmp, pointer(1))
}

// grow makes a memory as large as size, if it can. What grow of a 64-bit
// memory takes is a number up to the Node that made BigInts of it.
export function grow(memory, size) {
  const pages = Math.ceil((size - memory.buffer.byteLength) / 65536)
  for (const n of [pages, BigInt(pages)]) {
    try {
      memory.grow(n)
      return true
    } catch (e) {
      if (!(e instanceof TypeError)) return false
    }
  }
  return false
}

// memory64 reads from a module whether its memory has 64-bit addresses.
function memory64(binary) {
  let at = 8
  const leb = () => {
    let v = 0, shift = 0, b
    do {
      b = binary[at++]
      v |= (b & 0x7f) << shift
      shift += 7
    } while (b & 0x80)
    return v >>> 0
  }
  while (at < binary.length) {
    const id = binary[at++]
    const size = leb()
    const next = at + size
    if (id === 5) return leb() > 0 && (binary[at] & 4) !== 0
    at = next
  }
  throw new Error('the module has no memory of its own')
}
