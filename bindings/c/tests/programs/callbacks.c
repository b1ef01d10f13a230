/* Events by callback: on one thread, calling back in, ended from outside and from inside; and the
 * queue's descriptor under several readers. */
#define _POSIX_C_SOURCE 200809L
#include "check.h"

#include <poll.h>
#include <pthread.h>

struct program {
  quorate_client_t *client;
  quorate_queue_t *queue;
  pthread_mutex_t mutex;
  pthread_cond_t changed;
  pthread_t thread;
  int calls;
  bool ended;
};

/* Writes a key for each service it hears of, reads it back, and watches it. */
static void call_back_in(const quorate_event_t *event, void *user_data) {
  struct program *program = user_data;
  CHECK(pthread_mutex_lock(&program->mutex) == 0);
  CHECK(program->calls == 0 || pthread_equal(program->thread, pthread_self()));
  program->thread = pthread_self();
  program->calls++;
  CHECK(pthread_mutex_unlock(&program->mutex) == 0);
  if (event->kind == QUORATE_EVENT_SERVICE &&
      event->service->change == QUORATE_SERVICE_SNAPSHOT) {
    quorate_watch_t **watch = event->user_data;
    OK(quorate_watch(program->client, TEXT("called"), NULL, program->queue, NULL, watch, &error));
    OK(quorate_put(program->client, TEXT("called"), TEXT("back"), NULL, SOON, NULL, NULL, &error));
    quorate_key_value_t *found = NULL;
    OK(quorate_get(program->client, TEXT("called"), 0, false, SOON, NULL, &found, &error));
    CHECK(strcmp(found->value, "back") == 0);
    quorate_key_value_free(&found);
    /* The watch may have begun after the write. */
    OK(quorate_put(program->client, TEXT("called"), TEXT("more"), NULL, SOON, NULL, NULL, &error));
    quorate_lock_t *lock = NULL;
    OK(quorate_lock(program->client, "called", NULL, SOON, NULL, &lock, &error));
    OK(quorate_lock_unlock(lock, SOON, NULL, &error));
    quorate_lock_free(&lock);
    FAILS(QUORATE_FAILED_PRECONDITION,
          quorate_queue_next(program->queue, 0, NULL, (quorate_event_t *[]){NULL}, &error));
  }
  if (event->kind == QUORATE_EVENT_LEADER) {
    /* Ends the queue from within; nothing comes after this. */
    OK(quorate_queue_close(program->queue, &error));
    CHECK(pthread_mutex_lock(&program->mutex) == 0);
    program->ended = true;
    CHECK(pthread_cond_signal(&program->changed) == 0);
    CHECK(pthread_mutex_unlock(&program->mutex) == 0);
  }
  if (event->kind == QUORATE_EVENT_KEYS) {
    quorate_leadership_t *leads = NULL;
    OK(quorate_campaign(program->client, "called", TEXT("x"), NULL, SOON, NULL, &leads, &error));
    quorate_leadership_free(&leads);
  }
}

static void reentrant(quorate_client_t *client) {
  struct program program = {.client = client, .queue = open_queue()};
  CHECK(pthread_mutex_init(&program.mutex, NULL) == 0);
  CHECK(pthread_cond_init(&program.changed, NULL) == 0);
  OK(quorate_queue_dispatch(program.queue, call_back_in, &program, &error));
  FAILS(QUORATE_FAILED_PRECONDITION,
        quorate_queue_dispatch(program.queue, call_back_in, &program, &error));
  quorate_watch_t *observed = NULL, *service = NULL, *keys = NULL;
  OK(quorate_observe(client, "called", program.queue, NULL, &observed, &error));
  OK(quorate_watch_service(client, "called", program.queue, &keys, &service, &error));
  CHECK(pthread_mutex_lock(&program.mutex) == 0);
  while (!program.ended) pthread_cond_wait(&program.changed, &program.mutex);
  CHECK(!pthread_equal(program.thread, pthread_self()) && program.calls >= 3);
  CHECK(pthread_mutex_unlock(&program.mutex) == 0);
  quorate_queue_free(&program.queue);
  quorate_watch_free(&observed);
  quorate_watch_free(&service);
  quorate_watch_free(&keys);
  pthread_cond_destroy(&program.changed);
  pthread_mutex_destroy(&program.mutex);
}

