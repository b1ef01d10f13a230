/* What the test programs share: checks that say where and why, and the client of most of them. */
#ifndef CHECK_H
#define CHECK_H

#include <quorate.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Longer than anything takes on a slow machine. */
#define SOON 60000

#define CHECK(condition)                                                                        \
  do {                                                                                          \
    if (!(condition)) {                                                                         \
      fprintf(stderr, "%s:%d: failed: %s\n", __FILE__, __LINE__, #condition);                   \
      abort();                                                                                  \
    }                                                                                           \
  } while (0)

/* A call succeeds: OK(quorate_…(…, &error)). */
#define OK(call)                                                                                \
  do {                                                                                          \
    quorate_error_t *error = NULL;                                                              \
    quorate_code_t code_ = (call);                                                              \
    if (code_ != QUORATE_OK) {                                                                  \
      fprintf(stderr, "%s:%d: %s: %s: %s\n", __FILE__, __LINE__, #call,                         \
              quorate_code_name(code_), error ? error->message : "no message");                 \
      abort();                                                                                  \
    }                                                                                           \
    CHECK(error == NULL);                                                                       \
  } while (0)

/* A call fails with this code, and its error object says the same. */
#define FAILS(expected, call)                                                                   \
  do {                                                                                          \
    quorate_error_t *error = NULL;                                                              \
    quorate_code_t code_ = (call);                                                              \
    if (code_ != (expected)) {                                                                  \
      fprintf(stderr, "%s:%d: %s: %s (%s) and not %s\n", __FILE__, __LINE__, #call,             \
              quorate_code_name(code_), error ? error->message : "no message", #expected);      \
      abort();                                                                                  \
    }                                                                                           \
    CHECK(error != NULL && error->code == code_ && error->message[0] != '\0');                  \
    CHECK(strcmp(error->name, quorate_code_name(code_)) == 0);                                  \
    CHECK(error->next_step[0] != '\0');                                                         \
    quorate_error_free(&error);                                                                 \
    CHECK(error == NULL);                                                                       \
  } while (0)

/* A text with its size, as two arguments. */
#define TEXT(text) (text), strlen(text)

static inline quorate_client_t *open_client(const char *server) {
  quorate_client_options_t options;
  quorate_client_options_init(&options, sizeof options);
  options.endpoints = &server;
  options.endpoint_count = 1;
  /* Valgrind on a loaded machine is slow. */
  options.request_timeout_ms = SOON;
  quorate_client_t *client = NULL;
  OK(quorate_client_open(&options, &client, &error));
  CHECK(client != NULL);
  return client;
}

static inline void close_client(quorate_client_t **client) {
  OK(quorate_client_close(*client, SOON, NULL, &error));
  quorate_client_free(client);
  CHECK(*client == NULL);
}

static inline quorate_queue_t *open_queue(void) {
  quorate_queue_t *queue = NULL;
  OK(quorate_queue_open(&queue, &error));
  return queue;
}

static inline quorate_event_t *next_event(quorate_queue_t *queue) {
  quorate_event_t *event = NULL;
  OK(quorate_queue_next(queue, SOON, NULL, &event, &error));
  CHECK(event != NULL);
  return event;
}

#endif
