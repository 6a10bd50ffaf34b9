/*
 * What stands for Glance: reads what is uploaded and answers 204, sends images of any size, and answers every other GET with a
 * little JSON. An image is as large as its id says. A path with "stall" in it is never read.
 */
#include "tls.h"
#include "traffic.h"
#include "wire.h"
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct piece zeros;

/* As Glance's own, with its headers. */
static int send_image(struct wire *w, const char *head, long size) {
  char answer[512], range[128] = "";
  long first = 0, last = size - 1;
  const char *asked = strcasestr(head, "\r\nrange: bytes=");
  if (asked && sscanf(asked + 15, "%ld-%ld", &first, &last) == 2)
    sprintf(range, "Content-Range: bytes %ld-%ld/%ld\r\n", first, last, size);
  sprintf(answer,
          "HTTP/1.1 %s\r\nContent-Type: application/octet-stream\r\nContent-Length: %ld\r\n%s"
          "X-Openstack-Request-Id: req-4f9e2f0a-9d3c-4e86-8f1f-0d6a3e1b2c4d\r\n"
          "Date: Wed, 25 Nov 2026 12:00:00 GMT\r\n\r\n",
          asked ? "206 Partial Content" : "200 OK", last - first + 1, range);
  return send_text(w, answer) && send_body(w, &zeros, last - first + 1);
}

static int answer(struct wire *w, const char *head) {
  long size;
  int length = 0;
  if (sscanf(head, "GET /v2/images/%ld/file%n", &size, &length) == 1 && length > 0) return send_image(w, head, size);
  return send_text(w, head[0] == 'P' ? "HTTP/1.1 204 No Content\r\n\r\n"
                                     : "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 37\r\n\r\n"
                                       "{\"status\": \"queued\", \"size\": null}   ");
}

static void serve(struct wire *w) {
  char head[HEAD_SIZE];
  while (take_head(w, head)) {
    if (memmem(head, strcspn(head, "\r"), "stall", 5)) {
      struct pollfd until_gone = {w->fd, POLLRDHUP, 0};
      poll(&until_gone, 1, -1);
      return;
    }
    if (strcasestr(head, "\r\nexpect:") && !send_text(w, "HTTP/1.1 100 Continue\r\n\r\n")) return;
    if (discard_body(w, head) < 0 || !answer(w, head) || says_close(head)) return;
  }
}

void run_sink(const char *path, const char *cert_file, const char *key_file) {
  zeros = make_piece(0);
  if (cert_file) tls_init_server(cert_file, key_file);
  serve_forever(listen_at(path), cert_file != NULL, serve);
}
