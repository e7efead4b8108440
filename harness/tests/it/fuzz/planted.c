/* A server of lines with one bug, which its second argument names. It serves one connection after the other. */
#include <arpa/inet.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char *bug;
static int turns, filled, clients;

static void *idle(void *nothing) { for (;;) pause(); return nothing; }

static void *spin(void *nothing) { for (;;) filled++; return nothing; }

static unsigned stored[1 << 17], stored_count;

/* Whether a line was said before, on any connection; from here on it was. */
static int said_before(const char *line) {
  unsigned hash = 5381, found = 0;
  for (; *line && *line != '\n'; line++) hash = hash * 33 + (unsigned char)*line;
  unsigned size = sizeof stored / sizeof *stored;
  for (unsigned at = 0; at < stored_count && at < size; at++) found += *(volatile unsigned *)(stored + at) == hash;
  stored[stored_count++ % size] = hash;
  return found != 0;
}

static int is(const char *name) { return strcmp(bug, name) == 0; }

static void answer(int client, const char *text) {
  if (write(client, text, strlen(text)) < 0) return;
}

static int *volatile nowhere;

static __attribute__((noinline)) void even_length(void) { *nowhere = 1; }

static __attribute__((noinline)) void odd_length(void) { *nowhere = 2; }

/* What AddressSanitizer says, and that it takes its time to find the names. */
static void report(int ends) {
  fprintf(stderr, "==7==ERROR: AddressSanitizer: heap-buffer-overflow on address 0x6020\n");
  usleep(100000);
  fprintf(stderr, "    #0 0x1 in parse /src/a.c:7\n    #1 0x2 in serve /src/a.c:9\nSUMMARY: AddressSanitizer: heap-buffer-overflow\n");
  if (ends) _exit(1);
}

/* Lines of any length, each looked for from the beginning of what has come. */
static void scan(int client) {
  static char line[16 << 20];
  size_t len = 0;
  int logged = 0;
  for (;;) {
    ssize_t more = read(client, line + len, 4096);
    if (more <= 0 || len + 8192 > sizeof line) break;
    len += (size_t)more;
    size_t end = 0;
    while (end < len && *(volatile char *)(line + end) != '\n') end++;
    if (end == len) continue;
    line[end + 1] = 0;
    if (strncmp(line, "USER ", 5) == 0) { logged = 1; answer(client, "331 ok\n"); }
    else answer(client, logged ? line : "503 no\n");
    len = 0;
  }
  close(client);
}

static void serve(int client) {
  char line[8192];
  void *kept = NULL;
  if (is("scan")) { scan(client); return; }
  size_t len = 0;
  int logged = 0;
  int takes_many = is("burst") || is("stores");
  for (;;) {
    ssize_t more = read(client, line + len, sizeof line - 1 - len);
    if (more <= 0) break;
    if (is("cut") && len == 0 && more == 3) { answer(client, "500 short\n"); break; }
    len += (size_t)more;
    line[len] = 0;
    next:;
    line[len] = 0;
    char *end = strchr(line, '\n');
    if (!end && len < sizeof line - 1) continue;
    if (!end) break;
    turns++;
    if (is("crash") && logged && len > 40) abort();
    if (is("history") && strncmp(line, "USER", 4) != 0 && strncmp(line, "ECHO", 4) != 0 && turns > 300) abort();
    if (is("hang") && strncmp(line, "ECHO", 4) == 0 && len > 40) for (;;) pause();
    if (is("busy") && strncmp(line, "ECHO", 4) == 0 && len > 40) for (;;) turns++;
    if (is("leak") && strncmp(line, "USER", 4) != 0 && len > 40 && dup(client) < 0) abort();
    if (is("forget") && strncmp(line, "USER", 4) != 0 && len > 40) memset(malloc(8192), 1, 8192);
    if ((is("spawn") || is("spin")) && strncmp(line, "USER", 4) != 0 && len > 40) {
      pthread_t thread;
      pthread_attr_t small;
      pthread_attr_init(&small);
      pthread_attr_setstacksize(&small, 65536);
      if (pthread_create(&thread, &small, is("spin") ? spin : idle, NULL) != 0) abort();
    }
    if (is("cache") && filled < 40 && len > 40) { filled++; memset(malloc(8192), 1, 8192); if (dup(client) < 0) abort(); }
    if (is("cache-slowly") && filled < 400 && len > 40) { filled++; memset(malloc(8192), 1, 8192); }
    if (is("fork-crash") && len > 40) even_length();
    if (is("places") && len > 40) { if (len % 2) odd_length(); else even_length(); }
    if (is("burst") && strncmp(line, "ECHO ", 5) == 0) {
      void **block = malloc(2048);
      memset(block, 1, 2048);
      *block = kept;
      kept = block;
    }
    if (is("stores")) said_before(line);
    unsigned word = 0;
    if (is("word") && strncmp(line, "ECHO ", 5) == 0) memcpy(&word, line + 5, sizeof word);
    if (word == 0x719e3ac5) abort();
    if (is("letters") && strncmp(line, "ECHO ", 5) == 0)
      if (line[5] == 'w') if (line[6] == 'a') if (line[7] == 't') if (line[8] == 'e') if (line[9] == 'r') abort();
    if (is("exit") && len > 40) exit(0);
    if (is("panic") && len > 40) {
      fprintf(stderr, "thread 'worker' panicked at src/parse.rs:7:9:\nindex out of bounds\n");
      break;
    }
    if (is("name") && strstr(line, "XYZZY")) abort();
    if ((is("report") || is("report-and-go-on")) && len > 40) report(is("report"));
    if (strncmp(line, "USER ", 5) == 0) { logged = 1; answer(client, "331 ok\n"); }
    else if (takes_many && logged && write(client, line, (size_t)(end + 1 - line)) < 0) break;
    else if (takes_many && logged) {}
    else if (strncmp(line, "ECHO ", 5) == 0) answer(client, logged ? line : "503 no\n");
    else answer(client, "500 what\n");
    /* What was said behind the line is lost, but for where it matters. */
    size_t said = takes_many ? (size_t)(end + 1 - line) : len;
    memmove(line, line + said, len - said);
    len -= said;
    if (len > 0 && memchr(line, '\n', len)) goto next;
  }
  while (kept) { void *next = *(void **)kept; free(kept); kept = next; }
  close(client);
}

