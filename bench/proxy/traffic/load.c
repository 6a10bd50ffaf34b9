#include "traffic.h"
#include "wire.h"
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *address;
static atomic_int failures;

/* Runs `act` in so many threads, each with its number. Returns the seconds until all have ended. */
static double in_threads(int count, void *(*act)(void *)) {
  pthread_t threads[count];
  pthread_attr_t small;
  pthread_attr_init(&small);
  pthread_attr_setstacksize(&small, 256 * 1024);
  double start = now();
  for (long i = 0; i < count; i += 1)
    if (pthread_create(&threads[i], &small, act, (void *)i)) die("pthread_create");
  for (int i = 0; i < count; i += 1) pthread_join(threads[i], NULL);
  return now() - start;
}

/* Whether the answer is a success and has a body of so many bytes; `closes`: whether the connection ends with it. */
static int read_success(struct wire *w, long bytes, int *closes) {
  char head[HEAD_SIZE];
  int status = 0;
  if (!take_head(w, head) || sscanf(head, "HTTP/1.1 %d", &status) != 1) return 0;
  *closes = says_close(head);
  long found = status == 204 ? 0 : discard_body(w, head);
  return status >= 200 && status < 300 && found >= 0 && (bytes < 0 || found == bytes);
}

/* ---- large bodies ---- */

static struct {
  int upload, framed, ranges, each;
  long mib;
  struct piece piece;
  char head[512];
} streams;

static int upload(struct wire *w) {
  int closes;
  return send_text(w, streams.head) && send_body(w, &streams.piece, streams.mib * streams.piece.bytes) &&
         (!streams.framed || send_text(w, "0\r\n\r\n")) && read_success(w, 0, &closes);
}

static int download(struct wire *w, int index, int *closes) {
  char head[640], range[64] = "";
  long bytes = streams.mib * MIB;
  if (streams.ranges) sprintf(range, "Range: bytes=%ld-%ld\r\n", index * bytes, (index + 1) * bytes - 1);
  sprintf(head, "%s%s\r\n", streams.head, range);
  return send_text(w, head) && read_success(w, bytes, closes);
}

static void *stream(void *unused) {
  struct wire *w = NULL;
  for (int i = 0; i < streams.each; i += 1) {
    int closes = streams.upload;
    if (!w) w = dial(address);
    int ok = streams.upload ? upload(w) : download(w, i, &closes);
    if (!ok) failures += 1;
    if (ok && !closes) continue;
    hang_up(w);
    w = NULL;
  }
  if (w) hang_up(w);
  return unused;
}

void run_streams(const char *to, const char *direction, const char *kind, long mib, int count, int each) {
  address = to;
  streams.upload = strcmp(direction, "upload") == 0;
  streams.framed = strcmp(kind, "chunked") == 0 || strcmp(kind, "declared") == 0;
  streams.ranges = strcmp(kind, "range") == 0;
  streams.mib = mib;
  streams.each = each;
  char *head = streams.head;
  if (streams.upload) {
    streams.piece = make_piece(streams.framed);
    head += sprintf(head, "PUT /v2/images/bench/file HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/octet-stream\r\n");
    if (strcmp(kind, "declared") == 0) head += sprintf(head, "x-openstack-image-size: %ld\r\n", mib * MIB);
    if (streams.framed) sprintf(head, "Transfer-Encoding: chunked\r\n\r\n");
    else sprintf(head, "Content-Length: %ld\r\n\r\n", mib * MIB);
  } else {
    sprintf(head, "GET /v2/images/%ld/file HTTP/1.1\r\nHost: 127.0.0.1\r\nAccept: */*\r\n",
            mib * MIB * (streams.ranges ? each : 1));
  }
  double seconds = in_threads(count, stream);
  printf("{\"seconds\": %f, \"failures\": %d}\n", seconds, failures);
}

/* ---- small requests ---- */

static struct {
  char text[64 * 1024];
  int length, count;
  double *seconds;
} requests;

static void *request(void *number) {
  double *seconds = requests.seconds + (long)number * requests.count;
  struct wire *w = dial(address);
  for (int i = 0; i < requests.count; i += 1) {
    int closes = 0;
    double start = now();
    int ok = send_bytes(w, requests.text, requests.length) && read_success(w, -1, &closes);
    seconds[i] = now() - start;
    if (!ok) failures += 1;
    if (ok && !closes) continue;
    hang_up(w);
    w = dial(address);
  }
  hang_up(w);
  return NULL;
}

static int by_size(const void *a, const void *b) {
  double x = *(const double *)a, y = *(const double *)b;
  return (x > y) - (x < y);
}

void run_requests(const char *to, const char *method, int bytes, int connections, int count) {
  address = to;
  int put = strcmp(method, "PUT") == 0;
  int n = sprintf(requests.text,
                  "%s /v2/images/4f9e2f0a-9d3c-4e86-8f1f-0d6a3e1b2c4d%s HTTP/1.1\r\nHost: 127.0.0.1\r\n"
                  "User-Agent: bench\r\nAccept: */*\r\nX-Auth-Token: 0123456789abcdef0123456789abcdef\r\n",
                  method, put ? "/file" : "");
  if (put) n += sprintf(requests.text + n, "Content-Type: application/octet-stream\r\nContent-Length: %d\r\n", bytes);
  n += sprintf(requests.text + n, "\r\n");
  requests.length = n + (put ? bytes : 0); /* the body: zeros */
  requests.count = count / connections;
  int total = requests.count * connections;
  requests.seconds = calloc(total, sizeof(double));
  double seconds = in_threads(connections, request);
  qsort(requests.seconds, total, sizeof(double), by_size);
  printf("{\"seconds\": %f, \"failures\": %d, \"count\": %d, \"p50\": %f, \"p99\": %f}\n", seconds, failures, total,
         requests.seconds[total / 2], requests.seconds[(int)(total * 0.99)]);
}
