// Exceptions with cleanups, nested handlers and rethrows, as clang compiles
// them. What is thrown is an int.
extern "C" int used, depth; // the runtime's
int trace;

static void note(int x) { trace = trace * 31 + x; }

struct Guard {
  int id;
  explicit Guard(int id) : id(id) { note(id); }
  ~Guard() { note(-id); }
};

[[gnu::noinline]] static int risky(int n) {
  Guard g(n);
  note(n);
  if (n % 4 == 1) throw n;
  return n * 2;
}

[[gnu::noinline]] static int nested(int n) {
  Guard a(1000 + n);
  int sum = 0;
  for (int i = 0; i < 5; i++) {
    Guard b(2000 + i);
    try {
      Guard c(3000 + i);
      sum += risky(n + i);
      try {
        sum += risky(n + 2 * i);
      } catch (...) {
        Guard d(4000 + i);
        note(7);
        if (i == 3) continue;
        if ((n + i) % 3 == 0) throw;
        sum += risky(n + i + 1);
      }
      if (i == 4 && n % 2) return sum;
    } catch (...) {
      note(9);
      try {
        sum += risky(n + 3 * i);
      } catch (...) {
        note(11);
        if (n % 5 == 0) throw;
      }
      if (n % 11 == 3) throw;
    }
  }
  return sum;
}

[[clang::export_name("run")]] int run(int n) {
  trace = used = depth = 0;
  int total = 0;
  for (int i = 0; i < 30; i++) {
    try {
      total += nested(n + i);
    } catch (...) {
      note(13);
    }
  }
  return total ^ trace;
}
[[clang::export_name("escapes")]] int escapes(int n) { trace = used = depth = 0; return nested(n); }
