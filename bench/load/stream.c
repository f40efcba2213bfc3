#include "load.h"
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define COUNT_BYTES 20

struct flow {
  int fd;
  uint64_t to_send, received;
  // The last bytes that came are the count that the target answers with, as text.
  char tail[COUNT_BYTES + 1];
};

static char zeros[CHUNK_BYTES];
static char scratch[CHUNK_BYTES];

static void keep_tail(struct flow *flow, const char *bytes, size_t size) {
  size_t fresh = size < COUNT_BYTES ? size : COUNT_BYTES;
  memmove(flow->tail, flow->tail + fresh, COUNT_BYTES - fresh);
  memcpy(flow->tail + COUNT_BYTES - fresh, bytes + size - fresh, fresh);
}

// Takes what came; 1 once all of it is there.
static int is_over(struct flow *flow, uint64_t expected) {
  for (;;) {
    ssize_t got = read(flow->fd, scratch, sizeof scratch);
    if (got < 0) {
      if (errno == EAGAIN) return 0;
      die("read");
    }
    if (got == 0) {
      errno = 0;
      die("the connection ended early");
    }
    flow->received += (uint64_t)got;
    keep_tail(flow, scratch, (size_t)got);
    if (flow->received >= expected) return 1;
    if ((size_t)got < sizeof scratch) return 0;
  }
}

static void push(struct flow *flow) {
  while (flow->to_send > 0) {
    size_t size = flow->to_send < CHUNK_BYTES ? (size_t)flow->to_send : CHUNK_BYTES;
    ssize_t sent = write(flow->fd, zeros, size);
    if (sent < 0) {
      if (errno == EAGAIN) return;
      die("write");
    }
    flow->to_send -= (uint64_t)sent;
  }
}

// Bytes of each of several connections at once, one way or both; over when the target has counted them all.
int run_bulk(const char *place, int count, uint64_t bytes, int both) {
  struct flow *flows = calloc((size_t)count, sizeof *flows);
  int queue = epoll_create1(EPOLL_CLOEXEC);
  for (int index = 0; index < count; index += 1) {
    flows[index].fd = dial(place);
    flows[index].to_send = bytes;
    char kind = BULK;
    write_all(flows[index].fd, &kind, 1);
  }
  double started = now_s();
  for (int index = 0; index < count; index += 1) {
    uint64_t head[] = {bytes, both ? bytes : 0};
    write_all(flows[index].fd, head, sizeof head);
    set_nonblocking(flows[index].fd);
    struct epoll_event event = {.events = EPOLLIN | EPOLLOUT, .data.ptr = &flows[index]};
    if (epoll_ctl(queue, EPOLL_CTL_ADD, flows[index].fd, &event) != 0) die("epoll_ctl");
  }
  for (int left = count; left > 0;) {
    struct epoll_event events[64];
    int ready = epoll_wait(queue, events, 64, TIMEOUT_S * 1000);
    if (ready <= 0) die("no progress");
    for (int index = 0; index < ready; index += 1) {
      struct flow *flow = events[index].data.ptr;
      int was_sending = flow->to_send > 0;
      if (was_sending && (events[index].events & EPOLLOUT)) push(flow);
      if (events[index].events & (EPOLLIN | EPOLLHUP | EPOLLERR)) {
        uint64_t expected = (both ? bytes : 0) + COUNT_BYTES;
        if (is_over(flow, expected)) {
          if (flow->received != expected || strtoull(flow->tail, NULL, 10) != bytes) {
            fprintf(stderr, "load: %llu of %llu bytes came back, %llu were counted\n", (unsigned long long)flow->received,
                    (unsigned long long)expected, strtoull(flow->tail, NULL, 10));
            errno = 0;
            die("bytes are missing");
          }
          close(flow->fd);
          left -= 1;
          continue;
        }
      }
      if (was_sending && flow->to_send == 0) {
        struct epoll_event event = {.events = EPOLLIN, .data.ptr = flow};
        if (epoll_ctl(queue, EPOLL_CTL_MOD, flow->fd, &event) != 0) die("epoll_ctl");
      }
    }
  }
  double seconds = now_s() - started;
  double moved = (double)bytes * count * (both ? 2 : 1);
  printf("{\"megabytesPerSecond\":%.1f}\n", moved / 1e6 / seconds);
  return 0;
}

