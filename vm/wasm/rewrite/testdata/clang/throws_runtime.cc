// As much of a C++ runtime as throws.cc needs. It is apart, for clang crashes
// where it can put these functions into their callers.
typedef __SIZE_TYPE__ size_t;

extern "C" {
struct {
  size_t index;
  void *table;
  size_t selector;
} __wasm_lpad_context;

static int pool[256];
int used;
static int *handled[64];
int depth;

void *__cxa_allocate_exception(size_t) { return &pool[used++ % 256]; }
[[noreturn]] void __cxa_throw(void *thrown, void *, void (*)(void *)) { __builtin_wasm_throw(0, thrown); }
void *__cxa_begin_catch(void *thrown) { return handled[depth++] = (int *)thrown; }
void __cxa_end_catch() { depth--; }
[[noreturn]] void __cxa_rethrow() { __builtin_wasm_throw(0, handled[depth - 1]); }
void __cxa_free_exception(void *) {}
// Every handler here takes everything.
int _Unwind_CallPersonality(void *) { __wasm_lpad_context.selector = 1; return 0; }
int __gxx_wasm_personality_v0() { return 0; }
void *_ZTIi = nullptr;
}
namespace std { [[noreturn]] void terminate() noexcept { __builtin_trap(); } }
extern "C" [[noreturn]] void __clang_call_terminate(void *) { __builtin_trap(); }