/* Kills the grandparent, which is the harness; once for each folder. */
static void kill_harness(void) {
  char text[512], path[64];
  fclose(fopen("killed", "w"));
  snprintf(path, sizeof path, "/proc/%d/stat", getppid());
  FILE *stat = fopen(path, "r");
  if (!stat || !fgets(text, sizeof text, stat)) abort();
  kill(atoi(strrchr(text, ')') + 4), SIGKILL);
  pause();
}

/* The same over UDP: a datagram is a line. */
static int datagrams(struct sockaddr_in here) {
  int own = socket(AF_INET, SOCK_DGRAM, 0);
  if (bind(own, (struct sockaddr *)&here, sizeof here) != 0) return 1;
  for (;;) {
    char line[65536];
    struct sockaddr_in from;
    socklen_t size = sizeof from;
    ssize_t len = recvfrom(own, line, sizeof line, 0, (struct sockaddr *)&from, &size);
    if (is("crash-udp") && len > 40) abort();
    if (is("leak-udp") && len > 40) dup(own);
    if (len > 0) sendto(own, line, (size_t)len, 0, (struct sockaddr *)&from, size);
  }
}

/* A client: it connects, and reads one line. */
static int client(struct sockaddr_in there) {
  char line[8192];
  int own = socket(AF_INET, SOCK_STREAM, 0);
  if (connect(own, (struct sockaddr *)&there, sizeof there) != 0) return 0;
  FILE *server = fdopen(own, "r+");
  if (fgets(line, sizeof line, server) && strlen(line) > 40) abort();
  fclose(server);
  return 0;
}

int main(int count, char **words) {
  if (count < 3) return 2;
  bug = words[2];
  memset(stored, 1, sizeof stored);
  signal(SIGPIPE, SIG_IGN);
  if (strncmp(bug, "fork", 4) == 0) signal(SIGCHLD, SIG_IGN);
  int listener = socket(AF_INET, SOCK_STREAM, 0), one = 1;
  struct sockaddr_in here = {.sin_family = AF_INET, .sin_port = htons((unsigned short)atoi(words[1]))};
  here.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  if (is("udp") || is("crash-udp") || is("leak-udp")) return datagrams(here);
  if (is("client")) return client(here);
  setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
  if (bind(listener, (struct sockaddr *)&here, sizeof here) != 0 || listen(listener, 64) != 0) return 1;
  int last = strncmp(bug, "kill-", 5) == 0 && access("killed", F_OK) != 0 ? atoi(bug + 5) : 0;
  for (;;) {
    struct sockaddr_in from;
    socklen_t size = sizeof from;
    int client = accept(listener, (struct sockaddr *)&from, &size);
    if (is("local") && from.sin_addr.s_addr != htonl(INADDR_LOOPBACK)) { answer(client, "500 denied\n"); close(client); continue; }
    if (++clients == last) kill_harness();
    if (client < 0) continue;
    if (strncmp(bug, "fork", 4) != 0) { serve(client); continue; }
    if (fork() == 0) { serve(client); _exit(0); }
    close(client);
  }
}
