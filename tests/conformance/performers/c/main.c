/* The performer of the C binding: does what the conformance runner says, each command on a thread of
 * its own. See ../../PERFORMER.md. */
#define _POSIX_C_SOURCE 200809L
#include "operations.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
/* The commands under way, to be cancelled. */
static struct command *running;

static operation find(const char *op) {
  const struct entry *const tables[] = {discovery_operations, holding_operations, key_operations,
                                        watch_operations};
  for (size_t i = 0; i < sizeof tables / sizeof *tables; i++) {
    for (const struct entry *entry = tables[i]; entry->op != NULL; entry++) {
      if (strcmp(entry->op, op) == 0) return entry->run;
    }
  }
  return NULL;
}

static void *run(void *argument) {
  struct command *command = argument;
  operation operation = find(command->op);
  if (operation != NULL) {
    operation(command);
  } else {
    fail(command, "performer:unknown_op", false, command->op);
  }
  pthread_mutex_lock(&mutex);
  struct command **place = &running;
  while (*place != command) place = &(*place)->next;
  *place = command->next;
  pthread_mutex_unlock(&mutex);
  command_print(command);
  command_free(command);
  return NULL;
}

/* At once, so that what was started before it can be found. */
static void cancel(struct command *command) {
  const char *id = need_text(command, "id");
  if (ready(command)) {
    pthread_mutex_lock(&mutex);
    for (struct command *other = running; other != NULL; other = other->next) {
      if (strcmp(other->id, id) == 0) quorate_cancel_fire(other->cancel);
    }
    pthread_mutex_unlock(&mutex);
  }
  command_print(command);
  command_free(command);
}

static void start(struct command *command) {
  quorate_error_t *error = NULL;
  pthread_t thread;
  if (quorate_cancel_open(&command->cancel, &error) != QUORATE_OK) abort();
  pthread_mutex_lock(&mutex);
  command->next = running;
  running = command;
  pthread_mutex_unlock(&mutex);
  if (pthread_create(&thread, NULL, run, command) != 0) abort();
  pthread_detach(thread);
}

int main(void) {
  printf("hello language=c lacks=\n");
  fflush(stdout);
  char *line = NULL;
  size_t room = 0;
  while (getline(&line, &room, stdin) > 0) {
    struct command *command = command_read(line);
    line = NULL;
    room = 0;
    if (command == NULL) {
      fprintf(stderr, "a line that is no command\n");
    } else if (strcmp(command->op, "cancel") == 0) {
      cancel(command);
    } else {
      start(command);
    }
  }
  free(line);
  return 0;
}
