#include "wire.h"
#include "tls.h"
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

void die(const char *what) { perror(what); exit(1); }

double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec + t.tv_nsec / 1e9;
}

double in_threads(int count, void *(*act)(void *)) {
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

/* ---- connections ---- */

static int without_delay(int fd) {
  int one = 1;
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one); /* fails on a Unix socket, which has no delay */
  return fd;
}

static struct sockaddr_in loopback(int port) {
  return (struct sockaddr_in){
      .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK), .sin_port = htons(port)};
}

int listen_at(const char *path) {
  int listener = socket(path ? AF_UNIX : AF_INET, SOCK_STREAM, 0);
  struct sockaddr_in tcp = loopback(0);
  struct sockaddr_un local = {.sun_family = AF_UNIX};
  if (path) {
    strncpy(local.sun_path, path, sizeof local.sun_path - 1);
    unlink(path);
  }
  if (path ? bind(listener, (void *)&local, sizeof local) : bind(listener, (void *)&tcp, sizeof tcp)) die("bind");
  if (listen(listener, 1024)) die("listen");
  socklen_t size = sizeof tcp;
  if (path) puts(path);
  else if (!getsockname(listener, (void *)&tcp, &size)) printf("%d\n", ntohs(tcp.sin_port));
  fflush(stdout);
  return listener;
}

int accept_at(int listener) {
  int fd = accept(listener, NULL, NULL);
  if (fd < 0) die("accept");
  return without_delay(fd);
}

int connect_to(const char *port) {
  struct sockaddr_in address = loopback(atoi(port));
  int fd = socket(AF_INET, SOCK_STREAM, 0);
  if (connect(fd, (void *)&address, sizeof address)) die("connect");
  return without_delay(fd);
}

static struct wire *open_wire(int fd) {
  struct wire *w = calloc(1, sizeof *w);
  w->fd = fd;
  return w;
}

void hang_up(struct wire *w) {
  if (w->tls) tls_end(w->tls);
  close(w->fd);
  free(w);
}

struct wire *dial(const char *where) {
  int with_tls = strncmp(where, "tls:", 4) == 0;
  struct wire *w = open_wire(connect_to(with_tls ? where + 4 : where));
  if (with_tls) w->tls = tls_connect(w->fd);
  return w;
}

static int serve_tls;
static void (*serve)(struct wire *);

static void *accepted(void *fd) {
  struct wire *w = open_wire((int)(long)fd);
  if (serve_tls) w->tls = tls_accept(w->fd);
  if (w->tls || !serve_tls) serve(w);
  hang_up(w);
  return NULL;
}

void serve_forever(int listener, int with_tls, void (*function)(struct wire *)) {
  serve_tls = with_tls;
  serve = function;
  pthread_attr_t detached;
  pthread_attr_init(&detached);
  pthread_attr_setdetachstate(&detached, PTHREAD_CREATE_DETACHED);
  for (;;) {
    pthread_t thread;
    long fd = accept_at(listener);
    if (pthread_create(&thread, &detached, accepted, (void *)fd)) die("pthread_create");
  }
}

/* ---- sending ---- */

struct piece make_piece(int framed) {
  static char zeros[CHUNK];
  struct piece piece = {.file = memfd_create("piece", 0)};
  for (int chunk = 0; chunk < MIB / CHUNK; chunk += 1) {
    if (framed) dprintf(piece.file, "%lx\r\n", CHUNK);
    if (write(piece.file, zeros, CHUNK) != CHUNK) die("memfd");
    if (framed) dprintf(piece.file, "\r\n");
  }
  piece.bytes = lseek(piece.file, 0, SEEK_CUR);
  piece.memory = mmap(NULL, piece.bytes, PROT_READ, MAP_SHARED, piece.file, 0);
  if (piece.memory == MAP_FAILED) die("mmap");
  return piece;
}

int send_bytes(struct wire *w, const char *bytes, size_t length) {
  if (w->tls) return tls_send(w->tls, bytes, length) && tls_flush(w->tls);
  return send(w->fd, bytes, length, MSG_NOSIGNAL) == (ssize_t)length;
}

int send_text(struct wire *w, const char *text) { return send_bytes(w, text, strlen(text)); }

int send_body(struct wire *w, const struct piece *piece, long bytes) {
  while (bytes > 0) {
    off_t from = 0;
    long here = bytes < piece->bytes ? bytes : piece->bytes;
    if (w->tls) {
      if (!tls_send(w->tls, piece->memory, here)) return 0;
    } else {
      while (from < here)
        if (sendfile(w->fd, piece->file, &from, here - from) <= 0) return 0;
    }
    bytes -= here;
  }
  return !w->tls || tls_flush(w->tls);
}

/* ---- reading ---- */

/* Bytes that nobody looks at are not copied if that can be spared. */
static long receive(struct wire *w, char *into, long size, int looked_at) {
  return w->tls ? SSL_read(w->tls, into, size) : recv(w->fd, into, size, looked_at ? 0 : MSG_TRUNC);
}

/* Up to and with `mark`. */
static int take(struct wire *w, const char *mark, char *into, size_t size) {
  for (;;) {
    w->data[w->end] = 0;
    char *found = strstr(w->data + w->start, mark);
    if (found) {
      size_t length = found + strlen(mark) - (w->data + w->start);
      if (length >= size) return 0;
      memcpy(into, w->data + w->start, length);
      into[length] = 0;
      w->start += length;
      return 1;
    }
    memmove(w->data, w->data + w->start, w->end - w->start);
    w->end -= w->start;
    w->start = 0;
    long n = receive(w, w->data + w->end, sizeof w->data - 1 - w->end, 1);
    if (n <= 0) return 0;
    w->end += n;
  }
}

int take_head(struct wire *w, char head[HEAD_SIZE]) { return take(w, "\r\n\r\n", head, HEAD_SIZE); }

static int discard(struct wire *w, long bytes) {
  static char nowhere[MIB]; /* of all threads */
  long here = w->end - w->start;
  if (here > bytes) here = bytes;
  w->start += here;
  bytes -= here;
  while (bytes > 0) {
    long n = receive(w, nowhere, bytes < MIB ? bytes : MIB, 0);
    if (n <= 0) return 0;
    bytes -= n;
  }
  return 1;
}

static long discard_chunks(struct wire *w) {
  char line[256];
  for (long total = 0;;) {
    if (!take(w, "\r\n", line, sizeof line)) return -1;
    long bytes = strtol(line, NULL, 16);
    if (!discard(w, bytes + 2)) return -1;
    if (bytes == 0) return total;
    total += bytes;
  }
}

long discard_body(struct wire *w, const char *head) {
  if (strcasestr(head, "\r\ntransfer-encoding:")) return discard_chunks(w);
  const char *length = strcasestr(head, "\r\ncontent-length:");
  long bytes = length ? strtol(length + 17, NULL, 10) : 0;
  return discard(w, bytes) ? bytes : -1;
}

int says_close(const char *head) { return strcasestr(head, "\r\nconnection: close") || strstr(head, "HTTP/1.0"); }

int read_success(struct wire *w, long bytes, int *closes) {
  char head[HEAD_SIZE];
  int status = 0;
  if (!take_head(w, head) || sscanf(head, "HTTP/1.1 %d", &status) != 1) return 0;
  *closes = says_close(head);
  long found = status == 204 ? 0 : discard_body(w, head);
  return status >= 200 && status < 300 && found >= 0 && (bytes < 0 || found == bytes);
}
