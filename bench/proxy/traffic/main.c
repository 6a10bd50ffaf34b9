/*
 * Both ends of the bench, as cheap as they can be, so that the proxy between them is what is measured.
 *
 *   traffic sink [CERT KEY]                                   stands for Glance, over TLS with a certificate; prints its port
 *   traffic stream ADDRESS DIRECTION KIND MIB STREAMS EACH    STREAMS bodies of MIB at once, each followed by others, EACH in all
 *       DIRECTION upload: each on a connection of its own; KIND length, chunked, or declared (chunked, with the size header)
 *       DIRECTION download: on one connection if the other side keeps it; KIND whole, or range: one range after another
 *   traffic requests ADDRESS METHOD BYTES CONNECTIONS COUNT   one after another on each kept-alive connection
 *
 * ADDRESS: a port of 127.0.0.1, or `tls:` and a port.
 *
 * All but the sink print one line of JSON. Each connection has a thread and blocking calls. Bodies are sent from the page cache
 * without a copy (sendfile) and discarded in the kernel (MSG_TRUNC); with TLS neither is possible.
 */
#include "tls.h"
#include "traffic.h"
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int main(int argc, char **argv) {
  signal(SIGPIPE, SIG_IGN);
  const char *mode = argc > 1 ? argv[1] : "";
  if (argc > 2 && strncmp(argv[2], "tls:", 4) == 0) tls_init_client();
  if (strcmp(mode, "sink") == 0 && argc == 2) run_sink(NULL, NULL);
  else if (strcmp(mode, "sink") == 0 && argc == 4) run_sink(argv[2], argv[3]);
  else if (strcmp(mode, "stream") == 0 && argc == 8)
    run_streams(argv[2], argv[3], argv[4], atol(argv[5]), atoi(argv[6]), atoi(argv[7]));
  else if (strcmp(mode, "requests") == 0 && argc == 7)
    run_requests(argv[2], argv[3], atoi(argv[4]), atoi(argv[5]), atoi(argv[6]));
  else return fprintf(stderr, "see the head of main.c\n"), 2;
  return 0;
}
