/* Counts edges for `harness fuzz`. Works with gcc -fsanitize-coverage=trace-pc, clang -fsanitize-coverage=trace-pc-guard and
   Rust's sancov pass. Compile it without instrumentation and link it to the server:

     gcc -O2 -fsanitize-coverage=trace-pc -c server.c && gcc -O2 -c runtime.c && gcc server.o runtime.o -o server

   HARNESS_COVERAGE_MAP names a file that is mapped; without it, what is counted goes nowhere. */
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define MAP_LEN 65536u
#define MAP_LEN_MAX (8u << 20)

#if defined(__clang__)
#define UNCOUNTED __attribute__((no_sanitize("coverage")))
#elif defined(__GNUC__) && __GNUC__ >= 12
#define UNCOUNTED __attribute__((no_sanitize_coverage))
#else
#define UNCOUNTED
#endif

static unsigned char nowhere[MAP_LEN];
static unsigned char *map = nowhere;
static uint32_t len = MAP_LEN, guards;
static int descriptor = -1;

UNCOUNTED static void grow(uint32_t wanted) {
  if (descriptor < 0 || wanted <= len || wanted > MAP_LEN_MAX) return;
  uint32_t longer = (wanted + 4095u) & ~4095u;
  if (ftruncate(descriptor, longer) != 0) return;
  void *mapped = mmap(0, longer, PROT_READ | PROT_WRITE, MAP_SHARED, descriptor, 0);
  if (mapped != MAP_FAILED) map = mapped, len = longer;
}

UNCOUNTED __attribute__((constructor(101))) static void begin(void) {
  static int begun;
  const char *path = getenv("HARNESS_COVERAGE_MAP");
  if (begun || !path) return;
  begun = 1;
  descriptor = open(path, O_RDWR | O_CLOEXEC);
  struct stat known;
  if (descriptor < 0 || fstat(descriptor, &known) != 0 || known.st_size < MAP_LEN) return;
  void *mapped = mmap(0, MAP_LEN, PROT_READ | PROT_WRITE, MAP_SHARED, descriptor, 0);
  if (mapped != MAP_FAILED) map = mapped;
}

/* gcc: the edge is where this was called from and where before. */
UNCOUNTED void __sanitizer_cov_trace_pc(void) {
  static __thread uint32_t before;
  /* From the beginning of the program: where that is loaded differs from start to start. */
  uint32_t here = (uint32_t)((uintptr_t)__builtin_return_address(0) - (uintptr_t)&begin);
  here = (here ^ here >> 12) * 2654435761u >> 16;
  unsigned char *count = &map[(here ^ before) & (MAP_LEN - 1)];
  if (++*count == 0) *count = 255;
  before = here >> 1;
}

/* clang and Rust: each edge has a number. */
UNCOUNTED void __sanitizer_cov_trace_pc_guard_init(uint32_t *from, uint32_t *to) {
  begin();
  if (from == to || *from) return;
  for (; from < to; from++) *from = ++guards;
  grow(guards + 1);
}

UNCOUNTED void __sanitizer_cov_trace_pc_guard(uint32_t *guard) {
  if (*guard >= len) return;
  unsigned char *count = &map[*guard];
  if (++*count == 0) *count = 255;
}
