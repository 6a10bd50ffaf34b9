/*
 * Both ends of the bench, as cheap as they can be, so that the proxy between them is what is measured.
 *
 *   traffic sink tcp|tls CERT KEY|unix PATH                   stands for Glance; prints its port or its path
 *   traffic relay copy|splice PORT                            stands for the least of a proxy in front of that port; prints its own
 *   traffic stream ADDRESS DIRECTION KIND MIB STREAMS EACH    STREAMS bodies of MIB at once, each followed by others, EACH in all
 *       DIRECTION upload: each on a connection of its own; KIND length, chunked, or declared (chunked, with the size header)
 *       DIRECTION download: on one connection if the other side keeps it; KIND whole, or range: one range after another
 *   traffic requests ADDRESS METHOD BYTES CONNECTIONS COUNT SECONDS
 *       small ones, one after another on each connection, until there have been COUNT or the time is over
 *   traffic hold ADDRESS WHAT CLIENTS SECONDS                 CLIENTS connections that are held so long;
 *       WHAT stalled (uploads that Glance does not read), slow (downloads), or idle (after one request)
 *
 * ADDRESS: a port of 127.0.0.1, or `tls:` and a port.
 *
 * The others print one line of JSON. Each connection has a thread and blocking calls. Bodies are sent from the page cache
 * without a copy (sendfile) and discarded in the kernel (MSG_TRUNC); with TLS neither is possible.
 */
#include "tls.h"
#include "traffic.h"
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int given(int argc, char **argv, const char *mode, const char *kind, int count) {
  return argc == count && strcmp(argv[1], mode) == 0 && (!kind || strcmp(argv[2], kind) == 0);
}

int main(int argc, char **argv) {
  signal(SIGPIPE, SIG_IGN);
  if (argc > 2 && strncmp(argv[2], "tls:", 4) == 0) tls_init_client();
  if (given(argc, argv, "sink", "tcp", 3)) run_sink(NULL, NULL, NULL);
  else if (given(argc, argv, "sink", "tls", 5)) run_sink(NULL, argv[3], argv[4]);
  else if (given(argc, argv, "sink", "unix", 4)) run_sink(argv[3], NULL, NULL);
  else if (given(argc, argv, "relay", NULL, 4)) run_relay(argv[2], argv[3]);
  else if (given(argc, argv, "stream", NULL, 8))
    run_streams(argv[2], argv[3], argv[4], atol(argv[5]), atoi(argv[6]), atoi(argv[7]));
  else if (given(argc, argv, "requests", NULL, 8))
    run_requests(argv[2], argv[3], atoi(argv[4]), atoi(argv[5]), atoi(argv[6]), atof(argv[7]));
  else if (given(argc, argv, "hold", NULL, 6)) run_hold(argv[2], argv[3], atoi(argv[4]), atof(argv[5]));
  else return fprintf(stderr, "see the head of main.c\n"), 2;
  return 0;
}
