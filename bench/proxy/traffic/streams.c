/* Large bodies, up or down. */
#include "traffic.h"
#include "wire.h"
#include <openssl/evp.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *address;
static atomic_int failures;

static struct {
  int upload, framed, ranges, each;
  long mib;
  struct piece piece;
  char head[512];
} streams;

/* The digest of so many zeros, as a line of the head. */
static int print_digest(char *line, long mib) {
  static unsigned char zeros[MIB];
  unsigned char digest[EVP_MAX_MD_SIZE], text[2 * EVP_MAX_MD_SIZE];
  unsigned int length = 0;
  EVP_MD_CTX *hash = EVP_MD_CTX_new();
  EVP_DigestInit_ex(hash, EVP_sha256(), NULL);
  for (long i = 0; i < mib; i += 1) EVP_DigestUpdate(hash, zeros, MIB);
  EVP_DigestFinal_ex(hash, digest, &length);
  EVP_MD_CTX_free(hash);
  EVP_EncodeBlock(text, digest, length);
  return sprintf(line, "Content-Digest: sha-256=:%s:\r\n", text);
}

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
    if (strcmp(kind, "digest") == 0) head += print_digest(head, mib);
    if (streams.framed) sprintf(head, "Transfer-Encoding: chunked\r\n\r\n");
    else sprintf(head, "Content-Length: %ld\r\n\r\n", mib * MIB);
  } else {
    sprintf(head, "GET /v2/images/%ld/file HTTP/1.1\r\nHost: 127.0.0.1\r\nAccept: */*\r\n",
            mib * MIB * (streams.ranges ? each : 1));
  }
  double seconds = in_threads(count, stream);
  printf("{\"seconds\": %f, \"failures\": %d}\n", seconds, failures);
}
