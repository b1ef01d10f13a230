#define _POSIX_C_SOURCE 200809L
#include "things.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static struct thing *things;

static void destroy(struct thing *thing) {
  quorate_watch_free(&thing->watch);
  quorate_queue_free(&thing->queue);
  quorate_pick_free(&thing->pick);
  quorate_lock_free(&thing->lock);
  quorate_leadership_free(&thing->leadership);
  quorate_lease_free(&thing->lease);
  quorate_registration_free(&thing->registration);
  quorate_client_free(&thing->client);
  free(thing->name);
  free(thing);
}

void name_it(const char *name, struct thing made) {
  struct thing *thing = malloc(sizeof *thing);
  if (thing == NULL) abort();
  *thing = made;
  thing->users = 1;
  thing->name = strdup(name != NULL ? name : "");
  if (name == NULL) {
    destroy(thing);
    return;
  }
  forget(name);
  pthread_mutex_lock(&mutex);
  thing->next = things;
  things = thing;
  pthread_mutex_unlock(&mutex);
}

struct thing *borrow_thing(const char *name) {
  pthread_mutex_lock(&mutex);
  struct thing *found = things;
  while (found != NULL && strcmp(found->name, name) != 0) found = found->next;
  if (found != NULL) found->users++;
  pthread_mutex_unlock(&mutex);
  return found;
}

struct thing *named(struct command *command, const char *key) {
  const char *name = need_text(command, key);
  struct thing *found = name != NULL ? borrow_thing(name) : NULL;
  if (found == NULL) fail(command, "performer:unknown_name", false, name != NULL ? name : key);
  return found;
}

void let_go(struct thing *thing) {
  if (thing == NULL) return;
  pthread_mutex_lock(&mutex);
  bool last = --thing->users == 0;
  pthread_mutex_unlock(&mutex);
  if (last) destroy(thing);
}

bool forget(const char *name) {
  pthread_mutex_lock(&mutex);
  struct thing **place = &things;
  while (*place != NULL && strcmp((*place)->name, name) != 0) place = &(*place)->next;
  struct thing *found = *place;
  if (found != NULL) *place = found->next;
  pthread_mutex_unlock(&mutex);
  let_go(found);
  return found != NULL;
}

struct thing *client_of(struct command *command) {
  return named(command, "client");
}
