// The three functions that clang's lowering of setjmp and longjmp calls. They
// are apart: with them in the same file, clang 19 makes invalid code.
struct jump {
  void *label;  // identifies the frame that called setjmp
  unsigned int which;
  struct {
    void *env;
    int value;
  } thrown;
};

void __wasm_setjmp(void *env, unsigned int which, void *frame) {
  struct jump *j = env;
  j->label = frame;
  j->which = which;
}

unsigned int __wasm_setjmp_test(void *env, void *frame) {
  struct jump *j = env;
  return j->label == frame ? j->which : 0;
}

_Noreturn void __wasm_longjmp(void *env, int value) {
  struct jump *j = env;
  j->thrown.env = env;
  j->thrown.value = value ? value : 1;
  __builtin_wasm_throw(1, &j->thrown);
}
