#include "load.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

struct peer {
  int fd;
  char kind;
  int ended, counted;
  uint64_t received;
  size_t head_bytes;
  // What a bulk flow begins with.
  struct {
    uint64_t expected, to_send;
  } head;
  // The part of an echo or of the count that could not be sent yet.
  char *held;
  size_t held_from, held_to;
  uint32_t events;
};

static char scratch[CHUNK_BYTES];
static char zeros[CHUNK_BYTES];
static int queue;

static void close_peer(struct peer *peer) {
  close(peer->fd);
  free(peer->held);
  free(peer);
}

static void want(struct peer *peer, uint32_t events) {
  if (peer->events == events) return;
  peer->events = events;
  struct epoll_event event = {.events = events, .data.ptr = peer};
  if (epoll_ctl(queue, EPOLL_CTL_MOD, peer->fd, &event) != 0) die("epoll_ctl");
}

// Each returns 0 once the connection has ended.
static int send_held(struct peer *peer) {
  while (peer->held_from < peer->held_to) {
    ssize_t sent = write(peer->fd, peer->held + peer->held_from, peer->held_to - peer->held_from);
    if (sent < 0) return errno == EAGAIN;
    peer->held_from += (size_t)sent;
  }
  peer->held_from = peer->held_to = 0;
  return 1;
}

static int echo(struct peer *peer, const char *bytes, size_t size) {
  ssize_t sent = write(peer->fd, bytes, size);
  if (sent < 0) {
    if (errno != EAGAIN) return 0;
    sent = 0;
  }
  size_t rest = size - (size_t)sent;
  if (rest == 0) return 1;
  if (peer->held == NULL) peer->held = malloc(CHUNK_BYTES);
  memcpy(peer->held, bytes + sent, rest);
  peer->held_to = rest;
  return 1;
}

// Whether it is one, and its head is there.
static int is_bulk(const struct peer *peer) {
  return peer->kind == BULK && peer->head_bytes == sizeof peer->head;
}

static int send_source(struct peer *peer) {
  while (is_bulk(peer) && peer->head.to_send > 0) {
    size_t size = peer->head.to_send < CHUNK_BYTES ? (size_t)peer->head.to_send : CHUNK_BYTES;
    ssize_t sent = write(peer->fd, zeros, size);
    if (sent < 0) return errno == EAGAIN;
    peer->head.to_send -= (uint64_t)sent;
  }
  return 1;
}

static int take(struct peer *peer, char *bytes, size_t size) {
  if (peer->kind == 0 && size > 0) {
    peer->kind = *bytes++;
    size -= 1;
  }
  if (peer->kind == BULK && peer->head_bytes < sizeof peer->head) {
    size_t missing = sizeof peer->head - peer->head_bytes;
    size_t part = size < missing ? size : missing;
    memcpy((char *)&peer->head + peer->head_bytes, bytes, part);
    peer->head_bytes += part;
    bytes += part;
    size -= part;
  }
  peer->received += size;
  return peer->kind != ECHO || size == 0 || echo(peer, bytes, size);
}

static int serve(struct peer *peer) {
  if (!send_held(peer)) return 0;
  // An echo that cannot send does not read either.
  while (peer->held_to == 0 && !peer->ended) {
    ssize_t got = read(peer->fd, scratch, sizeof scratch);
    if (got < 0) {
      if (errno == EAGAIN) break;
      return 0;
    }
    if (got == 0) peer->ended = 1;
    else if (!take(peer, scratch, (size_t)got)) return 0;
    // Others have their turn.
    if ((size_t)got < sizeof scratch) break;
  }
  if (!send_source(peer)) return 0;
  int is_sending = is_bulk(peer) && peer->head.to_send > 0;
  if (is_bulk(peer) && !is_sending && !peer->counted && peer->received >= peer->head.expected) {
    char text[32];
    int length = snprintf(text, sizeof text, "%020llu", (unsigned long long)peer->received);
    peer->counted = 1;
    // Earlier data may still fill the socket.
    if (!echo(peer, text, (size_t)length)) return 0;
  }
  if (peer->ended && peer->held_to == 0 && !is_sending) return 0;
  uint32_t events = peer->ended ? 0 : EPOLLIN;
  if (peer->held_to > 0) events = EPOLLOUT;
  if (is_sending) events |= EPOLLOUT;
  want(peer, events);
  return 1;
}

int run_target(const char *place) {
  raise_file_limit();
  union place_address at;
  socklen_t length;
  int server = open_place(place, &at, &length);
  set_nonblocking(server);
  int on = 1;
  setsockopt(server, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  if (bind(server, &at.any, length) != 0 || listen(server, 4096) != 0) die(place);
  queue = epoll_create1(EPOLL_CLOEXEC);
  struct epoll_event event = {.events = EPOLLIN, .data.ptr = NULL};
  if (queue < 0 || epoll_ctl(queue, EPOLL_CTL_ADD, server, &event) != 0) die("epoll");
  puts("listening");
  fflush(stdout);
  for (;;) {
    struct epoll_event events[256];
    int count = epoll_wait(queue, events, 256, -1);
    for (int index = 0; index < count; index += 1) {
      struct peer *peer = events[index].data.ptr;
      if (peer != NULL) {
        if (!serve(peer)) close_peer(peer);
        continue;
      }
      for (int fd; (fd = accept4(server, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0;) {
        struct peer *one = calloc(1, sizeof *one);
        no_delay(fd);
        one->fd = fd;
        one->events = EPOLLIN;
        struct epoll_event first = {.events = EPOLLIN, .data.ptr = one};
        if (epoll_ctl(queue, EPOLL_CTL_ADD, fd, &first) != 0) die("epoll_ctl");
      }
    }
  }
}