// Bytes that the target sends back, over one connection, as fast as both go.
int run_echo(const char *place, uint64_t bytes) {
  int fd = dial(place);
  char kind = ECHO;
  write_all(fd, &kind, 1);
  set_nonblocking(fd);
  double started = now_s();
  uint64_t to_send = bytes, received = 0;
  while (received < bytes) {
    struct pollfd one = {.fd = fd, .events = POLLIN | (to_send > 0 ? POLLOUT : 0)};
    if (poll(&one, 1, TIMEOUT_S * 1000) <= 0) die("no progress");
    if (one.revents & POLLOUT) {
      ssize_t sent = write(fd, zeros, to_send < CHUNK_BYTES ? (size_t)to_send : CHUNK_BYTES);
      if (sent < 0 && errno != EAGAIN) die("write");
      if (sent > 0) to_send -= (uint64_t)sent;
    }
    if (one.revents & (POLLIN | POLLHUP | POLLERR)) {
      ssize_t got = read(fd, scratch, sizeof scratch);
      if (got == 0) {
        errno = 0;
        die("the connection ended early");
      }
      if (got < 0 && errno != EAGAIN) die("read");
      if (got > 0) received += (uint64_t)got;
    }
  }
  double seconds = now_s() - started;
  printf("{\"megabytesPerSecond\":%.1f,\"cpuMs\":%.1f}\n", (double)bytes / 1e6 / seconds, cpu_ms());
  return 0;
}

// Round trips over one connection.
int run_latency(const char *place, int count, size_t size) {
  int fd = dial(place);
  char *bytes = calloc(1, size);
  double *times = calloc((size_t)count, sizeof *times);
  char kind = ECHO;
  write_all(fd, &kind, 1);
  int warm_up = count / 10;
  for (int round = -warm_up; round < count; round += 1) {
    double started = now_s();
    write_all(fd, bytes, size);
    read_all(fd, bytes, size);
    if (round >= 0) times[round] = (now_s() - started) * 1e6;
  }
  qsort(times, (size_t)count, sizeof *times, by_value);
  printf("{\"p50\":%.1f,\"p99\":%.1f}\n", times[count / 2], times[(size_t)count * 99 / 100]);
  return 0;
}

static int ask(const char *place) {
  int fd = dial(place);
  char request[65] = {ECHO};
  write_all(fd, request, sizeof request);
  return fd;
}

// New connections, each with one round trip of 64 bytes, some at a time.
int run_connect(const char *place, int count, int parallel) {
  struct pollfd *slots = calloc((size_t)parallel, sizeof *slots);
  size_t *received = calloc((size_t)parallel, sizeof *received);
  int started_count = 0;
  double started = now_s();
  for (int index = 0; index < parallel; index += 1, started_count += 1) {
    slots[index] = (struct pollfd){.fd = ask(place), .events = POLLIN};
  }
  for (int done = 0; done < count;) {
    if (poll(slots, (nfds_t)parallel, TIMEOUT_S * 1000) <= 0) die("no progress");
    for (int index = 0; index < parallel; index += 1) {
      if (slots[index].fd < 0 || slots[index].revents == 0) continue;
      char reply[64];
      ssize_t got = read(slots[index].fd, reply, sizeof reply - received[index]);
      if (got <= 0) die("a connection failed");
      received[index] += (size_t)got;
      if (received[index] < sizeof reply) continue;
      close(slots[index].fd);
      received[index] = 0;
      done += 1;
      slots[index].fd = started_count < count ? ask(place) : -1;
      started_count += 1;
    }
  }
  printf("{\"connectionsPerSecond\":%.1f}\n", count / (now_s() - started));
  return 0;
}

// Opens connections, each with one round trip, and holds them until its input ends.
int run_idle(const char *place, int count) {
  raise_file_limit();
  double started = now_s();
  for (int index = 0; index < count; index += 1) {
    int fd = ask(place);
    char reply[64];
    read_all(fd, reply, sizeof reply);
  }
  printf("{\"seconds\":%.2f}\n", now_s() - started);
  fflush(stdout);
  char byte;
  while (read(0, &byte, 1) > 0) {
  }
  return 0;
}
