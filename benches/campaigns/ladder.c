/* A server of lines for campaigns, one connection after the other.
 *
 * `KEY wizard` is read letter by letter: what is right so far shows in the edges that are taken and in no answer; all six end the
 * process. With a second argument it dies of `DIE`, too, and writes there when it dies and when its first request comes, in nanoseconds.
 * The six letters are no word that the program has in one piece: else whoever reads its words would say it. */
#include <arpa/inet.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static const char *journal;

static void note(const char *what) {
  if (!journal) return;
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  FILE *file = fopen(journal, "a");
  if (!file) return;
  fprintf(file, "%s %lld\n", what, (long long)now.tv_sec * 1000000000 + now.tv_nsec);
  fclose(file);
}

static void die(void) {
  note("dies");
  abort();
}

static void answer(int client, const char *text) {
  if (write(client, text, strlen(text)) < 0) return;
}

static void key(int client, const char *word) {
  if (word[0] == 'w')
    if (word[1] == 'i')
      if (word[2] == 'z')
        if (word[3] == 'a')
          if (word[4] == 'r')
            if (word[5] == 'd') die();
  answer(client, "no\n");
}

static void serve(int client) {
  static int heard;
  char line[4096];
  size_t len = 0;
  for (;;) {
    ssize_t more = read(client, line + len, sizeof line - 1 - len);
    if (more <= 0) return;
    if (!heard++) note("hears");
    len += (size_t)more;
    line[len] = 0;
    char *end;
    while ((end = strchr(line, '\n'))) {
      *end = 0;
      if (strncmp(line, "KEY ", 4) == 0) key(client, line + 4);
      else if (strncmp(line, "ECHO ", 5) == 0) answer(client, "ok\n");
      else if (journal && strcmp(line, "DIE") == 0) die();
      else answer(client, "what\n");
      len -= (size_t)(end + 1 - line);
      memmove(line, end + 1, len + 1);
    }
    if (len == sizeof line - 1) return;
  }
}

int main(int count, char **words) {
  if (count < 2) return 2;
  if (count > 2) journal = words[2];
  signal(SIGPIPE, SIG_IGN);
  int listener = socket(AF_INET, SOCK_STREAM, 0), one = 1;
  struct sockaddr_in here = {.sin_family = AF_INET, .sin_port = htons((unsigned short)atoi(words[1]))};
  here.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
  if (bind(listener, (struct sockaddr *)&here, sizeof here) != 0 || listen(listener, 64) != 0) return 1;
  for (;;) {
    int client = accept(listener, 0, 0);
    if (client >= 0) {
      serve(client);
      close(client);
    }
  }
}
