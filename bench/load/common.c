#include "load.h"
#include <errno.h>
#include <fcntl.h>
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

int dial(const char *path) {
  struct sockaddr_un to = {.sun_family = AF_UNIX};
  if (strlen(path) >= sizeof to.sun_path) die("path too long");
  strcpy(to.sun_path, path);
  int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0) die("socket");
  // A full backlog is the other end being slow, which is what is measured.
  while (connect(fd, (struct sockaddr *)&to, sizeof to) != 0) {
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
