/* Ends with everything open, in the way its second argument says. */
#define _POSIX_C_SOURCE 200809L
#include "check.h"

#include <pthread.h>
#include <unistd.h>

static quorate_client_t *client;
static quorate_registration_t *registration;
static quorate_lock_t *held;
static quorate_leadership_t *leads;
static quorate_watch_t *watch;
static quorate_queue_t *queue;

/* Runs after the library's own end: all is closed, and can be freed. */
static void late(void) {
  FAILS(QUORATE_CLOSED, quorate_put(client, TEXT("k"), TEXT("v"), NULL, SOON, NULL, NULL, &error));
  quorate_client_t *another = NULL;
  FAILS(QUORATE_CLOSED, quorate_client_open(NULL, &another, &error));
  CHECK(quorate_lock_is_lost(held));
  quorate_lock_free(&held);
  quorate_leadership_free(&leads);
  quorate_registration_free(&registration);
  quorate_watch_free(&watch);
  quorate_client_free(&client);
  quorate_queue_free(&queue);
}

static void *leave(void *unused) {
  (void)unused;
  exit(0);
}

static void leave_by_callback(const quorate_event_t *event, void *user_data) {
  (void)event;
  (void)user_data;
  exit(0);
}

static void *stand_in_line(void *unused) {
  (void)unused;
  quorate_lock_t *second = NULL;
  quorate_lock(client, "exit", NULL, QUORATE_NO_LIMIT, NULL, &second, NULL);
  return NULL;
}

int main(int argc, char **argv) {
  CHECK(argc == 3);
  const char *how = argv[2];
  if (strcmp(how, "late") == 0) CHECK(atexit(late) == 0);
  client = open_client(argv[1]);
  queue = open_queue();
  if (strcmp(how, "dead") == 0) {
    /* Nobody answers there; leaving takes no longer than it may. */
    OK(quorate_watch_service(client, "exit", queue, NULL, &watch, &error));
    return 0;
  }
  quorate_instance_options_t instance;
  quorate_instance_options_init(&instance, sizeof instance);
  instance.ttl_ms = 600000;
  quorate_hold_options_t hold;
  quorate_hold_options_init(&hold, sizeof hold);
  hold.ttl_ms = 600000;
  OK(quorate_register(client, "exit", "10.0.0.1:80", &instance, SOON, NULL, &registration, &error));
  OK(quorate_lock(client, "exit", &hold, SOON, NULL, &held, &error));
  OK(quorate_campaign(client, "exit-chief", TEXT("x"), &hold, SOON, NULL, &leads, &error));
  if (strcmp(how, "callback") == 0) {
    OK(quorate_queue_dispatch(queue, leave_by_callback, NULL, &error));
  }
  OK(quorate_watch_service(client, "exit", queue, NULL, &watch, &error));
  pthread_t thread;
  if (strcmp(how, "thread") == 0) {
    CHECK(pthread_create(&thread, NULL, leave, NULL) == 0);
    pthread_join(thread, NULL);
  }
  if (strcmp(how, "waiting") == 0) {
    CHECK(pthread_create(&thread, NULL, stand_in_line, NULL) == 0);
  }
  if (strcmp(how, "callback") == 0) {
    for (;;) pause();
  }
  return 0;
}
