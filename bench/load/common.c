#include "load.h"
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

void die(const char *what) {
  fprintf(stderr, "load: %s: %s\n", what, errno == 0 ? "unexpected" : strerror(errno));
  exit(1);
}

double now_s(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

// Processor time of this process so far.
double cpu_ms(void) {
  struct timespec used;
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &used);
  return (double)used.tv_sec * 1e3 + (double)used.tv_nsec / 1e6;
}

struct sockaddr_in address(const char *host_port) {
  char host[64] = {0};
  const char *colon = strrchr(host_port, ':');
  if (colon == NULL || (size_t)(colon - host_port) >= sizeof host) die("HOST:PORT expected");
  memcpy(host, host_port, (size_t)(colon - host_port));
  struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(colon + 1))};
  if (inet_pton(AF_INET, host, &at.sin_addr) != 1) die("HOST:PORT expected");
  return at;
}

int open_place(const char *place, union place_address *at, socklen_t *length) {
  memset(at, 0, sizeof *at);
  int is_tcp = strncmp(place, TCP, strlen(TCP)) == 0;
  if (is_tcp) {
    at->inet = address(place + strlen(TCP));
    *length = sizeof at->inet;
  } else {
    at->local.sun_family = AF_UNIX;
    if (strlen(place) >= sizeof at->local.sun_path) die("path too long");
    strcpy(at->local.sun_path, place);
    *length = sizeof at->local;
  }
  int fd = socket(is_tcp ? AF_INET : AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0) die("socket");
  no_delay(fd);
  return fd;
}

// Nothing to a unix socket.
void no_delay(int fd) {
  int on = 1;
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
}

int dial(const char *place) {
  union place_address to;
  socklen_t length;
  int fd = open_place(place, &to, &length);
  // A full backlog is the other end being slow, which is what is measured.
  while (connect(fd, &to.any, length) != 0) {
    if (errno != EAGAIN && errno != EINTR) die("connect");
    usleep(500);
  }
  return fd;
}

void set_nonblocking(int fd) {
  if (fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK) != 0) die("fcntl");
}

void raise_file_limit(void) {
  struct rlimit limit;
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) die("getrlimit");
  limit.rlim_cur = limit.rlim_max;
  if (setrlimit(RLIMIT_NOFILE, &limit) != 0) die("setrlimit");
}

void write_all(int fd, const void *bytes, size_t size) {
  const char *from = bytes;
  while (size > 0) {
    ssize_t sent = write(fd, from, size);
    if (sent < 0) die("write");
    from += sent;
    size -= (size_t)sent;
  }
}

void read_all(int fd, void *bytes, size_t size) {
  char *to = bytes;
  while (size > 0) {
    ssize_t got = read(fd, to, size);
    if (got < 0) die("read");
    if (got == 0) {
      errno = 0;
      die("the connection ended early");
    }
    to += got;
    size -= (size_t)got;
  }
}

int by_value(const void *one, const void *other) {
  double difference = *(const double *)one - *(const double *)other;
  return (difference > 0) - (difference < 0);
}
