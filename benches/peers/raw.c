// The floors: servers and clients of nothing but system calls. `run` compiles and starts them.
//
//   raw serve tcp|udp|gso|epoll|sink            blocking echo, in bursts with gso, epoll echo, a reader; prints its port
//   raw ping tcp|udp PORT SECONDS               one message there and back, blocking: p50_ns, p99_ns
//   raw load PORT CONNECTIONS DEPTH SECONDS     closed loop over epoll, bursts in one write: rate, calls
//   raw pipe PORT DEPTH SECONDS                 datagrams, one by one, so many under way: rate, lost
//   raw open PORT CONNECTIONS RATE SECONDS      by a schedule, sleeping and then spinning: late_*, p50_ns, p99_ns
//   raw bulk PORT SECONDS                       64 KiB writes one way: bytes a second
//   raw record SECONDS                          what two readings of the clock cost: clock_ns
//
// Messages have 64 bytes and go to 127.0.0.1. Each client prints one line of JSON. The first tenth of the time warms up.
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <netinet/udp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { SIZE = 64, BUFFER = 256 << 10, CONNECTIONS_MAX = 20000, DEPTH_MAX = 1024, BUCKETS = 64 * 1024 };

static char buffer[BUFFER], message[SIZE * DEPTH_MAX];

static void die(const char *what) {
  perror(what);
  exit(1);
}

static uint64_t now(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return time.tv_sec * 1000000000ull + time.tv_nsec;
}

// Times in steps of a 1024th: 64 powers of two, each in 1024 parts.
static uint64_t *histogram(void) {
  uint64_t *counts = calloc(BUCKETS, sizeof *counts);
  if (!counts) die("calloc");
  return counts;
}

static void record(uint64_t *counts, uint64_t nanos) {
  int shift = nanos < 1024 ? 0 : 54 - __builtin_clzll(nanos);
  counts[shift * 1024 + (nanos >> shift)]++;
}

static uint64_t quantile(const uint64_t *counts, double q) {
  uint64_t all = 0, seen = 0;
  for (int at = 0; at < BUCKETS; at++) all += counts[at];
  uint64_t rank = all * q + 0.999999;
  for (int at = 0; at < BUCKETS; at++)
    if ((seen += counts[at]) >= rank && seen) return (uint64_t)(at % 1024) << (at / 1024);
  return 0;
}

static int sock(int type) {
  int fd = socket(AF_INET, type | SOCK_CLOEXEC, 0);
  if (fd < 0) die("socket");
  int on = 1;
  if (type == SOCK_STREAM) setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  return fd;
}

static struct sockaddr_in local(int port) {
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port)};
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  return address;
}

static int dial(int type, int port) {
  int fd = sock(type);
  struct sockaddr_in address = local(port);
  if (connect(fd, (struct sockaddr *)&address, sizeof address)) die("connect");
  return fd;
}

static int listening(int type) {
  int fd = sock(type);
  struct sockaddr_in address = local(0);
  socklen_t len = sizeof address;
  if (bind(fd, (struct sockaddr *)&address, len)) die("bind");
  if (type == SOCK_STREAM && listen(fd, 4096)) die("listen");
  getsockname(fd, (struct sockaddr *)&address, &len);
  printf("%d\n", ntohs(address.sin_port));
  fflush(stdout);
  return fd;
}

static void send_all(int fd, const char *bytes, size_t len) {
  while (len) {
    ssize_t sent = send(fd, bytes, len, MSG_NOSIGNAL);
    if (sent < 0) {
      if (errno == EAGAIN || errno == EINTR) continue;
      die("send");
    }
    bytes += sent, len -= sent;
  }
}

static void serve_tcp(int echoes) {
  int listener = listening(SOCK_STREAM), on = 1;
  for (;;) {
    int fd = accept(listener, 0, 0);
    if (fd < 0) die("accept");
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    ssize_t len;
    while ((len = recv(fd, buffer, BUFFER, 0)) > 0)
      if (echoes) send_all(fd, buffer, len);
    close(fd);
  }
}

static void serve_udp(void) {
  int fd = listening(SOCK_DGRAM);
  for (;;) {
    struct sockaddr_in from;
    socklen_t size = sizeof from;
    ssize_t len = recvfrom(fd, buffer, BUFFER, 0, (struct sockaddr *)&from, &size);
    if (len >= 0) sendto(fd, buffer, len, 0, (struct sockaddr *)&from, size);
  }
}

