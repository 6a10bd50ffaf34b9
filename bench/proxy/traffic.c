/*
 * Both ends of the bench, as cheap as they can be, so that the proxy between them is what is measured.
 *
 *   traffic sink                                            prints its port; answers PUT with 204 and GET with a little JSON
 *   traffic stream PORT FRAMING MIB STREAMS EACH            so many uploads at once, each followed by others, EACH in all;
 *                                                           FRAMING: length, chunked or declared (chunked, with the size header)
 *   traffic requests PORT METHOD BYTES CONNECTIONS COUNT    one after another on each kept-alive connection
 *
 * The last two print one line of JSON. One thread a connection, blocking calls; bodies are sent from page cache without a copy
 * and discarded in the kernel. A path with "stall" in it is never read.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define MIB (1024L * 1024)
#define CHUNK (64L * 1024)

static void die(const char *what) { perror(what); exit(1); }

static double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec + t.tv_nsec / 1e9;
}

static void start_thread(pthread_t *thread, void *(*run)(void *), void *argument) {
  pthread_attr_t small;
  pthread_attr_init(&small);
  pthread_attr_setstacksize(&small, 256 * 1024);
  if (pthread_create(thread, &small, run, argument)) die("pthread_create");
}

/* ---- reading messages ---- */

struct reader {
  int fd;
  size_t start, end;
  char data[32 * 1024];
};

static int fill(struct reader *r) {
  if (r->start > 0) {
    memmove(r->data, r->data + r->start, r->end - r->start);
    r->end -= r->start;
    r->start = 0;
  }
  ssize_t n = recv(r->fd, r->data + r->end, sizeof r->data - 1 - r->end, 0);
  if (n <= 0) return 0;
  r->end += n;
  return 1;
}

/* A head, or a chunk's line: up to and with `mark`. NULL at the end of the connection. */
static char *take(struct reader *r, const char *mark, char *into, size_t size) {
  for (;;) {
    r->data[r->end] = 0;
    char *found = strstr(r->data + r->start, mark);
    if (found) {
      size_t length = found + strlen(mark) - (r->data + r->start);
      if (length >= size) return NULL;
      memcpy(into, r->data + r->start, length);
      into[length] = 0;
      r->start += length;
      return into;
    }
    if (!fill(r)) return NULL;
  }
}

static int discard(struct reader *r, long bytes) {
  static char nowhere[MIB];
  size_t here = r->end - r->start;
  if ((long)here > bytes) here = bytes;
  r->start += here;
  bytes -= here;
  while (bytes > 0) {
    ssize_t n = recv(r->fd, nowhere, bytes < MIB ? bytes : MIB, MSG_TRUNC);
    if (n <= 0) return 0;
    bytes -= n;
  }
  return 1;
}

static int discard_chunks(struct reader *r) {
  char line[256];
  for (;;) {
    if (!take(r, "\r\n", line, sizeof line)) return 0;
    long bytes = strtol(line, NULL, 16);
    if (!discard(r, bytes + 2)) return 0;
    if (bytes == 0) return 1;
  }
}

static int discard_body(struct reader *r, const char *head) {
  const char *length = strcasestr(head, "\r\ncontent-length:");
  if (strcasestr(head, "\r\ntransfer-encoding:")) return discard_chunks(r);
  return discard(r, length ? strtol(length + 17, NULL, 10) : 0);
}

static int say(int fd, const char *text) {
  return send(fd, text, strlen(text), MSG_NOSIGNAL) == (ssize_t)strlen(text);
}

/* ---- the sink ---- */

static void *serve(void *argument) {
  struct reader *r = calloc(1, sizeof *r);
  r->fd = (int)(long)argument;
  char head[16 * 1024];
  while (take(r, "\r\n\r\n", head, sizeof head)) {
    char *line_end = strstr(head, "\r\n");
    if (memmem(head, line_end - head, "stall", 5)) {
      struct pollfd until_gone = {r->fd, POLLRDHUP, 0};
      poll(&until_gone, 1, -1);
      break;
    }
    if (strcasestr(head, "\r\nexpect:") && !say(r->fd, "HTTP/1.1 100 Continue\r\n\r\n")) break;
    if (!discard_body(r, head)) break;
    if (!say(r->fd, head[0] == 'P' ? "HTTP/1.1 204 No Content\r\n\r\n"
                                   : "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 37\r\n\r\n"
                                     "{\"status\": \"queued\", \"size\": null}   "))
      break;
    if (strcasestr(head, "\r\nconnection: close") || strstr(head, " HTTP/1.0\r\n")) break;
  }
  close(r->fd);
  free(r);
  return NULL;
}

static void run_sink(void) {
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  socklen_t size = sizeof address;
  int listener = socket(AF_INET, SOCK_STREAM, 0), one = 1;
  if (bind(listener, (void *)&address, size) || listen(listener, 1024)) die("listen");
  getsockname(listener, (void *)&address, &size);
  printf("%d\n", ntohs(address.sin_port));
  fflush(stdout);
  for (;;) {
    pthread_t thread;
    int fd = accept(listener, NULL, NULL);
    if (fd < 0) continue;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    start_thread(&thread, serve, (void *)(long)fd);
    pthread_detach(thread);
  }
}

/* ---- the load ---- */

static int port;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static int failures;

static int dial(void) {
  struct sockaddr_in address = {
      .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK), .sin_port = htons(port)};
  int fd = socket(AF_INET, SOCK_STREAM, 0), one = 1;
  if (connect(fd, (void *)&address, sizeof address)) die("connect");
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
  return fd;
}

