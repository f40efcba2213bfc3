#include "load.h"
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char USAGE[] =
    "usage: load target PLACE, where PLACE is the path of a unix socket or tcp:HOST:PORT\n"
    "       load bulk PLACE FLOWS BYTES | load both PLACE FLOWS BYTES\n"
    "       load latency PLACE COUNT SIZE\n"
    "       load echo PLACE BYTES\n"
    "       load connect PLACE COUNT PARALLEL\n"
    "       load idle PLACE COUNT\n"
    "       load udp-target HOST:PORT\n"
    "       load udp HOST:PORT|PATH COUNT SIZE RATE\n";

int main(int count, char **words) {
  signal(SIGPIPE, SIG_IGN);
  const char *verb = count > 2 ? words[1] : "";
  const char *where = count > 2 ? words[2] : "";
  long long numbers[3] = {0};
  for (int index = 0; index < 3 && index + 3 < count; index += 1) numbers[index] = atoll(words[index + 3]);
  int given = count - 3;
  if (given == 0 && strcmp(verb, "target") == 0) return run_target(where);
  if (given == 0 && strcmp(verb, "udp-target") == 0) return run_udp_target(where);
  if (given == 1 && strcmp(verb, "echo") == 0) return run_echo(where, (uint64_t)numbers[0]);
  if (given == 1 && strcmp(verb, "idle") == 0) return run_idle(where, (int)numbers[0]);
  if (given == 2 && strcmp(verb, "bulk") == 0) return run_bulk(where, (int)numbers[0], (uint64_t)numbers[1], 0);
  if (given == 2 && strcmp(verb, "both") == 0) return run_bulk(where, (int)numbers[0], (uint64_t)numbers[1], 1);
  if (given == 2 && strcmp(verb, "latency") == 0) return run_latency(where, (int)numbers[0], (size_t)numbers[1]);
  if (given == 2 && strcmp(verb, "connect") == 0) return run_connect(where, (int)numbers[0], (int)numbers[1]);
  if (given == 3 && strcmp(verb, "udp") == 0) {
    return run_udp(where, (int)numbers[0], (size_t)numbers[1], (int)numbers[2]);
  }
  fputs(USAGE, stderr);
  return 2;
}