static void serve_gso(void) {
  int fd = listening(SOCK_DGRAM), on = 1, cuts = 0;
  if (setsockopt(fd, IPPROTO_UDP, UDP_GRO, &on, sizeof on)) die("UDP_GRO");
  for (;;) {
    struct sockaddr_in from;
    char control[64];
    struct iovec part = {buffer, BUFFER};
    struct msghdr said = {&from, sizeof from, &part, 1, control, sizeof control, 0};
    ssize_t len = recvmsg(fd, &said, 0);
    if (len < 0) continue;
    int size = len;
    for (struct cmsghdr *at = CMSG_FIRSTHDR(&said); at; at = CMSG_NXTHDR(&said, at))
      if (at->cmsg_level == IPPROTO_UDP && at->cmsg_type == UDP_GRO) memcpy(&size, CMSG_DATA(at), sizeof size);
    if (size != cuts && (len > size || len > cuts)) {
      cuts = size;
      if (setsockopt(fd, IPPROTO_UDP, UDP_SEGMENT, &cuts, sizeof cuts)) die("UDP_SEGMENT");
    }
    sendto(fd, buffer, len, 0, (struct sockaddr *)&from, said.msg_namelen);
  }
}

static void watch(int epoll, int fd, uint64_t data) {
  struct epoll_event event = {.events = EPOLLIN, .data.u64 = data};
  if (epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event)) die("epoll_ctl");
}

static void serve_epoll(void) {
  int listener = listening(SOCK_STREAM), epoll = epoll_create1(0), on = 1;
  struct epoll_event events[1024];
  watch(epoll, listener, listener);
  for (;;) {
    int count = epoll_wait(epoll, events, 1024, -1);
    for (int at = 0; at < count; at++) {
      int fd = events[at].data.u64;
      if (fd == listener) {
        if ((fd = accept(listener, 0, 0)) < 0) continue;
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        watch(epoll, fd, fd);
        continue;
      }
      ssize_t len = recv(fd, buffer, BUFFER, 0);
      if (len > 0) send_all(fd, buffer, len);
      else close(fd);
    }
  }
}

static void ping(int type, int port, double seconds) {
  int fd = dial(type, port);
  uint64_t *counts = histogram(), count = 0;
  uint64_t begin = now(), counted = begin + seconds * 1e8, end = begin + seconds * 1.1e9, before = begin;
  while (before < end) {
    send_all(fd, message, SIZE);
    for (size_t heard = 0; heard < SIZE;) {
      ssize_t len = recv(fd, buffer, SIZE - heard, 0);
      if (len <= 0) die("recv");
      heard += len;
    }
    uint64_t after = now();
    if (before >= counted) record(counts, after - before), count++;
    before = after;
  }
  printf("{\"p50_ns\": %lu, \"p99_ns\": %lu, \"rate\": %.1f}\n", quantile(counts, 0.5), quantile(counts, 0.99),
         count / seconds);
}

static void load(int port, int connections, int depth, double seconds) {
  static int heard[CONNECTIONS_MAX], fds[CONNECTIONS_MAX];
  int epoll = epoll_create1(0);
  struct epoll_event events[1024];
  for (int at = 0; at < connections; at++) watch(epoll, fds[at] = dial(SOCK_STREAM, port), at);
  for (int at = 0; at < connections; at++) send_all(fds[at], message, SIZE * depth);
  uint64_t begin = now(), counted = begin + seconds * 1e8, end = begin + seconds * 1.1e9;
  uint64_t answers = 0, calls = 0, time;
  int counts = 0;
  while ((time = now()) < end) {
    if (!counts && time >= counted) counts = 1, answers = calls = 0, counted = time;
    int count = epoll_wait(epoll, events, 1024, 1000);
    calls++;
    for (int number = 0; number < count; number++) {
      int at = events[number].data.u64;
      ssize_t len = recv(fds[at], buffer, BUFFER, 0);
      if (len <= 0) die("recv");
      heard[at] += len;
      int whole = heard[at] / SIZE;
      heard[at] %= SIZE;
      answers += whole;
      calls++;
      if (whole) send_all(fds[at], message, SIZE * whole), calls++;
    }
  }
  printf("{\"rate\": %.1f, \"calls\": %.4f}\n", answers * 1e9 / (time - counted), (double)calls / answers);
}

static void pipe_udp(int port, int depth, double seconds) {
  int fd = dial(SOCK_DGRAM, port), under_way = 0;
  struct timeval patience = {.tv_usec = 50000};
  setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
  uint64_t begin = now(), counted = begin + seconds * 1e8, end = begin + seconds * 1.1e9, answers = 0, lost = 0, time;
  int counts = 0;
  while ((time = now()) < end) {
    if (!counts && time >= counted) counts = 1, answers = lost = 0, counted = time;
    for (; under_way < depth; under_way++) send_all(fd, message, SIZE);
    if (recv(fd, buffer, SIZE, 0) == SIZE) under_way--, answers++;
    else lost += under_way, under_way = 0;
  }
  printf("{\"rate\": %.1f, \"lost\": %lu}\n", answers * 1e9 / (time - counted), lost);
}

