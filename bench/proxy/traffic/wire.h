/* A connection and the HTTP messages on it. Every call blocks; every function returns 0 if the connection is of no more use. */
#pragma once
#include <openssl/types.h>
#include <stddef.h>

#define MIB (1024L * 1024)
#define CHUNK (64L * 1024)
#define HEAD_SIZE (16 * 1024)

struct wire {
  int fd;
  SSL *tls; /* NULL without TLS */
  size_t start, end; /* what is read of `data` and not yet taken */
  char data[32 * 1024];
};

/* Bytes that are sent again and again as the content of a body. */
struct piece {
  int file;
  char *memory; /* the same bytes */
  long bytes;
};

void die(const char *what);
double now(void);
/* Runs `act` in so many threads, each with its number. Returns the seconds until all have ended. */
double in_threads(int count, void *(*act)(void *));

/* Listens on the path of a Unix socket, or without one on a free port of 127.0.0.1, and prints path or port. */
int listen_at(const char *path);
int accept_at(int listener);
int connect_to(const char *port);

/* Gives each connection to a thread of its own. */
void serve_forever(int listener, int with_tls, void (*serve)(struct wire *));
/* The address is a port of 127.0.0.1, or `tls:` and a port. */
struct wire *dial(const char *address);
void hang_up(struct wire *w);

/* One MiB of zeros; if `framed`, in chunks with their lines. */
struct piece make_piece(int framed);
int send_text(struct wire *w, const char *text);
int send_bytes(struct wire *w, const char *bytes, size_t length);
/* Sends so many bytes of the piece, starting over at its end. */
int send_body(struct wire *w, const struct piece *piece, long bytes);

/* A head with the empty line behind it, as a string. */
int take_head(struct wire *w, char head[HEAD_SIZE]);
/* Reads and forgets the body that the head announces. Returns its length, or -1. */
long discard_body(struct wire *w, const char *head);
int says_close(const char *head);
/*
 * Whether the answer is a success and its body has so many bytes; -1: any number. `closes`: whether the connection ends with it.
 */
int read_success(struct wire *w, long bytes, int *closes);
