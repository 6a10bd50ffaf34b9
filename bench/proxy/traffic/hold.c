/* Many clients that each hold a connection for some seconds and move little or nothing: what a proxy keeps for each of them. */
#include "traffic.h"
#include "wire.h"
#include <errno.h>
#include <poll.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define SLOW_BYTES (4 * 1024)
#define SLOW_PAUSE_US (50 * 1000)

static const char *address;
static atomic_int failures;
static double until;

/* Sends what the proxy takes of an upload that Glance does not read. */
static int stalled(struct wire *w) {
  static char zeros[CHUNK];
  if (!send_text(w, "PUT /v2/images/stall/file HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 1073741824\r\n\r\n")) return 0;
  for (double left; (left = until - now()) > 0;) {
    struct pollfd writable = {w->fd, POLLOUT, 0};
    poll(&writable, 1, (int)(left * 1000) + 1);
    if (send(w->fd, zeros, sizeof zeros, MSG_DONTWAIT | MSG_NOSIGNAL) < 0 && errno != EAGAIN) return 0;
  }
  return 1;
}

/* Reads a download at 80 KiB/s. */
static int slow(struct wire *w) {
  char few[SLOW_BYTES];
  if (!send_text(w, "GET /v2/images/1073741824/file HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")) return 0;
  for (; now() < until; usleep(SLOW_PAUSE_US))
    if (recv(w->fd, few, sizeof few, 0) <= 0) return 0;
  return 1;
}

/* Sends nothing more after its first request. */
static int idle(struct wire *w) {
  int closes;
  char any;
  if (!send_text(w, "GET /v2/images/idle HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n") || !read_success(w, -1, &closes)) return 0;
  while (now() < until) usleep(SLOW_PAUSE_US);
  return !closes && recv(w->fd, &any, 1, MSG_DONTWAIT) < 0 && errno == EAGAIN;
}

static int (*act)(struct wire *);

static void *hold(void *unused) {
  struct wire *w = dial(address);
  if (!act(w)) failures += 1;
  hang_up(w);
  return unused;
}

void run_hold(const char *to, const char *what, int clients, double seconds) {
  address = to;
  act = strcmp(what, "stalled") == 0 ? stalled : strcmp(what, "slow") == 0 ? slow : idle;
  until = now() + seconds;
  double taken = in_threads(clients, hold);
  printf("{\"seconds\": %f, \"failures\": %d}\n", taken, failures);
}