static void open_loop(int port, int connections, double rate, double seconds) {
  static int fds[CONNECTIONS_MAX], heard[CONNECTIONS_MAX];
  static uint64_t due[CONNECTIONS_MAX][DEPTH_MAX];
  static uint32_t first[CONNECTIONS_MAX], last[CONNECTIONS_MAX];
  int epoll = epoll_create1(0);
  struct epoll_event events[1024];
  prctl(PR_SET_TIMERSLACK, 1);
  for (int at = 0; at < connections; at++) {
    watch(epoll, fds[at] = dial(SOCK_STREAM, port), at);
    fcntl(fds[at], F_SETFL, O_NONBLOCK);
  }
  uint64_t *latency = histogram(), *late = histogram();
  uint64_t begin = now() + 1000000, counted = begin + seconds * 1e8, end = begin + seconds * 1.1e9;
  uint64_t sent = 0, answered = 0;
  while (now() < end || answered < sent) {
    uint64_t time = now(), next = begin + sent * (1e9 / rate);
    if (time > end + 1000000000) break;
    while (next < end && next <= time) {
      int at = sent % connections;
      if (last[at] - first[at] >= DEPTH_MAX) break;
      due[at][last[at]++ % DEPTH_MAX] = next;
      if (next >= counted) record(late, now() - next);
      send_all(fds[at], message, SIZE);
      next = begin + ++sent * (1e9 / rate);
      time = now();
    }
    struct timespec wait = {0, 1000000};
    if (next < end) wait.tv_nsec = next <= time + 50000 ? 0 : next - time - 50000;
    if (wait.tv_nsec > 100000000) wait.tv_nsec = 100000000;
    int count = epoll_pwait2(epoll, events, 1024, &wait, 0);
    for (int number = 0; number < count; number++) {
      int at = events[number].data.u64;
      ssize_t len = recv(fds[at], buffer, BUFFER, 0);
      if (len <= 0) continue;
      uint64_t time = now();
      for (heard[at] += len; heard[at] >= SIZE; heard[at] -= SIZE, answered++) {
        uint64_t intended = due[at][first[at]++ % DEPTH_MAX];
        if (intended >= counted) record(latency, time - intended);
      }
    }
  }
  struct rusage used;
  getrusage(RUSAGE_SELF, &used);
  double cpu = used.ru_utime.tv_sec + used.ru_stime.tv_sec + (used.ru_utime.tv_usec + used.ru_stime.tv_usec) / 1e6;
  printf("{\"late_p50_ns\": %lu, \"late_p99_ns\": %lu, \"p50_ns\": %lu, \"p99_ns\": %lu, \"cpu\": %.3f}\n",
         quantile(late, 0.5), quantile(late, 0.99), quantile(latency, 0.5), quantile(latency, 0.99),
         cpu / (seconds * 1.1));
}

static void bulk(int port, double seconds) {
  int fd = dial(SOCK_STREAM, port);
  uint64_t begin = now(), counted = begin + seconds * 1e8, end = begin + seconds * 1.1e9, bytes = 0, time;
  int counts = 0;
  while ((time = now()) < end) {
    if (!counts && time >= counted) counts = 1, bytes = 0, counted = time;
    send_all(fd, buffer, 64 << 10);
    bytes += 64 << 10;
  }
  char control[16] = "";
  socklen_t len = sizeof control;
  getsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, control, &len);
  printf("{\"bytes\": %.0f, \"control\": \"%s\"}\n", bytes * 1e9 / (time - counted), control);
}

static void clock_cost(double seconds) {
  uint64_t begin = now(), end = begin + seconds * 1e9, times = 0;
  while (now() < end) times++;
  printf("{\"clock_ns\": %.2f}\n", (now() - begin) / (double)times);
}

int main(int count, char **words) {
  struct rlimit files;
  getrlimit(RLIMIT_NOFILE, &files);
  files.rlim_cur = files.rlim_max;
  setrlimit(RLIMIT_NOFILE, &files);
  memset(message, 'x', sizeof message);
  const char *what = count > 1 ? words[1] : "", *how = count > 2 ? words[2] : "";
  double seconds = count > 2 ? atof(words[count - 1]) : 0;
  int udp = !strcmp(how, "udp"), port = count > 2 ? atoi(how) : 0;
  if (!strcmp(what, "serve") && count == 3) {
    if (udp) serve_udp();
    else if (!strcmp(how, "gso")) serve_gso();
    else if (!strcmp(how, "epoll")) serve_epoll();
    else serve_tcp(strcmp(how, "sink"));
  } else if (!strcmp(what, "ping") && count == 5) ping(udp ? SOCK_DGRAM : SOCK_STREAM, atoi(words[3]), seconds);
  else if (!strcmp(what, "load") && count == 6 && atoi(words[3]) <= CONNECTIONS_MAX && atoi(words[4]) <= DEPTH_MAX)
    load(port, atoi(words[3]), atoi(words[4]), seconds);
  else if (!strcmp(what, "pipe") && count == 5) pipe_udp(port, atoi(words[3]), seconds);
  else if (!strcmp(what, "open") && count == 6 && atoi(words[3]) <= CONNECTIONS_MAX)
    open_loop(port, atoi(words[3]), atof(words[4]), seconds);
  else if (!strcmp(what, "bulk") && count == 4) bulk(port, seconds);
  else if (!strcmp(what, "record") && count == 3) clock_cost(seconds);
  else return fputs("see the head of raw.c\n", stderr), 2;
  return 0;
}
