/* Locks, elections, and withdrawing what waits: by time, by another thread, by a signal. */
#define _POSIX_C_SOURCE 200809L
#include "check.h"

#include <pthread.h>
#include <signal.h>

static uint64_t waiting(quorate_client_t *client, const char *prefix) {
  quorate_range_options_t options;
  quorate_range_options_init(&options, sizeof options);
  options.prefix = prefix;
  options.prefix_size = strlen(prefix);
  options.count_only = 1;
  quorate_range_result_t *result = NULL;
  OK(quorate_range(client, &options, SOON, NULL, &result, &error));
  uint64_t count = result->count;
  quorate_range_result_free(&result);
  return count;
}

/* Asks until so many stand in line, the holder included. */
static void until_waiting(quorate_client_t *client, const char *prefix, uint64_t count) {
  while (waiting(client, prefix) != count) continue;
}

static void locks(quorate_client_t *client) {
  quorate_hold_options_t options;
  quorate_hold_options_init(&options, sizeof options);
  CHECK(options.ttl_ms == 10000);
  options.ttl_ms = 5000;
  quorate_lock_t *lock = NULL;
  OK(quorate_lock(client, "one", &options, SOON, NULL, &lock, &error));
  CHECK(strcmp(quorate_lock_name(lock), "one") == 0);
  size_t size = 0;
  CHECK(strncmp(quorate_lock_key(lock, &size), "one/", 4) == 0);
  CHECK(size == strlen(quorate_lock_key(lock, NULL)));
  int64_t token = quorate_lock_token(lock);
  CHECK(token > 0 && !quorate_lock_is_lost(lock));

  quorate_lock_t *second = NULL;
  FAILS(QUORATE_CONFLICT, quorate_try_lock(client, "one", NULL, SOON, NULL, &second, &error));
  FAILS(QUORATE_TIMEOUT, quorate_lock(client, "one", NULL, 50, NULL, &second, &error));
  CHECK(second == NULL);
  until_waiting(client, "one/", 1);

  OK(quorate_lock_unlock(lock, SOON, NULL, &error));
  OK(quorate_lock_unlock(lock, SOON, NULL, &error));
  OK(quorate_try_lock(client, "one", NULL, SOON, NULL, &second, &error));
  CHECK(quorate_lock_token(second) > token);
  quorate_lock_free(&lock);
  CHECK(lock == NULL);
  /* Freed without unlocking: released in the background. */
  quorate_lock_free(&second);
  OK(quorate_lock(client, "one", NULL, SOON, NULL, &second, &error));
  OK(quorate_lock_unlock(second, SOON, NULL, &error));
  quorate_lock_free(&second);
  FAILS(QUORATE_INVALID_ARGUMENT, quorate_lock(client, "", NULL, SOON, NULL, &lock, &error));
  options.ttl_ms = 0;
  FAILS(QUORATE_INVALID_ARGUMENT, quorate_lock(client, "one", &options, SOON, NULL, &lock, &error));
}

static void losses(quorate_client_t *client) {
  quorate_queue_t *queue = open_queue();
  quorate_lock_t *lock = NULL;
  OK(quorate_lock(client, "lost", NULL, SOON, NULL, &lock, &error));
  int here = 0;
  quorate_watch_t *watch = NULL;
  OK(quorate_lock_notify(lock, queue, &here, &watch, &error));
  size_t size = 0;
  const char *key = quorate_lock_key(lock, &size);
  OK(quorate_delete(client, key, size, false, SOON, NULL, NULL, &error));
  quorate_event_t *event = next_event(queue);
  CHECK(event->kind == QUORATE_EVENT_LOST && event->user_data == &here);
  quorate_event_free(&event);
  CHECK(quorate_lock_is_lost(lock));
  bool lost = false;
  OK(quorate_lock_wait_lost(lock, SOON, NULL, &lost, &error));
  CHECK(lost);
  FAILS(QUORATE_LOCK_LOST, quorate_lock_unlock(lock, SOON, NULL, &error));
  quorate_watch_free(&watch);
  quorate_lock_free(&lock);
  quorate_queue_free(&queue);
}

static void elections(quorate_client_t *client) {
  quorate_queue_t *queue = open_queue();
  quorate_watch_t *watch = NULL;
  OK(quorate_observe(client, "chief", queue, NULL, &watch, &error));
  quorate_leader_t *leader = NULL;
  OK(quorate_leader(client, "chief", SOON, NULL, &leader, &error));
  CHECK(leader == NULL);
  quorate_leadership_t *leads = NULL;
  OK(quorate_campaign(client, "chief", TEXT("anna"), NULL, SOON, NULL, &leads, &error));
  CHECK(strcmp(quorate_leadership_name(leads), "chief") == 0);
  CHECK(quorate_leadership_token(leads) > 0 && !quorate_leadership_is_lost(leads));
  OK(quorate_leader(client, "chief", SOON, NULL, &leader, &error));
  CHECK(strcmp(leader->value, "anna") == 0 && leader->value_size == 4);
  CHECK(leader->token == quorate_leadership_token(leads));
  CHECK(strcmp(leader->key, quorate_leadership_key(leads, NULL)) == 0);
  quorate_leader_free(&leader);
  OK(quorate_leadership_proclaim(leads, TEXT("annie"), SOON, NULL, &error));
  const char *values[] = {"anna", "annie"};
  for (int i = 0; i < 2; i++) {
    quorate_event_t *event = next_event(queue);
    CHECK(event->kind == QUORATE_EVENT_LEADER);
    /* One who looks late may see only the newer value. */
    if (i == 0 && strcmp(event->leader->value, "annie") == 0) i = 1;
    CHECK(strcmp(event->leader->value, values[i]) == 0);
    quorate_event_free(&event);
  }
  quorate_leadership_t *other = NULL;
  FAILS(QUORATE_TIMEOUT,
        quorate_campaign(client, "chief", TEXT("bert"), NULL, 50, NULL, &other, &error));
  quorate_watch_t *loss = NULL;
  OK(quorate_leadership_notify(leads, queue, NULL, &loss, &error));
  bool lost = true;
  OK(quorate_leadership_wait_lost(leads, 0, NULL, &lost, &error));
  CHECK(!lost);
  OK(quorate_leadership_resign(leads, SOON, NULL, &error));
  OK(quorate_leadership_resign(leads, SOON, NULL, &error));
  FAILS(QUORATE_LOCK_LOST, quorate_leadership_proclaim(leads, TEXT("x"), SOON, NULL, &error));
  until_waiting(client, "chief/", 0);
  quorate_watch_free(&loss);
  quorate_leadership_free(&leads);
  quorate_watch_free(&watch);
  quorate_queue_free(&queue);
}

