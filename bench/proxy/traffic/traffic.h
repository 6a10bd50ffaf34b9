/* What the program does; main.c says what the arguments mean. */
#pragma once

/* Without a path on a port; with TLS if there is a certificate. */
void run_sink(const char *path, const char *cert_file, const char *key_file);
void run_relay(const char *how, const char *to);
void run_streams(const char *address, const char *direction, const char *kind, long mib, int streams, int each);
void run_requests(const char *address, const char *method, int bytes, int connections, int count, double seconds);
void run_hold(const char *address, const char *what, int clients, double seconds);
