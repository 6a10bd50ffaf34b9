/*
 * The least that a proxy in user space can do: it passes bytes on and looks at none. One thread, one buffer or one pipe of 1 MiB
 * for all connections: what it has read it sends to the end before it reads anything else.
 */
#include "traffic.h"
#include "wire.h"
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define MOST_FDS 4096

static int other[MOST_FDS]; /* by descriptor; 0: closed */
static int epoll, pipe_ends[2];

/* Both return what they have passed on, 0 at the end, or -1 and an errno. */
static long pass_by_copy(int from, int to) {
  static char buffer[MIB];
  long n = recv(from, buffer, sizeof buffer, MSG_DONTWAIT);
  if (n <= 0) return n;
  return send(to, buffer, n, MSG_NOSIGNAL) == n ? n : -1;
}

static long pass_by_splice(int from, int to) {
  long n = splice(from, NULL, pipe_ends[1], NULL, MIB, SPLICE_F_NONBLOCK);
  for (long left = n; left > 0;) {
    long sent = splice(pipe_ends[0], NULL, to, NULL, left, 0);
    if (sent <= 0) die("splice");
    left -= sent;
  }
  return n;
}

static void join(int fd, int partner) {
  if (fd >= MOST_FDS) die("too many connections");
  other[fd] = partner;
  struct epoll_event readable = {.events = EPOLLIN, .data.fd = fd};
  if (epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &readable)) die("epoll_ctl");
}

static void part(int fd) {
  int partner = other[fd];
  other[fd] = other[partner] = 0;
  close(fd);
  close(partner);
}

void run_relay(const char *how, const char *to) {
  long (*pass)(int, int) = strcmp(how, "splice") == 0 ? pass_by_splice : pass_by_copy;
  if (pipe(pipe_ends) || fcntl(pipe_ends[1], F_SETPIPE_SZ, MIB) < 0) die("pipe");
  epoll = epoll_create1(0);
  int listener = listen_at(NULL);
  join(listener, listener);
  for (;;) {
    struct epoll_event events[64];
    int count = epoll_wait(epoll, events, 64, -1);
    for (int i = 0; i < count; i += 1) {
      int fd = events[i].data.fd;
      if (fd == listener) {
        int client = accept_at(listener), glance = connect_to(to);
        join(client, glance);
        join(glance, client);
        continue;
      }
      errno = 0;
      if (other[fd] && pass(fd, other[fd]) <= 0 && errno != EAGAIN) part(fd);
    }
  }
}
