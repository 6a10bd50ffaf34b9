/* The two ends of the bench. */
#pragma once

/* With TLS if there is a certificate. */
void run_sink(const char *cert_file, const char *key_file);
/* What is named here is explained at the head of main.c. */
void run_streams(const char *address, const char *direction, const char *kind, long mib, int streams, int each);
void run_requests(const char *address, const char *method, int bytes, int connections, int count);
