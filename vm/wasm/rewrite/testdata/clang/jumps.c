// setjmp and longjmp, as clang lowers them to exceptions.

typedef struct jump {
  void *words[8];
} jmp_buf[1];
int setjmp(jmp_buf) __attribute__((returns_twice));
_Noreturn void longjmp(jmp_buf, int);

// As interpreters do it: a chain of protected calls, and a jump to the last
// one.
static struct handler {
  struct handler *previous;
  jmp_buf buf;
  volatile int status;
} *current;

static int trace;
static void note(int x) { trace = trace * 31 + x; }

__attribute__((noinline)) static int protect(void (*f)(int), int n) {
  struct handler h;
  h.previous = current;
  h.status = 0;
  current = &h;
  if (setjmp(h.buf) == 0) f(n);
  current = h.previous;
  return h.status;
}

_Noreturn static void raise(int status) {
  current->status = status;
  longjmp(current->buf, 1);
}

static void body(int n) {
  note(n);
  if (n % 3 == 1) raise(n);
  for (int i = 1; i < 3 && n < 200; i++) {
    int status = protect(body, 2 * n + i);
    note(-status);
    if (status % 4 == 1) raise(status + i);
  }
}

__attribute__((export_name("run"))) int run(int n) {
  int total = 0;
  trace = n;
  for (int i = 0; i < 20; i++) total = total * 7 + protect(body, n + i);
  return total ^ trace;
}
