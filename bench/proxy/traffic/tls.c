#include "tls.h"
#include <openssl/err.h>
#include <stdlib.h>

/* Of several records of 16 KiB, which would otherwise each take a system call. */
#define BUFFER (256 * 1024)

static SSL_CTX *context;

static void check(int ok) {
  if (ok) return;
  ERR_print_errors_fp(stderr);
  exit(1);
}

static void init(const SSL_METHOD *method) {
  context = SSL_CTX_new(method);
  check(context != NULL);
  check(SSL_CTX_set_min_proto_version(context, TLS1_3_VERSION));
  check(SSL_CTX_set_ciphersuites(context, "TLS_AES_128_GCM_SHA256"));
  SSL_CTX_set_read_ahead(context, 1);
  SSL_CTX_set_default_read_buffer_len(context, BUFFER);
}

void tls_init_server(const char *cert_file, const char *key_file) {
  init(TLS_server_method());
  check(SSL_CTX_use_certificate_chain_file(context, cert_file));
  check(SSL_CTX_use_PrivateKey_file(context, key_file, SSL_FILETYPE_PEM));
}

void tls_init_client(void) { init(TLS_client_method()); }

static SSL *shake_hands(int fd, int (*act)(SSL *)) {
  SSL *tls = SSL_new(context);
  BIO *buffer = BIO_new(BIO_f_buffer());
  check(tls && buffer && BIO_set_write_buffer_size(buffer, BUFFER));
  SSL_set_bio(tls, BIO_new_socket(fd, BIO_NOCLOSE), BIO_push(buffer, BIO_new_socket(fd, BIO_NOCLOSE)));
  if (act(tls) == 1) return tls;
  SSL_free(tls);
  return NULL;
}

SSL *tls_accept(int fd) { return shake_hands(fd, SSL_accept); }

SSL *tls_connect(int fd) {
  SSL *tls = shake_hands(fd, SSL_connect);
  check(tls != NULL);
  return tls;
}

void tls_end(SSL *tls) {
  SSL_shutdown(tls);
  tls_flush(tls);
  SSL_free(tls);
}

int tls_send(SSL *tls, const char *bytes, size_t length) { return SSL_write(tls, bytes, length) == (int)length; }

int tls_flush(SSL *tls) { return BIO_flush(SSL_get_wbio(tls)) == 1; }