static void count(const quorate_event_t *event, void *user_data) {
  if (event->kind == QUORATE_EVENT_KEYS) ++*(int *)user_data;
}

/* Once the queue is closed no callback runs, so what it uses may go. */
static void ended_outside(quorate_client_t *client) {
  int *calls = calloc(1, sizeof *calls);
  quorate_queue_t *queue = open_queue();
  quorate_watch_t *watch = NULL;
  OK(quorate_queue_dispatch(queue, count, calls, &error));
  OK(quorate_watch(client, TEXT("many"), NULL, queue, NULL, &watch, &error));
  for (int i = 0; i < 50; i++) {
    OK(quorate_put(client, TEXT("many"), TEXT("x"), NULL, SOON, NULL, NULL, &error));
  }
  quorate_queue_free(&queue);
  CHECK(*calls <= 50);
  free(calls);
  quorate_watch_free(&watch);
}

enum { READERS = 3, WATCHES = 4, CHANGES = 200 };

struct shared {
  quorate_queue_t *queue;
  quorate_cancel_t *cancel;
  pthread_mutex_t mutex;
  size_t seen[WATCHES];
  size_t total;
};

static void *read_events(void *argument) {
  struct shared *shared = argument;
  struct pollfd ready = {.fd = quorate_queue_fd(shared->queue), .events = POLLIN};
  CHECK(ready.fd >= 0);
  for (;;) {
    /* A descriptor that is not readable although something waits would end this by its time. */
    CHECK(poll(&ready, 1, SOON) == 1);
    quorate_event_t *event = NULL;
    quorate_error_t *error = NULL;
    quorate_code_t code = quorate_queue_next(shared->queue, 0, shared->cancel, &event, &error);
    quorate_error_free(&error);
    if (code == QUORATE_CLOSED) return NULL;
    if (code == QUORATE_TIMEOUT) continue;
    CHECK(code == QUORATE_OK && event->kind == QUORATE_EVENT_KEYS);
    size_t *seen = event->user_data;
    CHECK(pthread_mutex_lock(&shared->mutex) == 0);
    *seen += event->keys->event_count;
    shared->total += event->keys->event_count;
    bool all = shared->total == WATCHES * CHANGES;
    CHECK(pthread_mutex_unlock(&shared->mutex) == 0);
    quorate_event_free(&event);
    if (all) OK(quorate_queue_close(shared->queue, &error));
  }
}

static void many_readers(quorate_client_t *client) {
  struct shared shared = {.queue = open_queue()};
  CHECK(pthread_mutex_init(&shared.mutex, NULL) == 0);
  quorate_put_result_t *now = NULL;
  OK(quorate_put(client, TEXT("now"), TEXT(""), NULL, SOON, NULL, &now, &error));
  quorate_watch_options_t options;
  quorate_watch_options_init(&options, sizeof options);
  options.start_revision = now->revision + 1;
  quorate_put_result_free(&now);
  quorate_watch_t *watches[WATCHES];
  for (int i = 0; i < WATCHES; i++) {
    OK(quorate_watch(client, TEXT("stress"), &options, shared.queue, &shared.seen[i], &watches[i],
                     &error));
  }
  pthread_t readers[READERS];
  for (int i = 0; i < READERS; i++) {
    CHECK(pthread_create(&readers[i], NULL, read_events, &shared) == 0);
  }
  for (int i = 0; i < CHANGES; i++) {
    OK(quorate_put(client, TEXT("stress"), TEXT("x"), NULL, SOON, NULL, NULL, &error));
  }
  for (int i = 0; i < READERS; i++) CHECK(pthread_join(readers[i], NULL) == 0);
  for (int i = 0; i < WATCHES; i++) {
    CHECK(shared.seen[i] == CHANGES);
    quorate_watch_free(&watches[i]);
  }
  quorate_queue_free(&shared.queue);
  pthread_mutex_destroy(&shared.mutex);
}

int main(int argc, char **argv) {
  CHECK(argc == 2);
  quorate_client_t *client = open_client(argv[1]);
  reentrant(client);
  ended_outside(client);
  many_readers(client);
  close_client(&client);
  return 0;
}
