// The load of the benchmark: a small program, so that what is measured is what stands between it and its target.
#pragma once
#include <netinet/in.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/un.h>

// The first byte of a connection says what it wants.
enum kind {
  // Two numbers of eight bytes follow: so many bytes come, and so many are sent at once. When all have gone, the target
  // answers with the count of those that came. Nobody ends one side alone: nginx ends both then.
  BULK = 'b',
  ECHO = 'e' // sends back what comes
};

#define CHUNK_BYTES (256 * 1024)
#define TIMEOUT_S 120

int run_target(const char *place);
int run_bulk(const char *place, int flows, uint64_t bytes, int both);
int run_latency(const char *place, int count, size_t size);
int run_echo(const char *place, uint64_t bytes);
int run_connect(const char *place, int count, int parallel);
int run_idle(const char *place, int count);
int run_udp_target(const char *host_port);
int run_udp(const char *host_port, int count, size_t size, int rate);

_Noreturn void die(const char *what);
double now_s(void);
double cpu_ms(void);
struct sockaddr_in address(const char *host_port);
// What a place begins with that is no path of a unix socket: tcp:HOST:PORT.
#define TCP "tcp:"
union place_address {
  struct sockaddr any;
  struct sockaddr_in inet;
  struct sockaddr_un local;
};
int open_place(const char *place, union place_address *at, socklen_t *length);
void no_delay(int fd);
int dial(const char *place);
void set_nonblocking(int fd);
void raise_file_limit(void);
void write_all(int fd, const void *bytes, size_t size);
void read_all(int fd, void *bytes, size_t size);
int by_value(const void *one, const void *other);
