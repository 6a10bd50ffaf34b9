/* Small requests, one after another on each connection. */
#include "traffic.h"
#include "wire.h"
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *address;
static atomic_int failures, answered;
static char text[64 * 1024];
static int length, each;
static double until;
static double *latencies;

static void *ask(void *unused) {
  struct wire *w = dial(address);
  for (int i = 0; i < each && now() < until; i += 1) {
    int closes = 0;
    double start = now();
    int ok = send_bytes(w, text, length) && read_success(w, -1, &closes);
    if (ok) latencies[answered++] = now() - start;
    else failures += 1;
    if (ok && !closes) continue;
    hang_up(w);
    w = dial(address);
  }
  hang_up(w);
  return unused;
}

static int by_size(const void *a, const void *b) {
  double x = *(const double *)a, y = *(const double *)b;
  return (x > y) - (x < y);
}

void run_requests(const char *to, const char *method, int bytes, int connections, int count, double seconds) {
  address = to;
  int put = strcmp(method, "PUT") == 0;
  length = sprintf(text,
                   "%s /v2/images/4f9e2f0a-9d3c-4e86-8f1f-0d6a3e1b2c4d%s HTTP/1.1\r\nHost: 127.0.0.1\r\n"
                   "User-Agent: bench\r\nAccept: */*\r\nX-Auth-Token: 0123456789abcdef0123456789abcdef\r\n",
                   method, put ? "/file" : "");
  if (put)
    length += sprintf(text + length, "Content-Type: application/octet-stream\r\nContent-Length: %d\r\n", bytes);
  length += sprintf(text + length, "\r\n") + (put ? bytes : 0); /* the body: zeros */
  each = count / connections;
  latencies = calloc(count + 1, sizeof(double));
  until = now() + seconds;
  double taken = in_threads(connections, ask);
  qsort(latencies, answered, sizeof(double), by_size);
  printf("{\"seconds\": %f, \"failures\": %d, \"count\": %d, \"p50\": %f, \"p99\": %f}\n", taken, failures, answered,
         latencies[answered / 2], latencies[(int)(answered * 0.99)]);
}