struct attempt {
  quorate_client_t *client;
  quorate_cancel_t *cancel;
  const char *name;
  bool campaign;
};

/* Stands in line until it is cancelled. */
static void *stand_in_line(void *argument) {
  struct attempt *attempt = argument;
  if (attempt->campaign) {
    quorate_leadership_t *leads = NULL;
    FAILS(QUORATE_CANCELLED, quorate_campaign(attempt->client, attempt->name, TEXT("x"), NULL,
                                              QUORATE_NO_LIMIT, attempt->cancel, &leads, &error));
    CHECK(leads == NULL);
  } else {
    quorate_lock_t *lock = NULL;
    FAILS(QUORATE_CANCELLED, quorate_lock(attempt->client, attempt->name, NULL, QUORATE_NO_LIMIT,
                                          attempt->cancel, &lock, &error));
    CHECK(lock == NULL);
  }
  return NULL;
}

static quorate_cancel_t *signalled;

static void on_signal(int number) {
  (void)number;
  quorate_cancel_fire(signalled);
}

static void cancelling(quorate_client_t *client) {
  quorate_cancel_t *cancel = NULL;
  OK(quorate_cancel_open(&cancel, &error));
  CHECK(!quorate_cancel_is_fired(cancel));
  quorate_lock_t *lock = NULL;
  OK(quorate_lock(client, "busy", NULL, SOON, cancel, &lock, &error));

  /* Another thread withdraws many at once; their places in line go. */
  struct attempt attempt = {client, cancel, "busy", false};
  pthread_t threads[4];
  for (int i = 0; i < 4; i++) {
    CHECK(pthread_create(&threads[i], NULL, stand_in_line, &attempt) == 0);
  }
  until_waiting(client, "busy/", 5);
  quorate_cancel_fire(cancel);
  for (int i = 0; i < 4; i++) CHECK(pthread_join(threads[i], NULL) == 0);
  until_waiting(client, "busy/", 1);
  CHECK(quorate_cancel_is_fired(cancel));

  /* Fired, it withdraws what begins later; reset, it does not. */
  quorate_lock_t *second = NULL;
  FAILS(QUORATE_CANCELLED,
        quorate_lock(client, "free", NULL, QUORATE_NO_LIMIT, cancel, &second, &error));
  quorate_cancel_reset(cancel);
  OK(quorate_lock(client, "free", NULL, SOON, cancel, &second, &error));
  OK(quorate_lock_unlock(second, SOON, cancel, &error));
  quorate_lock_free(&second);

  /* A signal handler. */
  signalled = cancel;
  struct sigaction action;
  memset(&action, 0, sizeof action);
  action.sa_handler = on_signal;
  CHECK(sigaction(SIGUSR1, &action, NULL) == 0);
  struct attempt campaign = {client, cancel, "busy", true};
  pthread_t thread;
  CHECK(pthread_create(&thread, NULL, stand_in_line, &campaign) == 0);
  until_waiting(client, "busy/", 2);
  CHECK(pthread_kill(thread, SIGUSR1) == 0);
  CHECK(pthread_join(thread, NULL) == 0);
  until_waiting(client, "busy/", 1);

  /* A wait for events. */
  quorate_cancel_reset(cancel);
  quorate_queue_t *queue = open_queue();
  quorate_cancel_fire(cancel);
  quorate_event_t *event = NULL;
  FAILS(QUORATE_CANCELLED,
        quorate_queue_next(queue, QUORATE_NO_LIMIT, cancel, &event, &error));
  FAILS(QUORATE_TIMEOUT, quorate_queue_next(queue, 1, NULL, &event, &error));
  quorate_queue_free(&queue);

  quorate_cancel_free(&cancel);
  CHECK(cancel == NULL);
  quorate_cancel_free(&cancel);
  OK(quorate_lock_unlock(lock, SOON, NULL, &error));
  quorate_lock_free(&lock);
}

int main(int argc, char **argv) {
  CHECK(argc == 2);
  quorate_client_t *client = open_client(argv[1]);
  locks(client);
  losses(client);
  elections(client);
  cancelling(client);
  /* What is held when the client closes is given up, and says so. */
  quorate_lock_t *lock = NULL;
  OK(quorate_lock(client, "last", NULL, SOON, NULL, &lock, &error));
  OK(quorate_client_close(client, SOON, NULL, &error));
  CHECK(quorate_lock_is_lost(lock));
  quorate_lock_t *none = NULL;
  FAILS(QUORATE_CLOSED, quorate_lock(client, "more", NULL, SOON, NULL, &none, &error));
  quorate_client_free(&client);
  quorate_lock_free(&lock);
  return 0;
}
