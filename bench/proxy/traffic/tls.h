/* TLS 1.3 with one cipher, so that every proxy encrypts alike, and as few system calls as the ends can do with. */
#pragma once
#include <openssl/ssl.h>

/* Before the first `tls_accept` or `tls_connect`. */
void tls_init_server(const char *cert_file, const char *key_file);
void tls_init_client(void);
/* NULL if the handshake fails. */
SSL *tls_accept(int fd);
/* Ends the program if the handshake fails. */
SSL *tls_connect(int fd);
void tls_end(SSL *tls);

/* What is sent waits in a buffer until `tls_flush`, or until the buffer is full. */
int tls_send(SSL *tls, const char *bytes, size_t length);
int tls_flush(SSL *tls);