static void count_failure(void) {
  pthread_mutex_lock(&lock);
  failures += 1;
  pthread_mutex_unlock(&lock);
}

static int read_success(struct reader *r) {
  char head[16 * 1024];
  int status = 0;
  if (!take(r, "\r\n\r\n", head, sizeof head) || sscanf(head, "HTTP/1.1 %d", &status) != 1) return 0;
  return (status == 204 || discard_body(r, head)) && status >= 200 && status < 300;
}

static struct {
  int framed, file, each;
  long mib, mib_bytes;
  char head[512];
} streams;

static void upload(void) {
  struct reader r = {.fd = dial()};
  int ok = say(r.fd, streams.head);
  for (long sent = 0; ok && sent < streams.mib; sent += 1) {
    off_t from = 0;
    while (ok && from < streams.mib_bytes) ok = sendfile(r.fd, streams.file, &from, streams.mib_bytes - from) > 0;
  }
  if (ok && streams.framed) ok = say(r.fd, "0\r\n\r\n");
  if (!ok || !read_success(&r)) count_failure();
  close(r.fd);
}

static void *stream(void *unused) {
  for (int i = 0; i < streams.each; i += 1) upload();
  return unused;
}

static void run_streams(const char *framing, long mib, int count, int each) {
  streams.framed = strcmp(framing, "length") != 0;
  streams.mib = mib;
  streams.each = each;
  streams.file = memfd_create("mib", 0);
  static char zeros[CHUNK];
  for (int chunk = 0; chunk < MIB / CHUNK; chunk += 1) {
    if (streams.framed) dprintf(streams.file, "%lx\r\n", CHUNK);
    if (write(streams.file, zeros, CHUNK) != CHUNK) die("memfd");
    if (streams.framed) dprintf(streams.file, "\r\n");
  }
  streams.mib_bytes = lseek(streams.file, 0, SEEK_CUR);
  int n = snprintf(streams.head, sizeof streams.head,
                   "PUT /v2/images/bench/file HTTP/1.1\r\nHost: bench\r\nContent-Type: application/octet-stream\r\n");
  if (strcmp(framing, "declared") == 0)
    n += sprintf(streams.head + n, "x-openstack-image-size: %ld\r\n", mib * MIB);
  if (streams.framed) sprintf(streams.head + n, "Transfer-Encoding: chunked\r\n\r\n");
  else sprintf(streams.head + n, "Content-Length: %ld\r\n\r\n", mib * MIB);
  pthread_t threads[count];
  double start = now();
  for (int i = 0; i < count; i += 1) start_thread(&threads[i], stream, NULL);
  for (int i = 0; i < count; i += 1) pthread_join(threads[i], NULL);
  printf("{\"seconds\": %f, \"failures\": %d}\n", now() - start, failures);
}

static struct {
  char text[64 * 1024];
  int length, count;
  double *seconds;
} requests;

static void *request(void *argument) {
  double *seconds = argument;
  struct reader *r = calloc(1, sizeof *r);
  r->fd = dial();
  for (int i = 0; i < requests.count; i += 1) {
    double start = now();
    if (send(r->fd, requests.text, requests.length, MSG_NOSIGNAL) != requests.length || !read_success(r)) {
      count_failure(); /* and on a fresh connection: a proxy may close one */
      close(r->fd);
      r->fd = dial();
      r->start = r->end = 0;
    }
    seconds[i] = now() - start;
  }
  close(r->fd);
  free(r);
  return NULL;
}

static int by_size(const void *a, const void *b) {
  double x = *(const double *)a, y = *(const double *)b;
  return (x > y) - (x < y);
}

static void run_requests(const char *method, int bytes, int connections, int count) {
  int put = strcmp(method, "PUT") == 0;
  int n = sprintf(requests.text,
                  "%s /v2/images/4f9e2f0a-9d3c-4e86-8f1f-0d6a3e1b2c4d%s HTTP/1.1\r\nHost: bench\r\n"
                  "User-Agent: bench\r\nAccept: */*\r\nX-Auth-Token: 0123456789abcdef0123456789abcdef\r\n",
                  method, put ? "/file" : "");
  if (put) n += sprintf(requests.text + n, "Content-Type: application/octet-stream\r\nContent-Length: %d\r\n", bytes);
  n += sprintf(requests.text + n, "\r\n");
  requests.length = n + (put ? bytes : 0); /* the body: zeros */
  requests.count = count / connections;
  int total = requests.count * connections;
  requests.seconds = calloc(total, sizeof(double));
  pthread_t threads[connections];
  double start = now();
  for (int i = 0; i < connections; i += 1)
    start_thread(&threads[i], request, requests.seconds + (long)i * requests.count);
  for (int i = 0; i < connections; i += 1) pthread_join(threads[i], NULL);
  double seconds = now() - start;
  qsort(requests.seconds, total, sizeof(double), by_size);
  printf("{\"seconds\": %f, \"failures\": %d, \"count\": %d, \"p50\": %f, \"p99\": %f}\n", seconds, failures, total,
         requests.seconds[total / 2], requests.seconds[(int)(total * 0.99)]);
}

int main(int argc, char **argv) {
  signal(SIGPIPE, SIG_IGN);
  if (argc == 2 && strcmp(argv[1], "sink") == 0) run_sink();
  if (argc != 7) return fprintf(stderr, "see the head of traffic.c\n"), 2;
  port = atoi(argv[2]);
  if (strcmp(argv[1], "stream") == 0) run_streams(argv[3], atol(argv[4]), atoi(argv[5]), atoi(argv[6]));
  else run_requests(argv[3], atoi(argv[4]), atoi(argv[5]), atoi(argv[6]));
  return 0;
}
