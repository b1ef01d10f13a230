/* What the C programs of the bench share. */
#ifndef MEASURE_H
#define MEASURE_H

#include <quorate.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

/* Ends the program if a call failed, and says why: must(quorate_…(…, &error), &error). */
static inline void must(quorate_code_t code, quorate_error_t **error) {
  if (code == QUORATE_OK) return;
  fprintf(stderr, "%s: %s\n", quorate_code_name(code), (*error)->message);
  quorate_error_free(error);
  exit(EXIT_FAILURE);
}

static inline double nanoseconds(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return (double)time.tv_sec * 1e9 + (double)time.tv_nsec;
}

static inline int ascending(const void *one, const void *other) {
  double a = *(const double *)one, b = *(const double *)other;
  return (a > b) - (a < b);
}

static inline double median(double *values, size_t count) {
  qsort(values, count, sizeof *values, ascending);
  return values[count / 2];
}

/* A client that is connected. */
static inline quorate_client_t *connected(const char *server) {
  quorate_error_t *error = NULL;
  quorate_client_options_t options;
  quorate_client_options_init(&options, sizeof options);
  options.endpoints = &server;
  options.endpoint_count = 1;
  quorate_client_t *client = NULL;
  must(quorate_client_open(&options, &client, &error), &error);
  must(quorate_client_connected(client, 30000, NULL, &error), &error);
  return client;
}

static inline void close_client(quorate_client_t **client) {
  quorate_error_t *error = NULL;
  must(quorate_client_close(*client, 30000, NULL, &error), &error);
  quorate_client_free(client);
}

#endif
