#include "load.h"
#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

// A datagram: what is wanted, its number, its time, padding.
enum { COUNTED = 'c', ANSWERED = 'a', REPORT = 'r' };
#define HEAD_BYTES 16
#define MAX_DATAGRAM 2048
#define ROUND_TRIPS_PER_SECOND 200
#define DRAIN_MS 500

static int open_socket(void) {
  int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (fd < 0) die("socket");
  int bytes = 8 * 1024 * 1024;
  setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &bytes, sizeof bytes);
  setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &bytes, sizeof bytes);
  return fd;
}

// Counts what is to be counted, answers what is to be answered, and tells the count when asked.
int run_udp_target(const char *host_port) {
  struct sockaddr_in at = address(host_port);
  int fd = open_socket();
  if (bind(fd, (struct sockaddr *)&at, sizeof at) != 0) die("bind");
  puts("listening");
  fflush(stdout);
  uint64_t received = 0;
  for (;;) {
    char datagram[MAX_DATAGRAM];
    struct sockaddr_in from;
    socklen_t length = sizeof from;
    ssize_t size = recvfrom(fd, datagram, sizeof datagram, 0, (struct sockaddr *)&from, &length);
    if (size < HEAD_BYTES) continue;
    if (datagram[0] == COUNTED) {
      received += 1;
      continue;
    }
    if (datagram[0] == REPORT) {
      memcpy(datagram + 8, &received, sizeof received);
      received = 0;
    }
    sendto(fd, datagram, (size_t)size, 0, (struct sockaddr *)&from, length);
  }
}

// Where datagrams are handed in: a UDP port, or a unix stream socket on which each has its length before it (two bytes, big-endian).
struct entry {
  int fd;
  int framed;
  size_t held;
  unsigned char bytes[65536];
};

static void open_entry(struct entry *entry, const char *where) {
  entry->framed = where[0] == '/';
  if (entry->framed) {
    entry->fd = dial(where);
    return;
  }
  struct sockaddr_in at = address(where);
  entry->fd = open_socket();
  if (connect(entry->fd, (struct sockaddr *)&at, sizeof at) != 0) die("connect");
}

// Waits where a stream is full; what a UDP port does not take is lost.
static void put(struct entry *entry, const char *datagram, size_t size) {
  if (entry->framed) {
    char frame[2 + MAX_DATAGRAM];
    frame[0] = (char)(size >> 8);
    frame[1] = (char)size;
    memcpy(frame + 2, datagram, size);
    write_all(entry->fd, frame, 2 + size);
  } else if (send(entry->fd, datagram, size, 0) < 0 && errno != ENOBUFS && errno != ECONNREFUSED) {
    die("send");
  }
}

// The size of the datagram that came within so many milliseconds; 0 if none did.
static size_t get(struct entry *entry, char *datagram, int milliseconds) {
  double until = now_s() + milliseconds / 1e3;
  for (;;) {
    size_t size = (size_t)entry->bytes[0] << 8 | entry->bytes[1];
    if (entry->framed && entry->held >= 2 && entry->held >= 2 + size) {
      if (size > MAX_DATAGRAM) die("a frame too large");
      memcpy(datagram, entry->bytes + 2, size);
      entry->held -= 2 + size;
      memmove(entry->bytes, entry->bytes + 2 + size, entry->held);
      return size;
    }
    int left = (int)((until - now_s()) * 1e3);
    struct pollfd ready = {.fd = entry->fd, .events = POLLIN};
    if (poll(&ready, 1, left > 0 ? left : 0) <= 0) return 0;
    ssize_t taken = entry->framed ? read(entry->fd, entry->bytes + entry->held, sizeof entry->bytes - entry->held)
                                  : recv(entry->fd, datagram, MAX_DATAGRAM, 0);
    if (entry->framed && taken <= 0) die("the flow has ended");
    if (!entry->framed && taken > 0) return (size_t)taken;
    if (entry->framed) entry->held += (size_t)taken;
  }
}

static uint64_t report(struct entry *entry) {
  char datagram[HEAD_BYTES] = {REPORT};
  // Its own loss must not spoil the count: an earlier answer is as good as a later one, and the count starts anew.
  for (int attempt = 0; attempt < 20; attempt += 1) {
    put(entry, datagram, sizeof datagram);
    char answer[MAX_DATAGRAM];
    for (size_t size; (size = get(entry, answer, 1000)) > 0;) {
      if (size < HEAD_BYTES || answer[0] != REPORT) continue;
      uint64_t count;
      memcpy(&count, answer + 8, sizeof count);
      return count;
    }
  }
  errno = 0;
  die("the target does not answer");
  return 0;
}

// Sends datagrams at a rate and asks how many arrived; then the same number of seconds of round trips, few a second.
int run_udp(const char *where, int count, size_t size, int rate) {
  if (size < HEAD_BYTES || size > MAX_DATAGRAM) die("size");
  static struct entry entry;
  open_entry(&entry, where);
  char datagram[MAX_DATAGRAM] = {0};
  report(&entry);

  datagram[0] = COUNTED;
  double started = now_s();
  for (int sent = 0; sent < count; sent += 1) {
    // Bursts of what a millisecond holds.
    while (sent > (now_s() - started) * rate + 1) usleep(200);
    put(&entry, datagram, size);
  }
  double seconds = now_s() - started;
  usleep(DRAIN_MS * 1000);
  uint64_t arrived = report(&entry);

  int trips = ROUND_TRIPS_PER_SECOND * 2;
  double *times = calloc((size_t)trips, sizeof *times);
  int answered = 0;
  datagram[0] = ANSWERED;
  for (uint64_t trip = 0; trip < (uint64_t)trips; trip += 1) {
    memcpy(datagram + 8, &trip, sizeof trip);
    double asked = now_s();
    put(&entry, datagram, size);
    char answer[MAX_DATAGRAM];
    for (size_t got; (got = get(&entry, answer, 100)) > 0;) {
      if (got < HEAD_BYTES || memcmp(answer + 8, &trip, sizeof trip) != 0) continue;
      times[answered++] = (now_s() - asked) * 1e6;
      break;
    }
    usleep(1000 * 1000 / ROUND_TRIPS_PER_SECOND);
  }
  if (answered == 0) die("no round trip");
  qsort(times, (size_t)answered, sizeof *times, by_value);
  printf("{\"sentPerSecond\":%.0f,\"arrivedPerSecond\":%.0f,\"lost\":%.5f,\"p50\":%.1f,\"p99\":%.1f}\n", count / seconds,
         (double)arrived / seconds, 1 - (double)arrived / count, times[answered / 2], times[answered * 99 / 100]);
  return 0;
}
