/* The two ends of the bench. */
#pragma once

void run_sink(void);
/* What is named here is explained at the head of main.c. */
void run_streams(const char *port, const char *direction, const char *kind, long mib, int streams, int each);
void run_requests(const char *port, const char *method, int bytes, int connections, int count);
