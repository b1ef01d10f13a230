/* A child of fork() is told that what it inherited is its parent's, harms nothing by freeing it, and
 * has a life of its own. */
#define _POSIX_C_SOURCE 200809L
#include "check.h"

#include <sys/wait.h>
#include <unistd.h>

struct parent {
  const char *server;
  quorate_client_t *client;
  quorate_registration_t *registration;
  quorate_lock_t *lock;
  quorate_queue_t *queue;
  quorate_watch_t *watch;
  quorate_service_t *service;
  quorate_pick_t *pick;
  quorate_cancel_t *cancel;
};

static void child(struct parent *p) {
  quorate_view_t *view = NULL;
  quorate_event_t *event = NULL;
  quorate_pick_t *pick = NULL;
  bool lost = false;
  FAILS(QUORATE_FORKED, quorate_put(p->client, TEXT("k"), TEXT("v"), NULL, SOON, NULL, NULL, &error));
  FAILS(QUORATE_FORKED, quorate_discover(p->client, "forked", SOON, NULL, &view, &error));
  FAILS(QUORATE_FORKED, quorate_client_close(p->client, SOON, NULL, &error));
  FAILS(QUORATE_FORKED, quorate_registration_deregister(p->registration, SOON, NULL, &error));
  FAILS(QUORATE_FORKED, quorate_lock_unlock(p->lock, SOON, NULL, &error));
  FAILS(QUORATE_FORKED, quorate_lock_wait_lost(p->lock, 0, NULL, &lost, &error));
  FAILS(QUORATE_FORKED, quorate_queue_next(p->queue, 0, NULL, &event, &error));
  FAILS(QUORATE_FORKED, quorate_service_pick(p->service, NULL, &pick, &error));
  FAILS(QUORATE_FORKED, quorate_pick_report(p->pick, QUORATE_OUTCOME_OK, -1, -1, &error));
  CHECK(quorate_queue_fd(p->queue) == -1 && quorate_lock_is_lost(p->lock));
  CHECK(quorate_registration_revision(p->registration) == 0);
  /* What does not change can still be read. */
  CHECK(quorate_lock_token(p->lock) > 0);
  CHECK(strcmp(quorate_registration_id(p->registration), "10.0.0.1:80") == 0);
  quorate_cancel_fire(p->cancel);

  quorate_client_t *mine = open_client(p->server);
  FAILS(QUORATE_FORKED, quorate_client_connected(mine, SOON, p->cancel, &error));
  OK(quorate_put(mine, TEXT("child"), TEXT("was here"), NULL, SOON, NULL, NULL, &error));
  quorate_lock_t *lock = NULL;
  FAILS(QUORATE_CONFLICT, quorate_try_lock(mine, "forked", NULL, SOON, NULL, &lock, &error));
  quorate_queue_t *queue = open_queue();
  OK(quorate_log(queue, QUORATE_LOG_TRACE, &error));
  quorate_watch_t *watch = NULL;
  OK(quorate_watch_service(mine, "forked", queue, NULL, &watch, &error));
  do {
    quorate_event_free(&event);
    event = next_event(queue);
  } while (event->kind != QUORATE_EVENT_SERVICE);
  CHECK(event->service->view->instance_count == 1);
  quorate_event_free(&event);

  quorate_cancel_free(&p->cancel);
  quorate_pick_free(&p->pick);
  quorate_service_free(&p->service);
  quorate_watch_free(&p->watch);
  quorate_queue_free(&p->queue);
  quorate_lock_free(&p->lock);
  quorate_registration_free(&p->registration);
  quorate_client_free(&p->client);
  /* With its own client open: the exit closes that, and only that. */
  exit(0);
}

int main(int argc, char **argv) {
  CHECK(argc == 2);
  struct parent p = {.server = argv[1], .client = open_client(argv[1]), .queue = open_queue()};
  OK(quorate_register(p.client, "forked", "10.0.0.1:80", NULL, SOON, NULL, &p.registration, &error));
  OK(quorate_lock(p.client, "forked", NULL, SOON, NULL, &p.lock, &error));
  OK(quorate_watch(p.client, TEXT("child"), NULL, p.queue, NULL, &p.watch, &error));
  OK(quorate_service_open(p.client, "forked", &p.service, &error));
  OK(quorate_cancel_open(&p.cancel, &error));
  quorate_view_t *view = NULL;
  do {
    quorate_view_free(&view);
    OK(quorate_discover(p.client, "forked", SOON, NULL, &view, &error));
  } while (view->instance_count != 1);
  quorate_view_free(&view);
  OK(quorate_service_pick(p.service, NULL, &p.pick, &error));

  pid_t pid = fork();
  CHECK(pid >= 0);
  if (pid == 0) child(&p);
  int status = 0;
  CHECK(waitpid(pid, &status, 0) == pid);
  CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);

  /* Nothing of the parent's was touched. */
  CHECK(!quorate_lock_is_lost(p.lock) && !quorate_cancel_is_fired(p.cancel));
  OK(quorate_pick_report(p.pick, QUORATE_OUTCOME_OK, -1, -1, &error));
  quorate_key_value_t *found = NULL;
  OK(quorate_get(p.client, TEXT("child"), 0, false, SOON, NULL, &found, &error));
  CHECK(strcmp(found->value, "was here") == 0);
  quorate_key_value_free(&found);
  OK(quorate_discover(p.client, "forked", SOON, NULL, &view, &error));
  CHECK(view->instance_count == 1);
  quorate_view_free(&view);
  OK(quorate_lock_unlock(p.lock, SOON, NULL, &error));
  OK(quorate_registration_deregister(p.registration, SOON, NULL, &error));
  quorate_cancel_free(&p.cancel);
  quorate_pick_free(&p.pick);
  quorate_service_free(&p.service);
  quorate_watch_free(&p.watch);
  quorate_queue_free(&p.queue);
  quorate_lock_free(&p.lock);
  quorate_registration_free(&p.registration);
  close_client(&p.client);
  return 0;
}
